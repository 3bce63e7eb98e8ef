"""Columns beside a shard's vectors: known by name at once, read in order, never held whole.

A column may be far larger than the vectors, pictures as bytes for one.
"""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from anisoalign.embeddings.errors import InputError, one_line

ID_COLUMNS = ("id", "ids", "key", "image_path")
"""Columns taken for ids when the user names none, in this order."""

_BATCH = 1024
"""Rows read at a time."""
_GROUP = 1 << 16
"""Rows written at a time: millions of captions are held in pieces of a few megabytes."""
_GROUP_OF_BYTES = 100
"""The same where a row may hold a picture."""


@dataclass(frozen=True)
class Columns:
    """Columns beside the vectors of a shard, one row a vector.

    Attributes
    ----------
    schema : pyarrow.Schema
    rows : int
    stream : callable
        Given names of columns, yields their rows in order, as record batches.

    Examples
    --------
    >>> columns = Columns.held(pa.table({"id": [7, 8, 9], "caption": ["a", "b", "c"]}))
    >>> columns.read(["caption"]).to_pydict()
    {'caption': ['a', 'b', 'c']}
    """

    schema: pa.Schema
    rows: int
    stream: Callable[[list[str]], Iterator[pa.RecordBatch]]

    @classmethod
    def held(cls, table: pa.Table) -> "Columns":
        """Columns that lie in memory."""
        return cls(table.schema, table.num_rows, lambda names: iter(table.select(names).to_batches()))

    def select(self, names: Sequence[str]) -> "Columns":
        """Some of the columns."""
        return Columns(pa.schema([self.schema.field(name) for name in names]), self.rows, self.stream)

    def read(self, names: Sequence[str] | None = None) -> pa.Table:
        """Return columns whole, all by default."""
        if names is not None:
            return self.select(names).read()
        return pa.Table.from_batches(list(self.stream(self.schema.names)), self.schema)


def joined(parts: Sequence[Columns]) -> Columns:
    """Columns of several shards one after another; what one lacks is null there.

    Raises
    ------
    pyarrow.ArrowException
        If a column is of types that do not go together.

    Examples
    --------
    >>> both = joined([Columns.held(pa.table({"id": [1]})), Columns.held(pa.table({"id": [2], "url": ["b"]}))])
    >>> both.rows, both.read().to_pydict()
    (2, {'id': [1, 2], 'url': [None, 'b']})
    """
    if len(parts) == 1:
        return parts[0]
    schema = pa.unify_schemas([part.schema.remove_metadata() for part in parts], promote_options="permissive")

    def stream(names: list[str]) -> Iterator[pa.RecordBatch]:
        empty = schema.empty_table().select(names)
        for part in parts:
            for batch in part.stream([name for name in names if name in part.schema.names]):
                piece = pa.Table.from_batches([batch]).replace_schema_metadata()
                try:
                    yield from pa.concat_tables([empty, piece], promote_options="permissive").to_batches()
                except pa.ArrowException as error:
                    raise InputError(
                        f"columns beside the vectors differ in type from shard to shard ({one_line(error)}); write a "
                        "folder of shards"
                    ) from error

    return Columns(schema, sum(part.rows for part in parts), stream)


class Cursor:
    """Rows of columns in ascending order; what lies before the last row asked for is let go."""

    def __init__(self, columns: Columns):
        self.schema = columns.schema
        self._batches = columns.stream(columns.schema.names)
        self._held: list[pa.RecordBatch] = []
        self._first = self._end = 0

    def take(self, positions: np.ndarray) -> pa.Table:
        """Return the rows at ascending positions, none of them before one that was asked for earlier."""
        if not len(positions):
            return self.schema.empty_table()
        start, stop = int(positions[0]), int(positions[-1]) + 1
        if start < self._first or (np.diff(positions) <= 0).any():
            raise ValueError("rows of columns are taken in ascending order, each once")
        self._let_go(start)
        self._reach(start, stop)
        held, first = list(self._held), self._first
        self._let_go(stop)
        if stop - start == len(positions):
            return pa.Table.from_batches(held, self.schema).slice(start - first, len(positions))
        return pa.Table.from_batches(list(picked(held, positions - first)), self.schema)

    def _let_go(self, stop: int) -> None:
        while self._held and self._first + self._held[0].num_rows <= stop:
            self._first += self._held.pop(0).num_rows

    def _reach(self, start: int, stop: int) -> None:
        while self._end < stop:
            batch = next(self._batches, None)
            if batch is None:
                raise InputError(f"the columns beside vectors end at row {self._end}, row {stop - 1} was asked for")
            self._end += batch.num_rows
            if self._end <= start:
                self._first = self._end  # passed over
            else:
                self._held.append(batch)


