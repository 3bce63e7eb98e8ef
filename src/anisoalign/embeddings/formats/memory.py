"""Arrays and tensors that are already in memory, as one shard."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from anisoalign.embeddings.beside import Columns
from anisoalign.embeddings.errors import InputError
from anisoalign.embeddings.shards import Block


class MemorySource:
    """An array of shape (n, d) as a shard without a file."""

    sliceable = True

    path: Path | None = None

    def __init__(self, array: np.ndarray, label: str, metadata: pa.Table | None = None, left_out: Sequence[str] = ()):
        check_array(array.shape, array.dtype, label)
        check_mask(array, label)
        self._array = np.asarray(array)
        self._metadata = metadata
        self.left_out = list(left_out)
        self.label = label
        self.rows, self.dim = array.shape
        self.dtype = array.dtype.newbyteorder("=")
        self.nbytes = array.nbytes

    @property
    def memory(self) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
        """Where the array lies and how it is laid out: the same for no two arrays that are there at once."""
        return self._array.ctypes.data, self._array.shape, self._array.strides

    def blocks(self, size: int, start: int = 0, stop: int | None = None) -> Iterator[Block]:
        """Yield consecutive rows, as views where strides allow."""
        end = self.rows if stop is None else stop
        for first in range(start, end, size):
            yield self._array[first : min(first + size, end)], None

    def take(self, rows: np.ndarray) -> Block:
        """Return the given rows."""
        return self._array[rows], None

    def peek(self, count: int) -> np.ndarray:
        """Return evenly spaced rows."""
        return self._array[:: max(1, -(-self.rows // count))]

    def columns(self) -> Columns | None:
        """Return those of the table given with the array, if any."""
        return None if self._metadata is None else Columns.held(self._metadata)


def from_tensor(tensor: torch.Tensor, label: str) -> MemorySource:
    """Wrap a tensor; bfloat16, which numpy lacks, is widened to float32 without loss."""
    tensor = tensor.detach().cpu()
    if tensor.dtype == torch.bfloat16:
        tensor = tensor.float()
    try:
        array = tensor.numpy()
    except TypeError as error:
        raise InputError(f"{label}: embeddings must be float16, float32 or float64, not {tensor.dtype}") from error
    return MemorySource(array, label)


def check_mask(array: np.ndarray, label: str) -> None:
    """Refuse a masked array in which anything is masked: what lies below a mask would be taken for a value."""
    masked = np.ma.getmaskarray(array).any(axis=1) if isinstance(array, np.ma.MaskedArray) else np.zeros(0, bool)
    if masked.any():
        raise InputError(f"{label}, row {int(np.argmax(masked))}: holds masked values; leave such rows out")


def check_array(shape: tuple[int, ...], dtype: np.dtype, label: str) -> None:
    """Refuse what is not a table of float16, float32 or float64."""
    if dtype.names is not None:
        raise InputError(f"{label}: embeddings must be float16, float32 or float64, these are records of {dtype}")
    if len(shape) != 2 or shape[1] == 0:
        stacked = "; `np.stack(rows)` makes one of vectors" if dtype.hasobject and len(shape) == 1 else ""
        raise InputError(f"{label}: embeddings must be an array of shape (rows, width), this one is {shape}{stacked}")
    if dtype.kind != "f" or dtype.itemsize > 8:
        raise InputError(f"{label}: embeddings must be float16, float32 or float64, these are {dtype}")
