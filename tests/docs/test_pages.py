"""Every command and every line of Python on README.md and docs/ runs; every link inside leads somewhere.

The snippets of a page run from top to bottom in one folder, which holds what `make demo` leaves. A block that cannot
run says why in a comment above it: `<!-- not run: reason -->`.
"""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pages import DOCS, PAGES, ROOT, anchors, commands, links, name, snippets

import anisoalign as aa

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
HEAVY = {"docs/serving.md", "docs/clusters.md", "docs/integrations.md", "docs/train-on-text-alone.md"}
"""Pages whose snippets need packages of the integration tests."""
EXCUSES = (
    "needs a pretrained model",
    "takes minutes",
    "needs a cluster",
    "needs a GPU",
    "needs an account",
    "changes this environment",
)
"""Reasons for which a block may stand on a page without being run."""


@pytest.fixture(scope="session")
def demo(tmp_path_factory) -> Path:
    """What `make demo` leaves, on fewer rows, where an earlier one was interrupted."""
    folder = tmp_path_factory.mktemp("pages") / "demo"
    (folder / "figures").mkdir(parents=True)
    np.save(folder / "text.npy", np.ones((3, 3)))
    (folder / "report.html").write_text("of an earlier demo, which was interrupted")
    aa.ReAlign().fit(np.eye(3), 1 - np.eye(3)).save(folder / "model")
    command = [sys.executable, "-m", "anisoalign", "demo", "--out", str(folder), "--rows", "600", "--repeats", "1"]
    subprocess.run(command, check=True, capture_output=True)
    return folder


def test_a_demo_leaves_a_folder_to_look_at_in_place_of_what_an_earlier_one_left(demo):
    left = {path.name for path in demo.iterdir()}
    assert {"text.npy", "image.npy", "label.txt", "results.json", "table.md", "report.html", "figures", "model"} <= left
    assert np.load(demo / "text.npy").shape == (600, np.load(demo / "image.npy").shape[1])
    assert "interrupted" not in (demo / "report.html").read_text()
    assert len(list((demo / "figures").glob("*.png"))) >= 4
    results = json.loads((demo / "results.json").read_text())
    assert aa.load(demo / "model").name == "aniso-align"
    assert {record["method"] for record in results["compare"]} >= {"identity", "realign", "real-target"}


def runnable(page: Path) -> list[tuple[str, str]]:
    found = snippets(page.read_text(encoding="utf-8"))
    return [(s.language, s.text) for s in found if s.language in ("bash", "python") and s.not_run is None]


def parameters() -> list:
    pages = [page for page in PAGES if runnable(page)]
    return [pytest.param(p, id=name(p), marks=[pytest.mark.integration] * (name(p) in HEAVY)) for p in pages]


@pytest.mark.parametrize("page", parameters())
def test_the_snippets_run_from_top_to_bottom(page, demo, tmp_path):
    shutil.copytree(demo, tmp_path / "demo")
    steps = [step for language, text in runnable(page) for step in steps_of(language, text)]
    (tmp_path / "steps.json").write_text(json.dumps(steps), encoding="utf-8")
    command = [sys.executable, str(Path(__file__).with_name("follow.py")), "steps.json"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-4000:]
    if page == PAGES[0]:
        assert (tmp_path / "aligned.npy").is_file()
        assert (tmp_path / "compare.html").is_file()


def steps_of(language: str, text: str) -> list[tuple[str, Any]]:
    """A block of Python, or each command of ours; of other commands what they name must be there."""
    if language == "python":
        return [("python", text)]
    steps = []
    for words in commands(text):
        if words[0] == "anisoalign":
            steps.append(("command", words))
        elif words[0] == "make":
            assert set(words[1:]) <= set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
        elif words[:2] == ["pip", "install"]:
            named = {extra for group in re.findall(r"\[([\w,-]+)\]", " ".join(words)) for extra in group.split(",")}
            assert named <= set(PROJECT["optional-dependencies"]), words
        else:
            raise AssertionError(f"this test does not know how to follow {' '.join(words)!r}")
    return steps


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_what_is_not_run_says_why(page):
    for snippet in snippets(page.read_text(encoding="utf-8")):
        if snippet.not_run is not None:
            assert snippet.not_run.startswith(EXCUSES), snippet.not_run


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_scripts_named_for_running_exist(page):
    for script in re.findall(r"\bpython ((?:benchmarks|tools|examples)/[\w./-]+)", page.read_text(encoding="utf-8")):
        assert (ROOT / script).is_file(), script


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_inside_lead_somewhere(page):
    for link in links(page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", link):
            continue  # other sites are not asked
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        if page.is_relative_to(DOCS):
            assert target.resolve().is_relative_to(DOCS), f"{link} leads out of the site"
        if anchor and target.suffix == ".md" and not anchor.startswith("anisoalign."):
            assert anchor in anchors(target.read_text(encoding="utf-8")), link


def test_a_broken_link_is_seen(tmp_path):
    (tmp_path / "page.md").write_text(
        "[a](nowhere.md) [b](page.md#no) `[c](code.md)` [d](page.md#a-heading)\n## A heading\n"
    )
    text = (tmp_path / "page.md").read_text()
    assert links(text) == ["nowhere.md", "page.md#no", "page.md#a-heading"]
    assert anchors(text) == {"a-heading"}


def test_every_page_has_its_place_in_the_navigation():
    entries = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]["nav"]

    def paths(entry) -> list[str]:
        if isinstance(entry, str):
            return [entry]
        inner = entry.values() if isinstance(entry, dict) else entry
        return [path for part in inner for path in paths(part)]

    assert sorted(paths(entries)) == sorted(page.relative_to(DOCS).as_posix() for page in PAGES if page != PAGES[0])
