"""`diagnose`: from two sets of embeddings to a report of the gap between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from anisoalign.diagnostics.cosines import CosineHistogram, CosineTally, angle_divergence, cosines_within
from anisoalign.diagnostics.gap import GapReport, add_pairs, gap_from_moments
from anisoalign.diagnostics.mixed_search import FIRST, mixed_search
from anisoalign.diagnostics.mixing import pool_neighbours
from anisoalign.diagnostics.repeats import copies_of
from anisoalign.embeddings import EmbeddingSet, InputError, open_embeddings, paired_tiles
from anisoalign.embeddings.arguments import check_seed, check_whole
from anisoalign.embeddings.paired_ids import check_ids
from anisoalign.embeddings.provenance import said_by, warn_of_encoders, warn_of_frames
from anisoalign.embeddings.same_rows import warn_of_same_rows
from anisoalign.statistics import Moments, check_widths, float64_below, measure
from anisoalign.statistics.moments import rounding_of

HISTOGRAM_ROWS = 4_000
"""Rows a side for the histograms of cosines: a seeded sample where there are more."""

MIXED_ROWS = 2_000
"""Of those, rows a side that are put into one pool."""

Progress = Callable[[int], None]


def diagnose(
    source: Any,
    target: Any,
    *,
    paired: bool = False,
    q: int | None = None,
    dtype: str = "auto",
    seed: int = 0,
    progress: Progress | None = None,
) -> GapReport:
    """Measure the modality gap between two sets (docs/what-the-numbers-mean.md).

    Parameters
    ----------
    source, target : array (n, d), tensor, path or EmbeddingSet
        Normalised on the way.
    paired : bool
        Row i of both belongs together. Without it nothing that needs pairs is reported.
    q : int, optional
        Size of the principal subspaces compared; d // 10 by default, or as many directions as the rows of both sets
        span where these are fewer. Of a size beyond that no overlap is reported.
    dtype : {"auto", "float32", "float64"}
        Precision of the passes; "auto" is float64 up to 200,000 rows.
    seed : int
        Of samples and of the permutation test.
    progress : callable, optional
        Called with the number of rows of each tile read.

    Returns
    -------
    GapReport
        Every figure as a field, None where it needs pairs and there are none; prints as a short verdict, and
        ``to_dict()`` gives the JSON.

    Raises
    ------
    InputError
        On sets of different width, pairs of different length or that ids contradict, fewer than two rows, or unusable
        rows.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> text, image = rng.normal(size=(200, 8)) + 1, rng.normal(size=(300, 8))
    >>> report = diagnose(text, image)
    >>> report.centroid_gap > 0.5, report.paired_distance is None
    (True, True)
    """
    check_whole(q=q)
    check_seed(seed)
    y, x = open_embeddings(source, name="source"), open_embeddings(target, name="target")
    warn_of_encoders((y.name, y.provenance), (x.name, x.provenance))
    warn_of_frames(*((f"{rows.name} rows", said_by(rows)) for rows in (y, x)))
    warn_of_same_rows(y, x)
    check_widths(y, x)
    for embeddings in (y, x):
        if embeddings.rows < 2:
            raise InputError(f"{embeddings.name} has {embeddings.rows} row; a diagnosis needs at least two")
    if q is not None and not 1 <= q <= y.dim:
        raise InputError(f"q must be between 1 and the width {y.dim}, not {q}")
    if paired:
        report = _diagnose_paired(y, x, q, dtype, seed, progress)
    else:
        moments = [measure(s, "full", dtype=dtype, progress=progress) for s in (y, x)]
        report = gap_from_moments(*moments, q=q, seed=seed)
    return _add_histograms(report, *_samples(y, x, paired, seed), seed)


def _diagnose_paired(
    y: EmbeddingSet, x: EmbeddingSet, q: int | None, dtype: str, seed: int, progress: Progress | None
) -> GapReport:
    precision = float64_below(y.rows, dtype)
    roundings = [rounding_of(s.dtype) for s in (y, x)]
    source, target, residual = (Moments.empty(y.dim, rounding=r) for r in (*roundings, max(roundings)))
    distance, cosines = 0.0, CosineTally()
    for a, b in _tiles(y, x, precision, progress):
        source.update(a)
        target.update(b)
        difference = b - a
        residual.update(difference)
        distance += float(np.linalg.norm(difference, axis=1).sum(dtype=np.float64))
        cosines.add(np.einsum("ij,ij->i", a, b))
    check_ids(y, x)  # only now is it known which rows are dropped
    offset = residual.mean.astype(precision)
    centered = 0.0
    for a, b in _tiles(y, x, precision, progress):
        centered += float(np.linalg.norm(b - a - offset, axis=1).sum(dtype=np.float64))
    report = gap_from_moments(source, target, q=q, seed=seed)
    report = add_pairs(report, source, target, residual, distance / source.n, centered / source.n)
    histogram = cosines.histogram()
    return replace(
        report,
        paired_cosine=histogram.mean,
        paired_cosine_std=histogram.std,
        histogram_paired=histogram.counts.tolist(),
    )


def _tiles(
    y: EmbeddingSet, x: EmbeddingSet, dtype: np.dtype, progress: Progress | None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for a, b in paired_tiles([y, x], dtype):
        yield a.values, b.values
        if progress is not None:
            progress(2 * len(a))


def _samples(y: EmbeddingSet, x: EmbeddingSet, paired: bool, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of both sets for the histograms; of pairs those that the passes kept of both."""
    rows_y, rows_x = (s.sample_rows(HISTOGRAM_ROWS, seed) for s in (y, x))
    if paired:
        rows_y = rows_x = np.setdiff1d(rows_y, [row.global_row for s in (y, x) for row in s.dropped])
    return y.take(rows_y, np.float64).values, x.take(rows_x, np.float64).values


def _add_histograms(report: GapReport, a: np.ndarray, b: np.ndarray, seed: int) -> GapReport:
    cosines_y, cosines_x = (cosines_within(rows) for rows in (a, b))
    within_y, within_x = (CosineHistogram.of(cosines) for cosines in (cosines_y, cosines_x))
    return replace(
        report,
        within_source_cosine=within_y.mean,
        within_target_cosine=within_x.mean,
        angle_divergence=angle_divergence(cosines_y, cosines_x),
        **_mixed(a, b),
        histogram_within_source=within_y.counts.tolist(),
        histogram_within_target=within_x.counts.tolist(),
        histogram_across=CosineHistogram.across(a, b, seed).counts.tolist(),
    )


def _mixed(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    """What a row finds in a pool of as many rows of both; of pairs a row and its own are both in it.

    Nothing where most rows of a side repeat: these find their own copies.
    """
    rows = min(len(a), len(b), MIXED_ROWS)
    y, x = (some[np.linspace(0, len(some) - 1, rows).astype(np.int64)] for some in (a, b))
    if rows <= FIRST + 1 or copies_of(y, x):
        return {}
    found = pool_neighbours(x, y, FIRST)
    of_targets = float((found[:rows] >= rows).mean())
    return {**mixed_search(found, rows), "mixed_source_share_at_10": of_targets}
