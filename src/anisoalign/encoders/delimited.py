"""Tables as text, values between commas or tabs: a record is an item."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from anisoalign.embeddings.delimited import DelimitedTable
from anisoalign.encoders.columns import ColumnNames, carried_names, cell_content, chosen_names
from anisoalign.encoders.items import Item, file_state


class DelimitedListing:
    """Records of a `.csv` or `.tsv` file; columns other than pictures and sounds go along, as text."""

    tabular = True
    long_integers: frozenset[str] = frozenset()

    def __init__(self, path: Path, kinds: tuple[str, ...], columns: ColumnNames):
        self.path, self.kinds, self._table = path, kinds, DelimitedTable(path)
        names = self._table.names
        self._contents = columns.choose(kinds, names, str(path)) if names else {}
        self._id = columns.choose_id(names, str(path))
        self.numbered = self._id is None
        self.chosen = chosen_names(self._contents, self._id)
        self._carried = carried_names(names, self._contents, self._id)
        self.columns = pa.schema([pa.field(new, pa.string()) for new in self._carried.values()])

    @property
    def rows(self) -> int:
        """Number of records."""
        return self._table.rows

    def read(self, start: int, stop: int) -> Iterator[Item]:
        """Yield records by their numbers."""
        for row, (line, record) in enumerate(self._table.read(start, stop), start):
            yield self._item(row, line, record)

    def state(self) -> list[Any]:
        """Name, size and time."""
        return [file_state(self.path)]

    def notes(self) -> list[str]:
        """Nothing."""
        return []

    def _item(self, row: int, line: int, record: dict[str, str]) -> Item:
        content = {kind: cell_content(kind, record[name], self.path.parent) for kind, name in self._contents.items()}
        content = {kind: cell for kind, cell in content.items() if cell is not None}
        own = record[self._id] if self._id else str(row)
        columns = {new: record[name] for name, new in self._carried.items()}
        return Item(row, own, f"{self.path}, line {line}", content, columns)
