"""Sets whose rows belong together: a row that is bad in one goes from all, and from the labels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from anisoalign.embeddings.embedding_set import EmbeddingSet
from anisoalign.embeddings.errors import InputError
from anisoalign.embeddings.notes import Dropped
from anisoalign.embeddings.paired_ids import check_ids
from anisoalign.embeddings.tiles import Tile, tile_rows_for


@dataclass(frozen=True, eq=False)
class Pairs:
    """Whole sets with their rows still side by side.

    Attributes
    ----------
    values : tuple of ndarray, each (kept rows, d)
        Unit rows of each set.
    rows : ndarray of int64, shape (kept rows,)
        Their numbers in the stored sets.
    labels : list of str or None
        Labels of the kept rows, if any were given.
    dropped : list of Dropped
        Every row found bad in some set, in the order of the sets.
    """

    values: tuple[np.ndarray, ...]
    rows: np.ndarray
    labels: list[str] | None
    dropped: list[Dropped]


def read_pairs(
    sets: Sequence[EmbeddingSet],
    dtype: np.typing.DTypeLike = np.float64,
    labels: Sequence[str] | None = None,
) -> Pairs:
    """Read sets of equal length whole; rows bad in any are dropped from all where sets were opened so.

    Raises
    ------
    InputError
        If the sets or the labels differ in length, ids contradict the pairs (`check_ids`), or a set opened with
        `bad_rows="error"` has a bad row.

    Examples
    --------
    >>> from anisoalign.embeddings import open_embeddings
    >>> x = open_embeddings(np.array([[1.0, 0], [0, 0], [0, 1]]), name="x", bad_rows="drop")
    >>> pairs = read_pairs([x, open_embeddings(np.eye(3))], labels=["a", "b", "c"])
    >>> pairs.values[1].tolist(), pairs.labels, pairs.dropped[0].reason
    ([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]], ['a', 'c'], 'is zero')
    """
    check_paired(sets)
    if labels is not None and len(labels) != sets[0].rows:
        raise InputError(f"{len(labels)} labels for {sets[0].rows} rows of {sets[0].name}")
    parts = list(zip(*(_read(es, dtype) for es in sets), strict=True))
    values, rows = parts
    common = _intersect(list(rows))
    if not len(common):
        raise InputError(f"no row is good in all of {', '.join(es.name for es in sets)}")
    for other in sets[1:]:
        check_ids(sets[0], other, (common, common))
    return Pairs(
        values=tuple(_select(array, own, common) for array, own in zip(values, rows, strict=True)),
        rows=common,
        labels=None if labels is None else [labels[int(row)] for row in common],
        dropped=[row for es in sets for row in es.dropped],
    )


def paired_tiles(
    sets: Sequence[EmbeddingSet], dtype: np.typing.DTypeLike = np.float32, tile_rows: int | None = None
) -> Iterator[tuple[Tile, ...]]:
    """Yield tiles of all sets side by side: the same rows in each, though shards may be cut differently.

    Boundaries are counted from the first shard of the first set; `shard` and `start` of the other
    tiles say where their first row lies. Rows bad in any set are dropped from all as in `read_pairs`.

    Raises
    ------
    InputError
        If the sets differ in length, and as `EmbeddingSet.tiles` does.
    """
    check_paired(sets)
    size = tile_rows or min(tile_rows_for(es.dim) for es in sets)
    lead = sets[0]
    others = [_Cursor(es, dtype) for es in sets[1:]]
    for shard in lead.shards:
        cursor = _Cursor(lead, dtype, [shard.index])
        for start in range(0, shard.rows, size):
            stop = shard.first_row + min(start + size, shard.rows)
            parts = [cursor.up_to(stop), *(other.up_to(stop) for other in others)]
            common = _intersect([rows for _, rows in parts])
            if len(common):
                yield tuple(
                    _tile(es, _select(values, rows, common), common)
                    for es, (values, rows) in zip(sets, parts, strict=True)
                )
    for cursor in others:
        # A set's own end is where it is checked as a whole.
        cursor.up_to(lead.rows)


class _Cursor:
    """Reads a set's rows up to given global row numbers."""

    def __init__(self, es: EmbeddingSet, dtype: np.typing.DTypeLike, shards: list[int] | None = None):
        self._dim, self._dtype = es.dim, np.dtype(dtype)
        self._tiles = es.tiles(dtype, shards=shards)
        self._tile: Tile | None = None

    def up_to(self, stop: int) -> tuple[np.ndarray, np.ndarray]:
        values, rows = [np.empty((0, self._dim), self._dtype)], [np.empty(0, np.int64)]
        while True:
            tile = self._tile or next(self._tiles, None)
            if tile is None:
                break
            cut = int(np.searchsorted(tile.rows, stop))
            values.append(tile.values[:cut])
            rows.append(tile.rows[:cut])
            self._tile = None
            if cut < len(tile):
                self._tile = Tile(tile.values[cut:], tile.rows[cut:], tile.shard, tile.start + cut)
                break
        if len(values) == 2:
            return values[1], rows[1]
        return np.concatenate(values), np.concatenate(rows)


def check_paired(sets: Sequence[EmbeddingSet]) -> None:
    """Refuse sets of different lengths: their rows cannot be pairs.

    Raises
    ------
    InputError
        Naming both sets and both lengths.
    """
    for es in sets[1:]:
        if es.rows != sets[0].rows:
            raise InputError(
                f"pairs need as many rows on both sides: {sets[0].name} has {sets[0].rows}, {es.name} has {es.rows}; "
                "where both have ids, `convert --like` brings one into the order of the other"
            )


def _read(es: EmbeddingSet, dtype: np.typing.DTypeLike) -> tuple[np.ndarray, np.ndarray]:
    values = es.read(dtype)
    return values, es.kept()


def _intersect(rows: list[np.ndarray]) -> np.ndarray:
    common = rows[0]
    for other in rows[1:]:
        common = common if np.array_equal(common, other) else np.intersect1d(common, other, assume_unique=True)
    return common


def _select(values: np.ndarray, own: np.ndarray, common: np.ndarray) -> np.ndarray:
    return values if len(own) == len(common) else values[np.searchsorted(own, common)]


def _tile(es: EmbeddingSet, values: np.ndarray, rows: np.ndarray) -> Tile:
    firsts = [shard.first_row for shard in es.shards]
    shard = int(np.searchsorted(firsts, rows[0], side="right")) - 1
    return Tile(values, rows, shard, int(rows[0]) - firsts[shard])
