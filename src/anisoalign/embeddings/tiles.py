"""A tile: a few consecutive rows of one shard as unit vectors, and the look at each row's norm.

Everything that reads rows reads tiles. Their boundaries are counted from each shard's first row and
depend on the width alone, so that sums over tiles have the same bits whatever the memory budget,
the batch size or the worker.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from anisoalign import compiled
from anisoalign.embeddings.errors import InputError

Sweep = Callable[[np.ndarray], tuple[np.ndarray, Any]]
"""A compiled pass over rows as they are stored, float16 or float32, shape (m, d), which it does not change.

It returns their norms, float32, shape (m,), and what it made of the rows divided by them.
"""

TILE_VALUES = 1 << 20
"""Values in a tile: 4 MiB of float32, which stays in cache between the steps on it."""

_TORCH_DTYPES = {
    np.dtype(str(kind).removeprefix("torch.")): kind for kind in (torch.float16, torch.float32, torch.float64)
}

_SAFE = {torch.float32: (1e-16, 1e18), torch.float64: (1e-150, 1e150)}
"""Norms between which squares neither overflow nor lose digits; others are taken again, scaled."""


@dataclass(frozen=True, eq=False)
class Tile:
    """Consecutive rows of one shard.

    Attributes
    ----------
    values : ndarray, shape (m, d)
        C-contiguous; unit rows unless read raw or undivided. Freshly allocated, so a tile stays valid, unless
        tiles were asked to share one buffer. As stored, and not to be written to, where they were swept.
    rows : ndarray of int64, shape (m,)
        Global row numbers, counted before any row was dropped.
    shard : int
        Index of the shard.
    start : int
        Row of the shard at which the tile begins (before dropping).
    scale : ndarray, shape (m,), or None
        Where tiles are read undivided: what each row of `values` is multiplied with to be unit.
    swept : object
        What a compiled sweep made of the rows; None where there was none.
    """

    values: np.ndarray
    rows: np.ndarray
    shard: int
    start: int
    scale: np.ndarray | None = None
    swept: Any = None

    def __len__(self) -> int:
        return len(self.values)


def tile_rows_for(dim: int) -> int:
    """Return the rows of a tile for vectors of width `dim`.

    Examples
    --------
    >>> tile_rows_for(512), tile_rows_for(768), tile_rows_for(1)
    (2048, 1365, 65536)
    """
    return min(max(TILE_VALUES // dim, 16), 1 << 16)


def as_tensor(values: np.ndarray) -> torch.Tensor:
    """Share memory with a tensor, copying only what torch cannot read: other strides, byte orders, const."""
    if not values.dtype.isnative:
        values = values.astype(values.dtype.newbyteorder("="))
    elif not (values.flags.writeable and values.flags.c_contiguous):
        values = values.copy(order="C")
    return torch.from_numpy(values)


def normalized(
    stored: np.ndarray, dtype: np.dtype, out: torch.Tensor | None = None
) -> tuple[np.ndarray, np.ndarray, dict[int, str]]:
    """Return unit rows of a block, its norms, and what is wrong with the rows that have no direction.

    Parameters
    ----------
    stored : ndarray, shape (m, d)
        Values of any floating type, as stored.
    dtype : numpy.dtype
        float32 or float64: the type in which norms are taken and rows divided.
    out : Tensor, shape (at least m, d), optional
        Memory of that type for the values. Fresh memory costs more than everything else done here.

    Returns
    -------
    values : ndarray, shape (m, d)
    norms : ndarray, shape (m,)
    bad : dict
        Row of the block -> reason; such rows of `values` are meaningless.

    Examples
    --------
    >>> values, norms, bad = normalized(np.array([[3e30, 4e30], [0, 0]], np.float32), np.dtype("float32"))
    >>> values[0].tolist(), bad
    ([0.5999999642372131, 0.800000011920929], {1: 'is zero'})
    """
    values, lengths, norms, bad = undivided(stored, dtype, out)
    torch.from_numpy(values).div_(torch.from_numpy(lengths)[:, None])
    return values, norms, bad


def undivided(
    stored: np.ndarray, dtype: np.dtype, out: torch.Tensor | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[int, str]]:
    """Return the rows of a block, what each is to be divided by, its norm, and what is wrong with bad rows.

    Like `normalized`, but for one sweep over the rows, which sums and linear maps can do with the next.
    Rows whose squares leave the type's range are unit already, to be divided by 1.

    Examples
    --------
    >>> values, lengths, norms, bad = undivided(np.array([[3e30, 4e30], [3, 4]], np.float32), np.dtype("float32"))
    >>> values[1].tolist(), lengths.tolist()
    ([3.0, 4.0], [1.0, 5.0])
    """
    tensor = as_tensor(stored)
    work = tensor.to(torch_dtype(dtype), copy=True) if out is None else out[: len(tensor)].copy_(tensor)
    values, norms = work.numpy(), torch.linalg.vector_norm(work, dim=1).numpy()
    odd = _odd_rows(norms, work.dtype)
    if not len(odd):
        return values, norms, norms, {}
    units, exact, bad = _scaled(stored[odd], odd)
    lengths = norms.copy()
    values[odd], lengths[odd] = units, 1
    # A norm beyond the type's range is still a norm; only its size is lost.
    norms[odd] = np.clip(exact, 0, np.finfo(norms.dtype).max)
    return values, lengths, norms, bad


def swept(stored: np.ndarray, dtype: np.dtype, sweep: Sweep) -> tuple[np.ndarray, Any] | None:
    """Return the norms of a block and what `sweep` makes of it; None where it is not for compiled sweeps.

    It is not where the pass is to be in another precision than float32, or a row needs a closer look.
    """
    if dtype != np.float32 or not compiled.takes(stored):
        return None
    norms, made = sweep(stored)
    return None if len(_odd_rows(norms, torch.float32)) else (norms, made)


def verbatim(
    stored: np.ndarray, dtype: np.dtype, buffer: torch.Tensor | None = None
) -> tuple[np.ndarray, dict[int, str]]:
    """Return a copy of a block in another floating type, in `buffer` if one is given, and its rows without a direction.

    Raises
    ------
    OverflowError
        If a finite value has no finite counterpart in `dtype`, or a whole row none but zeros; its argument is the row
        of the block.
    """
    tensor = as_tensor(stored)
    values = tensor.to(torch_dtype(dtype), copy=True) if buffer is None else buffer[: len(tensor)].copy_(tensor)
    wide = torch.float64 if tensor.dtype == torch.float64 else torch.float32
    norms = torch.linalg.vector_norm(tensor, dim=1, dtype=wide).numpy()
    odd = _odd_rows(norms, wide)
    bad = _scaled(stored[odd], odd)[2] if len(odd) else {}
    if values.dtype.itemsize < tensor.dtype.itemsize:
        lost = torch.isfinite(values).all(dim=1).logical_not_()
        small = torch.finfo(values.dtype).smallest_normal * tensor.shape[1] ** 0.5
        for row in np.flatnonzero(norms < small):  # those alone may have been rounded away
            lost[row] |= not values[row].any()
        lost = np.flatnonzero(lost.numpy())
        lost = [int(row) for row in lost if int(row) not in bad]
        if lost:
            raise OverflowError(lost[0])
    return values.numpy(), bad


def torch_dtype(dtype: np.typing.DTypeLike) -> torch.dtype:
    """Return torch's name of a floating type that embeddings may have."""
    found = _TORCH_DTYPES.get(np.dtype(dtype))
    if found is None:
        raise InputError(f"embeddings are read as float16, float32 or float64, not {np.dtype(dtype).name}")
    return found