def picked(batches: Iterable[pa.RecordBatch], rows: np.ndarray) -> Iterator[pa.RecordBatch]:
    """Yield the rows at ascending positions, each once, of batches, which are read no further than the last of them.

    Batch by batch, since the texts of several may be more than one array of Arrow can hold.

    Examples
    --------
    >>> batches = pa.table({"id": [5, 6, 7, 8]}).to_batches(max_chunksize=2)
    >>> [batch.to_pydict() for batch in picked(batches, np.array([1, 2]))]
    [{'id': [6]}, {'id': [7]}]
    """
    first = high = 0
    for batch in batches:
        if high == len(rows):
            return
        low, high = np.searchsorted(rows, [first, first + batch.num_rows])
        if low < high:
            yield batch.take(pa.array(rows[low:high] - first))
        first += batch.num_rows


class ColumnsFile:
    """A Parquet file of columns beside vectors, written as rows come; it counts once it is synced."""

    def __init__(self, path: Path, schema: pa.Schema):
        self.path = path
        self._group = rows_of_group(schema, _GROUP)
        self._schema = schema.remove_metadata()
        self._file = path.open("wb")
        try:
            self._out = pq.ParquetWriter(self._file, self._schema)
        except pa.ArrowException as error:
            self._file.close()
            path.unlink()
            raise InputError(f"columns beside the vectors cannot be kept in Parquet: {one_line(error)}") from error
        self._waiting: list[pa.Table] = []
        self._count = 0

    def append(self, rows: pa.Table) -> None:
        """Add rows; groups are written as they fill."""
        self._waiting.append(rows.replace_schema_metadata())
        self._count += rows.num_rows
        if self._count >= self._group:
            whole = pa.concat_tables(self._waiting)
            full = self._count // self._group * self._group
            self._out.write_table(whole.slice(0, full), row_group_size=self._group)
            self._waiting, self._count = [whole.slice(full)], self._count - full

    def finish(self) -> None:
        """Write what waits, end the file and sync it."""
        if self._count:
            self._out.write_table(pa.concat_tables(self._waiting), row_group_size=self._group)
        self._out.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def abandon(self) -> None:
        """Close and remove the file."""
        for end in (self._out.close, self._file.close):  # what is left finds no room where the rows found none
            with contextlib.suppress(OSError):
                end()
        self.path.unlink(missing_ok=True)


def rows_of_group(schema: pa.Schema, usual: int) -> int:
    """Rows of a table to be handled at a time: few where a row may hold a picture.

    Examples
    --------
    >>> rows_of_group(pa.schema({"caption": pa.string()}), 8192)
    8192
    >>> rows_of_group(pa.schema({"image": pa.struct({"bytes": pa.binary(), "path": pa.string()})}), 8192)
    100
    """
    kinds = [column.type for column in schema if column.name not in ID_COLUMNS]
    return min(usual, _GROUP_OF_BYTES) if any(map(holds_bytes, kinds)) else usual


def rows_to_read(schema: pa.Schema) -> int:
    """Rows of a table to be read at a time."""
    return rows_of_group(schema, _BATCH)


def holds_bytes(kind: pa.DataType) -> bool:
    """Tell whether a column of this type holds bytes, itself or within."""
    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    inner = [kind.field(i).type for i in range(kind.num_fields)]
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or any(map(holds_bytes, inner))
