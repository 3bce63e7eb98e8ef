"""One shard being written: rows are cast, checked and handed to the file with their ids."""

from typing import Any

import numpy as np
import torch

from anisoalign import compiled
from anisoalign.embeddings.beside import Columns, ColumnsFile, Cursor, rows_of_group
from anisoalign.embeddings.errors import blamed_on
from anisoalign.embeddings.shard_files import PlainBody, Sink, open_body
from anisoalign.embeddings.tiles import as_tensor, torch_dtype


class ShardWriter:
    """One shard being written; see `EmbeddingWriter.shard`."""

    def __init__(
        self,
        sink: Sink,
        format: str,
        rows: int | None,
        dim: int,
        dtype: np.dtype,
        beside: Columns | None = None,
        file: ColumnsFile | None = None,
    ):
        self.rows = 0
        self.dropped: list[dict[str, Any]] = []
        self.notes: dict[str, Any] = {}
        """What else the manifest is to say of this shard."""
        self._dim, self._dtype = dim, dtype
        self._cursor = None if beside is None else Cursor(beside)
        self._file = file
        self._scratch = self.memory(0)
        inside = beside.schema if beside is not None and file is None else None
        self._body = open_body(sink, format, rows, dim, dtype, inside)

    def write(self, values: np.ndarray | torch.Tensor, positions: np.ndarray | None = None) -> None:
        """Append rows, shape (m, d), cast to the writer's type.

        Parameters
        ----------
        values : ndarray or Tensor
        positions : ndarray of int, shape (m,), optional
            Which of the shard's ids belong to these rows; by default the next m.

        Raises
        ------
        ValueError
            If the width is another, or a value is not finite in the writer's type.
        """
        tensor = as_tensor(values) if isinstance(values, np.ndarray) else values.detach().cpu()
        if tensor.ndim != 2 or tensor.shape[1] != self._dim:
            raise ValueError(f"rows of shape (m, {self._dim}) are needed, not {tuple(tensor.shape)}")
        if self.consumes and tensor.dtype == torch_dtype(self._dtype):
            self._check(tensor)
            stored = tensor
        else:  # a copy of the same type, too: tiles may share one buffer, tables wait until a group of rows is full
            stored = self._scratch_for(len(tensor))
            self.store(tensor, stored)
        self.append(stored, np.arange(self.rows, self.rows + len(stored)) if positions is None else positions)

    def _scratch_for(self, rows: int) -> torch.Tensor:
        """Return memory to cast rows into: the same again where the file has taken what it held."""
        if not self.consumes:
            return self.memory(rows)
        if len(self._scratch) < rows:
            self._scratch = self.memory(rows)
        return self._scratch[:rows]

    @property
    def consumes(self) -> bool:
        """Whether what was appended may be overwritten at once."""
        return isinstance(self._body, PlainBody)

    def memory(self, rows: int) -> torch.Tensor:
        """Return memory for rows in the writer's type, shape (rows, d)."""
        return torch.empty(rows, self._dim, dtype=torch_dtype(self._dtype))

    def store(self, values: np.ndarray | torch.Tensor, memory: torch.Tensor) -> None:
        """Cast rows into memory, checked; several workers may do so at once.

        Raises
        ------
        ValueError
            If the shape is another, or a value is not finite in the writer's type.
        """
        tensor = as_tensor(values) if isinstance(values, np.ndarray) else values
        if tensor.shape != memory.shape:
            raise ValueError(f"rows of shape {tuple(memory.shape)} are needed, not {tuple(tensor.shape)}")
        memory.copy_(tensor)
        self._check(tensor, memory)

    def _check(self, values: torch.Tensor, stored: torch.Tensor | None = None) -> None:
        """Raise ValueError where a value is not finite as stored."""
        if not (_small(values) or _finite(values if stored is None else stored)):
            raise ValueError(f"a value to be written is not finite in {self._dtype}")

    def append(self, stored: torch.Tensor, positions: np.ndarray) -> None:
        """Write rows that `store` filled; unless `consumes`, they must not change afterwards.

        `positions` tell the ids of the rows.
        """
        values, step = stored.numpy(), len(stored)
        if self._cursor is not None:
            step = rows_of_group(self._cursor.schema, step)
        for start in range(0, len(values), step or 1):
            columns = None if self._cursor is None else self._cursor.take(positions[start : start + step])
            if columns is not None and self._file is not None:
                with blamed_on(self._file.path):
                    self._file.append(columns)
            self._body.write(values[start : start + step], columns)
        self.rows += len(stored)

    def drop(self, row: int, reason: str, **more: str) -> None:
        """Note in the manifest that a row of the source's shard was left out, and what `more` there is to say."""
        self.dropped.append({"row": row, "reason": reason, **more})

    def finish(self) -> None:
        """End the file of vectors, and that of columns beside it."""
        self._body.finish(self.rows)
        if self._file is not None:
            with blamed_on(self._file.path):
                self._file.finish()


def _small(values: torch.Tensor) -> bool:
    """Tell, by one product of BLAS, whether every value is finite and well within the range of float16."""
    if values.dtype not in (torch.float32, torch.float64) or not values.is_contiguous():
        return False
    flat = values.reshape(-1).numpy()
    # No value is larger than the root of the sum of squares, and a NaN or an infinity stays in the sum.
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.dot(flat, flat) < 2.0**30)


def _finite(values: torch.Tensor) -> bool:
    """Tell whether every value is finite, by the cheapest look that tells."""
    if values.dtype == torch.float16 and compiled.loaded():
        return compiled.sweeps().finite(values.numpy())
    if values.dtype == torch.float16:
        # NaN and infinity are the values with all bits of the exponent set.
        return values.numel() == 0 or bool((values.numpy().view(np.uint16) & 0x7FFF).max() < 0x7C00)
    return bool(torch.isfinite(values.sum())) or bool(torch.isfinite(values).all())
