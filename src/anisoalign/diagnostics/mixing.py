"""How well two sets mix: entropy of the origin of each row's neighbours (docs/what-the-numbers-mean.md)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from anisoalign.diagnostics.neighbours import neighbours

DRAWS = 3
"""Draws of as many rows from the larger of two unequal sets."""


class Mixing(NamedTuple):
    """Penetration M_Z and coverage M_X, 1 when labels could not be told from a random permutation."""

    target_penetration: float
    target_coverage: float


def binary_entropy(p: np.ndarray) -> np.ndarray:
    """H2(p) in bits; 0 at p = 0 and p = 1."""
    inner = np.clip(p, 1e-300, 1.0)
    outer = np.clip(1.0 - p, 1e-300, 1.0)
    return -(p * np.log2(inner) + (1.0 - p) * np.log2(outer))


def expected_entropy(k: int, of_target: int, of_aligned: int) -> float:
    """E H2(J / k), J hypergeometric: k draws from `of_target` target and `of_aligned` aligned rows.

    Examples
    --------
    >>> round(expected_entropy(2, 1, 1), 6)
    1.0
    """
    drawn = np.arange(k + 1)
    ways = _log_choose(of_target, k) + _log_choose(of_aligned, k)[::-1]
    probability = np.exp(ways - _log_choose(of_target + of_aligned, k)[k])
    return float(probability @ binary_entropy(drawn / k))


def _log_choose(n: int, k: int) -> Float[np.ndarray, " n"]:
    """Log of n choose 0, …, k; −∞ beyond n. scipy's law would take longer to import than a small set to measure."""
    steps = np.arange(k)
    with np.errstate(divide="ignore"):
        return np.concatenate([[0.0], np.cumsum(np.log(np.maximum(n - steps, 0) / (steps + 1)))])


def mixing_of_equals(
    target: Float[np.ndarray, "n d"], aligned: Float[np.ndarray, "m d"], k: int = 20, seed: int = 0
) -> Mixing:
    """`mixing` of as many rows of either set, drawn a few times from the larger: the mean of the draws.

    Entropy is largest where both kinds are equally many. In a pool of unequal sets a row in a clump of the rarer kind
    comes closer to that than one in a perfect mixture, so that methods cannot be told apart by it.

    Examples
    --------
    >>> rows = np.random.default_rng(0).normal(size=(300, 4))
    >>> round(mixing_of_equals(rows[:60], rows[60:], 10).target_coverage, 1)
    1.0
    """
    least = min(len(target), len(aligned))
    found = []
    for draw in range(DRAWS):
        generator = np.random.default_rng([seed, draw])
        x, z = (rows[np.sort(generator.permutation(len(rows))[:least])] for rows in (target, aligned))
        found.append(mixing(x, z, k))
    return Mixing(*np.mean(found, axis=0).tolist())


def mixing(target: Float[np.ndarray, "n d"], aligned: Float[np.ndarray, "m d"], k: int = 20) -> Mixing:
    """Penetration and coverage in the pool X ∪ Z, each relative to a random permutation of the labels.

    p(u) is the share of target rows among the k nearest neighbours of u (u excluded) and H2 its entropy in
    bits; penetration averages over aligned rows, coverage over target rows. The expectation under a random
    permutation is exact, by the hypergeometric law of k draws from the other rows.

    Parameters
    ----------
    target : ndarray, shape (n, d), unit rows
    aligned : ndarray, shape (m, d), unit rows
    k : int
        At least 2: a single neighbour is never mixed.
    """
    return mixing_among(pool_neighbours(target, aligned, k), len(target))


def pool_neighbours(
    target: Float[np.ndarray, "n d"], aligned: Float[np.ndarray, "m d"], k: int
) -> Int[np.ndarray, "n+m k"]:
    """The k nearest rows of the pool X ∪ Z, targets first in it, to each of its rows, itself left out; best first."""
    pool = np.concatenate([target, aligned])
    return neighbours(pool, pool, k, exclude=np.arange(len(pool)))


def mixing_among(found: Int[np.ndarray, "rows k"], targets: int) -> Mixing:
    """`mixing` of a pool that begins with so many targets, from the nearest rows of each of its rows."""
    k, n, m = found.shape[1], targets, len(found) - targets
    if k < 2:
        raise ValueError(f"k must be at least 2 for mixing, not {k}: the entropy of one neighbour is always 0")
    entropy = binary_entropy((found < n).mean(axis=1))
    return Mixing(
        target_penetration=float(entropy[n:].mean() / expected_entropy(k, n, m - 1)),
        target_coverage=float(entropy[:n].mean() / expected_entropy(k, n - 1, m)),
    )
