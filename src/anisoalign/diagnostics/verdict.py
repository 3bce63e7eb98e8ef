"""The gap in three plain sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from anisoalign.diagnostics.gap import GapReport

ASKED = 0.25
"""The paired cosine that every CLIP user asks about."""


def gap_verdict(gap: GapReport) -> list[str]:
    """Where the sets lie, what is left once the means agree, and whether a paired cosine of 0.25 is normal."""
    return [_place(gap), _shape(gap), _cosine(gap)]


def _place(gap: GapReport) -> str:
    size = "far apart" if gap.centroid_gap > 0.5 else "apart" if gap.centroid_gap > 0.1 else "in the same place"
    sentence = f"The two sets lie {size}: their centroids are {gap.centroid_gap:.2f} from each other"
    within, across = gap.within_source_cosine, gap.centroid_cosine
    if within is None:
        return sentence + "."
    if within > across + 0.05:
        return sentence + (
            f", and a source row has cosine {within:.2f} with another source row but {across:.2f} with a target "
            f"row, so in a mixed index {_outranked(gap, within)}."
        )
    return sentence + (
        f", and a source row has cosine {within:.2f} with another source row and {across:.2f} with a target row, "
        "so a mixed index treats both alike."
    )


def _outranked(gap: GapReport, within: float) -> str:
    """Who wins a mixed index: only pairs tell whether a row's own target still comes first."""
    if gap.paired_cosine is None:
        return "unrelated sources outrank unrelated targets"
    if within > gap.paired_cosine:
        return "sources outrank targets whatever they mean"
    return f"unrelated sources outrank unrelated targets, though not a row's own ({gap.paired_cosine:.2f})"


def _shape(gap: GapReport) -> str:
    shared = "are not shown to share directions"
    if gap.subspace_overlap is None:
        shared = f"cannot be compared in {gap.q} leading directions (too few distinct rows)"
    elif gap.subspace_overlap_p is not None and gap.subspace_overlap_p <= 0.01:
        shared = (
            f"share leading directions (overlap {gap.subspace_overlap:.2f}, chance {gap.subspace_overlap_chance:.2f})"
        )
    if gap.residual_ratio is None or gap.residual_effective_dimension is None:
        return (
            f"The sets {shared}, and after the means are matched their covariances still differ by "
            f"{gap.covariance_gap:.0%} of the target's."
        )
    return (
        f"The sets {shared}; matching the means leaves {gap.residual_ratio:.0%} of the distance between pairs, "
        f"and what is left is concentrated in {gap.residual_effective_dimension:.0%} of the dimensions "
        f"({gap.residual_anisotropy:.0f} times the mean energy along its main direction)."
    )


def _cosine(gap: GapReport) -> str:
    low, high = gap.centroid_cosine, gap.paired_cosine_limit
    if gap.paired_cosine is not None and gap.paired_cosine_std is not None:
        near = abs(gap.paired_cosine - ASKED) <= max(2.0 * gap.paired_cosine_std, 0.005)  # the printed precision
        answer = "is to be expected here" if near else "is not what to expect here"
        return (
            f"A paired cosine near {ASKED} {answer}: matched pairs have {gap.paired_cosine:.2f} ± "
            f"{gap.paired_cosine_std:.2f}, unmatched ones {low:.2f}, and no pairing of these rows could average "
            f"above {high:.2f}; compare rows with each other, not with 1."
        )
    answer = "is possible here, and pairs would tell" if low <= ASKED <= high else "is not what to expect here"
    return (
        f"A paired cosine near {ASKED} {answer}: unmatched rows average {low:.2f} and no pairing of rows that lie "
        f"like these could average above {high:.2f}; compare rows with each other, not with 1."
    )
