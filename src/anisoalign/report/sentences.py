"""What result records say, in plain sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from anisoalign.diagnostics.gap import GapReport
from anisoalign.report.wording import REAL_TARGET, Record, competing

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
    if "mixed_recall_at_10" in record and "recall_at_10" in record:
        sentences.append(
            f"{record['recall_at_10']:.0%} of the aligned rows find their own target among the first ten targets, "
            f"{record['mixed_recall_at_10']:.0%} when the pool holds the other aligned rows, too."
        )
    return sentences


def comparison_sentences(records: Sequence[Record]) -> list[str]:
    """Which method teaches most about targets, and which keeps most semantics among those that get there."""
    rivals = [record for record in records if competing(record)]
    return [*_transfer(rivals, records), *_kept(rivals)]


def _transfer(rivals: Sequence[Record], records: Sequence[Record]) -> list[str]:
    labelled = [record for record in rivals if "label_transfer" in record]
    if not labelled:
        return []
    best = max(labelled, key=lambda record: record["label_transfer"])
    near = sum(record.get("label_transfer_mark") == "within_noise" for record in labelled)
    sentence = (
        f"Labels carry over best with {best['method']}: a classifier trained on its aligned rows is right on "
        f"{best['label_transfer']:.1%} of real targets"
    )
    if near:
        sentence += f" ({near} other method{'s are' if near > 1 else ' is'} within noise of it)"
    real = next((record for record in records if record["method"] == REAL_TARGET), None)
    if real is not None:
        sentence += f"; trained on real targets it is right on {real['label_transfer']:.1%}"
    return [sentence + "."]


def _kept(rivals: Sequence[Record]) -> list[str]:
    measured = [r for r in rivals if "geometry_consistency" in r and "target_coverage" in r]
    there = [r for r in measured if min(r["target_penetration"], r["target_coverage"]) >= _REACHED]
    if there:
        best = max(there, key=lambda record: record["geometry_consistency"])
        return [
            f"Of the methods that reach the target (penetration and coverage at least {_REACHED}), {best['method']} "
            f"keeps most of the source's geometry (Ψ {best['geometry_consistency']:.2f})."
        ]
    if not measured:
        return []
    best = max(measured, key=lambda record: min(record["target_penetration"], record["target_coverage"]))
    return [
        f"No method reaches the target (penetration and coverage at least {_REACHED}); {best['method']} comes closest "
        f"with {best['target_penetration']:.2f} and {best['target_coverage']:.2f}."
    ]