def _odd_rows(norms: np.ndarray, dtype: torch.dtype) -> np.ndarray:
    low, high = _SAFE[dtype]
    # One comparison of the extremes clears nearly every tile; NaN fails it too.
    if len(norms) == 0 or (norms.min() > low and norms.max() < high):
        return np.empty(0, np.int64)
    return np.flatnonzero(~((norms > low) & (norms < high)))


def _scaled(stored: np.ndarray, odd: np.ndarray) -> tuple[np.ndarray, np.ndarray, dict[int, str]]:
    """Norms of suspicious rows in float64, each row first divided by its largest value."""
    rows = stored.astype(np.float64)
    finite = np.asarray(np.isfinite(rows).all(axis=1))
    largest = np.abs(np.where(finite[:, None], rows, 0)).max(axis=1, initial=0)
    good = largest > 0
    safe = np.where(good, largest, 1)[:, None]
    scaled = np.divide(rows, safe, out=np.zeros_like(rows), where=good[:, None])
    lengths = np.sqrt(np.einsum("ij,ij->i", scaled, scaled))
    units = scaled / np.where(good, lengths, 1)[:, None]
    with np.errstate(over="ignore"):
        norms = largest * lengths
    bad: dict[int, str] = {}
    for i in np.flatnonzero(~good):
        nan = np.isnan(rows[i]).any()
        bad[int(odd[i])] = "is zero" if finite[i] else "holds NaN" if nan else "holds an infinite value"
    return units, norms, bad
