"""The fitted map that closed-form methods share: affine, onto the sphere, re-centred."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from anisoalign.geometry.sphere import normalize_


@dataclass(frozen=True)
class AffineMap:
    """z = Norm(W y + b), and where `shift` is given e = Norm(z + shift).

    Parameters
    ----------
    weight : ndarray
        W as a scalar, shape (); as a diagonal, shape (d,); or as a matrix, shape (d, d).
    bias : ndarray, shape (d,)
        b.
    shift : ndarray, shape (d,), optional
        μx − μ̂, the centroid calibration of method.md section 4.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> move = AffineMap(np.array(1.0), np.array([0.0, 1.0]))
    >>> move(torch.tensor([[1.0, 0.0]])).tolist()
    [[0.7071067690849304, 0.7071067690849304]]
    """

    weight: Float[np.ndarray, ...]
    bias: Float[np.ndarray, " d"]
    shift: Float[np.ndarray, " d"] | None = None

    def __call__(self, rows: Float[Tensor, "m d"]) -> Float[Tensor, "m d"]:
        """Map unit rows (m, d) to unit rows; `rows` may be overwritten."""
        moved = self.affine(rows)
        normalize_(moved)
        if self.shift is not None:
            normalize_(moved.add_(_like(self.shift, moved)))
        return moved

    def affine(self, rows: Float[Tensor, "m d"]) -> Float[Tensor, "m d"]:
        """W y + b alone, before the sphere."""
        weight, bias = _like(self.weight, rows), _like(self.bias, rows)
        if weight.ndim == 2:
            return torch.addmm(bias, rows, weight.T)
        return rows.mul_(weight).add_(bias)


def _like(values: np.ndarray, rows: Tensor) -> Tensor:
    return torch.as_tensor(values, dtype=rows.dtype, device=rows.device)
