"""Shards in Parquet: a list or fixed-size-list column of vectors, other columns beside."""

import contextlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from anisoalign.embeddings.beside import Columns, rows_to_read
from anisoalign.embeddings.errors import InputError, one_line
from anisoalign.embeddings.formats.columns import (
    choose_column,
    column_blocks,
    columns_beside,
    first_width,
    vector_type,
)
from anisoalign.embeddings.remote import for_arrow, is_remote
from anisoalign.embeddings.shards import Block, exact_blocks, take_from_blocks

_STREAM = 1 << 20
"""Bytes read ahead within a column, so that a row group of gigabytes is never resident whole."""


class ParquetSource:
    """One Parquet file."""

    def __init__(self, path: Path, column: str | None = None):
        self.path = path
        self.label = str(path)
        with open_parquet(path) as file, _guarded(path):
            schema = file.schema_arrow
            self.rows = file.metadata.num_rows
            self.column = choose_column(schema, column, self.label)
            found = vector_type(schema.field(self.column).type)
            assert found is not None
            self.dtype, width = found
            self.dim = _first_width(file, self.column) if width is None else width
            self._beside, self.left_out = columns_beside(schema, self.column)
        self.nbytes = path.stat().st_size

    def _arrays(self, size: int) -> Iterator[pa.Array]:
        for batch in _batches(self.path, [self.column], size):
            yield batch.column(0)

    def blocks(self, size: int) -> Iterator[Block]:
        """Yield exact blocks across row groups."""
        return exact_blocks(column_blocks(self._arrays(size), self.dim, self.dtype, self.label), size)

    def take(self, rows: np.ndarray) -> Block:
        """Return the given rows by reading up to the last of them."""
        return take_from_blocks(self.blocks(4096), rows)

    def peek(self, count: int) -> np.ndarray:
        """Return the first rows."""
        return next(self.blocks(count))[0]

    def columns(self) -> Columns | None:
        """Return the columns that hold no vectors."""
        return parquet_columns(self.path, self._beside) if self._beside else None


def parquet_columns(path: Path, names: Sequence[str] | None = None) -> Columns:
    """Columns of a Parquet file, all by default: its footer is read now, its rows when they are asked for."""
    with open_parquet(path) as file, _guarded(path):
        whole, rows = file.schema_arrow.remove_metadata(), file.metadata.num_rows
    schema = whole if names is None else pa.schema([whole.field(name) for name in names])
    return Columns(schema, rows, partial(_batches, path, size=rows_to_read(schema)))


def _batches(path: Path, names: list[str], size: int) -> Iterator[pa.RecordBatch]:
    with open_parquet(path) as file, _guarded(path):
        for batch in file.iter_batches(size, columns=names, use_threads=False):
            yield batch.select(names).replace_schema_metadata()


def open_parquet(path: Path) -> pq.ParquetFile:
    """Open a Parquet file so that a row group is read in pieces.

    Raises
    ------
    InputError
        If it is none.
    """
    try:
        # What is far away is asked for in few large pieces.
        options = {"pre_buffer": True} if is_remote(path) else {"buffer_size": _STREAM, "pre_buffer": False}
        return pq.ParquetFile(for_arrow(path), **options)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path} cannot be read as Parquet: {one_line(error)}") from error


@contextlib.contextmanager
def _guarded(path: Path) -> Iterator[None]:
    """Turn what Arrow says of a damaged file into a message of one line."""
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path} is damaged: {one_line(error)}") from error


def _first_width(file: pq.ParquetFile, column: str) -> int:
    """Width of the first vector; 0 if there is none."""
    widths = (first_width(batch.column(0)) for batch in file.iter_batches(16, columns=[column], use_threads=False))
    return next(filter(None, widths), 0)
