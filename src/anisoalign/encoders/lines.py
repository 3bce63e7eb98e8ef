"""Lists with an item a line, and where their lines are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from anisoalign.embeddings.text_lines import opened, refuse_utf16
from anisoalign.encoders.fetching import content_at
from anisoalign.encoders.items import TEXT_COLUMN, Item, OneFile
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


class TextListing(OneFile):
    """Lines of a text file: texts, or paths of pictures or sounds (relative ones start at the file's folder).

    An item's id is the number of its line, from 0, so that an empty line keeps its number.
    """

    numbered = True

    def __init__(self, path: Path, kind: str):
        super().__init__(path)
        self.kind = kind
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
