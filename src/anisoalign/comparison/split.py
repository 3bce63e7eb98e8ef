"""Disjoint parts of two sets, so that no item gives both its target and its source to a fit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

MINIMUM_ROWS = 60
"""Rows a side, so that the 20 % that are tested, 12 rows, have ten neighbours each."""


@dataclass(frozen=True)
class Split:
    """Row numbers of one repeat.

    Parameters
    ----------
    fit_target, fit_source : ndarray of int
        Rows that a fit sees.
    test_target, test_source : ndarray of int
        Rows that are measured; the same items in the same order where the sets are in step.
    """

    fit_target: Int[np.ndarray, " a"]
    fit_source: Int[np.ndarray, " b"]
    test_target: Int[np.ndarray, " c"]
    test_source: Int[np.ndarray, " e"]


def split_in_step(rows: int, seed: int) -> Split:
    """Protocol of docs/benchmarks.md, for sets of equal length, paired or perhaps paired.

    Rows are permuted with `default_rng(seed)`; the first 40 % give targets to the fit, the next 40 %
    sources, and the last 20 % are tested.

    Examples
    --------
    >>> part = split_in_step(100, seed=0)
    >>> len(part.fit_target), len(part.fit_source), len(part.test_source)
    (40, 40, 20)
    >>> set(part.fit_target) & set(part.fit_source)
    set()
    """
    order = np.random.default_rng(seed).permutation(rows)
    first, second = int(0.4 * rows), int(0.8 * rows)
    test = order[second:]
    return Split(order[:first], order[first:second], test, test)


def split_apart(source_rows: int, target_rows: int, seed: int) -> Split:
    """Split of two sets whose rows have nothing to do with each other: 80 % fitted, 20 % tested, each."""
    generator = np.random.default_rng(seed)
    y, x = generator.permutation(source_rows), generator.permutation(target_rows)
    a, b = int(0.8 * source_rows), int(0.8 * target_rows)
    return Split(x[:b], y[:a], x[b:], y[a:])


def split(source_rows: int, target_rows: int, seed: int) -> Split:
    """The split for two sets: in step where they are equally long, since they may then be paired."""
    if source_rows == target_rows:
        return split_in_step(source_rows, seed)
    return split_apart(source_rows, target_rows, seed)
