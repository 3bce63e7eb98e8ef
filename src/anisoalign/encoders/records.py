"""Lists with columns: a record is an item, some of its cells are encoded and the others go along."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anisoalign.encoders.columns import carried_names, cell_content, chosen_names
from anisoalign.encoders.items import Item, OneFile


class RecordListing(OneFile):
    """Records of a list.

    Parameters
    ----------
    path : Path
    contents : dict
        Modality that is encoded -> its column.
    id_column : str or None
    names : list of str
        Columns that can go along; not those of pictures and sounds.
    """

    tabular = True

    def __init__(self, path: Path, contents: dict[str, str], id_column: str | None, names: list[str]):
        super().__init__(path)
        self._contents, self._id = contents, id_column
        self.numbered = id_column is None
        self.chosen = chosen_names(contents, id_column)
        self._carried = carried_names(names, contents, id_column)

    def _item(self, row: int, where: str, record: Mapping[str, Any]) -> Item:
        cells = {kind: cell_content(kind, record.get(name), self.path.parent) for kind, name in self._contents.items()}
        content = {kind: cell for kind, cell in cells.items() if cell is not None}
        own = record.get(self._id) if self._id else row
        return Item(row, "" if own is None else str(own), f"{self.path}, {where}", content, self._beside(record))

    def _beside(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """What goes along."""
        return {new: record[name] for name, new in self._carried.items()}
