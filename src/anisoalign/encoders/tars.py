"""Webdataset tars: files of one stem, one after another, are one sample.

Read with the standard library: samples are found by their headers, nothing is decoded by its name (webdataset's own
decoders unpickle some endings), and any stretch of samples can be read without the bytes before it.
"""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Self

import pyarrow as pa

from anisoalign.embeddings import InputError
from anisoalign.embeddings.errors import one_line
from anisoalign.embeddings.text_lines import opened
from anisoalign.encoders.items import ENDINGS, TEXT_COLUMN, Item, OneFile
from anisoalign.encoders.preparing import read_text
from anisoalign.encoders.unreadable import UnreadableError


@dataclass
class _Links:
    """What hard links of a tar stand for: tar writes a file with several names once, and then the other names.

    Attributes
    ----------
    targets : dict
        Name that a link points to -> the file of that name, where it has been passed by.
    others : int
        Members that are neither files, links to files, nor folders.
    """

    targets: dict[str, tarfile.TarInfo | None] = field(default_factory=dict)
    others: int = 0

    def note(self, member: tarfile.TarInfo) -> None:
        """Look at the next member."""
        if member.islnk():
            self.targets.setdefault(member.linkname, None)
        elif not member.isfile():
            self.others += not member.isdir()
        elif member.name in self.targets:
            self.targets[member.name] = member


class TarListing(OneFile):
    """Samples of one tar.

    Parameters
    ----------
    path : Path
    kinds : tuple of str
        Modalities that are to be encoded. A sample that lacks one is an item all the same, and is listed.
    """

    numbered = False

    def __init__(self, path: Path, kinds: tuple[str, ...]):
        super().__init__(path)
        self.kinds, self.rows, self._last = kinds, 0, ""
        endings: set[str] = set()
        links = _Links()
        with _opened(path) as tar:
            for self._last, members in _samples(tar, path, links):
                self.rows += 1
                endings.update(members)
            self._says_its_end = _says_its_end(tar)
        self._linked, self._others = tuple(links.targets), links.others
        if not self.rows:
            raise InputError(f"{path} holds no samples")
        known = tuple(ending for kind in kinds for ending in ENDINGS[kind])
        if not endings & set(known):
            raise InputError(f"{path} holds no {' or '.join(kinds)} files, only: {', '.join(sorted(endings)[:12])}")
        texts = ".txt" in endings
        self.columns = pa.schema([pa.field(TEXT_COLUMN, pa.string())] if texts else [])

    def read(self, start: int, stop: int) -> Iterator[Item]:
        """Yield samples by their positions with the bytes that are needed of them."""
        links = _Links(dict.fromkeys(self._linked))
        with _opened(self.path) as tar:
            for row, (key, members) in enumerate(_samples(tar, self.path, links)):
                if row >= stop:
                    return
                if row >= start:
                    yield self._item(row, key, members, tar, links)

    def _item(
        self, row: int, key: str, members: dict[str, tarfile.TarInfo], tar: tarfile.TarFile, links: _Links
    ) -> Item:
        content: dict[str, Any] = {}
        for kind in self.kinds:
            ending = next((ending for ending in ENDINGS[kind] if ending in members), None)
            if ending is not None:
                content[kind] = self._content(tar, members[ending], links)
        columns: dict[str, Any] = {}
        if TEXT_COLUMN in self.columns.names:
            raw = content.get("text")
            if raw is None and ".txt" in members:
                raw = self._content(tar, members[".txt"], links)
            columns[TEXT_COLUMN] = _text_or_none(raw)
        return Item(row, key, f"{self.path}, {key}", content, columns)

    def _content(self, tar: tarfile.TarFile, named: tarfile.TarInfo, links: _Links) -> bytes | UnreadableError:
        member = links.targets.get(named.linkname) if named.islnk() else named
        if member is None:
            return UnreadableError(f"it is a link to {named.linkname}, which is no file before it in the tar")
        try:
            file = tar.extractfile(member)
            data = b"" if file is None else file.read()
        except (OSError, tarfile.TarError, EOFError) as error:
            raise InputError(f"{self.path}, {member.name} cannot be read: {one_line(error)}") from error
        if len(data) != member.size:
            raise InputError(f"{self.path} is cut short within {member.name}")
        return data

    def notes(self) -> list[str]:
        """Say what is not taken, and where the tar may have been cut, which only a missing mark at its end tells."""
        notes = []
        if self._others:
            notes.append(
                f"{self.path}: symbolic links and other members that are no files are not taken: {self._others}"
            )
        if not self._says_its_end:
            notes.append(f"{self.path} ends without the mark of an end, after {self._last}: it may be cut short")
        return notes


class _Header(tarfile.TarInfo):
    """A header that is refused where it is damaged or cut: tarfile takes any but the first for the end of the tar."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if buf.strip(b"\0"):
                raise tarfile.ReadError(str(error)) from error
            raise


def _says_its_end(tar: tarfile.TarFile) -> bool:
    """Tell whether a tar that was read to its end has a block of zeros there; tarfile takes the file's end for it."""
    assert tar.fileobj is not None
    return tar.fileobj.tell() >= tar.offset + tarfile.BLOCKSIZE


@contextmanager
def _opened(path: Path) -> Iterator[tarfile.TarFile]:
    with opened(path) as file, _as_tar(file, path) as tar:
        yield tar


def _as_tar(file: IO[bytes], path: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(fileobj=file, tarinfo=_Header)
    except (OSError, tarfile.TarError, EOFError) as error:
        raise InputError(f"{path} cannot be read as a tar: {one_line(error)}") from error


def _samples(tar: tarfile.TarFile, path: Path, links: _Links) -> Iterator[tuple[str, dict[str, tarfile.TarInfo]]]:
    """Yield key and members by ending: neighbours whose names agree up to the first dot of the last part."""
    key, members = None, {}
    try:
        for member in tar:
            folder, slash, name = member.name.removeprefix("./").rpartition("/")
            links.note(member)
            if not (member.isfile() or member.islnk()) or name.startswith((".", "__")):
                continue
            stem, _, ending = name.partition(".")
            ending = f".{ending.lower()}"
            tar.members = []  # type: ignore[attr-defined] - else every header of a large tar is kept
            if f"{folder}{slash}{stem}" != key or ending in members:
                if key is not None:
                    yield key, members
                key, members = f"{folder}{slash}{stem}", {}
            members[ending] = member
    except OSError as error:
        raise InputError(f"{path} cannot be read to its end: {one_line(error)}") from error
    except (tarfile.TarError, EOFError, zlib.error) as error:
        place = f"byte {tar.offset}" + (f", after {key}" if key is not None else "")
        raise InputError(f"{path} is damaged at {place}: {one_line(error)}") from error
    if key is not None:
        yield key, members


def _text_or_none(raw: bytes | UnreadableError | None) -> str | None:
    try:
        return None if raw is None else read_text(raw)
    except UnreadableError:
        return None
