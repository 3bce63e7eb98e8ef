"""How metrics of an alignment are told: their names, plain words and formats, on a page as in a terminal."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

NOTHING = "–"
_WIDTH = 100
"""Columns of plain text."""


@dataclass(frozen=True)
class Measure:
    """A number of a result record: its key there and how people read it.

    Parameters
    ----------
    key : str
        Key in the JSON record.
    name : str
        Heading: the Greek name, if it has one, and a word or two.
    words : str
        What it says, for a newcomer.
    decimals : int
    """

    key: str
    name: str
    words: str
    decimals: int = 3

    def number(self, record: Mapping[str, Any]) -> str:
        """The value as text, a dash where it is absent or not finite."""
        return fixed(record.get(self.key), self.decimals)

    def spread(self, record: Mapping[str, Any]) -> str:
        """The standard error as text, empty where one split tells nothing about it."""
        value = record.get(f"{self.key}_se")
        if value is None or record.get("repeats", 2) < 2 or record.get(self.key) is None:
            return ""
        return fixed(value, self.decimals)

    def mark(self, record: Mapping[str, Any]) -> str:
        """Either "best", "within_noise" or empty, as where one split tells no noise."""
        return record.get(f"{self.key}_mark", "") if record.get("repeats", 2) > 1 else ""


COMPARED = (
    Measure(
        "geometry_consistency", "Ψ geometry kept", "semantics: correlation of cosines before and after; 1 is all kept"
    ),
    Measure(
        "neighbour_consistency",
        "Ω neighbours kept",
        "semantics: share of nearest neighbours that stay; 1 is all kept",
        2,
    ),
    Measure(
        "target_penetration",
        "penetration",
        "target: aligned rows among targets; 1 is as if they were targets",
        2,
    ),
    Measure("target_coverage", "coverage", "target: targets that have aligned rows about them; 1 is all of it", 2),
    Measure(
        "uncentered_residual_anisotropy",
        "residual anisotropy ↓",
        "how lopsided the differences of pairs on the tested rows are; 1 is even, lower is better. Fewer rows give "
        "larger values: compare within one table only",
        1,
    ),
    Measure("recall_at_10", "recall @10", "own target among the first ten targets", 2),
    Measure("mixed_recall_at_10", "mixed R@10", "the same in a pool that also holds all other aligned rows", 2),
    Measure("reverse_mixed_recall_at_10", "reverse mixed R@10", "the other way: a target asks that pool", 2),
    Measure(
        "mixed_target_share_at_10",
        "targets @10",
        "share of targets among the first ten that an aligned row finds where all targets and all other aligned rows "
        "are in one pool; about a half of as many of both that are shuffled",
        2,
    ),
    Measure("label_transfer", "label transfer", "accuracy on real targets of a classifier trained on aligned rows"),
    Measure("closed", "closed", "share of the way from ReAlign (0) to real targets (1) in label transfer", 2),
)
"""Columns of a comparison."""


def _raw(measure: Measure) -> Measure:
    return Measure(f"raw_{measure.key}", "  of raw rows", "the same of the source rows as they are", measure.decimals)


ALIGNED = (
    Measure("instance_consistency", "Φ rows kept", "semantics: mean cosine of a source row with its aligned row"),
    *COMPARED[:2],
    Measure("centroid_gap", "Δμ centroid gap", "target: distance of the centroids; 0 is none"),
    *COMPARED[2:5],
    Measure("paired_cosine", "paired cosine", "mean cosine of an aligned row with its own target"),
    Measure("recall_at_1", "recall @1", "own target is the nearest target"),
    COMPARED[5],
    Measure("reverse_recall_at_1", "reverse recall @1", "the other way: from target to aligned row"),
    Measure("reverse_recall_at_10", "reverse recall @10", "the other way: from target to aligned row"),
    *(of for measure in COMPARED[6:9] for of in (measure, _raw(measure))),
    COMPARED[9],
    Measure(
        "raw_label_transfer",
        "  of raw rows",
        "the same of one trained on the source rows as they are; compare adds one trained on real targets",
    ),
)
"""Lines of an alignment."""


def fixed(value: float | None, decimals: int) -> str:
    """A number with a true minus sign, or a dash for none.

    Examples
    --------
    >>> fixed(-0.126, 2), fixed(None, 2), fixed(-0.0001, 2)
    ('−0.13', '–', '0.00')
    """
    if value is None or not math.isfinite(value):
        return NOTHING
    text = f"{value:.{decimals}f}"
    if float(text) == 0.0:
        text = text.removeprefix("-")
    return text.replace("-", "−")


def present(measures: Sequence[Measure], records: Sequence[Mapping[str, Any]]) -> list[Measure]:
    """The measures that at least one record holds."""
    return [measure for measure in measures if any(record.get(measure.key) is not None for record in records)]


def alignment_title(record: Mapping[str, Any]) -> str:
    """What an alignment was measured on."""
    frame = "; in a common frame, each side less its own mean" if record.get("frame") == "common" else ""
    return f"{record['rows_source']:,} source and {record['rows_target']:,} target rows, k = {record['k']}{frame}"


def alignment_text(record: Mapping[str, Any]) -> str:
    """Metrics of an alignment as plain text, a line each: its name, its value, what it says."""
    measures = present(ALIGNED, [record])
    name, value = (max(map(len, cells)) for cells in zip(*((m.name, m.number(record)) for m in measures), strict=True))
    below = " " * (name + value + 4)
    lines = [
        textwrap.fill(
            m.words, _WIDTH, initial_indent=f"{m.name:{name}}  {m.number(record):>{value}}  ", subsequent_indent=below
        )
        for m in measures
    ]
    return "\n".join([alignment_title(record), *lines])


def comparison_text(records: Sequence[Mapping[str, Any]]) -> str:
    """A comparison as plain text: a line a method, a column a measure with its spread and mark, and what they say."""
    measures = present(COMPARED, records)
    lines = [["method", *(measure.name for measure in measures)]]
    lines += [[str(record["method"]), *(_compared(measure, record) for measure in measures)] for record in records]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    table = ["  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip() for line in lines]
    legend = [textwrap.fill(f"{m.name} – {m.words}", _WIDTH, subsequent_indent="  ") for m in measures]
    return "\n".join([*table, "", "* best, ≈ within noise of it", *labelled_in_fewer(records), *legend])


def labelled_in_fewer(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """A sentence where label transfer was measured in fewer splits than all.

    Examples
    --------
    >>> labelled_in_fewer([{"repeats": 30, "label_transfer_repeats": 27}])
    ['Label transfer is that of 27 of 30 splits: in the others only one label was left to train on.']
    """
    found = next((record for record in records if "label_transfer_repeats" in record), None)
    if found is None:
        return []
    return [
        f"Label transfer is that of {found['label_transfer_repeats']} of {found['repeats']} splits: in the others only "
        "one label was left to train on."
    ]


def _compared(measure: Measure, record: Mapping[str, Any]) -> str:
    spread = measure.spread(record)
    mark = {"best": " *", "within_noise": " ≈"}.get(measure.mark(record), "")
    return measure.number(record) + (f" ± {spread}" if spread else "") + mark
