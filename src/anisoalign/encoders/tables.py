"""Parquet lists: a row an item, its picture or sound as bytes, as a path, or as the `datasets` library keeps it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from anisoalign.embeddings import InputError
from anisoalign.embeddings.errors import one_line
from anisoalign.embeddings.remote import for_arrow
from anisoalign.encoders.columns import Columns, carried_names, cell_content
from anisoalign.encoders.items import Item, file_state

_BATCH = 64
"""Rows in memory at a time: pictures are large."""


class ParquetListing:
    """Rows of a parquet file; columns other than pictures and sounds go along.

    Parameters
    ----------
    path : Path
    kinds : tuple of str
        Modalities that are to be encoded.
    columns : Columns
    """

    tabular = True

    def __init__(self, path: Path, kinds: tuple[str, ...], columns: Columns):
        self.path, self.kinds = path, kinds
        with _opened(path) as file:
            schema, about = file.schema_arrow, file.metadata
        self._rows = about.num_rows
        groups = [about.row_group(i).num_rows for i in range(about.num_row_groups)]
        self._first = np.cumsum([0, *groups])
        self._contents = columns.choose(kinds, schema.names, str(path))
        self._id = columns.choose_id(schema.names, str(path))
        self.numbered = self._id is None
        plain = [name for name in schema.names if not _is_media(schema.field(name).type)]
        self._carried = carried_names(plain, self._contents, self._id)
        fields = [pa.field(new, schema.field(name).type) for name, new in self._carried.items()]
        self.columns = pa.schema(fields)

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self._rows

    def read(self, start: int, stop: int) -> Iterator[Item]:
        """Yield rows by their numbers; row groups before `start` are not read."""
        low = int(np.searchsorted(self._first, start, side="right")) - 1
        high = int(np.searchsorted(self._first, stop, side="left"))
        wanted = list(dict.fromkeys([*self._contents.values(), *self._carried, *([self._id] if self._id else [])]))
        row = int(self._first[low])
        with _opened(self.path) as file:
            try:
                for batch in file.iter_batches(_BATCH, row_groups=list(range(low, high)), columns=wanted):
                    skip, keep = max(start - row, 0), stop - row
                    for offset, record in enumerate(batch.slice(skip, max(keep - skip, 0)).to_pylist(), skip):
                        yield self._item(row + offset, record)
                    row += len(batch)
                    if row >= stop:
                        return
            except (OSError, pa.ArrowException) as error:
                raise InputError(f"{self.path} cannot be read as Parquet: {one_line(error)}") from error

    def _item(self, row: int, record: dict[str, Any]) -> Item:
        cells = {kind: cell_content(kind, record[name], self.path.parent) for kind, name in self._contents.items()}
        content = {kind: cell for kind, cell in cells.items() if cell is not None}
        own = record[self._id] if self._id else row
        columns = {new: record[name] for name, new in self._carried.items()}
        return Item(row, str(row if own is None else own), f"{self.path}, row {row}", content, columns)

    def state(self) -> list[Any]:
        """Name, size and time."""
        return [file_state(self.path)]

    def notes(self) -> list[str]:
        """Nothing."""
        return []


def _opened(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(for_arrow(path))
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path} cannot be read as Parquet: {one_line(error)}") from error


def _is_media(kind: pa.DataType) -> bool:
    """Tell whether a column holds bytes, which do not go along."""
    if pa.types.is_struct(kind):
        return any(_is_media(kind.field(i).type) for i in range(kind.num_fields))
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)
