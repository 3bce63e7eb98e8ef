"""The fitted map that closed-form methods share: affine, onto the sphere, re-centred."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from anisoalign.geometry.sphere import inverse_norms, normalize_


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
        μx − μ̂, the centroid calibration of method.md section 4.
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
        self._scratch = torch.empty(0, dtype=dtype)

    def __call__(self, rows: Float[Tensor, "m d"]) -> Float[Tensor, "m d"]:
        """Map unit rows (m, d) to unit rows; `rows` may be overwritten."""
        moved = self.affine(rows)
        if self.shift is None:
            return normalize_(moved)
        # z / ‖z‖ + shift in one sweep over the tile.
        return normalize_(torch.addcmul(self.shift, moved, inverse_norms(moved), out=moved))

    def affine(self, rows: Float[Tensor, "m d"]) -> Float[Tensor, "m d"]:
        """W y + b alone, before the sphere."""
        if self.weight.ndim < 2:
            return torch.addcmul(self.bias, rows, self.weight, out=rows)
        if len(self._scratch) < len(rows):
            self._scratch = torch.empty_like(rows)
        return torch.addmm(self.bias, rows, self.weight.T, out=self._scratch[: len(rows)])
