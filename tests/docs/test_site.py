"""The site builds strictly, with the reference read from the docstrings."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.integration


def build(folder: Path) -> subprocess.CompletedProcess:
    command = [Path(sys.executable).parent / "zensical", "build", "--strict", "--clean"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


@pytest.fixture
def copy(tmp_path) -> Path:
    for part in ("docs", "src"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__", "*.safetensors"))
    shutil.copy(ROOT / "zensical.toml", tmp_path)
    return tmp_path


def test_the_site_builds_and_holds_pages_and_docstrings(copy):
    ended = build(copy)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "issue" not in ended.stdout.replace("0 issues", ""), ended.stdout
    assert (copy / "site" / "index.html").is_file()
    page = (copy / "site" / "api" / "aligners" / "index.html").read_text(encoding="utf-8")
    assert 'id="anisoalign.ReAlign"' in page
    assert "tr Σx / tr Σy" in page, "the docstring itself is missing"
    titles = (copy / "site" / "search.json").read_text(encoding="utf-8")
    for words in ("similarity 0.25", "outranks images", "Which aligner when"):
        assert words in titles, f"the search does not know {words!r}"
    assert not re.search(r"(?:src|href)=\"https?://(?:fonts|cdn|unpkg)", page), "the site fetches from elsewhere"


def test_a_link_to_a_missing_page_fails(copy):
    page = copy / "docs" / "index.md"
    page.write_text(page.read_text(encoding="utf-8") + "\n[gone](gone.md)\n", encoding="utf-8")
    ended = build(copy)
    assert ended.returncode != 0
    assert "page does not exist" in ended.stdout + ended.stderr


def test_a_name_without_docstring_fails(copy):
    page = copy / "docs" / "api" / "aligners.md"
    page.write_text(page.read_text(encoding="utf-8") + "\n::: anisoalign.Nothing\n", encoding="utf-8")
    assert build(copy).returncode != 0
