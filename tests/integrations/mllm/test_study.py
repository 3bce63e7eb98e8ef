"""The study runs from end to end, goes on where it was, and tabulates what ran."""

import json
import shutil

import pytest

from anisoalign.mllm.study.__main__ import main
from anisoalign.mllm.study.rows import ALL, TABLES

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("study") / "out"
    assert main(["--out", str(out), "--quick"]) == 0
    return out


def test_every_row_ran_once(folder):
    runs = {path.stem for path in (folder / "runs").iterdir()}
    assert runs == {f"{row.key}-0" for row in ALL}


def test_the_tables_hold_what_the_runs_say(folder):
    found = json.loads((folder / "study.json").read_text())
    assert {name: [entry["key"] for entry in entries] for name, entries in found["tables"].items()} == {
        name: list(keys) for name, (_, keys) in TABLES.items()
    }
    run = json.loads((folder / "runs" / "realign-0.json").read_text())
    (entry,) = (e for e in found["tables"]["text_only"] if e["key"] == "realign")
    assert entry["average"] == [run["average"], None]
    assert all(entry["runs"] == 1 for entries in found["tables"].values() for entry in entries)
    assert entry["paper"] == 45.0
    assert f"{100 * run['average']:.1f}" in (folder / "tables.md").read_text()


def test_a_missing_run_is_done_again_to_the_same_answers_and_no_other(folder, tmp_path):
    again = tmp_path / "again"
    shutil.copytree(folder, again)
    path, other = again / "runs" / "mean-shift-0.json", again / "runs" / "c3-0.json"
    first = json.loads(path.read_text())
    path.unlink()
    before = other.stat().st_mtime_ns
    main(["--out", str(again), "--quick", "--workers", "1"])
    second = json.loads(path.read_text())
    assert {**first, "cpu_seconds": 0} == {**second, "cpu_seconds": 0}
    assert other.stat().st_mtime_ns == before


def test_a_folder_of_other_sizes_is_refused(folder, capsys):
    assert main(["--out", str(folder), "--rows", "raw"]) == 2
    assert "other settings" in capsys.readouterr().err


def test_blind_learns_nothing_of_the_picture(folder):
    """Every tested picture is one vector, so the same words get the same answer."""
    run = json.loads((folder / "runs" / "blind-0.json").read_text())
    for form in ("how many", "nearer edge", "both warm and round", "colours alike"):
        assert run["forms"][form] in (0.0, 0.5), form
