"""Scripts of benchmarks/ say what they do when asked, and measure nothing then; their JSON says by what it was made."""

import importlib
import json
import os
import re
import runpy
import sys
from pathlib import Path

import pytest

import anisoalign

FOLDER = Path(__file__).parents[2] / "benchmarks"
SCRIPTS = sorted(path.name for path in FOLDER.glob("*.py") if '__name__ == "__main__"' in path.read_text())


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_answers_help_with_its_docstring_and_overwrites_nothing(name, monkeypatch, capsys):
    text = (FOLDER / name).read_text()
    assert "parse_args()" in text  # without, it would begin to measure below, for hours
    before = {path: path.stat().st_mtime_ns for path in FOLDER.glob("*.json")}
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(FOLDER / name), run_name="__main__")
    assert not ended.value.code
    assert text.removeprefix('"""').splitlines()[0].split("``")[0] in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in FOLDER.glob("*.json")} == before


def test_every_script_writes_its_results_by_the_one_function():
    for name in SCRIPTS:
        assert not re.search(r"write_text\(json\.dumps|json\.dump\(", (FOLDER / name).read_text()), name


@pytest.fixture
def protocol(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("protocol")


def stand_in_for_git(folder, monkeypatch, answers):
    """A `git` that answers by the first word that it is asked, and fails at others, as outside of a checkout."""
    cases = "".join(f"{word}) echo '{answer}';;\n" for word, answer in answers.items())
    (folder / "git").write_text(f'#!/bin/sh\ncase "$3" in\n{cases}*) exit 128;;\nesac\n')
    (folder / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)


@pytest.mark.parametrize(
    ("answers", "commit"),
    [
        ({"rev-parse": "0123456789ab", "status": ""}, "0123456789ab"),
        ({"rev-parse": "0123456789ab", "status": " M src/anisoalign/api.py"}, "0123456789ab-dirty"),
        ({}, None),
    ],
)
def test_results_say_by_what_they_were_measured(protocol, tmp_path, monkeypatch, answers, commit):
    stand_in_for_git(tmp_path, monkeypatch, answers)
    protocol.write(tmp_path / "r.json", {"rows": 3})
    found = json.loads((tmp_path / "r.json").read_text())
    assert list(found) == ["environment", "rows"]
    assert found["environment"].get("commit") == commit
    assert found["environment"]["anisoalign"] == anisoalign.__version__
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", found["environment"]["date"])
    again = {**found, "rows": 4}  # figures that were read and not measured again
    stand_in_for_git(tmp_path, monkeypatch, {"rev-parse": "ba9876543210"})
    protocol.write(tmp_path / "r.json", again)
    assert json.loads((tmp_path / "r.json").read_text()) == again


def test_without_git_results_name_no_commit(protocol, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    protocol.write(tmp_path / "r.json", {})
    assert "commit" not in json.loads((tmp_path / "r.json").read_text())["environment"]
