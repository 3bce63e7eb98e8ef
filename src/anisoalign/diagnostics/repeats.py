"""Rows that repeat, as an image for each of its captions or a prompt for each of its class: how many, what follows."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int

WORTH_TELLING = 0.01
"""Share of repeated rows below which no figure changes enough to speak of."""
MOSTLY = 0.5
"""Share of repeated rows from which figures by neighbours are those of the copies."""
BY_NEIGHBOURS = frozenset(
    (
        "neighbour_consistency",
        "target_penetration",
        "target_coverage",
        "balance",
        "recall_at_1",
        "recall_at_10",
        "reverse_recall_at_1",
        "reverse_recall_at_10",
        "mixed_target_share_at_10",
        "mixed_recall_at_10",
        "reverse_mixed_recall_at_10",
        "mean_mixed_recall_at_10",
    )
)
"""Those figures, by their keys in records."""
COPIES = frozenset(("repeated_sources", "repeated_targets"))
"""Keys of records by which a comparison says that most rows of a side repeat."""
_NOISE = 2e-5
"""Root mean square that coordinates may be off: of a text encoded in two batches they are, by a few millionths.

Rounded rows cannot tell: of 512 coordinates there are always some that such noise takes over an edge.
"""
_AXES = 6
"""Directions along which rows are sorted into cells; of more, few different rows share one."""
_ROUNDS = 16
"""How often rows of a cell that are not its first one are looked at again among themselves."""
_BLOCK = 4096


def count_repeats(rows: Float[np.ndarray, "n d"]) -> int:
    """How many unit rows are the same as an earlier one, but for what encoders differ by from batch to batch.

    Examples
    --------
    >>> count_repeats(np.eye(3)[[0, 1, 0, 0]])
    2
    """
    return len(rows) - (int(distinct(rows).max()) + 1 if len(rows) else 0)


def distinct(rows: Float[np.ndarray, "n d"]) -> Int[np.ndarray, " n"]:
    """Number of the item that each unit row is: rows nearly the same are one, counted from 0 as they first come.

    Nearly the same are rows a and b with ‖a − b‖ ≤ 2·10⁻⁵ √(2d), which is what noise of 2·10⁻⁵ a coordinate sets
    between two copies.

    Examples
    --------
    >>> distinct(np.eye(3)[[0, 1, 0, 2]]).tolist()
    [0, 1, 0, 2]
    """
    first = np.arange(len(rows))
    if len(rows) > 1:
        apart = _NOISE * (2 * rows.shape[1]) ** 0.5
        for cells in _grids(rows, apart):
            alone = np.flatnonzero(first == np.arange(len(rows)))
            _link(rows, alone, cells[alone], apart, first)
        while not np.array_equal(first, first[first]):
            first = first[first]
    return in_order_of_appearance(first)


def _grids(rows: Float[np.ndarray, "n d"], apart: float) -> Iterator[Int[np.ndarray, " n"]]:
    """Cells of the rows' projections, in grids each a step further on than the one before.

    A grid cuts two rows that are `apart` or less in a direction only where its edge lies between them. Every edge lies
    elsewhere in each of the p + 1 grids, so that each of the p directions spoils one grid at most: in one they share a
    cell. Cells are hashed; rows of two of one hash are only compared in vain.
    """
    axes = _axes(rows)
    grids = axes.shape[1] + 1
    seen = np.concatenate([np.asarray(block, np.float64) @ axes for block in _blocks(rows)])
    odd = np.random.default_rng(1).integers(2**62, size=axes.shape[1]) * 2 + 1
    for step in range(grids):
        # A hundredth more, for what rounding does to projections.
        yield np.floor(seen / (1.01 * grids * apart) + step / grids).astype(np.int64) @ odd


def _axes(rows: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "d p"]:
    """Orthonormal directions that rows vary much in: random combinations of some of them about their mean."""
    some = np.asarray(rows[:: -(-len(rows) // _BLOCK)], np.float64)
    weights = np.random.default_rng(0).normal(size=(len(some), min(_AXES, rows.shape[1])))
    return np.linalg.qr((some - some.mean(axis=0)).T @ weights)[0]


def _link(
    rows: Float[np.ndarray, "n d"],
    numbers: Int[np.ndarray, " k"],
    cells: Int[np.ndarray, " k"],
    apart: float,
    first: Int[np.ndarray, " n"],
) -> None:
    """Write into `first`, of the numbered rows, an earlier row of the same cell that each nearly is."""
    for _ in range(_ROUNDS):
        _, leader, inverse = np.unique(cells, return_index=True, return_inverse=True)
        leaders = numbers[leader][inverse]
        behind = leaders != numbers
        numbers, cells, leaders = numbers[behind], cells[behind], leaders[behind]
        near = np.zeros(len(numbers), bool)
        for start in range(0, len(numbers), _BLOCK):
            part = slice(start, start + _BLOCK)
            difference = np.asarray(rows[numbers[part]], np.float64) - rows[leaders[part]]
            near[part] = np.einsum("ij,ij->i", difference, difference) <= apart**2
        first[numbers[near]] = leaders[near]
        numbers, cells = numbers[~near], cells[~near]


def _blocks(rows: Float[np.ndarray, "n d"]) -> Iterator[Float[np.ndarray, "k d"]]:
    return (rows[start : start + _BLOCK] for start in range(0, len(rows), _BLOCK))


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
            "copies are each other's nearest too, which lowers penetration and coverage; give each target one row"
        )


def copies_of(source: Float[np.ndarray, "m d"], target: Float[np.ndarray, "n d"]) -> dict[str, int]:
    """Sides on which most rows repeat another, as records name them, with how many do.

    Examples
    --------
    >>> copies_of(np.eye(3), np.eye(3)[[0, 0, 0, 0, 1]])
    {'repeated_targets': 3}
    """
    found = {"repeated_sources": mostly_repeat(source), "repeated_targets": mostly_repeat(target)}
    return {side: repeats for side, repeats in found.items() if repeats}


def mostly_repeat(rows: Float[np.ndarray, "n d"]) -> int:
    """How many rows repeat another where most do, as prompts of classes do; else 0, few repeats being no matter.

    Examples
    --------
    >>> mostly_repeat(np.eye(2)[[0, 1, 0, 0, 1]]), mostly_repeat(np.eye(3)[[0, 1, 2, 0]])
    (3, 0)
    """
    repeats = count_repeats(rows)
    return repeats if repeats > MOSTLY * len(rows) else 0


def warn_of_repeated_sources(source: Float[np.ndarray, "n d"]) -> None:
    """Warn that most sources repeat, as prompts of classes do, and of what is not told then."""
    repeats = mostly_repeat(source)
    if repeats:
        _warn(
            f"{_counted(repeats, source, 'source')}: the nearest rows of each are its own copies, so that penetration, "
            "coverage, Ω, recall and mixed recall hardly tell one method from another; where rows of one source are "
            "views of one thing, they also lie on both sides of a split; give each source one row, or go by label "
            "transfer"
        )


def warn_of_repeats_in_controls(source: Float[np.ndarray, "n d"]) -> None:
    """Warn that most sources repeat where known moves of them are measured, and of what these do not tell then."""
    repeats = mostly_repeat(source)
    if repeats:
        _warn(
            f"{_counted(repeats, source, 'source')}: the nearest rows of each are its own copies, so that the Ω, "
            "penetration and coverage of the diagnostic transforms are no scale to read others against; give each "
            "source one row"
        )


def _counted(repeats: int, rows: np.ndarray, side: str = "target") -> str:
    return f"{repeats:,} of {len(rows):,} {side} rows repeat another"


def _warn(message: str) -> None:
    warnings.warn(message, stacklevel=1)  # one place, so that the same is told once where Python counts
