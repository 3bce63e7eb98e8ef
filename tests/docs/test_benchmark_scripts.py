"""Scripts of benchmarks/ say what they do when asked, and measure nothing then."""

import runpy
import sys
from pathlib import Path

import pytest

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
