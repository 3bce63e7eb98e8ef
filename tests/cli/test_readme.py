"""What the README says is so; its commands, its Python and its links are tested with those of docs/, in tests/docs."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from anisoalign.aligners import METHODS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_methods_of_the_table_are_those_there_are():
    assert set(re.findall(r"^\| `([a-z0-9-]+)` \|", README, re.MULTILINE)) == set(METHODS)


def test_the_speed_table_is_what_the_benchmark_printed():
    record = json.loads((ROOT / "benchmarks" / "speed.json").read_text())
    for method in record["methods"]:
        row = next(line for line in README.splitlines() if line.startswith(f"| {method['method']} |"))
        assert f"{method['ratio']:.2f}" in row
        assert f"{method['peak_anonymous_bytes'] / 1e6:.0f} MB" in row


def test_each_target_sets_itself_up():
    ended = subprocess.run(["make", "--dry-run", "--always-make", "demo"], cwd=ROOT, capture_output=True, text=True)
    assert "-m venv" in ended.stdout
    assert "anisoalign demo" in ended.stdout


def test_the_citation_names_this_version():
    import yaml

    from anisoalign import __version__

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == __version__
    assert {"cff-version", "message", "title", "authors"} <= set(citation)


@pytest.mark.integration
def test_the_verdict_shown_is_the_one_that_the_demo_gives():
    from anisoalign import diagnose
    from anisoalign.worlds import RenderedWorld

    pairs = RenderedWorld.load().embed(rows=4_000, seed=0)
    said = " ".join(str(diagnose(pairs.text, pairs.image, paired=True)).split())
    shown = re.search(r"```text\n(The two sets.*?)```", README, re.DOTALL)
    assert shown is not None
    assert " ".join(shown[1].split()) == said
