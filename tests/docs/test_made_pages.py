"""Pages that scripts write are what the scripts would write now."""

import importlib.util
import json
import re
from dataclasses import fields
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
TABLES = {"benchmarks/anisoalign_tables.py": "how-anisoalign-works.md", "benchmarks/study_page.py": "study.md"}
"""Scripts that fill the tables of a page from JSON."""


@cache
def script(path: str):
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend((ROOT / path).parent)  # scripts import what lies beside them
        spec.loader.exec_module(module)
    return module


def test_the_command_reference_is_what_the_commands_say():
    reference = script("tools/command_reference.py")
    assert reference.PAGE.read_text(encoding="utf-8") == reference.page(), "run: python tools/command_reference.py"


def test_the_tables_of_the_pages_match_the_json():
    tables = script("tools/page_tables.py")
    for page in tables.PAGES:
        text = page.read_text(encoding="utf-8")
        assert tables.filled(text) == text, f"{page.name}: run: python tools/page_tables.py"


@pytest.mark.parametrize("path", TABLES)
def test_the_tables_of_a_page_match_the_json_and_all_stand_there(path):
    text = (DOCS / TABLES[path]).read_text(encoding="utf-8")
    assert script(path).filled(text, script(path).tables()) == text
    assert sorted(re.findall(r"<!-- table (.+?) -->", text)) == sorted(script(path).tables())


@pytest.mark.parametrize("path", TABLES)
def test_a_changed_figure_of_a_table_is_seen(path):
    text = (DOCS / TABLES[path]).read_text(encoding="utf-8")
    start = text.index("<!-- table ")
    changed = text[:start] + re.sub(r"(\d)\.(\d)", r"9\1.\2", text[start:], count=1)
    assert changed != text
    assert script(path).filled(changed, script(path).tables()) == text


def test_what_results_were_measured_by_changes_no_table(monkeypatch):
    tables = script("tools/page_tables.py")
    load = tables.load

    def with_environment(path):
        found = load(path)
        found = {"presets": found} if isinstance(found, list) else found
        return {"environment": {"commit": "0123456789ab-dirty", "date": "2026-01-31"}, **found}

    monkeypatch.setattr(tables, "load", with_environment)
    for page in tables.PAGES:
        text = page.read_text(encoding="utf-8")
        assert tables.filled(text) == text


def test_the_plans_of_training_are_in_the_page():
    plans = script("tools/training_plans.py")
    text = plans.PAGE.read_text(encoding="utf-8")
    assert plans.filled(text, json.loads(plans.JSON.read_text())) == text, "run: python tools/training_plans.py"


@pytest.mark.integration
def test_the_plans_of_training_are_what_plan_says():
    plans = script("tools/training_plans.py")
    assert json.loads(json.dumps(plans.plans())) == json.loads(plans.JSON.read_text())


def test_a_changed_figure_is_seen():
    tables = script("tools/page_tables.py")
    text = (DOCS / "mixed-search.md").read_text(encoding="utf-8")
    start = text.index("<!-- figures ")
    changed = text[:start] + re.sub(r"0\.\d\d", "0.42", text[start:], count=3)
    assert changed != text
    assert tables.filled(changed) == text


def test_every_public_name_is_in_the_reference():
    import anisoalign

    named = set(
        re.findall(r"^::: anisoalign\.(\w+)$", "\n".join(p.read_text() for p in DOCS.glob("api/*.md")), re.MULTILINE)
    )
    assert set(anisoalign.__all__) - {"oracle"} <= named


@pytest.mark.parametrize("report", ["GapReport", "AlignmentReport"])
def test_every_number_of_a_report_is_explained(report):
    from anisoalign import diagnostics

    page = (DOCS / "what-the-numbers-mean.md").read_text(encoding="utf-8")
    explained = set(re.findall(r"`(\w+)`", page))
    assert {field.name for field in fields(getattr(diagnostics, report))} <= explained


def test_every_metric_of_a_comparison_is_explained():
    from anisoalign.comparison.table import DIRECTIONS

    page = (DOCS / "what-the-numbers-mean.md").read_text(encoding="utf-8")
    assert {*DIRECTIONS, "closed"} <= set(re.findall(r"`(\w+)`", page))
