"""Rooms of the package know those below them alone, in functions and for type checks as well."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import anisoalign

PACKAGE = Path(anisoalign.__file__).parent
FLOORS = (
    ("compiled", "places", "quiet"),
    ("embeddings",),
    ("devices", "geometry", "statistics", "diagnostics"),
    ("aligners",),
    ("comparison", "report", "mllm", "encoders", "scale", "worlds", "explore", "serving", "integrations", "oracle"),
    ("__init__",),
    ("cli",),
    ("__main__",),
)
"""From the ground up; the package's own `__init__` hands out what lies below it."""
RANK = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
SIDEWAYS = {
    ("diagnostics", "geometry"): "the gap is told by spectra, frames and cosines",
    ("diagnostics", "statistics"): "and by moments of both sets",
    ("mllm", "encoders"): "a model is asked about pictures, which must be embedded first",
    ("mllm", "worlds"): "the study trains on the rendered world",
    ("explore", "report"): "its page is drawn as the report is",
    ("report", "encoders"): "pictures on a page are read as encoders read them",
}
"""Rooms of one floor of which one needs the other, and why; never both ways."""


def room(path: Path) -> str:
    """The folder of the package that a file lies in, or its own name."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Line and room of everything of this package that a file imports, wherever in the file."""
    inside = ("anisoalign", *path.relative_to(PACKAGE).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = inside[: len(inside) + 1 - node.level] if node.level else ()
            base = ".".join([*above, *([node.module] if node.module else [])])
            names = [f"{base}.{alias.name}" for alias in node.names]
        for name in names:
            first, *rest = name.split(".")
            # The version is set before anything is imported, so that all may ask for it.
            if first == "anisoalign" and rest[:1] != ["__version__"]:
                yield node.lineno, rest[0] if rest else "__init__"


FILES = sorted(PACKAGE.rglob("*.py"))


def test_every_room_has_its_floor():
    assert {room(path) for path in FILES} == set(RANK)


def test_no_room_imports_what_is_above_it_or_beside_it():
    wrong, used = [], set()
    for path in FILES:
        own = room(path)
        for line, other in imported(path):
            assert other in RANK, f"{path}:{line}: {other} is no room: import it from the room it lies in"
            if (own, other) in SIDEWAYS:
                used.add((own, other))
            elif own != other and RANK[own] <= RANK[other]:
                wrong.append(f"{path.relative_to(PACKAGE)}:{line}: {own} imports {other}")
    assert not wrong, "\n".join(wrong)
    assert used == set(SIDEWAYS), "what no room does any more needs no reason"


@pytest.mark.parametrize(("one", "other"), SIDEWAYS)
def test_what_runs_sideways_stays_on_its_floor_and_does_not_run_back(one, other):
    assert RANK[one] == RANK[other]
    assert (other, one) not in SIDEWAYS
