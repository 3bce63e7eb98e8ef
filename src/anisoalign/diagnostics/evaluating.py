"""`evaluate`: how good an alignment is, from arrays, paths or sets."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np

from anisoalign.diagnostics.alignment import AlignmentReport, alignment_metrics, residual_spectrum
from anisoalign.diagnostics.label_transfer import Labels, as_text, check_can_teach
from anisoalign.diagnostics.mixed_search import FIRST, mixed_search
from anisoalign.diagnostics.mixing import pool_neighbours
from anisoalign.diagnostics.out_of_step import warn_of_no_pairs
from anisoalign.diagnostics.repeats import warn_of_repeated_sources, warn_of_repeats_in_recall
from anisoalign.embeddings import EmbeddingSet, InputError, open_embeddings
from anisoalign.embeddings.arguments import check_labels, check_seed, check_whole
from anisoalign.embeddings.paired_ids import check_ids
from anisoalign.embeddings.pairs import check_paired
from anisoalign.embeddings.provenance import in_common_frame, said_by, warn_of_encoders, warn_of_frames
from anisoalign.statistics import check_widths, float64_below

SAMPLE_ROWS = 20_000
"""Rows a side that are measured, a seeded sample where there are more."""
UNEQUAL = 0.25
"""How much longer one set may be before penetration and coverage need a word."""
_ALIGN_AGAIN = "row i of aligned must come from row i of the source: align this source again"


def evaluate(
    source: Any,
    target: Any,
    aligned: Any,
    *,
    paired: bool = False,
    source_labels: Labels | None = None,
    target_labels: Labels | None = None,
    k: int | None = None,
    sample: int = SAMPLE_ROWS,
    dtype: str = "auto",
    seed: int = 0,
    frame: str | None = None,
) -> AlignmentReport:
    """Measure an alignment Z = T(Y) against its targets (docs/what-the-numbers-mean.md).

    Parameters
    ----------
    source, aligned : array (m, d), tensor, path or EmbeddingSet
        Y and Z: row i of one became row i of the other. Where bad rows of the source were dropped, `aligned`
        holds the rows that are left.
    target : array (n, d), tensor, path or EmbeddingSet
        X.
    paired : bool
        Row i of the source belongs to row i of the target. A warning tells where rows do not look like pairs, and where
        target rows repeat; where most source rows do, or sets that are no pairs are of very unequal length, it comes
        without pairs too.
    source_labels, target_labels : sequence, optional
        One label a row. With pairs one of them is enough.
    k : int, optional
        Neighbours; 20, or 10 below 500 rows a side.
    sample : int
        Rows a side measured at most; of more a seeded sample, of pairs the same ones.
    dtype : {"auto", "float32", "float64"}
        Precision in which rows are read and measured; "auto" is float64 up to 200,000 rows measured.
    seed : int
        Of that sample, of the pairs of rows that Ψ is taken over where there are too many, and of the folds of label
        transfer.
    frame : {"target", "common"}, optional
        Where targets and aligned rows lie, "common" if each side is less its own mean; by default what the sets say,
        else "target". There is then no figure of raw rows, which lie elsewhere.

    Returns
    -------
    AlignmentReport
        Every metric as a field, None where it needs pairs or labels that were not given; ``to_dict()`` gives the JSON.

    Raises
    ------
    InputError
        On widths, row counts or label counts that do not fit together, ids that contradict that rows belong together,
        unusable rows, and a frame that there is not.

    Examples
    --------
    >>> import numpy as np
    >>> from anisoalign.aligners import ReAlign
    >>> rng = np.random.default_rng(0)
    >>> text, image = rng.normal(size=(80, 8)) + 1, rng.normal(size=(80, 8)) - 1
    >>> report = evaluate(text, image, ReAlign().fit(text, image).transform(text))
    >>> report.centroid_gap < 0.05, report.paired_cosine is None
    (True, True)
    """
    check_whole(k=k, sample=sample)
    check_seed(seed)
    if frame not in (None, "target", "common"):
        raise InputError(f"frame must be target or common, not {frame!r}")
    y = open_embeddings(source, name="source")
    x = open_embeddings(target, name="target")
    z = open_embeddings(aligned, name="aligned")
    warn_of_encoders(*((rows.name, rows.provenance) for rows in (y, x, z)))
    if frame is None:
        warn_of_frames(("targets", said_by(x)), ("aligned rows", said_by(z)))
    common = frame == "common" if frame else in_common_frame(y.provenance, said_by(x), said_by(z))
    check_widths(y, x)
    if z.dim != x.dim:
        raise InputError(f"aligned has width {z.dim}, target has width {x.dim}")
    if paired:
        check_paired([y, x])
    check_labels("source", source_labels, y.rows)
    check_labels("target", target_labels, x.rows)
    if not paired and (source_labels is None) != (target_labels is None):
        raise InputError("label transfer needs labels for both sides where rows are not paired")
    labels_y, labels_x = (None if labels is None else as_text(labels) for labels in (source_labels, target_labels))
    if paired and labels_y is not None and labels_x is not None:
        apart = np.flatnonzero(labels_y != labels_x)
        if len(apart):
            i = int(apart[0])
            raise InputError(
                f"paired rows must share a label: row {i} is {str(labels_y[i])!r} in the source, "
                f"{str(labels_x[i])!r} in the target"
            )
    rows_y, rows_x, rows_z = matching_rows(y, x, z, paired, sample, seed)
    if min(len(rows_y), len(rows_x)) < 12:
        raise InputError(f"too few rows to evaluate: {len(rows_y)} source and {len(rows_x)} target rows")
    if k is not None and not 2 <= k < min(len(rows_y), len(rows_x)):
        raise InputError(f"k must be between 2 and {min(len(rows_y), len(rows_x)) - 1}, not {k}")
    if labels_y is not None:
        check_can_teach("source", labels_y[rows_y])
    elif labels_x is not None:
        check_can_teach("target", labels_x[rows_x])
    precision = float64_below(len(rows_y), dtype)
    targets, moved = x.take(rows_x, precision).values, z.take(rows_z, precision).values
    sources = y.take(rows_y, precision).values
    warn_of_repeated_sources(sources)
    if paired:
        warn_of_no_pairs((sources, targets), (moved, targets))
        warn_of_repeats_in_recall(targets)
    elif abs(len(moved) - len(targets)) > UNEQUAL * min(len(moved), len(targets)):
        warnings.warn(
            f"{len(moved):,} aligned and {len(targets):,} target rows: of sets so unequal penetration and coverage "
            "tell no method from another, since rows that lie in clumps can score above 1; take as many of both",
            stacklevel=2,
        )
    report = alignment_metrics(
        sources,
        targets,
        moved,
        paired=paired,
        source_labels=None if labels_y is None else labels_y[rows_y],
        target_labels=None if labels_x is None else labels_x[rows_x],
        k=k,
        seed=seed,
    )
    report = replace(report, **residual_spectrum(targets, moved)) if paired else report
    if common:
        return replace(report, frame="common", raw_label_transfer=None)
    raw = mixed_search(pool_neighbours(targets, sources, FIRST), len(targets), paired)
    return replace(report, **{f"raw_{key}": value for key, value in raw.items()})


def matching_rows(
    y: EmbeddingSet, x: EmbeddingSet, z: EmbeddingSet, paired: bool, sample: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row numbers of source, target and aligned that are measured: rows that belong together, at most `sample`."""
    rows_y, rows_z = _source_rows(y, z)
    check_ids(y, z, (rows_y, rows_z), _ALIGN_AGAIN)
    rows_x = _kept(x)
    if paired:
        check_paired([y, x])
        both = np.intersect1d(rows_y, rows_x, assume_unique=True)
        rows_z = rows_z[np.searchsorted(rows_y, both)]
        rows_y = rows_x = both
        check_ids(y, x, (both, both))
    chosen = _thin(len(rows_y), sample, seed)
    rows_y, rows_z = rows_y[chosen], rows_z[chosen]
    return rows_y, rows_y if paired else rows_x[_thin(len(rows_x), sample, seed)], rows_z


def _source_rows(y: EmbeddingSet, z: EmbeddingSet) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers of source and aligned that belong together."""
    kept = _kept(y)
    if y.rows == z.rows:
        rows = np.intersect1d(kept, _kept(z), assume_unique=True)
        return rows, rows
    if len(kept) == z.rows:
        return kept, np.arange(z.rows)
    raise InputError(f"aligned has {z.rows} rows, source has {y.rows}: row i of one must be row i of the other")


def _kept(embeddings: EmbeddingSet) -> np.ndarray:
    """Numbers of the rows that are not dropped; no pass where none may be."""
    return embeddings.kept() if embeddings.bad_rows == "drop" else np.arange(embeddings.rows)


def _thin(rows: int, most: int, seed: int) -> np.ndarray:
    """All row positions, or an ascending seeded sample of `most`."""
    if rows <= most:
        return np.arange(rows)
    return np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))
