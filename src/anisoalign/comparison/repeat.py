"""One repeat of a comparison: a method fitted on one part of the rows and measured on another."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np

from anisoalign.aligners import Aligner, AnisoAlign
from anisoalign.aligners.oracle.base import Oracle
from anisoalign.aligners.transforming import transform_rows
from anisoalign.comparison.split import Split
from anisoalign.comparison.table import MethodScores
from anisoalign.diagnostics.alignment import alignment_metrics
from anisoalign.diagnostics.balance import balance
from anisoalign.diagnostics.label_transfer import Labels, as_text, label_transfer
from anisoalign.diagnostics.mixing import mixing_of_equals
from anisoalign.statistics import Moments, Order

DIAL = (0.0, 0.2, 0.5, 0.75, 1.0)
"""Strengths at which a method with a dial is measured besides its own."""
_ORDERS: tuple[Order, ...] = ("mean", "diagonal", "full")


@dataclass(frozen=True)
class Sets:
    """What is compared on: unit rows of both sets, and what is known of them."""

    source: np.ndarray
    target: np.ndarray
    paired: bool = False
    source_labels: Labels | None = None
    target_labels: Labels | None = None
    k: int | None = None

    @cached_property
    def labels(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Those of both sides as text, if there are any."""
        if self.source_labels is None or self.target_labels is None:
            return None
        return as_text(self.source_labels), as_text(self.target_labels)


class Fitted(NamedTuple):
    """A fitted method, and the seconds that its fit took."""

    model: Aligner | Oracle
    seconds: float


@dataclass
class Repeat:
    """A split of the sets, with the moments that all methods are fitted from, taken once.

    `labelled` says whether label transfer is measured.
    """

    sets: Sets
    part: Split
    seed: int
    labelled: bool = False
    moments: dict[Order, tuple[Moments, Moments]] = field(default_factory=dict)
    seconds: dict[Order, float] = field(default_factory=dict)
    turned: set[tuple] = field(default_factory=set)

    def __post_init__(self) -> None:
        part, sets = self.part, self.sets
        self.fit_y, self.fit_x = sets.source[part.fit_source], sets.target[part.fit_target]
        self.test_y, self.test_x = sets.source[part.test_source], sets.target[part.test_target]
        for order in _ORDERS:
            started = time.perf_counter()
            self.moments[order] = _moments(self.fit_y, order), _moments(self.fit_x, order)
            self.seconds[order] = time.perf_counter() - started

    def fit(self, model: Aligner | Oracle) -> Fitted:
        """Fit a method from the moments of the split, oracles on the sources' own targets."""
        started, shared = time.perf_counter(), 0.0
        if isinstance(model, Oracle):
            model.fit(self.fit_y, self.sets.target[self.part.fit_source])
        elif not model.from_statistics:
            model.fit(self.fit_y, self.fit_x, dtype=self.fit_y.dtype.name)
        else:
            shared = self.seconds[model.order]
            self._calibrated(model.fit_from_statistics(*self.moments[model.order]))
        return Fitted(model, shared + time.perf_counter() - started)

    def measure(self, fitted: Fitted, scores: MethodScores, dial: bool) -> None:
        """Map the tested rows by a fitted method, and append what is found; with `dial` at other strengths too."""
        model, started = fitted.model, time.perf_counter()
        aligned = self._transform(model, self.test_y, first=len(self.fit_y))
        scores.spend(
            fit_seconds=fitted.seconds,
            transform_rows_per_second=len(self.test_y) / max(time.perf_counter() - started, 1e-9),
            model_bytes=sum(value.nbytes for value in vars(model).values() if isinstance(value, np.ndarray)),
        )
        if isinstance(model, AnisoAlign):
            scores.strengths.append(float(model.strength_))
            scores.chooses_strength = model.strength == "auto"
        if isinstance(model, Aligner):
            scores.frame = model.fitted_frame
        target = self._targets(model)
        for strength, other in self._along_the_dial(model) if dial else ():
            scores.turn(strength, self._scores(self._transform(other, self.test_y, first=len(self.fit_y)), target))
        found = self._scores(aligned, target)
        if self.labelled and self.sets.labels is not None:
            found["label_transfer"] = self._label_transfer(
                self._transform(model, self.fit_y, first=0), self.sets.labels[0][self.part.fit_source], target
            )
        scores.add(found)

    def measure_real(self, scores: MethodScores) -> None:
        """Append what real targets reach: their labels, taught and tested by targets."""
        assert self.sets.labels is not None
        taught = self._label_transfer(self.fit_x, self.sets.labels[1][self.part.fit_target], self.test_x)
        scores.add({"label_transfer": taught})

    def _targets(self, model: Aligner | Oracle) -> np.ndarray:
        """The tested targets in the model's frame."""
        if isinstance(model, Oracle) or model.fitted_frame == "target":
            return self.test_x
        return self._transform(model.targets(), self.test_x, first=0)

    def _label_transfer(self, rows: np.ndarray, labels: np.ndarray, target: np.ndarray) -> float:
        assert self.sets.labels is not None
        return label_transfer(rows, labels, target, self.sets.labels[1][self.part.test_target])

    def _calibrated(self, model: Aligner) -> Aligner:
        return model.calibrate(self.fit_y, dtype=self.fit_y.dtype.name) if model.calibrated else model

    def _along_the_dial(self, model: Aligner | Oracle) -> Iterator[tuple[float, Aligner]]:
        """The model at each strength of `DIAL`, without refitting where it can; each family once a repeat.

        Of methods that differ in the frame alone the first is turned: curves weigh Ψ, which does not compare frames.
        """
        params = model.get_params() if isinstance(model, Aligner) else {}
        if not isinstance(model, Aligner) or "strength" not in params:
            return
        kept = (item for item in params.items() if item[0] not in ("strength", "frame"))
        family = (model.name, *sorted((key, repr(value)) for key, value in kept))
        if family in self.turned:
            return
        self.turned.add(family)
        for strength in DIAL:
            if isinstance(model, AnisoAlign):
                other = model.at_strength(strength)
            else:
                other = model.like(strength=strength).fit_from_statistics(*self.moments[model.order])
            yield strength, self._calibrated(other)

    def _scores(self, aligned: np.ndarray, target: np.ndarray) -> dict[str, float]:
        metrics = alignment_metrics(
            self.test_y, target, aligned, paired=self.sets.paired, k=self.sets.k, seed=self.seed
        ).to_dict()
        if len(aligned) != len(target):
            metrics |= mixing_of_equals(target, aligned, metrics["k"], self.seed)._asdict()
        for key in ("schema_version", "rows_source", "rows_target", "k"):
            del metrics[key]
        reached = min(metrics["target_penetration"], metrics["target_coverage"])
        metrics["balance"] = balance(metrics["geometry_consistency"], reached)
        if self.sets.paired:
            both = metrics["mixed_recall_at_10"] + metrics["reverse_mixed_recall_at_10"]
            metrics["mean_mixed_recall_at_10"] = both / 2
        return metrics

    @staticmethod
    def _transform(model: Aligner | Oracle, rows: np.ndarray, first: int) -> np.ndarray:
        """Aligned rows in the type of `rows`; `first` is the number of the first, so that draws do not repeat."""
        if isinstance(model, Oracle):
            return model.transform(rows).astype(rows.dtype, copy=False)
        return transform_rows(model, rows, dtype=rows.dtype.name, out_dtype=rows.dtype.name, first_row=first)


def _moments(rows: np.ndarray, order: Order) -> Moments:
    return Moments.empty(rows.shape[1], order).update(rows)
