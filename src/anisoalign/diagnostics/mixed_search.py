"""What is found where targets and aligned rows lie in one pool, whichever side asks."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int

FIRST = 10
"""Rows of the pool that a query is shown."""


def mixed_search(found: Int[np.ndarray, "rows k"], targets: int, paired: bool = False) -> dict[str, float]:
    """Share of targets among the first ten that aligned rows find and, with pairs, recall at 10 from either side.

    Parameters
    ----------
    found : ndarray of int, shape (n + m, k)
        `pool_neighbours` of n targets and m aligned rows, at least the first ten.
    targets : int
        n.
    paired : bool
        Aligned row i, which is row n + i of the pool, belongs to target i.

    Examples
    --------
    >>> from anisoalign.diagnostics.mixing import pool_neighbours
    >>> rows = np.eye(6)
    >>> mixed_search(pool_neighbours(rows, rows, 10), 6, paired=True)["mixed_recall_at_10"]
    1.0
    """
    of_targets, of_aligned = found[:targets, :FIRST], found[targets:, :FIRST]
    shares = {"mixed_target_share_at_10": float((of_aligned < targets).mean())}
    if paired:
        own = np.arange(targets)[:, None]
        shares["mixed_recall_at_10"] = float((of_aligned == own).any(axis=1).mean())
        shares["reverse_mixed_recall_at_10"] = float((of_targets == targets + own).any(axis=1).mean())
    return shares
