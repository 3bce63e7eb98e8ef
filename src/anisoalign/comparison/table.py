"""What a comparison found: one flat record a method, with its spread, marked against the best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from anisoalign.diagnostics.label_transfer import guessed
from anisoalign.diagnostics.measures import comparison_text
from anisoalign.diagnostics.record import SCHEMA_VERSION
from anisoalign.diagnostics.repeats import BY_NEIGHBOURS, COPIES

HIGHER, LOWER = 1, -1
DIRECTIONS = {
    "instance_consistency": HIGHER,
    "geometry_consistency": HIGHER,
    "neighbour_consistency": HIGHER,
    "centroid_gap": LOWER,
    "target_penetration": HIGHER,
    "target_coverage": HIGHER,
    "uncentered_residual_anisotropy": LOWER,
    "paired_cosine": HIGHER,
    "recall_at_1": HIGHER,
    "recall_at_10": HIGHER,
    "reverse_recall_at_1": HIGHER,
    "reverse_recall_at_10": HIGHER,
    "mixed_recall_at_10": HIGHER,
    "reverse_mixed_recall_at_10": HIGHER,
    "mean_mixed_recall_at_10": HIGHER,
    "label_transfer": HIGHER,
    "balance": HIGHER,
}
"""Metrics of a comparison and which way is better."""

_NO_BETTER_ABOVE_ONE = ("target_penetration", "target_coverage")
"""Metrics that a perfect mixture brings to 1 and clumps beyond: what is above counts as 1 for the marks."""

_OF_THE_TARGETS_FRAME = frozenset(
    (
        "instance_consistency",
        "geometry_consistency",
        "neighbour_consistency",
        "balance",
        "centroid_gap",
        "uncentered_residual_anisotropy",
        "paired_cosine",
        "label_transfer",
    )
)
"""Metrics that change with the frame: of rows against sources as they are, by cosines with targets, which move too, or
of a use in which rows stand for targets as they are. Ranks and hits among the targets of either frame can be held
against each other."""

DIAL_METRICS = ("geometry_consistency", "target_penetration", "target_coverage", "balance")
"""What is kept along a method's dial, and with pairs recall in the plain and in the mixed pool."""

REAL = "real-target"
REFERENCE = "realign"
METHOD, CONTROL, ORACLE = "method", "control", "oracle"
_LEAST_ROOM = 0.005
"""Accuracy that real targets must gain on ReAlign for shares of it to mean anything, where splits are few."""


@dataclass
class MethodScores:
    """One method's metrics over the repeats: lists of equal length, one entry a repeat.

    `costs` are times and sizes, which differ from run to run; `dial` holds scores at other strengths, and
    `strengths` those that the method used, repeat by repeat, where it keeps them.
    `frame` is that in which the method puts rows, "target" or "common".
    `kind` is "method", "control" (identity, random replacement) or "oracle" (needs pairs, or is the real
    target); only methods compete for the marks.
    """

    method: str
    kind: str = METHOD
    scores: dict[str, list[float]] = field(default_factory=dict)
    costs: dict[str, list[float]] = field(default_factory=dict)
    dial: dict[float, dict[str, list[float]]] = field(default_factory=dict)
    strengths: list[float] = field(default_factory=list)
    chooses_strength: bool = False
    frame: str = "target"

    def spend(self, **costs: float) -> None:
        """Append what one repeat cost."""
        for name, value in costs.items():
            self.costs.setdefault(name, []).append(value)

    def turn(self, strength: float, metrics: dict[str, float]) -> None:
        """Append one repeat at another strength of the same method."""
        kept = self.dial.setdefault(strength, {})
        for name in (*DIAL_METRICS, "recall_at_10", "mixed_recall_at_10"):
            if name in metrics:
                kept.setdefault(name, []).append(metrics[name])

    def add(self, metrics: dict[str, float]) -> None:
        """Append one repeat."""
        for name, value in metrics.items():
            self.scores.setdefault(name, []).append(value)


def refusals(refused: Mapping[str, str]) -> list[str]:
    """Which methods were refused, and why: a line a reason.

    Examples
    --------
    >>> refusals({"a": "too few rows", "b": "no frame", "a:frame=common": "too few rows"})
    ['a, a:frame=common: too few rows', 'b: no frame']
    """
    return [
        f"{', '.join(name for name, reason in refused.items() if reason == why)}: {why}"
        for why in dict.fromkeys(refused.values())
    ]


