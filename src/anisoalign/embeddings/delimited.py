"""Tables as text, values between commas or tabs: the first line names the columns, a record follows it."""

import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from anisoalign.embeddings.errors import InputError
from anisoalign.embeddings.text_lines import opened, refuse_utf16

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


class DelimitedTable:
    r"""Records of a `.csv` or `.tsv` file, every value as the text that it is; bytes that are no UTF-8 are escaped.

    A value within quotation marks may hold the separator, line breaks and doubled marks (RFC 4180). All records are
    looked at once before any work: one that has more or fewer values than the first line is an error, and so is a mark
    that is not closed. Blank lines at the end hold no records; one between records is an error.

    Attributes
    ----------
    names : list of str
        Of the columns; none where the file is empty.
    rows : int
        Records after the first line.

    Raises
    ------
    InputError
        Naming the line that is no record.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "labels.csv")
    ...     _ = file.write_text('id,label\n1,"cat, sleeping"\n2,dog\n')
    ...     table = DelimitedTable(file)
    ...     list(table.read(0, table.rows))
    [(2, {'id': '1', 'label': 'cat, sleeping'}), (3, {'id': '2', 'label': 'dog'})]
    """

    def __init__(self, path: Path):
        self.path, self._mark = path, MARKS[path.suffix.lower()]
        records = self._records(_Place(0, 1))
        _, header = next(records, (None, []))
        self.names = self._named(header)
        self.rows, self._places = self._counted(records)

    def read(self, start: int, stop: int) -> Iterator[tuple[int, dict[str, str]]]:
        """Yield records by their numbers: the line where each begins, and column -> value."""
        stop = min(stop, self.rows)
        if start >= stop:
            return
        first = start // _EVERY
        for row, (place, values) in enumerate(self._records(self._places[first]), first * _EVERY):
            if row >= start:
                yield place.line, dict(zip(self.names, values, strict=True))
            if row + 1 >= stop:
                return

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
            if len(values) != len(self.names):
                raise InputError(
                    f"{self.path}, line {place.line} has {len(values)} values, the first line names "
                    f"{len(self.names)} columns; {_QUOTING}"
                )
            if rows % _EVERY == 0:
                places.append(place)
            rows += 1
        return rows, places


_QUOTING = 'a value with a separator, a line break or a quotation mark stands in "marks", its own doubled'
