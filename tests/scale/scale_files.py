"""Folders compared file by file."""

from pathlib import Path


def same_files(a: Path, b: Path) -> None:
    """Assert that two folders hold the same files to the last byte."""
    names = sorted(path.relative_to(a) for path in a.rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(b) for path in b.rglob("*") if path.is_file())
    for name in names:
        assert (a / name).read_bytes() == (b / name).read_bytes(), name
