"""The tables of docs/how-anisoalign-works.md are those that its script makes from the JSON of the benchmarks."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "how-anisoalign-works.md"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("anisoalign_tables", ROOT / "benchmarks" / "anisoalign_tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tables_match_the_json(script):
    page = PAGE.read_text(encoding="utf-8")
    assert script.filled(page, script.tables()) == page


def test_every_table_there_is_stands_on_the_page(script):
    named = re.findall(r"<!-- table (.+?) -->", PAGE.read_text(encoding="utf-8"))
    assert sorted(named) == sorted(script.tables())


def test_a_changed_figure_is_seen(script):
    page = PAGE.read_text(encoding="utf-8")
    start = page.index("<!-- table rotated -->")
    changed = page[:start] + re.sub(r"0\.9(\d+) \|", r"0.8\1 |", page[start:], count=1)
    assert changed != page
    assert script.filled(changed, script.tables()) == page


def test_linked_files_exist():
    for link in re.findall(r"\]\(([^)#]+)\)", PAGE.read_text(encoding="utf-8")):
        assert (PAGE.parent / link).exists(), link
