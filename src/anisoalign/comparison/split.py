"""Disjoint parts of two sets, so that no item gives both its target and its source to a fit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

MINIMUM_ROWS = 60
"""Rows a side, so that the 20 % that are tested, 12 rows, have ten neighbours each."""
_TARGET, _SOURCE, _TEST = 0, 1, 2


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


def split_by_item(source_items: Int[np.ndarray, " m"], target_items: Int[np.ndarray, " n"], seed: int) -> Split:
    """`split_in_step` of items in place of rows: all rows of an item, which are of any number, go to one part.

    Of items that one set has alone, which nothing can leak from, 80 % are fitted.

    Parameters
    ----------
    source_items, target_items : ndarray of int
        Item of each row, the same numbers for the same items in both.

    Examples
    --------
    >>> part = split_by_item(np.repeat(np.arange(100), 5), np.arange(100), seed=0)
    >>> len(part.fit_target), len(part.fit_source), len(part.test_target), len(part.test_source)
    (40, 200, 20, 100)
    >>> set(part.fit_target) & set(part.fit_source // 5), set(part.test_target) == set(part.test_source // 5)
    (set(), True)
    """
    items = int(max(source_items.max(), target_items.max())) + 1
    order = np.random.default_rng(seed).permutation(items)
    in_source, in_target = np.isin(order, source_items), np.isin(order, target_items)
    part = np.empty(items, np.int8)
    part[order[in_source & in_target]] = _cut(int((in_source & in_target).sum()), 0.4, 0.8)
    part[order[in_source & ~in_target]] = _cut(int((in_source & ~in_target).sum()), 0.0, 0.8)
    part[order[~in_source & in_target]] = _cut(int((~in_source & in_target).sum()), 0.8, 0.8)
    place = np.argsort(order)

    def rows(of: np.ndarray, which: int) -> np.ndarray:
        found = np.flatnonzero(part[of] == which)
        return found[np.argsort(place[of[found]], kind="stable")]

    return Split(
        rows(target_items, _TARGET), rows(source_items, _SOURCE), rows(target_items, _TEST), rows(source_items, _TEST)
    )


def _cut(count: int, first: float, second: float) -> Int[np.ndarray, " count"]:
    """Parts of so many items: the targets of a fit up to one share, its sources up to the other, the rest tested."""
    found = np.full(count, _TEST, np.int8)
    found[: int(second * count)] = _SOURCE
    found[: int(first * count)] = _TARGET
    return found


def split(
    source_rows: int,
    target_rows: int,
    seed: int,
    items: tuple[Int[np.ndarray, " m"], Int[np.ndarray, " n"]] | None = None,
) -> Split:
    """The split for two sets: by item where items are known, else in step where they are equally long.

    Sets of equal length may be paired.
    """
    if items is not None:
        return split_by_item(*items, seed)
    if source_rows == target_rows:
        return split_in_step(source_rows, seed)
    return split_apart(source_rows, target_rows, seed)
