"""Shards in numpy's `.npy` format: passes read them front to back, single rows come from a mapping."""

import io
import mmap
import threading
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from anisoalign.embeddings.beside import Columns
from anisoalign.embeddings.errors import InputError, one_line
from anisoalign.embeddings.formats.memory import check_array
from anisoalign.embeddings.formats.spare import borrowed
from anisoalign.embeddings.metadata import open_metadata
from anisoalign.embeddings.remote import is_remote
from anisoalign.embeddings.shards import Block

_REQUEST = 1 << 17
"""Bytes that an object store sends in the time that it takes to answer."""
_HEADER = 1 << 14
"""Bytes read for a header; numpy refuses one of more than 10,000."""
_parsing = threading.Lock()
"""One header at a time: numpy parses them as Python, which in 3.11 fails where threads do so side by side
(python/cpython issue 106905). Files are still opened and read together."""


class NpySource:
    """One `.npy` file: its header checked against its size, its rows mapped for each pass."""

    sliceable = True

    def __init__(self, path: Path, column: str | None = None):
        if column is not None:
            raise InputError(f"{path}: a .npy file has no columns, so none can be called {column!r}")
        self.path = path
        self.label = str(path)
        shape, self._fortran, self._stored, self._offset = read_header(path)
        check_array(shape, self._stored, self.label)
        self.rows, self.dim = shape
        self.dtype = self._stored.newbyteorder("=")
        self.nbytes = path.stat().st_size
        needed = self._offset + self.rows * self.dim * self._stored.itemsize
        if self.nbytes != needed:
            held = (self.nbytes - self._offset) // (self.dim * self._stored.itemsize)
            fault = "truncated" if self.nbytes < needed else "longer than its header says"
            raise InputError(
                f"{path} is {fault}: the header promises {self.rows} rows of {self.dim} ({needed} bytes), "
                f"the file holds {self.nbytes} bytes, {held} whole rows"
            )
        # Found by the opening code where a folder of metadata lies beside.
        self.metadata_path: Path | None = None

    def _map(self) -> np.ndarray:
        if self.rows == 0:
            return np.empty((0, self.dim), self._stored)
        with self.path.open("rb") as file:
            # Private pages: never written, but writable in name, which torch asks of a shared array.
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        if hasattr(mapped, "madvise"):
            mapped.madvise(mmap.MADV_SEQUENTIAL)
        flat = np.frombuffer(mapped, self._stored, self.rows * self.dim, self._offset)
        return flat.reshape((self.rows, self.dim), order="F" if self._fortran else "C")

    def blocks(self, size: int, start: int = 0, stop: int | None = None) -> Iterator[Block]:
        """Yield rows in one buffer, each block valid until the next, or until this thread reads again.

        Reading was measured a third cheaper than touching mapped pages one by one, and a file that shrinks
        meanwhile is an error here where a mapping would end the process.
        """
        end = self.rows if stop is None else stop
        if self._fortran:
            array = self._whole() if is_remote(self.path) else self._map()
            for first in range(start, end, size):
                yield array[first : min(first + size, end)], None
            return
        width = self.dim * self._stored.itemsize
        with self.path.open("rb", buffering=0) as file, borrowed(min(size, end - start) * width) as memory:
            buffer = memory.view(self._stored).reshape(-1, self.dim)
            file.seek(self._offset + start * width)
            for first in range(start, end, size):
                block = buffer[: min(size, end - first)]
                self._fill(file, block, first)
                yield block, None

    def _fill(self, file: io.FileIO, block: np.ndarray, first: int) -> None:
        view, filled = block.data.cast("B"), 0
        while filled < len(view):
            count = file.readinto(view[filled:])
            if not count:
                raise InputError(f"{self.path} ended within rows {first} to {first + len(block) - 1} while it was read")
            filled += count

    def take(self, rows: np.ndarray) -> Block:
        """Return a copy of the given rows."""
        if not is_remote(self.path):
            return self._map()[rows], None
        if self._fortran:
            return self._whole()[rows], None
        with self.path.open("rb") as file:
            return np.concatenate([self._run(file, run) for run in _runs(rows, self._gap)]), None

    @property
    def _gap(self) -> int:
        """Rows between two wanted ones that are read along, since a request costs more than they do."""
        return _REQUEST // (self.dim * self._stored.itemsize)

    def _run(self, file: Any, wanted: np.ndarray) -> np.ndarray:
        """Read rows that lie close together in one request."""
        first, width = int(wanted[0]), self.dim * self._stored.itemsize
        data = file.read_at((int(wanted[-1]) + 1 - first) * width, self._offset + first * width)
        return np.frombuffer(data, self._stored).reshape(-1, self.dim)[wanted - first]

    def _whole(self) -> np.ndarray:
        """Read the file at once: columns that lie apart cannot be had by rows."""
        with self.path.open("rb") as file:
            file.seek(self._offset)
            flat = np.frombuffer(file.read(), self._stored)
        return flat.reshape((self.rows, self.dim), order="F")

    def peek(self, count: int) -> np.ndarray:
        """Return evenly spaced rows; of a remote file the first ones, in one request."""
        if is_remote(self.path):
            return self.take(np.arange(min(count, self.rows)))[0] if self.rows else np.empty((0, self.dim), self.dtype)
        return self._map()[:: max(1, -(-self.rows // count))]

    def columns(self) -> Columns | None:
        """Return those of the parquet file beside, if there is one."""
        return None if self.metadata_path is None else open_metadata(self.metadata_path, self.label, self.rows)


def _runs(rows: np.ndarray, gap: int) -> list[np.ndarray]:
    """Cut ascending row numbers where more than `gap` lie between two."""
    return np.split(rows, np.flatnonzero(np.diff(rows) > gap) + 1)


def read_header(path: Path) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    """Return shape, Fortran order, stored type and the offset of the first value."""
    try:
        with path.open("rb") as file:
            head = io.BytesIO(file.read(_HEADER))
        with _parsing:
            version = np.lib.format.read_magic(head)
            read = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }.get(version)
            if read is None:
                raise InputError(f"{path}: .npy version {version} holds named fields, not embeddings")
            shape, fortran, dtype = read(head)
            return shape, fortran, dtype, head.tell()
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, TypeError, tokenize.TokenError) as error:
        raise InputError(f"{path} is not a .npy array: {one_line(error)}") from error
