"""Match mean and variance coordinate by coordinate."""

from __future__ import annotations

import numpy as np

from anisoalign.aligners.base import Aligner
from anisoalign.statistics import Moments

_CONSTANT = 1e-3
"""Spread of a coordinate relative to its mean below which it does not vary but for rounding."""


class Standardize(Aligner):
    """z = Norm(μx + (σx / σy) ∘ (y − μy)), per coordinate; depends on the basis.

    A coordinate in which the source does not vary is only shifted.

    Parameters
    ----------
    frame : {"target", "common"}
        Where aligned rows lie; see `Aligner.in_frame`.

    Attributes
    ----------
    weight_ : ndarray, shape (d,)
        σx / σy; 1 where the source does not vary.
    bias_ : ndarray, shape (d,)
        μx − weight_ ∘ μy.
    target_mean_ : ndarray, shape (d,)
        μx.

    Examples
    --------
    >>> import numpy as np
    >>> rows = np.random.default_rng(0).normal(size=(50, 4))
    >>> Standardize().fit(rows, rows * [1, 2, 3, 4]).weight_.shape
    (4,)
    """

    name = "standardize"
    order = "diagonal"

    def __init__(self, *, frame: str = "target"):
        self.frame = frame

    def _fit(self, source: Moments, target: Moments) -> None:
        sx, sy = np.sqrt(target.variance), np.sqrt(source.variance)
        # What float16 makes of a constant varies by up to 5e-4 of it.
        varies = sy > np.maximum(1e-12, _CONSTANT * np.abs(source.mean))
        self.weight_ = np.where(varies, sx / np.where(varies, sy, 1.0), 1.0)
        self.bias_ = target.mean - self.weight_ * source.mean
