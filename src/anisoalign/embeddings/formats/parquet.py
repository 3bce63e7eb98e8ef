"""Shards in Parquet: a list or fixed-size-list column of vectors, other columns beside."""

import contextlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from anisoalign.embeddings.beside import Columns, rows_to_read
from anisoalign.embeddings.errors import InputError, one_line
from anisoalign.embeddings.formats.table import TableSource
from anisoalign.embeddings.remote import for_arrow, is_remote

_STREAM = 1 << 20
"""Bytes read ahead within a column, so that a row group of gigabytes is never resident whole."""


class ParquetSource(TableSource):
    """One Parquet file."""

    def __init__(self, path: Path, column: str | None = None):
        schema, self.rows = _header(path)
        super().__init__(path, str(path), schema, column)
        self.nbytes = path.stat().st_size

    def _batches(self, names: list[str], size: int) -> Iterator[pa.RecordBatch]:
        return _batches(self.path, names, size)


def parquet_columns(path: Path) -> Columns:
    """All columns of a Parquet file: its footer is read now, its rows when they are asked for."""
    schema, rows = _header(path)
    return Columns(schema, rows, partial(_batches, path, size=rows_to_read(schema)))


def _header(path: Path) -> tuple[pa.Schema, int]:
    with open_parquet(path) as file, _guarded(path):
        return file.schema_arrow.remove_metadata(), file.metadata.num_rows


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
