"""The fitted map that closed-form methods share: affine, onto the sphere, re-centred."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from anisoalign import compiled
from anisoalign.embeddings.tiles import Tile
from anisoalign.geometry.sphere import inverse_norms, normalize_
from anisoalign.statistics.moments import Moments

CANCELLED = 0.05
"""Share of s² + ‖b‖² below which ‖s y + b‖², expanded, has lost digits and is computed row by row."""


class AffineMap:
    """z = Norm(W y + b), and where `shift` is given e = Norm(z + shift).

    Holds a scratch tile, since fresh memory costs more than the arithmetic on it: a result is valid until the
    next call, and each worker needs a map of its own.

    Parameters
    ----------
    weight : ndarray
        W as a scalar, shape (); as a diagonal, shape (d,); or as a matrix, shape (d, d).
    bias : ndarray, shape (d,)
        b.
    shift : ndarray, shape (d,), optional
        μx − μ̂, the centroid calibration.
    dtype : torch.dtype
        Precision of the rows to come.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> move = AffineMap(np.array(1.0), np.array([0.0, 1.0]), None, torch.float64)
    >>> move(torch.tensor([[1.0, 0.0]], dtype=torch.float64)).tolist()
    [[0.7071067811865475, 0.7071067811865475]]
    """

    def __init__(self, weight: np.ndarray, bias: np.ndarray, shift: np.ndarray | None, dtype: torch.dtype):
        self.weight = torch.as_tensor(weight, dtype=dtype)
        self.bias = torch.as_tensor(bias, dtype=dtype)
        self.shift = None if shift is None else torch.as_tensor(shift, dtype=dtype)
        self._scratch, self._unit = torch.empty(0, dtype=dtype), torch.empty(0)

    @property
    def vectors(self) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:
        """W's diagonal, None where W is a matrix, b and the shift, for compiled sweeps."""
        shift = torch.zeros_like(self.bias) if self.shift is None else self.shift
        diagonal = None if self.weight.ndim == 2 else self.weight.expand(len(self.bias)).contiguous().numpy()
        return diagonal, self.bias.numpy(), shift.numpy()

    def product(self, stored: Float[np.ndarray, "m d"]) -> tuple[np.ndarray, np.ndarray]:
        """Norms of rows as stored, float16 or float32, and W y of the rows divided by them, by a compiled sweep."""
        if len(self._unit) < len(stored):
            self._unit = torch.empty(stored.shape, dtype=torch.float32)
        unit = self._unit[: len(stored)]
        norms = compiled.sweeps().units(stored, unit.numpy())
        return norms, torch.mm(unit, self.weight.T, out=self._room_for(unit)).numpy()

    def __call__(
        self, rows: Float[Tensor, "m d"], scale: Float[np.ndarray, " m"] | None = None
    ) -> Float[Tensor, "m d"]:
        """Map rows (m, d) that are unit, or unit times `scale`, to unit rows; `rows` may be overwritten."""
        moved = self.affine(rows, scale)
        if self.shift is None:
            return normalize_(moved)
        # z / ‖z‖ + shift in one sweep over the tile.
        return normalize_(torch.addcmul(self.shift, moved, inverse_norms(moved), out=moved))

    def affine(self, rows: Float[Tensor, "m d"], scale: Float[np.ndarray, " m"] | None = None) -> Float[Tensor, "m d"]:
        """W y + b alone, before the sphere; row i of y is ``scale[i] * rows[i]``."""
        column = None if scale is None else torch.from_numpy(scale)[:, None]
        if self.weight.ndim == 0:
            return torch.addcmul(self.bias, rows, self.weight if column is None else self.weight * column, out=rows)
        if self.weight.ndim == 1:
            unit = rows if column is None else rows.mul_(column)
            return torch.addcmul(self.bias, unit, self.weight, out=rows)
        moved = self._room_for(rows)
        if column is None:
            return torch.addmm(self.bias, rows, self.weight.T, out=moved)
        return torch.addcmul(self.bias, torch.mm(rows, self.weight.T, out=moved), column, out=moved)

    def _room_for(self, rows: Tensor) -> Tensor:
        """Memory for a product, the same again each time."""
        if len(self._scratch) < len(rows):
            self._scratch = torch.empty_like(rows)
        return self._scratch[: len(rows)]

    def mean(self, rows: Float[np.ndarray, "m d"], scale: Float[np.ndarray, " m"]) -> Float[np.ndarray, " d"]:
        """Mean of z, float64, shape (d,), without a sweep that makes its rows unit; `rows` may be overwritten."""
        if self.weight.ndim == 0:
            factor, bias = scale * self.weight.item(), self.bias.numpy()
            # ‖s y + b‖² = s² + 2 s y·b + ‖b‖² for unit y: products with a vector in place of sweeps.
            whole = float(self.weight) ** 2 + float(bias @ bias)
            squares = whole + 2 * factor * (rows @ bias)
            if squares.min() > CANCELLED * whole:
                inverse = squares**-0.5
                return ((inverse * factor) @ rows + inverse.sum() * bias).astype(np.float64) / len(rows)
        moved = self.affine(torch.from_numpy(rows), scale)
        return (inverse_norms(moved)[:, 0].numpy() @ moved.numpy()).astype(np.float64) / len(rows)


class MappedMean:
    """Mean of what an affine map, which has no shift, makes of a tile read undivided."""

    def __init__(self, move: AffineMap):
        self._move, self._vectors = move, move.vectors

    def __call__(self, tile: Tile) -> Moments:
        """Mean of one tile, as moments."""
        if tile.swept is not None:
            return Moments(len(tile), tile.swept / len(tile), None)
        assert tile.scale is not None, "tiles come undivided where a mean is all that is asked for"
        return Moments(len(tile), self._move.mean(tile.values, tile.scale), None)

    def sweep(self, stored: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Norms of rows as stored, and the sum of what they are mapped to."""
        weight, bias, _ = self._vectors
        if weight is not None:
            return compiled.sweeps().mapped_sum(stored, weight, bias)
        norms, moved = self._move.product(stored)
        return norms, compiled.sweeps().landed_sum(moved, bias)


class MappedTile:
    """What an affine map makes of a tile read undivided; of a swept one in float16 where that is what is kept."""

    def __init__(self, move: AffineMap, out_dtype: str):
        self._move, self._vectors = move, move.vectors
        self._out = torch.empty(0, dtype=torch.float16 if out_dtype == "float16" else torch.float32)

    def __call__(self, tile: Tile) -> Tensor:
        """Mapped rows, valid until the next call."""
        if tile.swept is not None:
            return tile.swept
        return self._move(torch.from_numpy(tile.values), tile.scale)

    def sweep(self, stored: np.ndarray) -> tuple[np.ndarray, Tensor]:
        """Norms of rows as stored, and the mapped rows."""
        if len(self._out) < len(stored):
            self._out = torch.empty(stored.shape, dtype=self._out.dtype)
        out, (weight, bias, shift) = self._out[: len(stored)], self._vectors
        if weight is not None:
            return compiled.sweeps().mapped(stored, weight, bias, shift, out.numpy()), out
        norms, moved = self._move.product(stored)
        compiled.sweeps().landed(moved, bias, shift, out.numpy())
        return norms, out
