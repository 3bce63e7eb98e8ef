"""The strength of a model, as given or chosen on held-out rows beside simpler methods."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Event
from typing import TYPE_CHECKING, Any

import numpy as np

from anisoalign.aligners.anisoalign.held_out import aligned_at, sample_of
from anisoalign.aligners.anisoalign.settings import parse_terms
from anisoalign.aligners.anisoalign.strength import DEFAULT, FOLDS, NODES, TRANSPORTED, choose_strength
from anisoalign.aligners.base import Aligner
from anisoalign.aligners.gaussian_transport import GaussianTransport
from anisoalign.aligners.mean_shift import MeanShift
from anisoalign.aligners.parameters import in_unit_interval
from anisoalign.embeddings.workers import cores

if TYPE_CHECKING:
    from anisoalign.aligners.anisoalign.aligner import AnisoAlign
    from anisoalign.aligners.anisoalign.correction_fit import Sample

SMALL = 8192
"""Rows of a sample up to which one is small."""
SMALL_VALUES = SMALL * 512
"""Values of a sample up to which folds are fitted side by side: more would need the memory of several large fits."""
QUICK_PRIOR_STEPS = 300
"""Longest Stage I of a fit that is only measured."""


def chosen_strength(model: AnisoAlign, whole: Sample) -> tuple[float, dict[str, Any] | None]:
    """The strength to use, and where it was chosen the curve that it was chosen from.

    Parameters
    ----------
    model : AnisoAlign
        For its parameters alone.
    whole : Sample
        Unit rows of both sets, as they are or seen in their span.
    """
    from anisoalign.aligners.transforming import transform_rows

    if model.strength != "auto":
        return in_unit_interval("strength", model.strength), None
    quick = model.like(prior_steps=min(model.prior_steps, QUICK_PRIOR_STEPS))
    leaving = Event()

    def fit(fit_y: np.ndarray, fit_x: np.ndarray) -> Callable[[np.ndarray], Iterator[np.ndarray]]:
        sample = sample_of(fit_y, fit_x, whole.moments_y.within)
        ours = aligned_at(quick, sample, NODES, leaving)

        def aligned(rows: np.ndarray) -> Iterator[np.ndarray]:
            yield from ours(rows)
            for rival in _rivals():
                other = rival.fit_from_statistics(sample.moments_y, sample.moments_x).calibrate(fit_y, dtype="float64")
                yield transform_rows(other, rows, dtype="float64", out_dtype="float64")

        return aligned

    names, rows = [rival.name for rival in _rivals()], (whole.rows_y, whole.rows_x)
    workers = folds_at_once(model, *max(values.shape for values in rows))
    choice = choose_strength(*rows, fit, int(model.seed), names, workers, leaving)
    return (DEFAULT, None) if choice is None else (choice.strength, choice.to_dict())


def folds_at_once(model: AnisoAlign, rows: int, dim: int) -> int:
    """Folds that are fitted side by side, of a sample of so many rows of so many values.

    One where networks are trained: processes that train one together must do the same things in the same order.
    """
    return 1 if rows * dim > SMALL_VALUES or "refine" in parse_terms(model.terms) else min(FOLDS, cores())


def _rivals() -> tuple[Aligner, ...]:
    """The methods that are scored beside, unfitted: each fold fits its own."""
    return MeanShift(), GaussianTransport(strength=TRANSPORTED)
