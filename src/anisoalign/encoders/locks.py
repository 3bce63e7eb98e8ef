"""A folder that one run at a time writes into."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from anisoalign.embeddings import InputError


@contextmanager
def locked(folder: Path, name: str) -> Iterator[None]:
    """Hold the lock that is the file `name` in a folder; the system releases it when this process ends.

    The file stays as long as the folder has its name: were it removed before, a run that begins then would make and
    hold another.

    Raises
    ------
    InputError
        If another process holds it, or the folder has gone.
    """
    try:
        lock = os.open(folder / name, os.O_CREAT | os.O_RDWR)
    except FileNotFoundError as error:
        raise _busy(folder) from error  # another run has just ended and given the folder its name
    try:
        _take(lock, folder)
        yield
    finally:
        os.close(lock)


def _take(lock: int, folder: Path) -> None:
    try:
        import fcntl

        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:  # pragma: no cover - not on Windows
        return
    except BlockingIOError as error:
        raise _busy(folder) from error


def _busy(folder: Path) -> InputError:
    return InputError(f"{folder} is being written by another run")
