"""What is to be encoded: items in order, read by their positions, so that any stretch can be read alone."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from anisoalign.encoders.column_types import as_text, common_schema, names_as_text
from anisoalign.encoders.unicode import storable

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".jp2", ".ppm", ".pgm", ".avif")
SOUNDS = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".aif", ".aiff", ".au", ".caf")
ENDINGS = {"image": PICTURES, "audio": SOUNDS, "text": (".txt",)}
"""Endings of the files that hold one item of a modality."""
TEXT_COLUMN = "caption"
"""What a text is called among the columns beside vectors, as clip-retrieval calls it."""
_NOTES = 5
"""Notes on a source that are said; thousands of shards may have the same."""


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to be encoded, or several that belong together.

    Attributes
    ----------
    row : int
        Position in the listing.
    id : str
        Empty where a list has none for it: such an item is unreadable, because a number might be another's id.
    where : str
        File, and what within it, for messages.
    content : dict
        Modality -> path, bytes or text, or an UnreadableError; what is missing is not there.
    columns : dict
        What lies beside it and goes along.
    """

    row: int
    id: str
    where: str
    content: dict[str, Any]
    columns: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # What is written must be Unicode, and file names need not be; `content` keeps the name that opens the file.
        object.__setattr__(self, "id", storable(self.id))
        object.__setattr__(self, "where", storable(self.where))
        for name, value in self.columns.items():
            if isinstance(value, str):
                self.columns[name] = storable(value)


class Listing(Protocol):
    """The items of a source, in an order that its files determine.

    A listing is small and can be sent to another process: files are opened by `read`.
    """

    @property
    def rows(self) -> int:
        """Number of items."""
        ...

    @property
    def columns(self) -> pa.Schema:
        """What goes along beside the vectors, apart from the id."""
        ...

    @property
    def numbered(self) -> bool:
        """Whether ids are nothing but positions."""
        ...

    @property
    def tabular(self) -> bool:
        """Whether it has columns that can be named."""
        ...

    @property
    def chosen(self) -> dict[str, Any]:
        """Which columns hold what is encoded, and the ids: `image_column`, `id_column` and the like -> name."""
        ...

    @property
    def long_integers(self) -> frozenset[str]:
        """Columns of integers that a float may not hold exactly."""
        ...

    def read(self, start: int, stop: int) -> Iterator[Item]:
        """Yield the items of positions start … stop − 1, in order."""
        ...

    def state(self) -> list[Any]:
        """Return names as they were given, each with what tells whether the source has changed since, as JSON."""
        ...

    def notes(self) -> list[str]:
        """Return what a person should know of the source."""
        ...


class OneFile:
    """What the listings of a single file have in common; nothing but its columns and ids tells them apart.

    Parameters
    ----------
    path : Path
    """

    tabular = False
    long_integers: frozenset[str] = frozenset()

    def __init__(self, path: Path):
        self.path = path
        self.chosen: dict[str, Any] = {}

    def state(self) -> list[Any]:
        """Name, size and time."""
        return [file_state(self.path)]

    def notes(self) -> list[str]:
        """Nothing."""
        return []


class Joined:
    """Listings one after another, as one; a column in which they differ has a type that takes all of it.

    Parameters
    ----------
    parts : sequence of Listing
    notes : sequence of str
        What a person should know of how the parts were found.
    """

    def __init__(self, parts: Sequence[Listing], notes: Sequence[str] = ()):
        self.parts, self._notes = list(parts), list(notes)
        self._first = np.cumsum([0, *(part.rows for part in parts)])
        self.columns = common_schema([(part.columns, part.long_integers) for part in parts])
        self._as_text = [names_as_text(part.columns, self.columns) for part in parts]
        self.numbered = all(part.numbered for part in parts)
        self.tabular = any(part.tabular for part in parts)
        self.long_integers = frozenset[str]().union(*(part.long_integers for part in parts))

    @property
    def rows(self) -> int:
        """Number of items of all."""
        return int(self._first[-1])

    def read(self, start: int, stop: int) -> Iterator[Item]:
        """Yield items across the parts, positions counted through."""
        for part, first, names in zip(self.parts, self._first[:-1].tolist(), self._as_text, strict=True):
            low, high = max(start - first, 0), min(stop - first, part.rows)
            if low < high:
                for item in part.read(low, high):
                    name = str(item.row + first) if part.numbered else item.id
                    columns = item.columns | {key: as_text(item.columns.get(key)) for key in names}
                    yield Item(item.row + first, name, item.where, item.content, columns)

    @property
    def chosen(self) -> dict[str, Any]:
        """What the parts say; the different names where they differ."""
        found: dict[str, dict[str, None]] = {}
        for part in self.parts:
            for key, name in part.chosen.items():
                found.setdefault(key, {})[name] = None
        return {key: next(iter(names)) if len(names) == 1 else list(names) for key, names in found.items()}

    def state(self) -> list[Any]:
        """States of the parts."""
        return [entry for part in self.parts for entry in part.state()]

    def notes(self) -> list[str]:
        """Notes of how the parts were found and of the parts, the first of many."""
        found = [*self._notes, *(note for part in self.parts for note in part.notes())]
        more = len(found) - _NOTES
        return found if more <= 1 else [*found[:_NOTES], f"and {more} more notes like these"]


def file_state(path: Path) -> list[Any]:
    """Name, size and time of change of a file."""
    about = path.stat()
    return [storable(str(path)), about.st_size, about.st_mtime_ns]


def digest_of(entries: Iterable[Any]) -> str:
    """Eight digits for many entries, where listing them all would take longer to write than to check."""
    value = 0
    for entry in entries:
        value = zlib.crc32(repr(entry).encode("utf-8", "surrogateescape"), value)
    return f"{value:08x}"
