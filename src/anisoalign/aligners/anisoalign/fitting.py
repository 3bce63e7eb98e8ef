"""Fit an AnisoAlign on samples: its rotation, its strength, its parts, and what is measured of them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from anisoalign.aligners.anisoalign.chosen_rotation import chosen_rotation
from anisoalign.aligners.anisoalign.chosen_strength import SMALL, chosen_strength
from anisoalign.aligners.anisoalign.correction import Correction
from anisoalign.aligners.anisoalign.correction_fit import CorrectionFit, Sample
from anisoalign.aligners.anisoalign.polar_fit import Whole
from anisoalign.aligners.anisoalign.premise import check_sizes
from anisoalign.aligners.anisoalign.settings import has_polar
from anisoalign.aligners.anisoalign.span import Span, narrow
from anisoalign.aligners.anisoalign.strength import NODES
from anisoalign.aligners.drift import drift_statistics
from anisoalign.embeddings import operations_alone
from anisoalign.geometry.spectra import participation

if TYPE_CHECKING:
    from anisoalign.aligners.anisoalign.aligner import AnisoAlign

WIDE = 1024
"""`SMALL` samples of a smaller width are left to one thread: shared products are no faster there, and far slower on a
busy machine."""


def fit_on_samples(
    model: AnisoAlign,
    whole: Whole,
    precision: np.dtype,
    stages: Callable[[str, int, int], None] | None,
    checkpoint: str | Path | None,
) -> AnisoAlign:
    """Another model, so that a fit that is interrupted leaves this one as it was, with all that samples tell.

    The samples, the largest that a fit holds, are gone before calibration passes over all sources.
    """
    moments_y, moments_x = whole.source, whole.target
    seed = int(model.seed)  # of NumPy's, which may have no room for one more
    rows_y = whole.source_rows.sample(int(model.fit_rows), seed, precision)
    rows_x = whole.target_rows.sample(int(model.fit_rows), seed + 1, precision)
    # Samples that are the sets themselves say the same.
    sampled = max(whole.source_rows.rows, whole.target_rows.rows) > model.fit_rows
    fitted = model.like()
    span = None if sampled else _span(model, rows_y, rows_x)
    few = max(len(rows_y), len(rows_x)) <= SMALL and moments_y.dim < WIDE
    with operations_alone() if few else nullcontext():
        sample = Sample(moments_y, moments_x, rows_y, rows_x, whole if sampled else None)
        sample = sample if span is None else span.sample(sample)
        fitted.rotation_ = chosen_rotation(model, sample)
        turned = model.like(rotation=fitted.rotation_)
        fitted.strength_, fitted.strength_curve_ = chosen_strength(turned, sample)
        made = CorrectionFit(turned, sample, stages, checkpoint).fit()
        if span is not None:
            made = made._replace(correction=span.lifted(made.correction))
        fitted.n_features_in_, fitted.rank_ = moments_y.dim, made.rank
        fitted.target_mean_ = moments_x.mean.copy()
        centre = moments_y.mean if len(rows_y) < whole.source_rows.rows else None
        fitted.calibration_means_ = made.correction.means(torch.from_numpy(rows_y), NODES, centre)
        _keep(fitted, made.correction)
        fitted.source_energy_ = drift_statistics(rows_y, moments_y.mean)
        fitted.source_dimension_ = participation(moments_y.covariance)
        fitted.whole_bound_ = float(fitted.correction().bounds(rows_y).max())
    check_sizes(rows_y, made.rank, min(moments_y.n, moments_x.n))
    return fitted


def _span(model: AnisoAlign, rows_y: np.ndarray, rows_x: np.ndarray) -> Span | None:
    """The span of all rows, where it is narrow; a polar stage is fitted in all dimensions."""
    is_narrow = narrow(len(rows_y) + len(rows_x), rows_y.shape[1])
    return Span.of(rows_y, rows_x) if is_narrow and not has_polar(model) else None


def _keep(fitted: AnisoAlign, correction: Correction) -> None:
    """Fitted parts as attributes, which is how models are saved."""
    for name, array in correction.arrays().items():
        # In the order of memory that a saved model comes back in: products differ in the last bit between orders.
        setattr(fitted, f"{name}_", array.copy(order="C"))
    fitted.polar_config_ = None if correction.polar is None else correction.polar.config()
