"""What the pages say that can be run or checked: README.md and everything under docs/."""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
NOT_RUN = re.compile(r"<!-- not run: (.+?) -->\s*$")
_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>[\w-]*)[^\n]*\n(?P<body>.*?)^(?P=indent)```", re.DOTALL | re.MULTILINE
)


class Snippet(NamedTuple):
    """A fenced block: its language, its text, and why it is not run, if it is not."""

    language: str
    text: str
    not_run: str | None


def name(page: Path) -> str:
    """Path of a page inside the repository."""
    return page.relative_to(ROOT).as_posix()


def snippets(text: str) -> list[Snippet]:
    """Fenced blocks in the order of the page."""
    found = []
    for block in _FENCE.finditer(text):
        excuse = NOT_RUN.search(text[: block.start()].rstrip(" "))
        body = re.sub(f"^{block['indent']}", "", block["body"], flags=re.MULTILINE)
        found.append(Snippet(block["language"], body, excuse[1] if excuse else None))
    return found


def commands(block: str) -> list[list[str]]:
    """Commands of a bash block, one a line; a backslash continues a line."""
    lines = block.replace("\\\n", " ").splitlines()
    return [words for words in (shlex.split(line, comments=True) for line in lines) if words]


def without_code(text: str) -> str:
    """The page without what stands between backticks, where nothing is a link."""
    return re.sub(r"`[^`\n]*`", "", _FENCE.sub("", text))


def links(text: str) -> list[str]:
    """Targets of Markdown links and pictures."""
    return re.findall(r"\]\(<?([^)\s>]+)>?(?: \"[^\"]*\")?\)", without_code(text))


def anchors(text: str) -> set[str]:
    """Names that a link into the page may end with: its headings' and those given by hand."""
    headings = re.findall(r"^#{1,6} +(.+?) *#*$", _FENCE.sub("", text), re.MULTILINE)
    return {slug(heading) for heading in headings} | set(re.findall(r"\bid=\"([^\"]+)\"", text))


def slug(heading: str) -> str:
    """Anchor of a heading, as the site and GitHub make it from plain headings."""
    plain = re.sub(r"\]\([^)]*\)", "", heading.lower())
    return re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", plain, flags=re.ASCII).strip())
