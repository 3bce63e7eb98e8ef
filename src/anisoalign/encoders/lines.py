"""Lists with an item a line: plain text, and JSON objects."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from anisoalign.embeddings import InputError
from anisoalign.embeddings.text_lines import json_object, opened, refuse_utf16
from anisoalign.encoders.column_types import EXACT, as_text
from anisoalign.encoders.columns import ColumnNames, carried_names, cell_content, chosen_names
from anisoalign.encoders.fetching import content_at
from anisoalign.encoders.items import TEXT_COLUMN, Item, file_state
from anisoalign.encoders.preparing import read_text
from anisoalign.encoders.unreadable import UnreadableError

_EVERY = 1024
"""Lines between two places whose offset is kept, so that reading can begin anywhere."""


class LineIndex:
    """Number of lines of a file, and where every 1024th begins; the scan that finds them yields the lines."""

    def __init__(self, path: Path):
        self.path, self.rows, self._offsets = path, 0, [0]

    def scan(self) -> Iterator[bytes]:
        """Yield every line while counting them."""
        self.rows, self._offsets, offset = 0, [], 0
        with opened(self.path) as file:
            for line in file:
                if self.rows == 0:
                    refuse_utf16(self.path, line)
                if self.rows % _EVERY == 0:
                    self._offsets.append(offset)
                self.rows += 1
                offset += len(line)
                yield line

    def lines(self, start: int, stop: int) -> Iterator[tuple[int, bytes]]:
        """Yield number and bytes of the lines start … stop − 1."""
        stop = min(stop, self.rows)
        if start >= stop:
            return
        first = start // _EVERY
        with opened(self.path) as file:
            file.seek(self._offsets[first])
            for number, line in enumerate(file, first * _EVERY):
                if number >= stop:
                    return
                if number >= start:
                    yield number, line


class TextListing:
    """Lines of a text file: texts, or paths of pictures or sounds (relative ones start at the file's folder).

    An item's id is the number of its line, from 0, so that an empty line keeps its number.
    """

    numbered = True
    tabular = False
    long_integers: frozenset[str] = frozenset()

    def __init__(self, path: Path, kind: str):
        self.path, self.kind = path, kind
        self.chosen: dict[str, Any] = {}
        self._index = LineIndex(path)
        for _ in self._index.scan():
            pass
        self.columns = pa.schema([pa.field(TEXT_COLUMN if kind == "text" else "path", pa.string())])

    @property
    def rows(self) -> int:
        """Number of lines."""
        return self._index.rows

    def read(self, start: int, stop: int) -> Iterator[Item]:
        """Yield lines by their numbers."""
        for row, line in self._index.lines(start, stop):
            raw = line.rstrip(b"\r\n").removeprefix(b"\xef\xbb\xbf" if row == 0 else b"")
            where = f"{self.path}, line {row + 1}"
            try:
                text = read_text(raw)
            except UnreadableError:
                text = None
            if self.kind == "text":
                yield Item(row, str(row), where, {"text": raw}, {TEXT_COLUMN: text})
            else:
                content = {} if text is None else {self.kind: content_at(text, self.path.parent)}
                yield Item(row, str(row), where, content, {"path": text})

    def state(self) -> list[Any]:
        """Name, size and time."""
        return [file_state(self.path)]

    def notes(self) -> list[str]:
        """Nothing."""
        return []


class JsonLinesListing:
    """Objects of a JSON Lines file, one item a line; other values go along as columns.

    Every line is parsed once before any work: a line that is no object is an error, and a column has one type
    (a value of another type is kept as its JSON). Blank lines at the end hold no items; one between items is an error.
    """

    tabular = True

    def __init__(self, path: Path, kinds: tuple[str, ...], columns: ColumnNames):
        self.path, self.kinds = path, kinds
        self._index = LineIndex(path)
        types: dict[str, pa.DataType] = {}
        for number, line in self._scan():
            for name, value in json_object(self.path, line, number).items():
                types[name] = _widened(types.get(name), value)
        names = list(types)
        self._contents = columns.choose(kinds, names, str(path)) if names else {}
        self._id = columns.choose_id(names, str(path))
        self.numbered = self._id is None
        self.chosen = chosen_names(self._contents, self._id)
        self._carried = carried_names(names, self._contents, self._id)
        self.long_integers = frozenset(new for name, new in self._carried.items() if types[name] == _LONG)
        found = {name: pa.int64() if types[name] == _LONG else types[name] for name in self._carried}
        self.columns = pa.schema([pa.field(new, found[name]) for name, new in self._carried.items()])

    @property
    def rows(self) -> int:
        """Number of lines."""
        return self._index.rows

    def read(self, start: int, stop: int) -> Iterator[Item]:
        """Yield lines by their numbers."""
        for row, line in self._index.lines(start, stop):
            record = json_object(self.path, line, row + 1)
            cells = {
                kind: cell_content(kind, record.get(name), self.path.parent) for kind, name in self._contents.items()
            }
            content = {kind: cell for kind, cell in cells.items() if cell is not None}
            own = record.get(self._id) if self._id else row
            columns = {
                new: _fitted(record.get(name), self.columns.field(new).type) for name, new in self._carried.items()
            }
            yield Item(row, "" if own is None else str(own), f"{self.path}, line {row + 1}", content, columns)

    def _scan(self) -> Iterator[tuple[int, bytes]]:
        """Yield number, from 1, and bytes of every line that holds an item, and count those alone."""
        blank = 0
        for number, line in enumerate(self._index.scan(), 1):
            if not line.strip():
                blank += 1
            elif blank:
                raise InputError(f"{self.path}, line {number - blank} is blank, and line {number} is not; remove it")
            else:
                yield number, line
        self._index.rows -= blank

    def state(self) -> list[Any]:
        """Name, size and time."""
        return [file_state(self.path)]

    def notes(self) -> list[str]:
        """Nothing."""
        return []


_LONG = pa.decimal128(19)
"""Stands for the integers of a column that int64 holds and a float does not."""


def _widened(known: pa.DataType | None, value: Any) -> pa.DataType:
    """Return the narrowest type that holds what was seen of a column and one more value."""
    if value is None:
        return pa.null() if known is None else known
    kind = _kind_of(value)
    if known is None or known == pa.null() or known == kind:
        return kind
    return {
        frozenset((pa.int64(), pa.float64())): pa.float64(),
        frozenset((pa.int64(), _LONG)): _LONG,
    }.get(frozenset((known, kind)), pa.string())


def _kind_of(value: Any) -> pa.DataType:
    if type(value) is int:
        if -EXACT <= value <= EXACT:
            return pa.int64()
        return _LONG if -(2**63) <= value < 2**63 else pa.string()
    return {bool: pa.bool_(), float: pa.float64()}.get(type(value), pa.string())


def _fitted(value: Any, kind: pa.DataType) -> Any:
    return as_text(value) if kind == pa.string() else value
