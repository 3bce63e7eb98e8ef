"""Tables as text, values between commas or tabs: the first line names the columns, a record after it is an item."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

import pyarrow as pa

from anisoalign.embeddings import InputError
from anisoalign.embeddings.text_lines import refuse_utf16
from anisoalign.encoders.columns import ColumnNames, carried_names, cell_content, chosen_names
from anisoalign.encoders.items import Item, file_state, opened

MARKS = {".csv": ",", ".tsv": "\t"}
"""What separates the values, by the file's ending."""
LONGEST = 1 << 30
"""Characters of a value, at most: the csv module ends at 131,072 where it is told nothing."""
_EVERY = 1024
"""Records between two whose place is kept, so that reading can begin anywhere."""


class _Place(NamedTuple):
    """Where a record begins: bytes before it, and the number of its line, from 1."""

    offset: int
    line: int


class _Lines:
    """Lines of a file as text, and the place of the next one."""

    def __init__(self, file: IO[bytes], place: _Place):
        file.seek(place.offset)
        self._file, self.place = file, place

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._file)
        first, self.place = self.place.offset == 0, _Place(self.place.offset + len(line), self.place.line + 1)
        return line.decode("utf-8-sig" if first else "utf-8", "surrogateescape")


class DelimitedListing:
    """Records of a `.csv` or `.tsv` file; columns other than pictures and sounds go along, as text.

    A value within quotation marks may hold the separator, line breaks and doubled marks (RFC 4180). All records are
    looked at once before any work: one that has more or fewer values than the first line is an error, and so is a mark
    that is not closed. Blank lines at the end hold no items; one between items is an error.
    """

    tabular = True
    long_integers: frozenset[str] = frozenset()

    def __init__(self, path: Path, kinds: tuple[str, ...], columns: ColumnNames):
        self.path, self.kinds, self._mark = path, kinds, MARKS[path.suffix.lower()]
        records = self._records(_Place(0, 1))
        _, header = next(records, (None, []))
        self._names = self._named(header)
        self.rows, self._places = self._counted(records)
        self._contents = columns.choose(kinds, self._names, str(path)) if self._names else {}
        self._id = columns.choose_id(self._names, str(path))
        self.numbered = self._id is None
        self.chosen = chosen_names(self._contents, self._id)
        self._carried = carried_names(self._names, self._contents, self._id)
        self.columns = pa.schema([pa.field(new, pa.string()) for new in self._carried.values()])

    def read(self, start: int, stop: int) -> Iterator[Item]:
        """Yield records by their numbers."""
        stop = min(stop, self.rows)
        if start >= stop:
            return
        first = start // _EVERY
        for row, (place, values) in enumerate(self._records(self._places[first]), first * _EVERY):
            if row >= start:
                yield self._item(row, place, dict(zip(self._names, values, strict=True)))
            if row + 1 >= stop:
                return

    def state(self) -> list[Any]:
        """Name, size and time."""
        return [file_state(self.path)]

    def notes(self) -> list[str]:
        """Nothing."""
        return []

    def _item(self, row: int, place: _Place, record: dict[str, str]) -> Item:
        content = {kind: cell_content(kind, record[name], self.path.parent) for kind, name in self._contents.items()}
        content = {kind: cell for kind, cell in content.items() if cell is not None}
        own = record[self._id] if self._id else str(row)
        columns = {new: record[name] for name, new in self._carried.items()}
        return Item(row, own, f"{self.path}, line {place.line}", content, columns)

    def _records(self, start: _Place) -> Iterator[tuple[_Place, list[str]]]:
        """Yield where each record begins, and its values; none for a blank line."""
        with opened(self.path) as file:
            refuse_utf16(self.path, file.read(2))
            lines = _Lines(file, start)
            csv.field_size_limit(LONGEST)
            reader = csv.reader(lines, delimiter=self._mark, strict=True)
            while True:
                place = lines.place
                try:
                    values = next(reader)
                except StopIteration:
                    return
                except csv.Error as error:
                    raise InputError(f"{self.path}, line {place.line}: {error}; {_QUOTING}") from error
                yield place, values

    def _named(self, header: list[str]) -> list[str]:
        """Names of the columns; one without is called by its number, as pandas leaves that of its index."""
        names = [name or f"column_{number}" for number, name in enumerate(header, 1)]
        twice = [name for name, times in Counter(names).items() if times > 1]
        if twice:
            raise InputError(f"{self.path}, line 1 names {twice[0]!r} twice; the first line is to name the columns")
        return names

    def _counted(self, records: Iterator[tuple[_Place, list[str]]]) -> tuple[int, list[_Place]]:
        """Number of records, and where every 1024th begins."""
        rows, places, blank = 0, [], None
        for place, values in records:
            if not values:
                blank = blank or place
                continue
            if blank:
                raise InputError(f"{self.path}, line {blank.line} is blank, and line {place.line} is not; remove it")
            if len(values) != len(self._names):
                raise InputError(
                    f"{self.path}, line {place.line} has {len(values)} values, the first line names "
                    f"{len(self._names)} columns; {_QUOTING}"
                )
            if rows % _EVERY == 0:
                places.append(place)
            rows += 1
        return rows, places


_QUOTING = 'a value with a separator, a line break or a quotation mark stands in "marks", its own doubled'
