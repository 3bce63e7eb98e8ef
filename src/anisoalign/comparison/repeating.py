"""Split, fit every method on one part, measure on the other, repeat."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from anisoalign.aligners import Aligner, AnisoAlign, parse_method
from anisoalign.aligners.anisoalign.premise import PremiseError
from anisoalign.aligners.oracle import ORACLES
from anisoalign.aligners.oracle.base import Oracle
from anisoalign.comparison.items import items_of_pairs
from anisoalign.comparison.split import MINIMUM_ROWS, Split, split
from anisoalign.comparison.table import CONTROL, METHOD, ORACLE, REAL, REFERENCE, Comparison, MethodScores
from anisoalign.diagnostics.alignment import alignment_metrics, default_k
from anisoalign.diagnostics.label_transfer import check_labels_meet, label_transfer
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
DIAL = (0.0, 0.2, 0.5, 0.75, 1.0)
"""Strengths at which a method with a dial is measured besides its own."""
DIAL_REPEATS = 5
"""Repeats in which dials are turned at most: curves are for looking at, the table is for deciding."""


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
    dials: bool = False,
    items: tuple[np.ndarray, np.ndarray] | None = None,
    progress: Callable[[str], None] | None = None,
) -> Comparison:
    """Compare methods on arrays of unit rows under the protocol of docs/benchmarks.md.

    Parameters
    ----------
    source, target : ndarray, shapes (m, d) and (n, d), unit rows
        Where m = n they are split in step, since row i of both may be one item; see `items`. Everything is done in
        their type, float32 or float64.
    paired : bool
        Row i of both is one item: adds the metrics that need pairs, and the oracle rows.
    source_labels, target_labels : sequences, optional
        One label a row; with both, label transfer and `closed` are measured.
    methods : sequence of str
        `NAME` or `NAME:param=value,...`; ReAlign is added where labels are given, as the zero of `closed`.
    repeats : int
        Splits, with seeds `seed`, `seed` + 1, ….
    dials : bool
        Also measure every method that has a strength at those of `DIAL`, in the first `DIAL_REPEATS` repeats.
    items : two arrays of int, optional
        Item of each source and each target row: all rows of an item go to one part of a split. By default, with
        `paired`, pairs with equal targets are of one item, else every row is its own.
    progress : callable, optional
        Called with the name of each method after each repeat of it.

    Returns
    -------
    Comparison
        A method that refuses these sets in any repeat is left out, with the reason in `refused`.

    Raises
    ------
    InputError
        On pairs of unequal length, too few rows, or labels of the wrong length; where each of `methods` refuses.
    """
    _check(source, target, paired, source_labels, target_labels, repeats)
    items = items_of_pairs(target) if paired and items is None else items
    _check_parts(split(len(source), len(target), seed, items), k)
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
    part, refused = None, {}
    for repeat in range(repeats):
        part = split(len(source), len(target), seed + repeat, items)
        fit_y, fit_x = source[part.fit_source], target[part.fit_target]
        test_y, test_x = source[part.test_source], target[part.test_target]
        moments: dict[Order, tuple[Moments, Moments]] = {}
        passes: dict[Order, float] = {}
        for order in _ORDERS:
            started = time.perf_counter()
            moments[order] = _moments(fit_y, fit_x, order)
            passes[order] = time.perf_counter() - started

        def scores(aligned: np.ndarray, y: np.ndarray = test_y, x: np.ndarray = test_x, at: int = repeat) -> dict:
            return _scores(y, x, aligned, paired, k, seed + at)

        turned: set[tuple] = set()
        for name, (_, maker) in makers.items():
            if name in refused:
                continue
            started = time.perf_counter()
            try:
                model = _fit(maker(), fit_y, fit_x, moments, source, target, part)
            except PremiseError as error:
                refused[name] = f"{error.reason}; with the parameter force=true it is measured all the same"
                continue
            except np.linalg.LinAlgError:
                raise  # a ValueError as well, but no fault of the input
            except ValueError as error:  # a parameter out of range
                raise InputError(f"{name}: {error}") from error
            fitted = time.perf_counter()
            aligned = _transform(model, test_y, first=len(fit_y))
            ended = time.perf_counter()
            shared = passes[model.order] if isinstance(model, Aligner) and model.from_statistics else 0.0
            entries[name].spend(
                fit_seconds=shared + fitted - started,
                transform_rows_per_second=len(test_y) / max(ended - fitted, 1e-9),
                model_bytes=sum(value.nbytes for value in vars(model).values() if isinstance(value, np.ndarray)),
            )
            metrics = scores(aligned)
            if isinstance(model, AnisoAlign):
                entries[name].strengths.append(float(model.strength_))
                entries[name].chooses_strength = model.strength == "auto"
            if dials and repeat < DIAL_REPEATS:
                for strength, other in _along_the_dial(model, turned, moments, fit_y):
                    entries[name].turn(strength, scores(_transform(other, test_y, first=len(fit_y))))
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
    if all(spec in refused for spec in methods):  # what was added beside them is no answer
        raise InputError("; ".join(f"{name}: {why}" for name, why in refused.items()))
    protocol = {
        "rows_fit_source": len(part.fit_source),
        "rows_fit_target": len(part.fit_target),
        "rows_test_source": len(part.test_source),
        "rows_test_target": len(part.test_target),
        "split": "apart" if items is None and len(source) != len(target) else "in step" if items is None else "by item",
        "k": default_k(len(part.test_source), len(part.test_target)) if k is None else k,
        "repeats": repeats,
        "seed": seed,
    }
    measured = [entry for name, entry in entries.items() if name not in refused]
    return Comparison([*measured, *([real] if labelled else [])], protocol, refused)


def balance(metrics: dict[str, float]) -> float:
    """Harmonic mean of geometry kept and target reached, both at most 1: nothing for one of them alone.

    Examples
    --------
    >>> balance({"geometry_consistency": 1.0, "target_penetration": 0.5, "target_coverage": 0.9})
    0.6666666666666666
    """
    kept = max(metrics["geometry_consistency"], 0.0)
    reached = min(metrics["target_penetration"], metrics["target_coverage"], 1.0)
    return 2 * kept * reached / max(kept + reached, 1e-12)


def _scores(
    source: np.ndarray, target: np.ndarray, aligned: np.ndarray, paired: bool, k: int | None, seed: int
) -> dict[str, float]:
    metrics = alignment_metrics(source, target, aligned, paired=paired, k=k, seed=seed).to_dict()
    for key in ("schema_version", "rows_source", "rows_target", "k"):
        del metrics[key]
    return {**metrics, "balance": balance(metrics)}


def _along_the_dial(
    model: Aligner | Oracle,
    turned: set[tuple],
    moments: dict[Order, tuple[Moments, Moments]],
    fit_y: np.ndarray,
) -> Iterator[tuple[float, Aligner]]:
    """The model at each strength of `DIAL`, without refitting where it can; each family once a repeat."""
    params = model.get_params() if isinstance(model, Aligner) else {}
    if not isinstance(model, Aligner) or "strength" not in params:
        return
    family = (model.name, *sorted((key, repr(value)) for key, value in params.items() if key != "strength"))
    if family in turned:
        return
    turned.add(family)
    for strength in DIAL:
        if isinstance(model, AnisoAlign):
            other = model.at_strength(strength)
        else:
            other = type(model)(**{**params, "strength": strength}).fit_from_statistics(*moments[model.order])
        yield strength, other.calibrate(fit_y, dtype=fit_y.dtype.name) if other.calibrated else other


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
) -> None:
    if paired and len(source) != len(target):
        raise InputError(f"pairs need equal numbers of rows: source has {len(source)}, target {len(target)}")
    if min(len(source), len(target)) < MINIMUM_ROWS:
        raise InputError(
            f"a comparison needs at least {MINIMUM_ROWS} rows a side: source has {len(source)}, target {len(target)}"
        )
    if repeats < 1:
        raise InputError(f"repeats must be at least 1, not {repeats}")
    if (source_labels is None) != (target_labels is None):
        raise InputError("label transfer needs labels for both sides: give source and target labels, or neither")
    for name, labels, rows in (("source", source_labels, source), ("target", target_labels, target)):
        if labels is not None and len(labels) != len(rows):
            raise InputError(f"{len(labels)} labels for {len(rows)} {name} rows")
    if source_labels is not None and target_labels is not None:
        check_labels_meet(source_labels, target_labels)


def _check_parts(part: Split, k: int | None) -> None:
    least = min(map(len, (part.fit_source, part.fit_target, part.test_source, part.test_target)))
    if least < MINIMUM_ROWS // 5:
        raise InputError(f"too few different items: a part of a split has {least} rows, {MINIMUM_ROWS // 5} are needed")
    most = min(len(part.test_source), len(part.test_target)) - 1
    if k is not None and not 2 <= k <= most:
        raise InputError(f"k must be between 2 and {most}, not {k}")
