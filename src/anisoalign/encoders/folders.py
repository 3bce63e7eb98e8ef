"""A folder of pictures, sounds or texts, with what is in its folders; a caption is the text of the same stem."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from anisoalign.embeddings import InputError, RemotePath
from anisoalign.embeddings.delimited import MARKS
from anisoalign.embeddings.remote import asked_together, is_remote
from anisoalign.embeddings.shards import natural_key
from anisoalign.encoders.fetching import AHEAD, read_content
from anisoalign.encoders.items import ENDINGS, TEXT_COLUMN, Item, digest_of
from anisoalign.encoders.preparing import read_text
from anisoalign.encoders.unicode import storable
from anisoalign.encoders.unreadable import UnreadableError


class FolderListing:
    """Files below a folder, one item each, in natural order of their paths.

    An item's id is its path below the folder without the ending, as a webdataset's key, so that `images/a/1.jpg`
    and `texts/a/1.txt` have one id; files that differ in nothing but their ending keep it.

    Parameters
    ----------
    folder : Path
    kind : str
        Modality of the files.
    paired : bool
        Whether the text of the same stem belongs to an item's content. Otherwise, where a text lies beside a picture
        or sound, it goes along as the column `caption`.
    """

    numbered = False
    tabular = False
    long_integers: frozenset[str] = frozenset()

    def __init__(self, folder: Path, kind: str, paired: bool = False):
        self.folder, self.kind, self.paired = folder, kind, paired
        self.chosen: dict[str, Any] = {}
        found = _walk_remote(folder) if is_remote(folder) else _walk(folder)
        self._files = [name for name, _ in found if name.lower().endswith(ENDINGS[kind])]
        if not self._files:
            hint = _lists_below(folder, [name for name, _ in found])
            raise InputError(f"{folder} holds no {kind} files ({', '.join(ENDINGS[kind])}){hint}")
        self._texts = {} if kind == "text" else _texts_by_stem([name for name, _ in found])
        if paired and not self._texts and (hint := _lists_below(folder, [name for name, _ in found])):
            raise InputError(f"{folder} holds no texts beside its {kind} files{hint}")
        stems = Counter(Path(name).with_suffix("").as_posix() for name in self._files)
        self._shared = {stem for stem, count in stems.items() if count > 1}
        self._others = Counter(
            Path(name).suffix or "no ending"
            for name, _ in found
            if not name.lower().endswith(ENDINGS[kind])
            and not (name.lower().endswith(".txt") and Path(name).with_suffix("").as_posix() in stems)
        )
        self._digest = digest_of(found)
        fields = [pa.field("path", pa.string())]
        self._captioned = bool(self._texts) and not paired
        if self._captioned or paired:
            fields.append(pa.field(TEXT_COLUMN, pa.string()))
        self.columns = pa.schema(fields)

    @property
    def rows(self) -> int:
        """Number of files of the kind."""
        return len(self._files)

    def read(self, start: int, stop: int) -> Iterator[Item]:
        """Yield files by their positions; pictures and sounds are left to the decoder to open."""
        for first in range(start, stop, AHEAD):
            rows = range(first, min(first + AHEAD, stop))
            stems = [Path(self._files[row]).with_suffix("").as_posix() for row in rows]
            beside = [self.folder / self._texts[stem] if stem in self._texts else None for stem in stems]
            captions: list[str | None] = [None] * len(stems)
            if self._captioned or self.paired:
                captions = asked_together(_caption, beside, is_remote(self.folder))
            for row, stem, text, caption in zip(rows, stems, beside, captions, strict=True):
                yield self._item(row, stem, text, caption)

    def _item(self, row: int, stem: str, text: Path | None, caption: str | None) -> Item:
        name = self._files[row]
        content: dict[str, Any] = {self.kind: self.folder / name}
        columns: dict[str, Any] = {"path": name}
        if self._captioned or self.paired:
            columns[TEXT_COLUMN] = caption
        if self.paired and text is not None:
            content["text"] = text
        return Item(row, name if stem in self._shared else stem, str(self.folder / name), content, columns)

    def state(self) -> list[Any]:
        """Folder, number of files, and digits of their names, sizes and times."""
        return [[storable(str(self.folder)), self.rows, self._digest]]

    def notes(self) -> list[str]:
        """Say which files were not taken for items."""
        if not self._others:
            return []
        listed = ", ".join(f"{count} x {ending}" for ending, count in sorted(self._others.items()))
        return [f"{self.folder}: other files, not taken for {self.kind} files: {listed}"]


def _texts_by_stem(names: list[str]) -> dict[str, str]:
    """Return name without ending -> name of the text files; of `a.TXT` and `a.txt`, the latter."""
    texts = [name for name in names if name.lower().endswith(".txt")]
    return {
        Path(name).with_suffix("").as_posix(): name for name in sorted(texts, key=lambda name: name.endswith(".txt"))
    }


_TABLES = {".parquet": "Parquet", ".arrow": "Arrow", ".tar": "tar"}
"""What is no item of a folder, but may hold items: ending and name."""


def _lists_below(folder: Path, names: list[str]) -> str:
    """Name the first list or table below a folder, for the end of a message: the files may be named in it."""
    for name in sorted(names, key=natural_key):
        ending = Path(name).suffix.lower()
        if ending in (".jsonl", ".ndjson", *MARKS):
            return f"; {folder / name} is a list: give that file"
        if ending in _TABLES:
            inside = (folder / name).parent
            return f"; {inside} holds {_TABLES[ending]} files: give '{inside}/*{Path(name).suffix}'"
    return ""


def _walk(folder: Path) -> list[tuple[str, tuple[int, int]]]:
    """Return path below the folder, size and time of every file but hidden ones; links are followed, once each."""
    found: list[tuple[str, tuple[int, int]]] = []
    seen: set[tuple[int, int]] = set()

    def visit(place: Path, prefix: str) -> None:
        about = place.stat()
        if (about.st_dev, about.st_ino) in seen:
            return
        seen.add((about.st_dev, about.st_ino))
        with os.scandir(place) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    visit(place / entry.name, f"{prefix}{entry.name}/")
                else:
                    # A link that leads nowhere is an item all the same: it is listed as unreadable.
                    about = entry.stat() if entry.is_file() else entry.stat(follow_symlinks=False)
                    found.append((prefix + entry.name, (about.st_size, about.st_mtime_ns)))

    visit(folder, "")
    return _in_order(found)


def _walk_remote(folder: Any) -> list[tuple[str, tuple[int, int]]]:
    """The same of a folder behind a URI, by one listing."""
    found = ((name, (about.st_size, about.st_mtime_ns)) for name, about in folder.below())
    return _in_order([entry for entry in found if not any(part.startswith(".") for part in entry[0].split("/"))])


def _in_order(found: list[tuple[str, tuple[int, int]]]) -> list[tuple[str, tuple[int, int]]]:
    return sorted(found, key=lambda pair: [natural_key(part) for part in pair[0].split("/")])


def _caption(path: Path | None) -> str | None:
    """Text beside a picture, None if it is none: an unreadable caption is no reason to lose the picture."""
    if path is None:
        return None
    try:
        content = read_content(path) if isinstance(path, RemotePath) else path
        return None if isinstance(content, UnreadableError) else read_text(content)
    except UnreadableError:
        return None
