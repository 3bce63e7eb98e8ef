"""Pairs that are none: sets taken row by row though they lie in different orders; their figures say nothing."""

from __future__ import annotations

import warnings

import numpy as np
from jaxtyping import Float

_ERRORS = 3.0
"""Standard errors above unmatched rows within which pairs are no more alike than these."""
_LEAST = 12
"""Rows below which the standard error itself is hardly known."""
_TRIED, _ORDERS = 1_000, 99
"""Rows that are looked at for structure in common, and orders that theirs is held against."""
CHECK_ORDER = "these rows do not look like pairs; check that both sets are in one order"


def no_more_alike(paired: float, std: float, unmatched: float, rows: int) -> bool:
    """Whether the mean cosine of pairs is within three standard errors of that of unmatched rows, or below it.

    Examples
    --------
    >>> no_more_alike(0.151, 0.05, 0.150, 1000), no_more_alike(0.3, 0.05, 0.15, 1000), no_more_alike(0.3, 0.1, 0.3, 5)
    (True, False, False)
    """
    return rows >= _LEAST and paired < unmatched + _ERRORS * std / rows**0.5


def warn_of_no_pairs(*sides: tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "n d"]]) -> None:
    """Warn where rows given as pairs show it in none of the arrays of unit rows: by cosines, or by who is near whom.

    The second is looked for since sets may lie in frames that are turned against each other.
    """
    found = [_cosines(*side) for side in sides]
    alike = all(no_more_alike(*cosines, len(side[0])) for cosines, side in zip(found, sides, strict=True))
    if alike and not any(_share_structure(*side) for side in sides):
        paired, _, unmatched = found[0]
        warnings.warn(
            f"source rows have cosine {paired:.2f} with their own target rows and {unmatched:.2f} with any others: "
            f"{CHECK_ORDER}",
            stacklevel=1,  # one place, so that the same is told once where Python counts
        )


def _cosines(source: np.ndarray, target: np.ndarray) -> tuple[float, float, float]:
    """Mean and standard deviation of the cosines of pairs, and the mean over all rows of one with all of the other."""
    cosines = np.einsum("ij,ij->i", source, target, dtype=np.float64)
    return float(cosines.mean()), float(cosines.std()), float(source.mean(axis=0) @ target.mean(axis=0))


def _share_structure(source: np.ndarray, target: np.ndarray) -> bool:
    """Whether rows near each other in one set are so in the other, more than in 99 other orders of it."""
    step = -(-len(source) // _TRIED)
    a, b = (_centred_products(rows[::step]) for rows in (source, target))
    generator = np.random.default_rng(0)
    seen = np.vdot(a, b)
    orders = (generator.permutation(len(b)) for _ in range(_ORDERS))
    return all(np.vdot(a, b[np.ix_(order, order)]) < seen for order in orders)


def _centred_products(rows: np.ndarray) -> np.ndarray:
    centred = rows - rows.mean(axis=0)
    return centred @ centred.T
