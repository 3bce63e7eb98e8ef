"""What the explorer knows: sampled rows, the model at any strength, and what is shown of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from anisoalign.aligners import Aligner, AnisoAlign
from anisoalign.aligners.origins import check_one_encoder, check_source
from anisoalign.diagnostics.alignment import default_k, geometry_consistency
from anisoalign.diagnostics.cosines import CosineHistogram
from anisoalign.diagnostics.mixing import mixing
from anisoalign.diagnostics.neighbours import neighbours
from anisoalign.embeddings import EmbeddingSet, InputError
from anisoalign.embeddings.paired_ids import check_ids
from anisoalign.report.gap_charts import cosine_range, cosine_view
from anisoalign.report.row_words import words_of
from anisoalign.report.svg import Chart
from anisoalign.statistics import Moments, check_widths, measure

NODES = tuple(round(0.1 * i, 1) for i in range(11))
"""Strengths of the curve that is drawn."""
MEASURED_ROWS = 600
"""Rows a side that penetration, coverage and Ψ are measured on, so that they follow the hand."""
NEAREST = 8
LISTED = 40
POOLS = ("mixed", "target")


@dataclass(frozen=True)
class Shown:
    """Captions and pictures by row number in the sets; what is unknown is named by its number."""

    names: Mapping[str, str]
    captions: Mapping[str, Sequence[str] | Mapping[int, str]]
    thumbnail: Callable[[int], str] | None = None

    def caption(self, side: str, row: int) -> str:
        """What a row says or shows."""
        said = self.captions.get(side, {})
        known = said.get(row) if isinstance(said, Mapping) else said[row]
        return known or f"{self.names[side]} {row}"

    def picture(self, side: str, row: int) -> str:
        """Data address of a target row's picture, or nothing."""
        return self.thumbnail(row) if self.thumbnail is not None and side == "target" else ""


