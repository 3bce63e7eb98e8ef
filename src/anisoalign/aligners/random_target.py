"""Random target replacement: reaches the target's distribution and loses the meaning."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from anisoalign.aligners.base import Mapping, torch_dtype
from anisoalign.aligners.rows import RowKeeper
from anisoalign.statistics import keyed_uniform


class RandomTarget(RowKeeper):
    """z = a target row drawn at random for each source row: the negative control. **Keeps target rows.**

    Parameters
    ----------
    memory : int
        Target rows kept at most.
    seed : int
        Draws are keyed by seed and global row number.

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
    >>> set(RandomTarget().fit(rows, rows.copy()).transform(rows).sum(axis=1).tolist())
    {1.0}
    """

    name = "random-target"

    def __init__(self, *, memory: int = 50_000, seed: int = 0):
        self.memory = memory
        self.seed = seed

    def mapping(self, dtype: np.dtype) -> Mapping:
        """A kept row for each row number."""
        self._check_fitted()
        kept, seed = torch.as_tensor(self.rows_, dtype=torch_dtype(dtype)), self.fitted_with["seed"]

        def draw(rows: Tensor, numbers: np.ndarray) -> Tensor:
            drawn = (keyed_uniform(seed, numbers, 1)[:, 0] * len(kept)).astype(np.int64)
            return kept[torch.from_numpy(drawn)]

        return draw
