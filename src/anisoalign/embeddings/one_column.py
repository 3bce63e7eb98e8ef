"""Shards of one set hold their vectors under one name: a column of captions does not go on where one of images ends."""

import re
from collections.abc import Sequence
from pathlib import Path

from anisoalign.embeddings.errors import InputError
from anisoalign.embeddings.shards import Source


def compare_columns(name: str, sources: Sequence[Source]) -> None:
    """Refuse a set whose shards hold vectors in columns, or under keys, of different names.

    Keys of safetensors may be the file's own name, or differ in a number that runs from file to file.

    Raises
    ------
    InputError
        Naming the first shard and the first that differs, with their columns.
    """
    filled = [source for source in sources if source.rows]
    columns = [getattr(source, "column", None) for source in filled]
    if len(set(columns)) < 2 or _numbered(filled, columns):
        return
    first, other = filled[0], next(i for i, column in enumerate(columns) if column != columns[0])
    raise InputError(
        f"{name}: shards whose vectors go by different names: {first.label} has them in {columns[0]!r}, "
        f"{filled[other].label} in {columns[other]!r}; name a column that all have, or give each kind its own folder"
    )


def _numbered(sources: Sequence[Source], columns: Sequence[str | None]) -> bool:
    """Whether names of keys differ only as their files do."""
    if any(source.path is None or source.path.suffix != ".safetensors" for source in sources):
        return False
    if len(set(columns)) < len(columns):  # what names a shard comes once
        return False
    bare = [_bare(str(column), source.path) for source, column in zip(sources, columns, strict=True)]
    return len(set(bare)) == 1


def _bare(key: str, file: Path | None) -> str:
    """What is left of a key without its file's name, or without its numbers."""
    return "" if file is not None and key == file.stem else re.sub(r"[0-9]+", "", key)
