"""Shards in `.safetensors`: one table of vectors under a key, perhaps whole-number ids beside."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from safetensors import SafetensorError, safe_open

from anisoalign.embeddings.beside import ID_COLUMNS, Columns
from anisoalign.embeddings.errors import ColumnError, InputError, one_line
from anisoalign.embeddings.metadata import open_metadata
from anisoalign.embeddings.shards import Block

_TYPES = {"F16": np.float16, "F32": np.float32, "F64": np.float64, "BF16": np.float32}
"""Types read; numpy has no bfloat16, which float32 holds without loss."""


class SafetensorsSource:
    """One `.safetensors` file, mapped for each pass."""

    sliceable = True

    def __init__(self, path: Path, column: str | None = None):
        self.path = path
        self.label = str(path)
        try:
            with safe_open(path, framework="pt") as file:
                slices = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118
                shapes = {key: tuple(item.get_shape()) for key, item in slices.items()}
                kinds = {key: item.get_dtype() for key, item in slices.items()}
        except (OSError, SafetensorError) as error:
            raise InputError(f"{path} cannot be read as safetensors: {one_line(error)}") from error
        self.column = _choose_key(shapes, kinds, column, self.label)
        self.rows, self.dim = shapes[self.column]
        self.dtype = np.dtype(_TYPES[kinds[self.column]])
        self.nbytes = path.stat().st_size
        numbers = {key for key, kind in kinds.items() if kind[0] in "IU" and shapes[key] == (self.rows,)}
        self._ids = next((key for key in ID_COLUMNS if key in numbers), None)
        self.left_out = sorted(set(shapes) - {self.column, self._ids})
        self.metadata_path: Path | None = None

    def _tensor(self) -> torch.Tensor:
        with safe_open(self.path, framework="pt") as file:
            # A slice of a mapped file: pages are read when they are touched.
            return file.get_slice(self.column)[:]

    def blocks(self, size: int, start: int = 0, stop: int | None = None) -> Iterator[Block]:
        """Yield views of the mapped file."""
        tensor = self._tensor()
        end = self.rows if stop is None else stop
        for first in range(start, end, size):
            yield _as_numpy(tensor[first : min(first + size, end)]), None

    def take(self, rows: np.ndarray) -> Block:
        """Return a copy of the given rows."""
        return _as_numpy(self._tensor()[torch.as_tensor(rows)]), None

    def peek(self, count: int) -> np.ndarray:
        """Return evenly spaced rows."""
        return _as_numpy(self._tensor()[:: max(1, -(-self.rows // count))])

    def columns(self) -> Columns | None:
        """Return the ids in the file, or the columns of the parquet file beside."""
        if self.metadata_path is not None:
            return open_metadata(self.metadata_path, self.label, self.rows)
        if self._ids is None:
            return None
        with safe_open(self.path, framework="np") as file:
            return Columns.held(pa.table({self._ids: file.get_tensor(self._ids)}))


def _as_numpy(tensor: torch.Tensor) -> np.ndarray:
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()


def _choose_key(shapes: dict[str, tuple[int, ...]], kinds: dict[str, str], column: str | None, label: str) -> str:
    """Return the key of the vectors: the one asked for, or the only table of floats."""
    candidates = [key for key in shapes if len(shapes[key]) == 2 and kinds[key] in _TYPES and shapes[key][1]]
    listed = ", ".join(sorted(candidates)) or "none"
    if column is None and len(candidates) == 1:
        return candidates[0]
    if column is None and candidates:
        raise ColumnError(f"{label} has several tables of vectors", listed)
    if column is None:
        held = ", ".join(f"{key} {kinds[key]}{list(shapes[key])}" for key in sorted(shapes))
        raise InputError(f"{label} has no float table of shape (rows, width); it holds: {held or 'nothing'}")
    if column not in candidates:
        raise InputError(f"{label} has no table of vectors called {column!r}; tables of vectors: {listed}")
    return column
