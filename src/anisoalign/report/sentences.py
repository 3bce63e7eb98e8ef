"""What result records say, in plain sentences."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from anisoalign.diagnostics.gap import GapReport
from anisoalign.report.wording import Record

_REACHED = 0.9
"""Share of full mixing from which a method counts as having reached the target."""


def gap_sentences(gap: Record) -> list[str]:
    """The verdict of a diagnosis, from its JSON."""
    values: dict[str, Any] = {field.name: gap.get(field.name) for field in fields(GapReport)}
    return GapReport(**values).verdict()


def alignment_sentences(record: Record) -> list[str]:
    """Is the meaning kept, and is the target reached?"""
    kept, neighbours = record["geometry_consistency"], record["neighbour_consistency"]
    size = "almost all" if kept >= 0.95 else "most" if kept >= 0.8 else "only part"
    reached = min(record["target_penetration"], record["target_coverage"])
    place = "has been reached" if reached >= _REACHED else "has been reached in part" if reached >= 0.3 else "is missed"
    sentences = [
        f"The aligned rows keep {size} of the source's geometry (Ψ {kept:.2f}; of each row's {record['k']} nearest "
        f"neighbours {neighbours:.0%} stay).",
        f"The target {place}: the centroids are {record['centroid_gap']:.3f} apart, penetration is "
        f"{record['target_penetration']:.2f} and coverage {record['target_coverage']:.2f} of what real targets would "
        "have.",
    ]
    if record.get("frame") == "common":
        sentences[0] += (
            " They lie in a common frame, each side less its own mean, and the source does not: Ψ and Ω are lower for "
            "that alone."
        )
    mirrored = "reverse_mixed_recall_at_10" in record  # not in results of before
    if "mixed_recall_at_10" in record and "recall_at_10" in record:
        sentences.append(
            f"{record['recall_at_10']:.0%} of the aligned rows find their own target among the first ten targets, "
            f"{record['mixed_recall_at_10']:.0%} when the pool holds the other aligned rows, too"
            + (f"; of the targets {record['reverse_mixed_recall_at_10']:.0%} find theirs there." if mirrored else ".")
        )
    if "mixed_target_share_at_10" in record:
        raw = record.get("raw_mixed_target_share_at_10")
        sentences.append(
            f"In one pool with all targets and all other aligned rows {record['mixed_target_share_at_10']:.0%} of the "
            "first ten rows that an aligned row finds are targets"
            + ("." if raw is None else f"; before, {raw:.0%} were.")
        )
    return sentences
