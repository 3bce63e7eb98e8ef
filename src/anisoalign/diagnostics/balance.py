"""One number for an alignment that must do two things at once."""

from __future__ import annotations

from typing import Any

import numpy as np


def balance(kept: Any, reached: Any) -> Any:
    """Harmonic mean of geometry kept and target reached, both in [0, 1]: nothing for one of them alone.

    Parameters
    ----------
    kept : float or ndarray
        Geometry consistency Ψ.
    reached : float or ndarray
        The smaller of penetration and coverage; above 1 it counts as 1.

    Examples
    --------
    >>> round(balance(1.0, 0.5), 4), balance(1.0, 0.0)
    (0.6667, 0.0)
    """
    kept, reached = np.clip(kept, 0.0, 1.0), np.clip(reached, 0.0, 1.0)
    found = 2 * kept * reached / np.maximum(kept + reached, 1e-12)
    return found if np.ndim(found) else float(found)
