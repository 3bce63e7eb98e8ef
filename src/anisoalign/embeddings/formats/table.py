"""A shard that is a column of vectors in a table: what Parquet, Arrow files, HF datasets and Lance have in common."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from anisoalign.embeddings.beside import Columns, rows_to_read
from anisoalign.embeddings.formats.columns import (
    choose_column,
    column_blocks,
    columns_beside,
    first_width,
    vector_type,
)
from anisoalign.embeddings.shards import Block, exact_blocks, take_from_blocks


class TableSource(ABC):
    """A table that is read front to back; a format says how it is opened, and of how many rows and bytes it is.

    Parameters
    ----------
    path : Path
    label : str
        What messages call the table.
    schema : pyarrow.Schema
        Of all its columns.
    column : str, optional
        The one of vectors, if there are several.
    """

    rows: int
    nbytes: int

    def __init__(self, path: Path, label: str, schema: pa.Schema, column: str | None):
        self.path, self.label = path, label
        self.column = choose_column(schema, column, label)
        found = vector_type(schema.field(self.column).type)
        assert found is not None
        self.dtype, width = found
        self.dim = next(filter(None, map(first_width, self._vectors(16))), 0) if width is None else width
        beside, self.left_out = columns_beside(schema, self.column)
        self._beside = pa.schema([schema.field(name) for name in beside])

    @abstractmethod
    def _batches(self, names: list[str], size: int) -> Iterator[pa.RecordBatch]:
        """Yield columns in the order of their names, about `size` rows at a time."""

    def _vectors(self, size: int) -> Iterator[pa.Array]:
        return (batch.column(0) for batch in self._batches([self.column], size))

    def blocks(self, size: int) -> Iterator[Block]:
        """Yield exact blocks across the table's own batches."""
        return exact_blocks(column_blocks(self._vectors(size), self.dim, self.dtype, self.label), size)

    def take(self, rows: np.ndarray) -> Block:
        """Return the given rows by reading up to the last of them."""
        return take_from_blocks(self.blocks(4096), rows)

    def peek(self, count: int) -> np.ndarray:
        """Return the first rows."""
        return next(self.blocks(count))[0]

    def columns(self) -> Columns | None:
        """Return the columns that hold no vectors."""
        if not self._beside.names:
            return None
        return Columns(self._beside, self.rows, partial(self._batches, size=rows_to_read(self._beside)))
