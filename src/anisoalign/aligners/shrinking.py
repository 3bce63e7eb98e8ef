"""The `shrinkage` parameter that the second-order methods share."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from anisoalign.aligners.base import in_unit_interval
from anisoalign.statistics import Moments, ledoit_wolf, shrink


def shrinkage_amount(moments: Moments, shrinkage: float | str) -> float:
    """Amount in [0, 1]: as given, or for "auto" that of Ledoit and Wolf."""
    if isinstance(shrinkage, str):
        if shrinkage != "auto":
            raise ValueError(f"shrinkage must be a number in [0, 1] or 'auto', not {shrinkage!r}")
        return ledoit_wolf(moments)
    return in_unit_interval("shrinkage", shrinkage)


def shrunk_covariance(moments: Moments, shrinkage: float | str) -> Float[np.ndarray, "d d"]:
    """Covariance moved towards its mean eigenvalue, shape (d, d)."""
    return shrink(moments.covariance, shrinkage_amount(moments, shrinkage))
