"""The unit sphere: Norm(z) = z / ‖z‖."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor


def normalize(rows: Float[np.ndarray, "m d"]) -> Float[np.ndarray, "m d"]:
    """Rows scaled to unit norm, shape (m, d), dtype kept; a zero row stays zero.

    Examples
    --------
    >>> import numpy as np
    >>> normalize(np.array([[3.0, 4.0]]))
    array([[0.6, 0.8]])
    """
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(norms > 0, norms, 1.0).astype(rows.dtype)


def inverse_norms(rows: Float[Tensor, "m d"]) -> Float[Tensor, "m 1"]:
    """1 / ‖z‖ of each row, shape (m, 1); 1 for a zero row."""
    norms = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    return norms.masked_fill_(norms == 0, 1.0).reciprocal_()


def normalize_(rows: Float[Tensor, "m d"]) -> Float[Tensor, "m d"]:
    """Scale rows to unit norm in place; a zero row stays zero."""
    return rows.mul_(inverse_norms(rows))
