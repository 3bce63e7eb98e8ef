"""Split, fit every method on one part, measure on the other, repeat."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from anisoalign.aligners import Aligner, parse_method
from anisoalign.aligners.oracle import ORACLES
from anisoalign.aligners.oracle.base import Oracle
from anisoalign.comparison.split import MINIMUM_ROWS, Split, split
from anisoalign.comparison.table import CONTROL, METHOD, ORACLE, REAL, REFERENCE, Comparison, MethodScores
from anisoalign.diagnostics.alignment import alignment_metrics, default_k
from anisoalign.diagnostics.label_transfer import label_transfer
from anisoalign.embeddings import InputError
from anisoalign.statistics import Moments, Order

DEFAULT_METHODS = (
    "identity",
    "mean-shift",
    "c3",
    "standardize",
    "realign",
    "blockwise-covariance",
    "whiten-color",
    "gaussian-transport:shrinkage=0.3,strength=0.25",
    "gaussian-transport:shrinkage=0.3,strength=0.5",
    "gaussian-transport:shrinkage=0.3,strength=0.75",
    "gaussian-transport:shrinkage=0.3",
    "gaussian-transport",
    "memory-projection",
    "random-target",
    "aniso-align",
)
CONTROLS = ("identity", "random-target")
_ORDERS: tuple[Order, ...] = ("mean", "diagonal", "full")


def compare_rows(
    source: np.ndarray,
    target: np.ndarray,
    *,
    paired: bool = False,
    source_labels: Sequence[str] | np.ndarray | None = None,
    target_labels: Sequence[str] | np.ndarray | None = None,
    methods: Sequence[str] = DEFAULT_METHODS,
    repeats: int = 30,
    seed: int = 0,
    k: int | None = None,
    progress: Callable[[str], None] | None = None,
) -> Comparison:
    """Compare methods on arrays of unit rows under the protocol of method.md section 5.

    Parameters
    ----------
    source, target : ndarray, shapes (m, d) and (n, d), unit rows
        Where m = n they are split in step, since row i of both may be one item. Everything is done in their type,
        float32 or float64.
    paired : bool
        Row i of both is one item: adds the metrics that need pairs, and the oracle rows.
    source_labels, target_labels : sequences, optional
        One label a row; with both, label transfer and `closed` are measured.
    methods : sequence of str
        `NAME` or `NAME:param=value,...`; ReAlign is added where labels are given, as the zero of `closed`.
    repeats : int
        Splits, with seeds `seed`, `seed` + 1, ….
    progress : callable, optional
        Called with the name of each method after each repeat of it.

    Raises
    ------
    InputError
        On pairs of unequal length, too few rows, or labels of the wrong length.
    """
    _check(source, target, paired, source_labels, target_labels, repeats, k)
    labelled = source_labels is not None and target_labels is not None
    specs = list(dict.fromkeys(methods))
    if labelled and REFERENCE not in specs:
        specs.insert(0, REFERENCE)
    makers: dict[str, tuple[str, Callable[[], Any]]] = {}
    for spec in specs:
        parse_method(spec)  # a misspelt method is found before anything is fitted
        makers[spec] = (CONTROL if spec in CONTROLS else METHOD, lambda spec=spec: parse_method(spec))
    if paired:
        makers |= {name: (ORACLE, oracle) for name, oracle in ORACLES.items()}
    entries = {name: MethodScores(name, kind) for name, (kind, _) in makers.items()}
    real = MethodScores(REAL, ORACLE)
    yl, xl = (np.asarray(source_labels), np.asarray(target_labels)) if labelled else (None, None)
    part = None
    for repeat in range(repeats):
        part = split(len(source), len(target), seed + repeat)
        fit_y, fit_x = source[part.fit_source], target[part.fit_target]
        test_y, test_x = source[part.test_source], target[part.test_target]
        moments: dict[Order, tuple[Moments, Moments]] = {order: _moments(fit_y, fit_x, order) for order in _ORDERS}
        for name, (_, maker) in makers.items():
            try:
                model = _fit(maker(), fit_y, fit_x, moments, source, target, part)
            except ValueError as error:  # a parameter out of range
                raise InputError(f"{name}: {error}") from error
            aligned = _transform(model, test_y, first=len(fit_y))
            metrics = alignment_metrics(test_y, test_x, aligned, paired=paired, k=k, seed=seed + repeat).to_dict()
            for key in ("schema_version", "rows_source", "rows_target", "k"):
                del metrics[key]
            if yl is not None and xl is not None:
                train = _transform(model, fit_y, first=0)
                metrics["label_transfer"] = label_transfer(train, yl[part.fit_source], test_x, xl[part.test_target])
            entries[name].add(metrics)
            if progress is not None:
                progress(name)
        if xl is not None:
            real.add({"label_transfer": label_transfer(fit_x, xl[part.fit_target], test_x, xl[part.test_target])})
            if progress is not None:
                progress(REAL)
    assert part is not None
    protocol = {
        "rows_fit_source": len(part.fit_source),
        "rows_fit_target": len(part.fit_target),
        "rows_test_source": len(part.test_source),
        "rows_test_target": len(part.test_target),
        "k": default_k(len(part.test_source), len(part.test_target)) if k is None else k,
        "repeats": repeats,
        "seed": seed,
    }
    return Comparison([*entries.values(), *([real] if labelled else [])], protocol)


def steps(methods: int, repeats: int, paired: bool, labelled: bool) -> int:
    """How often `progress` will be called at most."""
    return repeats * (methods + (len(ORACLES) if paired else 0) + (2 if labelled else 0))


def _moments(source: np.ndarray, target: np.ndarray, order: Order) -> tuple[Moments, Moments]:
    dim = source.shape[1]
    return Moments.empty(dim, order).update(source), Moments.empty(dim, order).update(target)


def _fit(
    model: Aligner | Oracle,
    fit_y: np.ndarray,
    fit_x: np.ndarray,
    moments: dict[Order, tuple[Moments, Moments]],
    source: np.ndarray,
    target: np.ndarray,
    part: Split,
) -> Aligner | Oracle:
    """Fit from the moments of the split, taken once for all methods; oracles on the sources' own targets."""
    if isinstance(model, Oracle):
        return model.fit(source[part.fit_source], target[part.fit_source])
    precision = fit_y.dtype.name
    if not model.from_statistics:
        return model.fit(fit_y, fit_x, dtype=precision)
    model.fit_from_statistics(*moments[model.order])
    return model.calibrate(fit_y, dtype=precision) if model.calibrated else model


