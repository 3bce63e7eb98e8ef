"""Rows that repeat, as an image for each of its captions or a prompt for each of its class: how many, what follows."""

from __future__ import annotations

import warnings

import numpy as np
from jaxtyping import Float, Int

WORTH_TELLING = 0.01
"""Share of repeated rows below which no figure changes enough to speak of."""
MOSTLY = 0.5
"""Share of repeated sources from which figures by neighbours are those of the copies."""
_STEPS = 10_000
"""Values are told apart by a ten-thousandth: rows of one image, encoded in two batches, differ in the last digits."""
_BLOCK = 4096


def count_repeats(rows: Float[np.ndarray, "n d"]) -> int:
    """How many unit rows are the same as an earlier one.

    Examples
    --------
    >>> count_repeats(np.eye(3)[[0, 1, 0, 0]])
    2
    """
    return len(rows) - (int(distinct(rows).max()) + 1 if len(rows) else 0)


def distinct(rows: Float[np.ndarray, "n d"]) -> Int[np.ndarray, " n"]:
    """Number of the item that each unit row is: equal rows are the same, counted from 0 as they first come.

    Examples
    --------
    >>> distinct(np.eye(3)[[0, 1, 0, 2]]).tolist()
    [0, 1, 0, 2]
    """
    keys = np.empty(len(rows), np.int64)
    for first in range(0, len(rows), _BLOCK):
        rounded = np.rint(rows[first : first + _BLOCK] * _STEPS).astype(np.int16)
        keys[first : first + len(rounded)] = [hash(row.tobytes()) for row in rounded]
    return in_order_of_appearance(keys)


def in_order_of_appearance(keys: np.ndarray) -> Int[np.ndarray, " n"]:
    """Number keys from 0 as they first come.

    Examples
    --------
    >>> in_order_of_appearance(np.array([7, 3, 7, 9])).tolist()
    [0, 1, 0, 2]
    """
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    place = np.empty(len(first), np.int64)
    place[np.argsort(first)] = np.arange(len(first))
    return place[inverse]


def warn_of_repeats_in_recall(target: Float[np.ndarray, "n d"]) -> None:
    """Warn that pairs are measured whose targets repeat, and of the bound that this sets to recall."""
    repeats = count_repeats(target)
    if repeats > WORTH_TELLING * len(target):
        _warn(
            f"{_counted(repeats, target)}: of equal rows the first is taken for the nearest, so that no recall_at_1, "
            f"either way, can exceed {1 - repeats / len(target):.2f}, and recall at 10 and mixed recall are lowered; "
            "give each target one row"
        )


def warn_of_repeated_sources(source: Float[np.ndarray, "n d"]) -> None:
    """Warn that most sources repeat, as prompts of classes do, and of what is not told then."""
    repeats = count_repeats(source)
    if repeats > MOSTLY * len(source):
        _warn(
            f"{_counted(repeats, source, 'source')}: the nearest rows of each are its own copies, so that penetration, "
            "Ω, recall and mixed recall hardly tell one method from another; where rows of one source are views of one "
            "thing, they also lie on both sides of a split; give each source one row, or go by label transfer"
        )


def _counted(repeats: int, rows: np.ndarray, side: str = "target") -> str:
    return f"{repeats:,} of {len(rows):,} {side} rows repeat another"


def _warn(message: str) -> None:
    warnings.warn(message, stacklevel=1)  # one place, so that the same is told once where Python counts
