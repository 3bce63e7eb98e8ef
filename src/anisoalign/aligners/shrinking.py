"""The `shrinkage` parameter that the second-order methods share."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from anisoalign.aligners.parameters import in_unit_interval
from anisoalign.statistics import Moments, ledoit_wolf, shrink


def check_shrinkage(shrinkage: Any, name: str = "shrinkage") -> None:
    """Raise ValueError where a parameter is neither an amount in [0, 1] nor "auto"."""
    if not isinstance(shrinkage, str):
        in_unit_interval(name, shrinkage)
    elif shrinkage != "auto":
        raise ValueError(f"{name} must be a number in [0, 1] or 'auto', not {shrinkage!r}")


def shrinkage_amount(moments: Moments, shrinkage: float | str) -> float:
    """Amount in [0, 1]: as given, or for "auto" that of Ledoit and Wolf."""
    check_shrinkage(shrinkage)
    return ledoit_wolf(moments) if isinstance(shrinkage, str) else float(shrinkage)


def shrunk_covariance(moments: Moments, shrinkage: float | str) -> Float[np.ndarray, "d d"]:
    """Covariance moved towards its mean eigenvalue, shape (d, d)."""
    return shrink(moments.covariance, shrinkage_amount(moments, shrinkage))
