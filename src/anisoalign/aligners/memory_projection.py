"""Memory projection (DeCap, ICLR 2023), from source to target."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from anisoalign.aligners.base import Mapping, torch_dtype
from anisoalign.aligners.parameters import is_number
from anisoalign.aligners.rows import RowKeeper
from anisoalign.geometry.sphere import normalize_


class MemoryProjection(RowKeeper):
    """z = Norm(Σ_j softmax_j(y·x_j / τ) x_j) over a memory of target rows. **Keeps target rows.**

    Parameters
    ----------
    temperature : float
        τ; 1/150 in DeCap.
    memory : int
        Target rows kept at most.
    seed : int
        Of the draw of those rows.

    Attributes
    ----------
    rows_ : ndarray, shape (memory, d), float32
        The kept target rows x_j, unit; all of them where there are no more than `memory`.
    target_mean_ : ndarray, shape (d,)
        Their mean.

    Examples
    --------
    >>> import numpy as np
    >>> rows = np.eye(3)
    >>> MemoryProjection().fit(rows, rows.copy()).transform(rows).round(3).tolist()[0]
    [1.0, 0.0, 0.0]
    """

    name = "memory-projection"

    def __init__(self, *, temperature: float = 1 / 150, memory: int = 50_000, seed: int = 0):
        self.temperature = temperature
        self.memory = memory
        self.seed = seed

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if not (is_number(self.temperature) and self.temperature > 0):
            raise ValueError(f"temperature must be a positive number, not {self.temperature!r}")

    def mapping(self, dtype: np.dtype) -> Mapping:
        """Soft nearest neighbours of each row, a few hundred rows at a time."""
        self._check_fitted()
        memory, temperature = torch.as_tensor(self.rows_, dtype=torch_dtype(dtype)), self.fitted_with["temperature"]

        def project(rows: Tensor, numbers: np.ndarray) -> Tensor:
            parts = [torch.softmax(part @ memory.T / temperature, dim=1) @ memory for part in rows.split(256)]
            return normalize_(torch.cat(parts))

        return project
