"""Random numbers that belong to a row, not to the order in which rows are visited."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int

_WORDS = 4  # 64-bit words that Philox gives for one value of its counter


def keyed_uniform(seed: int, rows: Int[np.ndarray, " m"], width: int) -> Float[np.ndarray, "m width"]:
    """Uniform draws in (0, 1), shape (m, width), fixed by `seed` and the global number of each row.

    A counter-based generator (Philox) is set to a counter reserved for the row, so a row draws the same
    numbers whatever the batch, shard order, worker or interruption.

    Examples
    --------
    >>> import numpy as np
    >>> whole = keyed_uniform(0, np.arange(10), 3)
    >>> bool((whole[4:7] == keyed_uniform(0, np.arange(4, 7), 3)).all())
    True
    """
    rows = np.asarray(rows, dtype=np.int64)
    blocks = -(-width // _WORDS)
    out = np.empty((len(rows), width))
    for first, last in _runs(rows):
        philox = np.random.Philox(key=seed, counter=int(rows[first]) * blocks)
        draws = np.random.Generator(philox).random((last - first, blocks * _WORDS))
        out[first:last] = draws[:, :width]
    return np.clip(out, 2.0**-54, None, out=out)


def keyed_normal(seed: int, rows: Int[np.ndarray, " m"], width: int) -> Float[np.ndarray, "m width"]:
    """Standard normal draws, shape (m, width), by inversion of `keyed_uniform`."""
    from scipy.special import ndtri

    return ndtri(keyed_uniform(seed, rows, width))


def _runs(rows: np.ndarray) -> list[tuple[int, int]]:
    """Maximal stretches of consecutive row numbers, as [first, last) positions."""
    if len(rows) == 0:
        return []
    cuts = np.flatnonzero(np.diff(rows) != 1) + 1
    edges = [0, *cuts.tolist(), len(rows)]
    return list(pairwise(edges))
