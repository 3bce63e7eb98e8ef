"""Shards in Parquet: a list or fixed-size-list column of vectors, other columns beside."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from anisoalign.embeddings.errors import InputError, one_line
from anisoalign.embeddings.formats.columns import choose_column, column_blocks, columns_beside, vector_type
from anisoalign.embeddings.remote import for_arrow, is_remote
from anisoalign.embeddings.shards import Block, exact_blocks, take_from_blocks

_STREAM = 1 << 20
"""Bytes read ahead within a column, so that a row group of gigabytes is never resident whole."""


class ParquetSource:
    """One Parquet file."""

    def __init__(self, path: Path, column: str | None = None):
        self.path = path
        self.label = str(path)
        with self._open() as file, self._guarded():
            schema = file.schema_arrow
            self.rows = file.metadata.num_rows
            self.column = choose_column(schema, column, self.label)
            found = vector_type(schema.field(self.column).type)
            assert found is not None
            self.dtype, width = found
            self.dim = _first_width(file, self.column) if width is None else width
            self._beside, self.left_out = columns_beside(schema, self.column)
        if self.dim == 0 and self.rows:
            raise InputError(f"{path}: column {self.column!r} holds no vector of any width")
        self.nbytes = path.stat().st_size

    def _open(self) -> pq.ParquetFile:
        try:
            # What is far away is asked for in few large pieces.
            options = {"pre_buffer": True} if is_remote(self.path) else {"buffer_size": _STREAM, "pre_buffer": False}
            return pq.ParquetFile(for_arrow(self.path), **options)
        except (OSError, pa.ArrowException) as error:
            raise InputError(f"{self.path} cannot be read as Parquet: {one_line(error)}") from error

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        """Turn what Arrow says of a damaged file into a message of one line."""
        try:
            yield
        except (OSError, pa.ArrowException) as error:
            raise InputError(f"{self.path} is damaged: {one_line(error)}") from error

    def _arrays(self, size: int) -> Iterator[pa.Array]:
        with self._open() as file, self._guarded():
            for batch in file.iter_batches(size, columns=[self.column], use_threads=False):
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

    def metadata(self) -> pa.Table | None:
        """Return the columns that hold no vectors."""
        if not self._beside:
            return None
        with self._open() as file, self._guarded():
            return file.read(columns=self._beside)


def _first_width(file: pq.ParquetFile, column: str) -> int:
    """Width of the first vector that is not null; 0 if there is none."""
    for batch in file.iter_batches(16, columns=[column], use_threads=False):
        for scalar in batch.column(0):
            if scalar.is_valid:
                return len(scalar.values)
    return 0
