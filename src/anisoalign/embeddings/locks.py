"""A folder that one run at a time writes into."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from anisoalign.embeddings.errors import InputError

UNLOCKABLE = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""What file systems say that know no locks, as some mounts of object stores: there nobody is kept out."""


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
    lock = take_lock(folder / name, folder)
    try:
        yield
    finally:
        os.close(lock)


def take_lock(path: Path, place: Path) -> int:
    """Open and lock a file that guards a place; whoever closes the descriptor gives the lock back.

    Raises
    ------
    InputError
        If another process holds it, or has just ended.
    """
    try:
        lock = os.open(path, os.O_CREAT | os.O_RDWR)
    except FileNotFoundError as error:
        raise _busy(place) from error  # another run has just ended and given the folder its name
    try:
        import fcntl

        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not path.exists() or not os.path.samestat(path.stat(), os.fstat(lock)):
            raise BlockingIOError  # it was another run's until now, which has taken it away
    except ImportError:  # pragma: no cover - not on Windows
        pass
    except BlockingIOError as error:
        os.close(lock)
        raise _busy(place) from error
    except OSError as error:
        if error.errno not in UNLOCKABLE:
            os.close(lock)
            raise
    return lock


def _busy(place: Path) -> InputError:
    return InputError(f"{place} is being written by another run")