def _transform(model: Aligner | Oracle, rows: np.ndarray, first: int) -> np.ndarray:
    """Aligned rows in the type of `rows`; `first` is the row number of the first, so that draws do not repeat."""
    if isinstance(model, Oracle):
        return model.transform(rows).astype(rows.dtype, copy=False)
    return model.transform(rows, dtype=rows.dtype.name, out_dtype=rows.dtype.name, first_row=first)


def _check(
    source: np.ndarray,
    target: np.ndarray,
    paired: bool,
    source_labels: Sequence[str] | np.ndarray | None,
    target_labels: Sequence[str] | np.ndarray | None,
    repeats: int,
    k: int | None,
) -> None:
    if paired and len(source) != len(target):
        raise InputError(f"pairs need equal numbers of rows: source has {len(source)}, target {len(target)}")
    if min(len(source), len(target)) < MINIMUM_ROWS:
        raise InputError(
            f"a comparison needs at least {MINIMUM_ROWS} rows a side: source has {len(source)}, target {len(target)}"
        )
    if repeats < 1:
        raise InputError(f"repeats must be at least 1, not {repeats}")
    part = split(len(source), len(target), 0)
    most = min(len(part.test_source), len(part.test_target)) - 1
    if k is not None and not 2 <= k <= most:
        raise InputError(f"k must be between 2 and {most}, not {k}")
    if (source_labels is None) != (target_labels is None):
        raise InputError("label transfer needs labels for both sides: give source and target labels, or neither")
    for name, labels, rows in (("source", source_labels, source), ("target", target_labels, target)):
        if labels is not None and len(labels) != len(rows):
            raise InputError(f"{len(labels)} labels for {len(rows)} {name} rows")
