"""Sums in the order of a fixed tree, so that their bits do not depend on who added what."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, Self, TypeVar, runtime_checkable

FAN_IN = 4
"""Parts that a node merges, one after another. Each level holds one sum: few levels, and shallow ones, hold little."""

Part = TypeVar("Part")


@runtime_checkable
class Mergeable(Protocol):
    """Sums over rows: moments, phase statistics, histograms."""

    def merge(self, other: Any, /) -> Self:
        """Take in the sums over other rows, in place."""
        ...


Sums = TypeVar("Sums", bound=Mergeable)


class TreeSum(Generic[Sums]):
    """Sums over consecutive parts, merged along a tree of `FAN_IN` children a node, counted from the first part.

    Whole nodes may be summed elsewhere and added at their level: the bits are those of one process that adds every
    part by itself.

    Examples
    --------
    >>> from functools import partial
    >>> import numpy as np
    >>> from anisoalign.statistics import Moments
    >>> empty = partial(Moments.empty, 2)
    >>> parts = [empty().update(rows) for rows in np.random.default_rng(0).normal(size=(9, 3, 2))]
    >>> alone, shared = TreeSum(empty), TreeSum(empty)
    >>> for part in parts:
    ...     alone.add(part)
    >>> for group in grouped(parts, 1):
    ...     node = TreeSum(empty)
    ...     for part in group:
    ...         node.add(part)
    ...     shared.add(node.total(), level=1)
    >>> bool((alone.total().m2 == shared.total().m2).all())
    True
    """

    def __init__(self, empty: Callable[[], Sums]):
        self._empty = empty
        self._sums: list[Sums] = []
        self._children: list[int] = []

    def add(self, part: Sums, level: int = 0) -> None:
        """Take in the next part, or the sum of the next ``FAN_IN**level`` ones."""
        while len(self._sums) <= level:
            self._sums.append(self._empty())
            self._children.append(0)
        self._sums[level].merge(part)
        self._children[level] += 1
        if self._children[level] == FAN_IN:
            whole, self._sums[level] = self._sums[level], self._empty()
            self._children[level] = 0
            self.add(whole, level + 1)

    def total(self) -> Sums:
        """Sum of all parts; the last node of each level may have fewer children. Nothing can be added afterwards."""
        total = self._empty()
        for node in self._sums:
            total = node.merge(total)
        return total


def grouped(parts: Sequence[Part], level: int) -> list[Sequence[Part]]:
    """Parts in the groups that make a node of the tree each."""
    size = FAN_IN**level
    return [parts[first : first + size] for first in range(0, len(parts), size)]


def level_for(parts: int, groups: int) -> int:
    """Highest level at which there are still at least `groups` nodes; 0 where there are fewer parts.

    Examples
    --------
    >>> level_for(1000, 60), level_for(10, 60)
    (2, 0)
    """
    level = 0
    while FAN_IN**level < parts and -(-parts // FAN_IN ** (level + 1)) >= groups:
        level += 1
    return level
