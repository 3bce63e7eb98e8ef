"""Lists of JSON objects, an item each: one a line, or the elements of one array."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from anisoalign.embeddings import InputError
from anisoalign.embeddings.json_arrays import at_array, elements
from anisoalign.embeddings.text_lines import json_object, opened, refuse_utf16
from anisoalign.encoders.column_types import EXACT, as_text
from anisoalign.encoders.columns import ColumnNames
from anisoalign.encoders.items import Item
from anisoalign.encoders.lines import LineIndex
from anisoalign.encoders.records import RecordListing

_EVERY = 1024
"""Elements between two whose place is kept, so that reading can begin anywhere."""


class JsonListing(RecordListing):
    """Objects of a JSON Lines file, or of a `.json` file that holds one array; other values go along as columns.

    All of it is parsed once before any work, a little at a time: what is no object is an error, and a column has one
    type (a value of another type is kept as its JSON). Blank lines at the end hold no items; one between items is an
    error, and so is an array that is cut off.
    """

    def __init__(self, path: Path, kinds: tuple[str, ...], columns: ColumnNames):
        self._objects = _Array(path) if path.suffix.lower() == ".json" else _Lines(path)
        types: dict[str, pa.DataType] = {}
        for record in self._objects.scan():
            for name, cell in record.items():
                types[name] = _widened(types.get(name), cell)
        names = list(types)
        contents = columns.choose(kinds, names, str(path)) if names else {}
        super().__init__(path, contents, columns.choose_id(names, str(path)), names)
        self.long_integers = frozenset(new for name, new in self._carried.items() if types[name] == _LONG)
        found = {name: pa.int64() if types[name] == _LONG else types[name] for name in self._carried}
        self.columns = pa.schema([pa.field(new, found[name]) for name, new in self._carried.items()])

    @property
    def rows(self) -> int:
        """Number of objects."""
        return self._objects.rows

    def read(self, start: int, stop: int) -> Iterator[Item]:
        """Yield objects by their numbers."""
        for row, where, record in self._objects.read(start, min(stop, self.rows)):
            yield self._item(row, where, record)

    def _beside(self, record: Mapping[str, Any]) -> dict[str, Any]:
        kinds = self.columns
        return {new: _fitted(record.get(name), kinds.field(new).type) for name, new in self._carried.items()}


class _Lines:
    """Objects one a line."""

    def __init__(self, path: Path):
        self.path, self._index = path, LineIndex(path)

    @property
    def rows(self) -> int:
        return self._index.rows

    def scan(self) -> Iterator[dict[str, Any]]:
        """Yield the object of every line that holds one; count those alone."""
        blank = 0
        for number, line in enumerate(self._index.scan(), 1):
            if not line.strip():
                blank += 1
            elif blank:
                raise InputError(f"{self.path}, line {number - blank} is blank, and line {number} is not; remove it")
            else:
                yield json_object(self.path, line, number)
        self._index.rows -= blank

    def read(self, start: int, stop: int) -> Iterator[tuple[int, str, dict[str, Any]]]:
        """Yield number, place and object of the lines start … stop − 1."""
        for row, line in self._index.lines(start, stop):
            yield row, f"line {row + 1}", json_object(self.path, line, row + 1)


class _Array:
    """Elements of one array, and where it and every 1024th of them begin."""

    def __init__(self, path: Path):
        self.path, self.rows, self._places = path, 0, [0]

    def scan(self) -> Iterator[dict[str, Any]]:
        """Yield each object while counting them."""
        self.rows = 0
        with opened(self.path) as file:
            refuse_utf16(self.path, file.read(2))
            file.seek(0)
            if not at_array(file):
                raise InputError(f"{self.path} holds no JSON array; a list of one object a line is to end in .jsonl")
            self._places = [file.tell()]
            for number, record, start in self._objects(file):
                if number and number % _EVERY == 0:
                    self._places.append(start)
                self.rows = number + 1
                yield record

    def read(self, start: int, stop: int) -> Iterator[tuple[int, str, dict[str, Any]]]:
        """Yield number, place and object of the elements start … stop − 1."""
        if start >= stop:
            return
        first = start // _EVERY
        with opened(self.path) as file:
            file.seek(self._places[first])
            for number, record, _ in self._objects(file, first * _EVERY):
                if number >= start:
                    yield number, f"element {number}", record
                if number + 1 >= stop:
                    return

    def _objects(self, file: IO[bytes], first: int = 0) -> Iterator[tuple[int, dict[str, Any], int]]:
        """Number, object and place of the elements from where a file stands."""
        for number, value, (start, _) in elements(file, self.path, first):
            if not isinstance(value, dict):
                raise InputError(f"{self.path}, element {number} is no JSON object")
            yield number, value, start


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
