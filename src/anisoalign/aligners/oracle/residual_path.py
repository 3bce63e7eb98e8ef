"""The paired path from a mean shift along the leading residual directions (docs/what-the-numbers-mean.md)."""

from __future__ import annotations

from typing import Any

import numpy as np

from anisoalign.aligners.estimator import Estimator
from anisoalign.aligners.oracle.base import read_paired
from anisoalign.aligners.parameters import in_unit_interval
from anisoalign.diagnostics.controls import residual_path


class ResidualPath(Estimator):
    """z_α = Norm(y − μy + μx + α P_K r), r = (x − μx) − (y − μy). **Needs pairs, also to transform.**

    P_K projects onto the leading residual directions. At α = 0 this is the mean shift, at α = 1 the residual
    has lost its dominant part: what remains to be gained once the anisotropic part of the gap is closed.

    Parameters
    ----------
    alpha : float
        How much of the way to go.
    energy : float
        Share of the residual energy that the K directions hold.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> y, x = rng.normal(size=(50, 4)), rng.normal(size=(50, 4))
    >>> ResidualPath(alpha=0.5).fit_transform(y, x).shape
    (50, 4)
    """

    def __init__(self, *, alpha: float = 1.0, energy: float = 0.5):
        self.alpha = alpha
        self.energy = energy

    def fit_transform(self, source: Any, target: Any) -> np.ndarray:
        """The point of the path for every pair: unit rows (n, d), float64."""
        energy = in_unit_interval("energy", self.energy)
        if not np.isfinite(self.alpha):
            raise ValueError(f"alpha must be a finite number, not {self.alpha!r}")
        y, x = read_paired(source, target)
        return residual_path(y, x, (self.alpha,), energy)[0]
