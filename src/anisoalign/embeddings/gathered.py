"""Rows of a set in an order of one's own, as shards without files: gathered by stretches, so that few are held."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from anisoalign.embeddings.beside import Columns
from anisoalign.embeddings.embedding_set import EmbeddingSet
from anisoalign.embeddings.shards import Block, exact_blocks

GATHERED = "gathered"
"""Format of a set of such shards, each of which a pass holds whole."""


class GatheredSource:
    """A stretch of rows from anywhere in a set.

    Parameters
    ----------
    of : EmbeddingSet
        Where the rows come from.
    columns : Columns
        Those beside its vectors that go along.
    order : ndarray of int64, shape (n,)
        Number in the set of each row; -1 for one that is not there, which is read as a row without a vector.
    label : str
        What messages call the stretch.
    left_out : sequence of str
        Columns that do not go along.
    """

    path: Path | None = None
    why_null = "has no vector of its id"

    def __init__(self, of: EmbeddingSet, columns: Columns, order: np.ndarray, label: str, left_out: Sequence[str] = ()):
        self._shards = [shard for shard in of.shards if shard.rows]
        self._columns, self.order, self.label, self.left_out = columns, order, label, list(left_out)
        self.rows, self.dim, self.dtype = len(order), of.dim, of.dtype
        width = of.dim * of.dtype.itemsize
        self.nbytes = self.rows * width
        # The rows, those of one shard, and these in order: four times as many bytes are enough.
        self._step = self.rows if of.memory is None else max(of.memory // (4 * width), 1)

    def blocks(self, size: int) -> Iterator[Block]:
        """Yield the rows in order."""
        pieces = (self._gather(self.order[start : start + self._step]) for start in range(0, self.rows, self._step))
        return exact_blocks(pieces, size)

    def take(self, rows: np.ndarray) -> Block:
        """Return the given rows."""
        return self._gather(self.order[rows])

    def peek(self, count: int) -> np.ndarray:
        """Return rows from the beginning of the set."""
        return self._shards[0].source.peek(count)

    def columns(self) -> Columns:
        """Return the columns of the same rows, null where there is no row."""
        return Columns(self._columns.schema, self.rows, self._gather_columns)

    def _gather(self, wanted: np.ndarray) -> Block:
        """Rows by their numbers: every shard that has some is read once, front to back."""
        values, nulls = np.zeros((len(wanted), self.dim), self.dtype), wanted < 0
        by_row = np.argsort(wanted, kind="stable")
        for shard in self._shards:
            ends = [shard.first_row, shard.first_row + shard.rows]
            low, high = np.searchsorted(wanted, ends, sorter=by_row)
            if low < high:
                places = by_row[low:high]
                rows, again = np.unique(wanted[places] - shard.first_row, return_inverse=True)
                stored, empty = shard.source.take(rows)
                values[places] = stored[again]
                if empty is not None:
                    nulls[places] = empty[again]
        return values, nulls if nulls.any() else None

    def _gather_columns(self, names: list[str]) -> Iterator[pa.RecordBatch]:
        there = self.order >= 0
        rows, again = np.unique(self.order[there], return_inverse=True)
        found, first, high = [], 0, 0
        for batch in self._columns.stream(names):
            if high == len(rows):
                break
            low, high = np.searchsorted(rows, [first, first + batch.num_rows])
            if low < high:
                found.append(batch.take(pa.array(rows[low:high] - first)))
            first += batch.num_rows
        places = np.zeros(self.rows, np.int64)
        places[there] = again
        whole = pa.Table.from_batches(found, self._columns.select(names).schema)
        yield from whole.take(pa.array(places, mask=~there)).to_batches()