class Session:
    """A fitted model on a sample of two sets.

    Parameters
    ----------
    model : Aligner
        Fitted. One with a strength is taken to every other: AnisoAlign without refitting, others by fitting again
        from the moments of all rows, once read.
    source, target : EmbeddingSet
    shown : Shown
    paired : bool
        Row i of both belongs together: own targets are marked and pairs' cosines drawn.
    sample : int
        Rows a side that are held; a seeded sample where there are more.
    force : bool
        Show what the model does to rows of another encoder or modality than it was fitted on.
    progress : callable, optional
        Called with the number of points of the curve measured.

    Raises
    ------
    InputError
        If widths, encoders or, with `paired`, numbers of rows differ, or ids contradict the pairs.
    """

    def __init__(
        self,
        model: Aligner,
        source: EmbeddingSet,
        target: EmbeddingSet,
        shown: Shown,
        *,
        paired: bool = False,
        sample: int = 2_000,
        seed: int = 0,
        force: bool = False,
        progress: Callable[[int], None] | None = None,
    ):
        check_widths(source, target)
        check_one_encoder(source, target, force)
        check_source(model, source, force)
        if paired and source.rows != target.rows:
            raise InputError(f"pairs need equal numbers of rows: source has {source.rows}, target {target.rows}")
        model = model if model.fitted_frame == "target" else model.in_frame("target")  # images are shown as they are
        self.model, self.paired, self.seed = model, paired, seed
        y = source.take(source.sample_rows(sample, seed), np.float64)
        x = target.take(y.rows if paired else target.sample_rows(sample, seed + 1), np.float64)
        if paired and len(x) < len(y):  # a bad row takes its pair along
            y = source.take(x.rows, np.float64)
        if paired:
            check_ids(source, target)
        if min(len(y), len(x)) < 30:
            raise InputError(f"too few rows to explore: {len(y)} source and {len(x)} target rows, 30 are needed")
        self.rows_y, self.rows_x, self.y, self.x = y.rows, x.rows, y.values, x.values
        # Rows lie in the order of their files, which may be sorted: the first would be no sample.
        self._drawn_y, self._drawn_x = (
            np.random.default_rng(seed).permutation(len(rows))[:MEASURED_ROWS] for rows in (self.y, self.x)
        )
        read = {"source": (source, y.rows), "target": (target, x.rows)}
        said = {side: words_of(*part) for side, part in read.items() if side not in shown.captions}
        self.shown = replace(shown, captions={**said, **shown.captions})
        self.of_rows = {"source": source.rows, "target": target.rows}
        self.dial = "strength" in model.get_params()
        self._moments = self._read_moments(source, target)
        self._lock = threading.Lock()  # torch modules are changed in place when cast
        self.aligned = lru_cache(maxsize=32)(self._aligned)
        self.measured = lru_cache(maxsize=256)(self._measured)
        self.curve = []
        for node in NODES if self.dial else (self.strength,):
            self.curve.append((node, *self.measured(node)))
            if progress is not None:
                progress(1)
        ends = sorted({self.curve[0][0], self.strength, self.curve[-1][0]})
        self._limits = cosine_range(
            [self._histograms(self.y)[0], *(self._histograms(self.aligned(t))[0] for t in ends)]
        )

    @property
    def strength(self) -> float:
        """The strength that the model was fitted with; 1 where it has no dial."""
        return float(getattr(self.model, "strength_", self.model.fitted_with.get("strength", 1.0)))

    def _read_moments(self, source: EmbeddingSet, target: EmbeddingSet) -> tuple[Moments, Moments] | None:
        if not self.dial or isinstance(self.model, AnisoAlign):
            return None
        return measure(source, self.model.order), measure(target, self.model.order)

    def _aligned(self, strength: float) -> np.ndarray:
        with self._lock:
            model = self._at(strength)
            if model.calibrated and model is not self.model:
                model.calibrate(self.y)
            return model.transform(self.y, dtype="float64", out_dtype="float64")

    def _at(self, strength: float) -> Aligner:
        if not self.dial or strength == self.strength:
            return self.model
        if isinstance(self.model, AnisoAlign):
            return self.model.at_strength(strength)
        assert self._moments is not None
        other = self.model.like(**self.model.fitted_with | {"strength": strength})
        return other.fit_from_statistics(*self._moments)

    def _measured(self, strength: float) -> tuple[float, float]:
        """Ψ and the smaller of penetration and coverage, on rows drawn from the sample."""
        y, z, x = self.y[self._drawn_y], self.aligned(strength)[self._drawn_y], self.x[self._drawn_x]
        return geometry_consistency(y, z, self.seed), min(mixing(x, z, default_k(len(z), len(x))))

    def _histograms(self, rows: np.ndarray) -> tuple[dict[str, list[int]], dict[str, float | None]]:
        z, x = rows[self._drawn_y], self.x[self._drawn_x]
        made = {
            "within_source": CosineHistogram.within(z),
            "within_target": CosineHistogram.within(x),
            "across": CosineHistogram.across(z, x, self.seed),
        }
        if self.paired:
            made["paired"] = CosineHistogram.paired(z, x)
        return {kind: h.counts.tolist() for kind, h in made.items()}, {kind: h.mean for kind, h in made.items()}

    def texts(self, search: str, offset: int) -> dict[str, Any]:
        """Source rows whose captions hold the words searched for, `LISTED` at a time."""
        words = search.lower().split()
        found = [(i, self.shown.caption("source", int(row))) for i, row in enumerate(self.rows_y)]
        hits = [(i, caption) for i, caption in found if all(word in caption.lower() for word in words)]
        page = [{"index": i, "caption": caption} for i, caption in hits[offset : offset + LISTED]]
        return {"found": len(hits), "offset": offset, "texts": page}

    def state(self, strength: float, index: int, pool: str) -> dict[str, Any]:
        """Everything on the page at a strength for a chosen text: charts, numbers, neighbours before and now."""
        aligned = self.aligned(strength)
        counts, means = self._histograms(aligned)
        kept, reached = self.measured(strength)
        names = self.shown.names
        view = cosine_view(
            f"strength {strength:g}", counts, means, self._limits, names["source"], names["target"], "cosines"
        )
        return {
            "strength": strength,
            "index": index,
            "caption": self.shown.caption("source", int(self.rows_y[index])),
            "kept": kept,
            "reached": reached,
            "cosines": view.svg,
            "trade_off": self.trade_off(strength, kept, reached),
            "before": self.nearest(self.y, index, pool),
            "now": self.nearest(aligned, index, pool),
        }

    def trade_off(self, strength: float, kept: float, reached: float) -> str:
        """The curve of the dial with the point at hand."""
        points = [(x, y) for _, y, x in self.curve]
        low_x = min([x for x, _ in points] + [reached, 0.7]) - 0.04
        low_y = min([y for _, y in points] + [kept, 0.85]) - 0.03
        chart = Chart((low_x, 1.06), (low_y, 1.02), "target reached", "meaning kept: Ψ")
        chart.line(points, "source")
        chart.dot((1.0, 1.0), "pairs", "star", 8)
        for (t, y, x), point in zip(self.curve, points, strict=True):
            chart.dot(point, "source", "circle", 3)
            chart.tip(point, f"strength {t:g}: Ψ {y:.3f}, target reached {x:.2f}")
        chart.dot((reached, kept), "method advised", "circle", 7)
        chart.tip((reached, kept), f"here, strength {strength:g}: Ψ {kept:.3f}, target reached {reached:.2f}")
        words = f"At strength {strength:g} the meaning kept is {kept:.2f} and the target reached {reached:.2f}."
        return chart.svg(words, "trade-off")

    def nearest(self, rows: np.ndarray, index: int, pool: str) -> list[dict[str, Any]]:
        """Nearest rows of a query among targets, or among targets and other sources."""
        n = len(self.x)
        candidates = self.x if pool == "target" else np.concatenate([self.x, rows])
        query = rows[index : index + 1]
        excluded = None if pool == "target" else np.array([n + index])
        places = neighbours(query, candidates, min(NEAREST, len(candidates) - 1), exclude=excluded)[0]
        found = []
        for place in places.tolist():
            side = "target" if place < n else "source"
            row = int(self.rows_x[place] if place < n else self.rows_y[place - n])
            found.append(
                {
                    "side": side,
                    "name": self.shown.names[side],
                    "caption": self.shown.caption(side, row),
                    "thumbnail": self.shown.picture(side, row),
                    "cosine": round(float(candidates[place] @ query[0]), 3),
                    "own": self.paired and side == "target" and place == index,
                }
            )
        return found

    def about(self) -> str:
        """What is shown of what there is."""
        names, counts = self.shown.names, {"source": len(self.y), "target": len(self.x)}
        told = [f"{counts[side]:,} of {self.of_rows[side]:,} {names[side]}s" for side in counts]
        rest = "" if self.dial else f" {self.model.name} has no strength: there is one point."
        measured = min(MEASURED_ROWS, *counts.values())
        return f"{' and '.join(told)} are shown; numbers are measured on {measured} of them.{rest}"
