"""Tables as text, values between commas or tabs: a record is an item."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from anisoalign.embeddings.delimited import DelimitedTable
from anisoalign.encoders.columns import ColumnNames
from anisoalign.encoders.items import Item
from anisoalign.encoders.records import RecordListing


class DelimitedListing(RecordListing):
    """Records of a `.csv` or `.tsv` file; columns other than pictures and sounds go along, as text."""

    def __init__(self, path: Path, kinds: tuple[str, ...], columns: ColumnNames):
        self._table = DelimitedTable(path)
        names = self._table.names
        contents = columns.choose(kinds, names, str(path)) if names else {}
        super().__init__(path, contents, columns.choose_id(names, str(path)), names)
        self.columns = pa.schema([pa.field(new, pa.string()) for new in self._carried.values()])

    @property
    def rows(self) -> int:
        """Number of records."""
        return self._table.rows

    def read(self, start: int, stop: int) -> Iterator[Item]:
        """Yield records by their numbers."""
        for row, (line, record) in enumerate(self._table.read(start, stop), start):
            yield self._item(row, f"line {line}", record)