@dataclass
class Comparison:
    """Result of `compare`.

    Attributes
    ----------
    methods : list of MethodScores
    protocol : dict
        Rows of each part (by item, in the split that has fewest), repeats, seed, k; where most rows of a side repeat
        another, how many: `repeated_sources`, `repeated_targets`; with labels the share of target rows that have the
        most common one: `label_majority`.
    refused : dict
        Methods that would not be fitted on these sets, and why; they have no record.
    """

    methods: list[MethodScores]
    protocol: dict[str, Any]
    refused: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return comparison_text(self.to_dicts())

    def to_dicts(self) -> list[dict[str, Any]]:
        """One flat record a method: every metric's mean, its standard error as `<metric>_se`, and its mark.

        `<metric>_mark` is "best", or "within_noise" where the difference to the best, paired by repeat, is
        within two standard errors; for it penetration and coverage above 1 count as 1.
        A method of a common frame has none by metrics that change with the frame, unless all methods are of one.
        Of a single repeat, whose spread is unknown, there are neither errors nor marks.
        Where label transfer was measured in fewer repeats than all, `label_transfer_repeats` says in how many.
        Where most rows of a side repeat another there are no marks by what goes by neighbours, which are their own
        copies; none by label transfer where real targets do no better than always saying the most common label.
        `closed` is the share of the gap from ReAlign to real targets in label
        transfer that the method closes, left out where real targets are not above ReAlign by two standard errors. Where
        dials were turned, `dial_strength` is a list of strengths, `dial_<metric>` the means there, over the first
        `dial_repeats` repeats only, and `dial_own_balance` the method's own balance in those. The mean of the
        strengths that AnisoAlign used is `strength_used`; where it chose them itself, their range is `strength_lowest`
        and `strength_highest`.
        """
        marks = {metric: self._marks(metric) for metric in DIRECTIONS}
        return [self._record(entry, marks) for entry in self.methods]

    def costs(self) -> list[dict[str, Any]]:
        """One flat record a method, in the same order: medians of seconds and rates, and the size of the model.

        Apart from `to_dicts`, since times differ from run to run where all else is the same.
        """
        return [{name: float(np.median(values)) for name, values in entry.costs.items()} for entry in self.methods]

    def _record(self, entry: MethodScores, marks: dict[str, dict[str, str]]) -> dict[str, Any]:
        record = {
            "schema_version": SCHEMA_VERSION,
            "method": entry.method,
            "kind": entry.kind,
            **self.protocol,
        }
        for metric, values in entry.scores.items():
            record[metric] = float(np.mean(values))
            if len(values) > 1:
                record[f"{metric}_se"] = standard_error(values)
            if entry.method in marks.get(metric, {}):
                record[f"{metric}_mark"] = marks[metric][entry.method]
        measured = len(entry.scores.get("label_transfer", ()))
        if 0 < measured < self.protocol.get("repeats", 0):
            record["label_transfer_repeats"] = measured
        if entry.strengths:
            record["strength_used"] = float(np.mean(entry.strengths))
            if entry.chooses_strength:
                record["strength_lowest"], record["strength_highest"] = min(entry.strengths), max(entry.strengths)
        if entry.dial:
            strengths = sorted(entry.dial)
            record["dial_strength"] = strengths
            record["dial_repeats"] = len(entry.dial[strengths[0]]["geometry_consistency"])
            record["dial_own_balance"] = float(np.mean(entry.scores["balance"][: record["dial_repeats"]]))
            for metric in entry.dial[strengths[0]]:
                record[f"dial_{metric}"] = [float(np.mean(entry.dial[t][metric])) for t in strengths]
        closed = self.closed(entry)
        if closed is not None:
            record["closed"] = closed[0]
            if len(entry.scores["label_transfer"]) > 1:
                record["closed_se"] = closed[1]
        return record

    def scores_of(self, method: str, metric: str) -> list[float] | None:
        """A method's values of a metric, one a repeat, or None."""
        for entry in self.methods:
            if entry.method == method:
                return entry.scores.get(metric)
        return None

    def closed(self, entry: MethodScores) -> tuple[float, float] | None:
        """Mean and standard error of (method − ReAlign) / (mean real − mean ReAlign) in label transfer.

        None without labels, and where real targets are not above ReAlign: there is no share of a way that is none.
        """
        own = entry.scores.get("label_transfer")
        base, real = self.scores_of(REFERENCE, "label_transfer"), self.scores_of(REAL, "label_transfer")
        if own is None or base is None or real is None:
            return None
        if not has_room(base, real):
            return None
        gains = (np.asarray(own) - np.asarray(base)) / (np.mean(real) - np.mean(base))
        return float(np.mean(gains)), standard_error(gains)

    def _marks(self, metric: str) -> dict[str, str]:
        if metric in BY_NEIGHBOURS and (COPIES & self.protocol.keys()):
            return {}
        if metric == "label_transfer" and self._labels_are_guessed():
            return {}
        most = 1.0 if metric in _NO_BETTER_ABOVE_ONE else np.inf
        rivals = {entry.method: np.minimum(entry.scores[metric], most) for entry in self._rivals(metric)}
        if len(rivals) < 2 or min(map(len, rivals.values())) < 2:
            return {}
        sign = DIRECTIONS[metric]
        best = max(rivals, key=lambda name: sign * rivals[name].mean())
        marks = {best: "best"}
        for name, values in rivals.items():
            behind = sign * (rivals[best] - values)
            if name != best and behind.mean() <= 2.0 * standard_error(behind):
                marks[name] = "within_noise"
        return marks

    def _labels_are_guessed(self) -> bool:
        """Whether real targets do no better than who always says the most common label."""
        real = self.scores_of(REAL, "label_transfer")
        return real is not None and guessed(
            float(np.mean(real)), standard_error(real), self.protocol.get("label_majority")
        )

    def _rivals(self, metric: str) -> list[MethodScores]:
        """Methods that can be held against each other by a metric: of one frame, where it changes with that."""
        able = [entry for entry in self.methods if entry.kind == METHOD and metric in entry.scores]
        among_targets = [entry for entry in able if entry.frame == "target"]
        return among_targets if among_targets and metric in _OF_THE_TARGETS_FRAME else able


def has_room(base: Sequence[float] | np.ndarray, real: Sequence[float] | np.ndarray) -> bool:
    """Whether real targets are above ReAlign in label transfer by two standard errors of the paired difference.

    Examples
    --------
    >>> has_room([0.70, 0.72], [0.80, 0.81]), has_room([0.70, 0.72], [0.75, 0.68])
    (True, False)
    """
    way = np.asarray(real) - np.asarray(base)
    return bool(way.mean() > max(2.0 * standard_error(way), _LEAST_ROOM))


def standard_error(values: Any) -> float:
    """Standard error of a mean over repeats; 0 for a single repeat, whose spread is unknown."""
    return float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0
