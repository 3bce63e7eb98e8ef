"""Files behind a URI – s3://, gs://, abfs://, file:// – through pyarrow's filesystems, as readers and writers see them.

`RemotePath` offers as much of `pathlib.Path` as this room uses, so that formats need not know where their files lie.
An object store is no disk: an object appears whole when its upload ends, and can be neither renamed cheaply, nor
locked, nor written to in place. Writers there put the manifest last (`remote_writer`).
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, TypeVar, cast

import pyarrow as pa
from pyarrow import fs

from anisoalign.embeddings.errors import InputError, one_line
from anisoalign.places import expanded

REQUESTS = 32
"""Requests at the same time where many small answers are waited for."""

_FLAT = ("s3", "gcs", "abfs")
"""Stores without folders, where a key with slashes needs no folder made."""

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Stat(NamedTuple):
    """What is asked of a file's state."""

    st_size: int
    st_mtime_ns: int


class RemotePath:
    """A file or folder behind a URI.

    Parameters
    ----------
    uri : str
        Such as ``s3://bucket/folder``; a query gives options, ``?endpoint_override=localhost:9000&scheme=http``.
        Credentials come from the environment, as pyarrow finds them on each machine.
    filesystem : pyarrow.fs.FileSystem, optional
        If the URI alone does not tell: a wrapped fsspec filesystem, ``PyFileSystem(FSSpecHandler(...))``, say. The
        part of `uri` after ``://`` is then a path within it.

    Raises
    ------
    InputError
        If pyarrow knows no such filesystem.

    Examples
    --------
    >>> path = RemotePath("file:///data/text") / "part-000.npy"
    >>> path.name, path.suffix, str(path.parent)
    ('part-000.npy', '.npy', 'file:///data/text')
    """

    def __init__(self, uri: str, filesystem: fs.FileSystem | None = None):
        scheme, _, rest = uri.partition("://")
        if filesystem is None:
            try:
                filesystem, rest = fs.FileSystem.from_uri(uri)
            except (OSError, ValueError, pa.ArrowException) as error:
                known = "; pyarrow opens s3://, gs://, abfs:// and file://" if "Unrecognized" in str(error) else ""
                raise InputError(f"{uri} cannot be opened: {one_line(error)}{known}") from error
        self.filesystem: fs.FileSystem = filesystem
        self._scheme = scheme
        self._inner = PurePosixPath(rest)
        self._info: fs.FileInfo | None = None

    def _at(self, inner: PurePosixPath, info: fs.FileInfo | None = None) -> RemotePath:
        other = object.__new__(RemotePath)
        other.filesystem, other._scheme, other._inner, other._info = self.filesystem, self._scheme, inner, info
        return other

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_info": None}

    def __str__(self) -> str:
        return f"{self._scheme}://{self._inner}"

    def __repr__(self) -> str:
        return f"RemotePath({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RemotePath) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    def __truediv__(self, name: str) -> RemotePath:
        inner = self._inner / name
        # A store takes `..` for a part of a key.
        return self._at(PurePosixPath(posixpath.normpath(inner)) if ".." in inner.parts else inner)

    @property
    def inner(self) -> str:
        """The path as the filesystem knows it."""
        return str(self._inner)

    @property
    def name(self) -> str:
        """Last part of the path."""
        return self._inner.name

    @property
    def stem(self) -> str:
        """Name without its ending."""
        return self._inner.stem

    @property
    def suffix(self) -> str:
        """Ending of the name."""
        return self._inner.suffix

    @property
    def parent(self) -> RemotePath:
        """The folder it lies in."""
        return self._at(self._inner.parent)

    @property
    def parents(self) -> list[RemotePath]:
        """All folders it lies in."""
        return [self._at(inner) for inner in self._inner.parents]

    def resolve(self) -> RemotePath:
        """Itself: URIs are not followed."""
        return self

    def with_name(self, name: str) -> RemotePath:
        """Another file in the same folder."""
        return self._at(self._inner.with_name(name))

    def _look(self) -> fs.FileInfo:
        """State of the file, asked for once of what a listing found, and each time of the rest."""
        return self._info or self.filesystem.get_file_info(self.inner)

    def is_file(self) -> bool:
        """Whether there is such a file."""
        return self._look().type == fs.FileType.File

    def is_dir(self) -> bool:
        """Whether there is such a folder, or any object under that prefix."""
        return self._look().type == fs.FileType.Directory

    def exists(self) -> bool:
        """Whether there is anything."""
        return self._look().type != fs.FileType.NotFound

    def stat(self) -> Stat:
        """Size, and time of change where the store tells it."""
        info = self._look()
        if info.type != fs.FileType.File:
            raise FileNotFoundError(f"{self} does not exist")
        return Stat(info.size or 0, info.mtime_ns or 0)

    def iterdir(self) -> Iterator[RemotePath]:
        """Everything in the folder."""
        for info in self.filesystem.get_file_info(fs.FileSelector(self.inner, allow_not_found=True)):
            yield self._at(PurePosixPath(info.path), info)

    def below(self) -> Iterator[tuple[str, Stat]]:
        """Every file in the folder and the folders in it: its path from here, size and time of change."""
        above = len(self.inner.strip("/"))
        for info in self.filesystem.get_file_info(fs.FileSelector(self.inner, recursive=True)):
            if info.type == fs.FileType.File:
                name = info.path.strip("/")[above:].lstrip("/")  # some stores begin their answers with a slash
                yield name, Stat(info.size or 0, info.mtime_ns or 0)

    def glob(self, pattern: str) -> Iterator[RemotePath]:
        """Everything in the folder whose name fits."""
        return (path for path in self.iterdir() if fnmatch(path.name, pattern))

    def open(self, mode: str = "rb", buffering: int = 0) -> Any:
        """The file, to be read by pieces from anywhere."""
        if mode != "rb":
            raise ValueError(f"{self} is opened for reading alone")
        return self.filesystem.open_input_file(self.inner)

    def read_text(self, encoding: str = "utf-8") -> str:
        """The whole file as text."""
        with self.filesystem.open_input_stream(self.inner) as file:
            return file.read().decode(encoding)

    def write_text(self, text: str) -> None:
        """Put a small file."""
        self._make_folder()
        with self.filesystem.open_output_stream(self.inner) as file:
            file.write(text.encode())

    def upload(self, local: Path) -> None:
        """Put a file of this machine."""
        self._make_folder()
        fs.copy_files(
            str(local), self.inner, source_filesystem=fs.LocalFileSystem(), destination_filesystem=self.filesystem
        )

    def replace(self, target: RemotePath) -> None:
        """Give the file another name: a store copies it, so that this is for small ones."""
        self.filesystem.move(self.inner, target.inner)

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove the file."""
        if missing_ok and not self.exists():
            return
        self.filesystem.delete_file(self.inner)

    def remove_folder(self) -> None:
        """Remove the folder and all in it."""
        if self.is_dir():
            self.filesystem.delete_dir(self.inner)

    def _make_folder(self) -> None:
        if self.filesystem.type_name not in _FLAT:
            self.filesystem.create_dir(str(self._inner.parent), recursive=True)


def locate(place: str | Path | RemotePath) -> Path:
    """A path of this machine, `~` expanded, or a URI as what stands for a path here.

    Examples
    --------
    >>> locate("a/b"), locate("file:///a/b")
    (PosixPath('a/b'), RemotePath('file:///a/b'))
    """
    if isinstance(place, RemotePath) or "://" not in str(place):
        return cast(Path, place) if isinstance(place, RemotePath) else expanded(place)
    return cast(Path, RemotePath(str(place)))


def on_disk(place: str | Path, what: str) -> Path:
    """A path of this machine for `what` lies nowhere else.

    Raises
    ------
    InputError
        For a URI, which a `Path` would take for a folder called `s3:`.
    """
    if "://" in str(place):
        raise InputError(f"{what} lie on disks: name a place on this machine instead of {place}")
    return expanded(place)


def is_remote(path: object) -> bool:
    """Whether a path leads through a filesystem of pyarrow."""
    return isinstance(path, RemotePath)


@contextmanager
def reachable(path: Path) -> Iterator[None]:
    """Turn what a store says of a name or of credentials into a message about the URI."""
    try:
        yield
    except OSError as error:
        if not is_remote(path):
            raise
        raise InputError(f"{path} cannot be reached: {one_line(error)}") from error


def for_arrow(path: Path) -> Any:
    """What Arrow's readers take: a local path, or an open file."""
    return path.open("rb") if is_remote(path) else path


def asked_together(question: Callable[[Item], Answer], items: Sequence[Item], remote: bool) -> list[Answer]:
    """Answers to a question about each item, many requests at a time where files are remote."""
    if not remote or len(items) < 2:
        return [question(item) for item in items]
    with ThreadPoolExecutor(REQUESTS, "anisoalign-requests") as pool:
        return list(pool.map(question, items))
