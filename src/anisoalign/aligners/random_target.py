"""Random target replacement: reaches the target's distribution and loses the meaning."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

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

    Examples
    --------
    >>> import numpy as np
    >>> rows = np.eye(3)
    >>> set(RandomTarget().fit(rows, rows).transform(rows).sum(axis=1).tolist())
    {1.0}
    """

    name = "random-target"

    def __init__(self, *, memory: int = 50_000, seed: int = 0):
        self.memory = memory
        self.seed = seed

    def apply(self, rows: Float[Tensor, "m d"], numbers: np.ndarray) -> Float[Tensor, "m d"]:
        """A kept row for each row number."""
        drawn = (keyed_uniform(self.seed, numbers, 1)[:, 0] * len(self.rows_)).astype(np.int64)
        return torch.from_numpy(self.rows_[drawn]).to(rows)
