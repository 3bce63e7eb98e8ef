"""What a shard is, and what each file format must be able to do with one."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from anisoalign.embeddings.beside import Columns

Block = tuple[np.ndarray, np.ndarray | None]
"""Stored values, shape (m, d), and a mask of rows where the file has no vector, null or an empty list, shape (m,), or
None."""


class Source(Protocol):
    """One shard as a format sees it: its header, and its rows as stored.

    Opening a source reads the header only; files are opened again for each pass, so that a source
    can be sent to another process.
    """

    @property
    def path(self) -> Path | None:
        """The file; None in memory."""
        ...

    @property
    def label(self) -> str:
        """What messages call the shard."""
        ...

    @property
    def rows(self) -> int:
        """Number of stored vectors."""
        ...

    @property
    def dim(self) -> int:
        """Their width."""
        ...

    @property
    def dtype(self) -> np.dtype:
        """Their type, in native byte order."""
        ...

    @property
    def nbytes(self) -> int:
        """Size of the file."""
        ...

    def blocks(self, size: int) -> Iterator[Block]:
        """Yield all rows in order, `size` at a time; only the last block is shorter.

        A source with a true attribute `sliceable` also takes `start` and `stop`, at no cost for rows before.
        """
        ...

    def take(self, rows: np.ndarray) -> Block:
        """Return the given rows, ascending positions within the shard."""
        ...

    def peek(self, count: int) -> np.ndarray:
        """Return about `count` rows that are cheap to reach, for a first look at the norms."""
        ...

    def columns(self) -> Columns | None:
        """Return the columns beside the embeddings, one row a vector, or None."""
        ...


@dataclass(frozen=True)
class Shard:
    """One file (or table, or array) of a set.

    Attributes
    ----------
    index : int
        Position in the set.
    path : Path or None
        The file; None for an array in memory.
    rows, dim : int
        Shape of the stored vectors.
    dtype : numpy.dtype
        Type of the stored values.
    first_row : int
        Global row number of the shard's first row.
    """

    index: int
    path: Path | None
    label: str
    rows: int
    dim: int
    dtype: np.dtype
    first_row: int
    source: Source = field(repr=False, compare=False)


@dataclass(frozen=True)
class Span:
    """Consecutive rows of one shard, from `start` up to `stop`: what one worker does at a time."""

    shard: int
    start: int
    stop: int


def make_shards(sources: Iterable[Source]) -> tuple[Shard, ...]:
    """Return the sources as shards, rows counted through from the first."""
    shards: list[Shard] = []
    first = 0
    for index, source in enumerate(sources):
        shards.append(Shard(index, source.path, source.label, source.rows, source.dim, source.dtype, first, source))
        first += source.rows
    return tuple(shards)


def exact_blocks(pieces: Iterable[Block], size: int) -> Iterator[Block]:
    """Cut pieces of any length into blocks of exactly `size` rows; only the last is shorter.

    A piece that already fits is passed on without a copy.

    Examples
    --------
    >>> pieces = [(np.zeros((n, 2)), None) for n in (3, 1, 0, 4)]
    >>> [len(values) for values, _ in exact_blocks(pieces, 3)]
    [3, 3, 2]
    """
    waiting: list[Block] = []
    count = 0
    for values, nulls in pieces:
        start = 0
        while start < len(values):
            stop = min(start + size - count, len(values))
            waiting.append((values[start:stop], None if nulls is None else nulls[start:stop]))
            count += stop - start
            start = stop
            if count == size:
                yield _join(waiting)
                waiting, count = [], 0
    if waiting:
        yield _join(waiting)


def _join(blocks: list[Block]) -> Block:
    if len(blocks) == 1:
        return blocks[0]
    values = np.concatenate([values for values, _ in blocks])
    if all(nulls is None for _, nulls in blocks):
        return values, None
    masks = [np.zeros(len(values), bool) if nulls is None else nulls for values, nulls in blocks]
    return values, np.concatenate(masks)


def take_from_blocks(blocks: Iterable[Block], rows: np.ndarray) -> Block:
    """Pick ascending row positions out of a stream of blocks."""
    picked: list[Block] = []
    first = 0
    for values, nulls in blocks:
        low, high = np.searchsorted(rows, [first, first + len(values)])
        if low < high:
            local = rows[low:high] - first
            picked.append((values[local], None if nulls is None else nulls[local]))
        first += len(values)
        if high == len(rows):
            break
    return _join(picked)


def natural_key(name: str) -> tuple[list[str | int], str]:
    """Sort key that reads digits as numbers, so that `part-10` follows `part-9`.

    Examples
    --------
    >>> sorted(["s10", "s9", "s1"], key=natural_key)
    ['s1', 's9', 's10']
    """
    parts = re.split(r"([0-9]+)", name)
    return [int(part) if i % 2 else part.casefold() for i, part in enumerate(parts)], name
