"""The gap in three plain sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from anisoalign.diagnostics.out_of_step import CHECK_ORDER, no_more_alike

if TYPE_CHECKING:
    from anisoalign.diagnostics.gap import GapReport

MOST, PART = 0.5, 0.2
"""Shares, above chance, of the leading directions from which the sets share most of them, and part of them."""
ALIKE = 0.05
"""Mean cosines no further apart than this are alike, where cosines spread as widely as CLIP's do."""


def gap_verdict(gap: GapReport) -> list[str]:
    """Where the sets lie, what is left once the means agree, and which cosine to expect of a pair."""
    return [_place(gap), _shape(gap), _cosine(gap)]


def amount_shared(overlap: float, chance: float, p: float | None) -> str:
    """How much of their leading directions two sets share, in words that the numbers bear out.

    Chance counts for nothing: what is graded is the share of the room above it.

    Examples
    --------
    >>> amount_shared(0.95, 0.1, 0.005), amount_shared(0.23, 0.1, 0.005), amount_shared(0.11, 0.1, 0.3)
    ('most of', 'few of', 'none of')
    """
    if p is None or p > 0.01:
        return "none of"
    above = (overlap - chance) / max(1.0 - chance, 1e-12)
    return "most of" if above >= MOST else "part of" if above >= PART else "few of"


def energy_within(directions: Sequence[int], energy: Sequence[float], count: float) -> float:
    """Share of the residual's energy in its `count` leading directions, read off the curve E(K) between its points.

    Examples
    --------
    >>> energy_within([1, 2, 4], [0.5, 0.8, 1.0], 3)
    0.9
    """
    return float(np.interp(count, [0, *directions], [0.0, *energy]))


def _place(gap: GapReport) -> str:
    within, across = gap.within_source_cosine, gap.centroid_cosine
    clear = within is not None and within > across + _clearly(gap)
    near = "close to each other" if clear else "in the same place"
    size = "far apart" if gap.centroid_gap > 0.5 else "apart" if gap.centroid_gap > 0.1 else near
    sentence = f"The two sets lie {size}: their centroids are {gap.centroid_gap:.2f} from each other"
    if within is None:
        return sentence + "."
    if clear:
        return sentence + (
            f", and on average a source row has cosine {within:.2f} with another source row but {across:.2f} with a "
            f"target row, so in a mixed index, as a rule, {_outranked(gap, within)}."
        )
    if keeps_apart(gap.mixed_target_share_at_10):
        return sentence + (
            f", and on average a source row has cosine {within:.2f} with another source row and {across:.2f} with a "
            f"target row; yet of the ten rows nearest to a source {gap.mixed_target_share_at_10:.0%} are targets where "
            "half could be, so a mixed index keeps the two apart."
        )
    alike = across <= within + _clearly(gap)
    then = "treats both alike" if alike else "ranks unrelated targets before unrelated sources"
    return sentence + (
        f", and on average a source row has cosine {within:.2f} with another source row and {across:.2f} with a target "
        f"row, so a mixed index {then}."
    )


def keeps_apart(share: float | None) -> bool:
    """Whether sources have few targets among their nearest, of as many of both: half is what a mixture would give."""
    return share is not None and share < 0.25


def _clearly(gap: GapReport) -> float:
    """Difference of mean cosines that a mixed index shows: less than `ALIKE` where cosines spread by little."""
    counts = np.asarray(gap.histogram_within_source or [], np.float64)
    if not counts.sum():
        return ALIKE
    centres = (np.arange(len(counts)) + 0.5) * 2 / len(counts) - 1
    mean = counts @ centres / counts.sum()
    return min(ALIKE, 0.5 * float(np.sqrt(counts @ (centres - mean) ** 2 / counts.sum())))


def _outranked(gap: GapReport, within: float) -> str:
    """Who wins a mixed index: only pairs tell whether a row's own target still comes first."""
    if gap.paired_cosine is None:
        return "unrelated sources outrank unrelated targets"
    if within > gap.paired_cosine:
        return "sources outrank targets whatever they mean"
    return f"unrelated sources outrank unrelated targets, though not a row's own ({gap.paired_cosine:.2f})"


def _shape(gap: GapReport) -> str:
    shared = "are not shown to share directions"
    if gap.subspace_overlap is None or gap.subspace_overlap_chance is None:
        shared = (
            f"cannot be compared in {gap.q} leading directions (too few distinct rows; where no q is named, as many "
            "are compared as they span)"
        )
    else:
        amount = amount_shared(gap.subspace_overlap, gap.subspace_overlap_chance, gap.subspace_overlap_p)
        if amount != "none of":
            shared = f"share {amount} their leading directions"
        shared += f" (overlap {gap.subspace_overlap:.2f}{_fewer(gap)}, chance {gap.subspace_overlap_chance:.2f})"
    if gap.residual_ratio is None or gap.residual_effective_dimension is None:
        return (
            f"The sets {shared}, and after the means are matched their covariances still differ by "
            f"{gap.covariance_gap:.0%} of the target's{_chance(gap)}."
        )
    return (
        f"The sets {shared}; matching the means leaves {gap.residual_ratio:.0%} of the distance between pairs"
        f"{_within(gap)} ({gap.residual_anisotropy:.0f} times the mean energy along its main direction)."
    )


def _chance(gap: GapReport) -> str:
    """What chance makes of the covariance gap, where it is known: not in results of before."""
    by_chance = gap.covariance_gap_chance
    return "" if by_chance is None else f" (so many rows of one law would show {by_chance:.0%})"


def _fewer(gap: GapReport) -> str:
    """The directions compared, where rows span fewer than are compared by default."""
    size = gap.subspace_overlap_q
    return "" if size is None or size >= gap.q else f" in {size}, all that distinct rows span"


def _within(gap: GapReport) -> str:
    share = gap.residual_effective_dimension
    if share is None or not gap.residual_energy or not gap.residual_energy_k:
        return ""
    energy = energy_within(gap.residual_energy_k, gap.residual_energy, share * gap.dim)
    return f", and {share:.0%} of the dimensions hold {energy:.0%} of what is left"


def _cosine(gap: GapReport) -> str:
    low, high = gap.centroid_cosine, gap.paired_cosine_limit
    limit = f"no pairing of these rows could average above {high:.2f}; compare rows with each other, not with 1."
    if gap.paired_cosine is None or gap.paired_cosine_std is None:
        return f"Unmatched rows have cosine {low:.2f} on average, and {limit}"
    if no_more_alike(gap.paired_cosine, gap.paired_cosine_std, low, min(gap.rows_source, gap.rows_target)):
        return (
            f"A source row and its own target row have cosine {gap.paired_cosine:.2f} here, as unmatched ones have "
            f"({low:.2f}): {CHECK_ORDER}, and take no figure of pairs for one until then (only where the sets are "
            "turned against each other may pairs be like that)."
        )
    return (
        f"A source row and its own target row have cosine {gap.paired_cosine:.2f} here, give or take "
        f"{gap.paired_cosine_std:.2f}, unmatched ones {low:.2f}, and {limit}"
    )
