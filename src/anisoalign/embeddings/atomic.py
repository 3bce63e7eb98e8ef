"""Files and folders that appear whole or not at all, and survive a power cut once they do."""

import contextlib
import errno
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from anisoalign.embeddings.errors import TEMPORARY, InputError, blamed_on
from anisoalign.embeddings.formats.lance_ import is_lance
from anisoalign.embeddings.manifest import read_manifest


def write_synced(path: Path, text: str) -> None:
    """Write a small text file at once: temporary name, sync, rename.

    Raises
    ------
    InputError
        If `path` is there and is no regular file.
    """
    check_regular(path)
    temporary = path.with_name(f"{TEMPORARY}{path.name}")
    try:
        with blamed_on(path), temporary.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        rename_synced(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def check_regular(path: Path) -> None:
    """Refuse a device, a pipe or a link in the place of a file: a rename would put the file there instead.

    Raises
    ------
    InputError
        If `path` is there and is no regular file.
    """
    if path.is_symlink():
        raise InputError(f"{path} is a symbolic link; name the file itself ({os.path.realpath(path)})")
    if path.exists() and not path.is_file():
        raise InputError(f"{path} cannot be written: it is there and is no regular file")


def rename_synced(temporary: Path, path: Path) -> None:
    """Rename a synced file and sync the folder, without which the new name may be lost."""
    temporary.replace(path)
    _sync_folder(path.parent)


def place_new(temporary: Path, path: Path) -> None:
    """Give a synced file its name, which must be free: what has appeared there since is another's, and stays.

    Raises
    ------
    InputError
        If `path` is there.
    """
    try:
        os.link(temporary, path)  # unlike a rename, it replaces nothing
    except FileExistsError as error:
        raise InputError(f"{path} already exists; it was not there when this run began") from error
    except OSError:  # a file system without links
        if os.path.lexists(path):
            raise InputError(f"{path} already exists; it was not there when this run began") from None
        temporary.replace(path)
    temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def sync_file(path: Path) -> None:
    """Make a written file survive a power cut."""
    handle = os.open(path, os.O_RDWR)  # Windows syncs nothing that was opened to be read
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # pragma: no cover - Windows has no handle on a folder
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def replace_folder(partial: Path, out: Path, check: Callable[[Path], None]) -> None:
    """Rename a finished folder to its place; what was there before goes only then.

    Parameters
    ----------
    partial, out : Path
    check : callable
        Raises InputError unless `out` may be replaced, as it did before the work; see `still_free`.
    """
    _sync_folder(partial)
    with still_free():
        check(out)
    old = aside(out, "old")
    if out.is_dir() and any(out.iterdir()):
        out.rename(old)
    partial.replace(out)
    _sync_folder(out.parent)
    if old.exists():
        shutil.rmtree(old)


def aside(path: Path, what: str) -> Path:
    """Name for what is moved out of the way, which no other run takes: numbers of processes come again."""
    return path.with_name(f".{path.name}.{what}-{uuid.uuid4().hex[:12]}")


@contextlib.contextmanager
def still_free() -> Iterator[None]:
    """Check once more, at the end of a run, what was free at its start: what has appeared since is another's.

    The error counts as the system's refusal (`by_system`), so that the work done is kept.
    """
    try:
        yield
    except InputError as error:
        refused = FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        raise InputError(f"{error}; it was not there when this run began") from refused


def check_free(out: Path, overwrite: bool, file: bool = False) -> None:
    """Refuse to write over anything the user has not offered, or that no run of ours has made.

    Parameters
    ----------
    out : Path
    overwrite : bool
        Whether an earlier result may be replaced.
    file : bool
        Whether the result is a file, which cannot take the place of a folder, nor a folder that of a file.

    Raises
    ------
    InputError
        If `out` exists and may not be replaced.
    """
    if out.name in ("", "..") or out.name.endswith(".partial"):
        raise InputError(f"{out} is no name for a result")
    refuse_link(out)
    if out.exists() and out.is_dir() == file:
        there, new = ("folder", "file") if file else ("file", "folder")
        raise InputError(f"{out} is a {there} and the result would be a {new}; choose another name, or remove it first")
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not overwrite:
        raise InputError(
            f"{out} already exists; choose another name, or ask to replace it (`--overwrite`, `overwrite=True`)"
        )
    if out.is_dir() and read_manifest(out) is None and not is_lance(out):
        raise InputError(f"{out} was not written by this library and is not overwritten; remove it yourself")


def refuse_link(out: Path) -> None:
    """Refuse a link in the place of a folder: what is renamed over it replaces neither the link nor what it names.

    Raises
    ------
    InputError
        If `out` is a symbolic link to a folder, or to nothing.
    """
    if out.is_symlink() and not out.is_file():
        raise InputError(f"{out} is a symbolic link; name the folder itself ({out.resolve()})")


@contextlib.contextmanager
def writable(out: Path) -> Iterator[None]:
    """Turn the system's refusal to create files into a message about `out`."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{out} cannot be written: {error.strerror or error}") from error
