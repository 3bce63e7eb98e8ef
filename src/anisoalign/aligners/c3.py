"""C3 (arXiv 2401.08567): connect, collapse, corrupt."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from anisoalign.aligners.base import Aligner, Mapping
from anisoalign.aligners.parameters import at_least, is_number
from anisoalign.geometry.sphere import normalize_
from anisoalign.statistics import Moments, keyed_normal


class C3(Aligner):
    """z = Norm(Norm(y − μy + μx) + σ ε), ε standard normal per coordinate.

    Parameters
    ----------
    noise : float
        σ per coordinate (not of the norm: the noise vector has norm about σ√d).
    seed : int
        Draws are keyed by seed and global row number, so a row gets the same noise in any batch.

    Attributes
    ----------
    weight_ : ndarray, shape ()
        1.
    bias_ : ndarray, shape (d,)
        μx − μy.
    target_mean_ : ndarray, shape (d,)
        μx.

    Examples
    --------
    >>> import numpy as np
    >>> rows = np.random.default_rng(0).normal(size=(50, 4))
    >>> model = C3(noise=0.1).fit(rows, rows.copy())
    >>> bool((model.transform(rows) == model.transform(rows)).all())
    True
    """

    name = "c3"

    def __init__(self, *, noise: float = 0.016, seed: int = 0):
        self.noise = noise
        self.seed = seed

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if not (is_number(self.noise) and self.noise >= 0.0):
            raise ValueError(f"noise must be a number of at least 0, not {self.noise!r}")
        at_least("seed", self.seed, 0)

    def _fit(self, source: Moments, target: Moments) -> None:
        self.weight_, self.bias_ = np.array(1.0), target.mean - source.mean

    def mapping(self, dtype: np.dtype) -> Mapping:
        """Mean shift, then the row's own noise."""
        move, seed, noise = self._map(dtype), self.fitted_with["seed"], self.fitted_with["noise"]

        def corrupt(rows: Tensor, numbers: np.ndarray) -> Tensor:
            moved = move(rows)
            drawn = torch.from_numpy(keyed_normal(seed, numbers, moved.shape[1]))
            return normalize_(moved.add_(drawn.to(moved), alpha=noise))

        return corrupt
