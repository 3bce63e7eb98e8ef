"""Rows of a set in an order of one's own, as shards without files: gathered by stretches, so that few are held."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from anisoalign.embeddings.beside import Columns, picked
from anisoalign.embeddings.embedding_set import EmbeddingSet
from anisoalign.embeddings.paired_ids import place_of
from anisoalign.embeddings.shards import Block, exact_blocks

GATHERED = "gathered"
"""Format of a set of such shards, each of which a pass holds whole."""

_COPIES = 4
"""Times that vectors are held: the rows, those of one shard, and these in order make four at most."""
_SLICE = 1024
"""Rows of columns that are weighed together."""
_PIECE = 1 << 20
"""Bytes of columns that are put in order at a time, by the mean of the heaviest slice.

Even if they were nothing but the longest row of a slice, they are a gigabyte at most: Arrow's arrays hold two.
"""


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

    def __init__(self, of: EmbeddingSet, columns: Columns, order: np.ndarray, label: str, left_out: Sequence[str] = ()):
        self._of = of
        self._shards = [shard for shard in of.shards if shard.rows]
        self._columns, self.order, self.label, self.left_out = columns, order, label, list(left_out)
        self.rows, self.dim, self.dtype = len(order), of.dim, of.dtype
        self._bytes = _COPIES * of.dim * of.dtype.itemsize
        self.nbytes = self.rows * of.dim * of.dtype.itemsize
        self._step = self.rows if of.memory is None else min(max(of.memory // self._bytes, 1), self.rows)

    def origin(self, row: int) -> str | None:
        """Name the place in the set from which a row comes; None of one that is not there."""
        return None if self.order[row] < 0 else place_of(self._of, int(self.order[row]))

    def held(self) -> int:
        """Tell about how many bytes a pass holds at a time, where columns go on as they begin."""
        names = self._columns.schema.names
        first = next((batch for batch in self._columns.stream(names) if batch.num_rows), None)
        beside = 0 if first is None else first.nbytes / first.num_rows
        return self._step * self._bytes + int(min(self.rows, self._columns.rows) * beside)

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
        places = np.full(self.rows, -1)
        places[there] = again
        found = [
            batch.slice(start, _SLICE)
            for batch in picked(self._columns.stream(names), rows)
            for start in range(0, batch.num_rows, _SLICE)
        ]
        widest = max((batch.nbytes / batch.num_rows for batch in found), default=1)
        step = max(int(_PIECE / max(widest, 1)), 1)
        schema = self._columns.select(names).schema
        for start in range(0, self.rows, step):
            yield from _rows_at(found, places[start : start + step], schema).to_batches()


def _rows_at(batches: list[pa.RecordBatch], places: np.ndarray, schema: pa.Schema) -> pa.Table:
    """Rows of batches in any order, null where the place is -1."""
    there = places >= 0
    rows, again = np.unique(places[there], return_inverse=True)
    wanted = np.zeros(len(places), np.int64)
    wanted[there] = again
    once = pa.Table.from_batches(list(picked(batches, rows)), schema)
    return once.take(pa.array(wanted, mask=~there))
