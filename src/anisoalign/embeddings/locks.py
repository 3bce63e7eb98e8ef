"""A place that one run at a time writes into: a file that the run holds open and locked."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from anisoalign.embeddings.errors import InputError

UNLOCKABLE = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""What file systems say that know no locks, as some mounts of object stores: there nobody is kept out."""

MOVES_OPEN = os.name != "nt"
"""Whether the system moves and removes what is open, and folders that hold it; Windows does not."""


class Lock:
    """A file held open; the system gives it back when this process ends.

    Parameters
    ----------
    path : Path
    handle : int
        Descriptor of the file, locked where the system knows how.
    """

    def __init__(self, path: Path, handle: int):
        self._path, self._handle = path, handle

    def let_move(self) -> None:
        """Make ready for the file's folder to be moved or removed, which elsewhere than on Windows needs nothing.

        There others are kept out until the folder has its name: were the lock given back before, a run that begins
        then would make and hold another.
        """
        if not MOVES_OPEN:
            self.close()

    def close(self) -> None:
        """Give the lock back; the file stays."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def remove(self) -> None:
        """Remove the file and give the lock back."""
        self.let_move()
        # On Windows another run may hold it by now.
        with contextlib.nullcontext() if MOVES_OPEN else contextlib.suppress(PermissionError):
            self._path.unlink(missing_ok=True)
        self.close()


@contextmanager
def locked(folder: Path, name: str) -> Iterator[Lock]:
    """Hold the lock that is the file `name` in a folder.

    The file stays as long as the folder has its name.

    Raises
    ------
    InputError
        If another process holds it, or the folder has gone.
    """
    lock = take_lock(folder / name, folder)
    try:
        yield lock
    finally:
        lock.close()


def take_lock(path: Path, place: Path) -> Lock:
    """Open and lock a file that guards a place.

    Raises
    ------
    InputError
        If another process holds it, or has just ended.
    """
    try:
        handle = os.open(path, os.O_CREAT | os.O_RDWR)
    except FileNotFoundError as error:
        raise _busy(place) from error  # another run has just ended and given the folder its name
    try:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not path.exists() or not os.path.samestat(path.stat(), os.fstat(handle)):
            raise BlockingIOError  # it was another run's until now, which has taken it away
    except ImportError:  # pragma: no cover - not on Windows
        pass
    except BlockingIOError as error:
        os.close(handle)
        raise _busy(place) from error
    except OSError as error:
        if error.errno not in UNLOCKABLE:
            os.close(handle)
            raise
    return Lock(path, handle)


def _busy(place: Path) -> InputError:
    return InputError(f"{place} is being written by another run")
