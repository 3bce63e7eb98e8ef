"""Lance datasets through their Arrow reader: each fragment is a shard."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from anisoalign.embeddings.beside import Columns, rows_to_read
from anisoalign.embeddings.errors import InputError, one_line
from anisoalign.embeddings.formats.columns import (
    choose_column,
    column_blocks,
    columns_beside,
    first_width,
    vector_type,
)
from anisoalign.embeddings.shards import Block, exact_blocks, take_from_blocks


def is_lance(folder: Path) -> bool:
    """Tell whether a folder is a Lance dataset."""
    return (folder / "_versions").is_dir()


def lance_library() -> Any:
    """Import lance, or say which extra brings it."""
    try:
        import lance
    except ImportError as error:
        raise InputError("Lance datasets need the extra: pip install 'anisoalign[lance]'") from error
    return lance


class LanceSource:
    """One fragment of a Lance dataset."""

    def __init__(self, path: Path, fragment: int, column: str | None = None):
        self.path = path
        self.label = f"{path} (fragment {fragment})"
        self._fragment = fragment
        part = self._open()
        schema = part.schema
        self.column = choose_column(schema, column, self.label)
        found = vector_type(schema.field(self.column).type)
        assert found is not None
        self.dtype, width = found
        self.rows = part.count_rows()
        self.dim = width or next(filter(None, map(first_width, self._arrays(16))), 0)
        self._beside, self.left_out = columns_beside(schema, self.column)
        self.nbytes = self.rows * self.dim * self.dtype.itemsize

    def _open(self) -> Any:
        return lance_library().dataset(str(self.path)).get_fragment(self._fragment)

    def _arrays(self, size: int) -> Iterator[pa.Array]:
        for batch in self._batches([self.column], size):
            yield batch.column(0)

    def _batches(self, names: list[str], size: int) -> Iterator[pa.RecordBatch]:
        try:
            yield from self._open().to_batches(columns=names, batch_size=size)
        except (OSError, ValueError, pa.ArrowException) as error:
            raise InputError(f"{self.label} cannot be read: {one_line(error)}") from error

    def blocks(self, size: int) -> Iterator[Block]:
        """Yield exact blocks across the reader's batches."""
        return exact_blocks(column_blocks(self._arrays(size), self.dim, self.dtype, self.label), size)

    def take(self, rows: np.ndarray) -> Block:
        """Return the given rows by reading up to the last of them."""
        return take_from_blocks(self.blocks(4096), rows)

    def peek(self, count: int) -> np.ndarray:
        """Return the first rows."""
        return next(self.blocks(count))[0]

    def columns(self) -> Columns | None:
        """Return the columns that hold no vectors."""
        if not self._beside:
            return None
        whole = self._open().schema.remove_metadata()
        return Columns(pa.schema([whole.field(name) for name in self._beside]), self.rows, self._stream)

    def _stream(self, names: list[str]) -> Iterator[pa.RecordBatch]:
        for batch in self._batches(names, rows_to_read(self._open().schema)):
            yield batch.select(names).replace_schema_metadata()


def open_fragments(folder: Path, column: str | None) -> list[LanceSource]:
    """Open every fragment of a dataset, in order."""
    try:
        fragments = lance_library().dataset(str(folder)).get_fragments()
    except (OSError, ValueError) as error:
        raise InputError(f"{folder} cannot be read as Lance: {one_line(error)}") from error
    return [LanceSource(folder, part.fragment_id, column) for part in fragments]
