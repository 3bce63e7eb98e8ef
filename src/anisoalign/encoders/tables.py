"""Parquet and Arrow lists: a row an item, its picture or sound as bytes, a path, or as `datasets` keeps them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from anisoalign.embeddings import InputError
from anisoalign.embeddings.errors import one_line
from anisoalign.embeddings.formats.arrow import read_batches, read_schema
from anisoalign.embeddings.formats.columns import vector_type
from anisoalign.embeddings.formats.parquet import open_parquet
from anisoalign.encoders.column_types import EXACT
from anisoalign.encoders.columns import ColumnNames
from anisoalign.encoders.items import Item
from anisoalign.encoders.records import RecordListing

_BATCH = 64
"""Rows in memory at a time: pictures are large."""


class TableListing(RecordListing):
    """Rows of a table; columns other than pictures and sounds go along.

    Parameters
    ----------
    path : Path
    kinds : tuple of str
        Modalities that are to be encoded.
    columns : ColumnNames
    schema : pyarrow.Schema
        Of the table.
    long : set of str
        Columns of integers that a float may not hold.
    """

    rows: int
    """Number of rows, set by who reads the table."""

    def __init__(self, path: Path, kinds: tuple[str, ...], columns: ColumnNames, schema: pa.Schema, long: set[str]):
        contents, own = columns.choose(kinds, schema.names, str(path)), columns.choose_id(schema.names, str(path))
        plain = [name for name in schema.names if not _is_media(schema.field(name).type)]
        self._vectors = [name for name in plain if vector_type(schema.field(name).type) is not None]
        super().__init__(path, contents, own, [name for name in plain if name not in self._vectors])
        fields = [pa.field(new, schema.field(name).type) for name, new in self._carried.items()]
        self.columns = pa.schema(fields)
        self.long_integers = frozenset(new for name, new in self._carried.items() if name in long)

    @property
    def _wanted(self) -> list[str]:
        """Columns that are read."""
        return list(dict.fromkeys([*self._contents.values(), *self._carried, *([self._id] if self._id else [])]))

    def notes(self) -> list[str]:
        """Say which columns do not go along: a result with two columns of vectors would not tell which are its own."""
        if not self._vectors:
            return []
        listed = ", ".join(self._vectors)
        return [f"{self.path}: lists of floats do not go along, only one may be the vectors: {listed}"]


class ParquetListing(TableListing):
    """Rows of a parquet file; parameters are those of `TableListing`."""

    def __init__(self, path: Path, kinds: tuple[str, ...], columns: ColumnNames):
        with open_parquet(path) as file:
            schema, about = file.schema_arrow, file.metadata
        self.rows = about.num_rows
        groups = [about.row_group(i).num_rows for i in range(about.num_row_groups)]
        self._first = np.cumsum([0, *groups])
        super().__init__(path, kinds, columns, schema, _long_integers(about, _integers(schema)))

    def read(self, start: int, stop: int) -> Iterator[Item]:
        """Yield rows by their numbers; row groups before `start` are not read."""
        low = int(np.searchsorted(self._first, start, side="right")) - 1
        high = int(np.searchsorted(self._first, stop, side="left"))
        row = int(self._first[low])
        with open_parquet(self.path) as file:
            try:
                groups, size = list(range(low, high)), max(min(_BATCH, stop - row), 1)
                for batch in file.iter_batches(size, row_groups=groups, columns=self._wanted, use_threads=False):
                    skip, keep = max(start - row, 0), stop - row
                    for offset, record in enumerate(_records(batch.slice(skip, max(keep - skip, 0))), skip):
                        yield self._item(row + offset, f"row {row + offset}", record)
                    row += len(batch)
                    if row >= stop:
                        return
            except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
                raise InputError(f"{self.path} cannot be read as Parquet: {one_line(error)}") from error


class ArrowListing(TableListing):
    """Rows of an Arrow file or stream, as the `datasets` library saves them; parameters are those of `TableListing`."""

    def __init__(self, path: Path, kinds: tuple[str, ...], columns: ColumnNames):
        schema = read_schema(path)
        self.rows, long = 0, set()
        for batch in read_batches(path):
            self.rows += len(batch)
            long |= {name for name in _integers(schema) if not _fits_floats(batch.column(name))}
        super().__init__(path, kinds, columns, schema, long)

    def read(self, start: int, stop: int) -> Iterator[Item]:
        """Yield rows by their numbers; of the others nothing but headers is read where the file is mapped."""
        row = 0
        for batch in read_batches(self.path):
            low, high = max(start - row, 0), min(stop - row, len(batch))
            for first in range(low, high, _BATCH):
                some = batch.select(self._wanted).slice(first, min(_BATCH, high - first))
                for offset, record in enumerate(_records(some), first):
                    yield self._item(row + offset, f"row {row + offset}", record)
            row += len(batch)
            if row >= stop:
                return


def _integers(schema: pa.Schema) -> set[str]:
    return {item.name for item in schema if pa.types.is_integer(item.type)}


def _fits_floats(column: pa.Array) -> bool:
    """Tell whether a float holds every integer of a column."""
    found = pc.call_function("min_max", [column]).as_py()
    return found["min"] is None or (found["min"] >= -EXACT and found["max"] <= EXACT)


def _long_integers(about: pq.FileMetaData, names: set[str]) -> set[str]:
    """Return the columns of integers that a float may not hold, as far as the footer knows their range."""
    numbers = [number for number in range(about.num_columns) if about.schema.column(number).path in names]
    groups = [about.row_group(group) for group in range(about.num_row_groups)]
    columns = [group.column(number) for number in numbers for group in groups]
    return {column.path_in_schema for column in columns if not _within_floats(column)}


def _within_floats(column: pq.ColumnChunkMetaData) -> bool:
    known = column.statistics
    if known is not None and known.has_min_max:
        return known.min >= -EXACT and known.max <= EXACT
    return known is not None and known.num_values == 0  # nothing but nulls


def _records(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """Return rows as dicts; texts that are not UTF-8, which Parquet does not rule out, as Python keeps such names."""
    try:
        return batch.to_pylist()
    except UnicodeDecodeError:
        columns = [_lenient(column) for column in batch.columns]
        return [dict(zip(batch.schema.names, row, strict=True)) for row in zip(*columns, strict=True)]


def _lenient(column: pa.Array) -> list[Any]:
    try:
        return column.to_pylist()
    except UnicodeDecodeError:
        if not pa.types.is_string(column.type):
            raise
        raw = column.view(pa.binary()).to_pylist()
        return [None if cell is None else cell.decode("utf-8", "surrogateescape") for cell in raw]


def _is_media(kind: pa.DataType) -> bool:
    """Tell whether a column holds bytes, which do not go along."""
    if pa.types.is_struct(kind):
        return any(_is_media(kind.field(i).type) for i in range(kind.num_fields))
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)
