"""The tables of docs/study.md are those that its script makes from the study's JSON."""

import importlib
import json
import re
from pathlib import Path

import pytest

from anisoalign.mllm.study.rows import ALL, FLOORS, TABLES
from anisoalign.mllm.study.tables import PAPER, tabulate

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "study.md"


@pytest.fixture(scope="module")
def script():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "benchmarks")
        return importlib.import_module("study_page")


def test_the_tables_match_the_json(script):
    page = PAGE.read_text(encoding="utf-8")
    assert script.filled(page, script.tables()) == page


def test_every_table_there_is_stands_on_the_page(script):
    named = re.findall(r"<!-- table (.+?) -->", PAGE.read_text(encoding="utf-8"))
    assert sorted(named) == sorted(script.tables())


def test_a_changed_figure_is_seen(script):
    page = PAGE.read_text(encoding="utf-8")
    start = page.index("<!-- table text_only -->")
    changed = page[:start] + re.sub(r"(\d)\.(\d) ", r"9\1.\2 ", page[start:], count=1)
    assert changed != page
    assert script.filled(changed, script.tables()) == page


def test_linked_files_exist():
    for link in re.findall(r"\]\(([^)#]+)\)", PAGE.read_text(encoding="utf-8")):
        assert (PAGE.parent / link).exists(), link


def test_rows_have_names_of_their_own_and_every_table_its_floor():
    keys = [row.key for row in ALL]
    assert len(set(keys)) == len(keys)
    for name, (_, listed) in TABLES.items():
        assert set(listed) <= set(keys)
        assert FLOORS[name] in listed
        suffix = "-then-real" if name == "then_real" else ""
        assert {key + suffix for key in json.loads(PAPER.read_text(encoding="utf-8"))[name]} <= set(listed)


def _run(folder, key, seed, average):
    groups = dict.fromkeys(("perception", "reasoning", "hallucination"), average)
    run = {"row": {"key": key}, "seed": seed, "average": average, "groups": groups, "forms": {"where": average}}
    (folder / "runs" / f"{key}-{seed}.json").write_text(json.dumps({**run, "cpu_seconds": 30.0}))


def test_differences_are_paired_by_seed_and_closed_is_their_share_of_the_way(tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "language").mkdir()
    (tmp_path / "language" / "study.json").write_text("{}")
    (tmp_path / "settings.json").write_text("{}")
    for seed, base in enumerate((0.5, 0.6, 0.7)):
        _run(tmp_path, "realign", seed, base)
        _run(tmp_path, "default", seed, base + 0.06 + 0.01 * (seed == 2))
        _run(tmp_path, "image", seed, base + 0.1)
    _run(tmp_path, "raw", 1, 0.5)
    entries = {entry["key"]: entry for entry in tabulate(tmp_path)["tables"]["text_only"]}
    assert entries["default"]["over_floor"] == pytest.approx([0.19 / 3, 0.01 / 3])
    assert entries["default"]["closed"] == pytest.approx([0.19 / 0.3, 0.1 / 3])
    for seed, base in enumerate((0.5, 0.6, 0.7)):
        _run(tmp_path, "image", seed, base + 0.1 * (seed - 1))
    entry = next(e for e in tabulate(tmp_path)["tables"]["text_only"] if e["key"] == "default")
    assert "closed" not in entry, "real images are not above the row of reference"
    assert entries["raw"]["over_floor"] == [pytest.approx(-0.1), None], "over the seeds that both have"
    assert entries["realign"]["average"][0] == pytest.approx(0.6)
    assert "closed" not in entries["image"]
    assert entries["blind"] == {"key": "blind", "row": "Blind", "runs": 0, "paper": 7.85}, "a row that has not run"
