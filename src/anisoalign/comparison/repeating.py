"""Split, fit every method on one part, measure on the other, repeat."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from anisoalign.aligners import Aligner, parse_method
from anisoalign.aligners.anisoalign.premise import PremiseError
from anisoalign.aligners.constant import NoCommonFrameError
from anisoalign.aligners.oracle import ORACLES
from anisoalign.aligners.oracle.base import Oracle
from anisoalign.comparison.items import items_of_pairs
from anisoalign.comparison.repeat import Fitted, Repeat, Sets
from anisoalign.comparison.split import MINIMUM_ROWS, Split, split
from anisoalign.comparison.table import CONTROL, METHOD, ORACLE, REAL, REFERENCE, Comparison, MethodScores, refusals
from anisoalign.diagnostics.alignment import default_k
from anisoalign.diagnostics.label_transfer import (
    Labels,
    can_teach,
    check_can_teach,
    check_labels_meet,
    largest_share,
    warn_of_rare_labels,
)
from anisoalign.diagnostics.repeats import copies_of
from anisoalign.embeddings import InputError
from anisoalign.embeddings.arguments import check_seed, check_whole

DEFAULT_METHODS = (
    "identity",
    "mean-shift",
    "mean-shift:frame=common",
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
    "aniso-align:frame=common",
)
CONTROLS = ("identity", "random-target")
DIAL_REPEATS = 5
"""Repeats in which dials are turned at most: curves are for looking at, the table is for deciding."""


def compare_rows(
    source: np.ndarray,
    target: np.ndarray,
    *,
    paired: bool = False,
    source_labels: Labels | None = None,
    target_labels: Labels | None = None,
    methods: Sequence[str] | str = DEFAULT_METHODS,
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
    methods : sequence of str, or one
        `NAME` or `NAME:param=value,...`; ReAlign is added where labels are given, as the zero of `closed`.
    repeats : int
        Splits, with seeds `seed`, `seed` + 1, ….
    dials : bool
        Also measure every method that has a strength at those of `repeat.DIAL`, in the first `DIAL_REPEATS` repeats.
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
    asked = _specs(methods)
    check_whole(k=k, repeats=repeats)
    check_seed(seed)
    sets = Sets(source, target, paired, source_labels, target_labels)
    _check(sets, repeats)
    items = items_of_pairs(target) if paired and items is None else items
    parts = [split(len(source), len(target), seed + number, items) for number in range(repeats)]
    rows = _least_rows(parts)
    sets = replace(sets, k=_neighbours(rows, k))
    added = [REFERENCE] if sets.labels is not None and REFERENCE not in asked else []
    specs = [*added, *asked]
    fits = fits_of(specs)  # a misspelt method is found before anything is fitted
    makers = {spec: partial(parse_method, spec) for spec in specs}
    entries = {spec: MethodScores(spec, CONTROL if spec in CONTROLS else METHOD) for spec in specs}
    if paired:
        fits += [[name] for name in ORACLES]
        makers |= ORACLES
        entries |= {name: MethodScores(name, ORACLE) for name in ORACLES}
    real = MethodScores(REAL, ORACLE)
    refused: dict[str, str] = {}
    done = progress or (lambda name: None)
    labelled = _labelled(sets, parts)
    for number, part in enumerate(parts):
        repeat = Repeat(sets, part, seed + number, labelled[number])
        for names in fits:
            fitted = None
            for name in (name for name in names if name not in refused):
                try:
                    fitted = _fit(repeat, name, makers[name](), fitted)
                except PremiseError as error:  # what cannot be fitted can be in neither frame
                    why = f"{error.reason}; with the parameter force=true it is measured all the same"
                    refused |= dict.fromkeys(names, why)
                except NoCommonFrameError as error:
                    refused[name] = str(error)
                else:
                    repeat.measure(fitted, entries[name], dials and number < DIAL_REPEATS)
                    done(name)
        if labelled[number]:
            repeat.measure_real(real)
            done(REAL)
    if all(spec in refused for spec in asked):  # what was added beside them is no answer
        raise InputError("; ".join(refusals(refused)))
    measured = [entry for name, entry in entries.items() if name not in refused]
    how = "by item" if items is not None else "in step" if len(source) == len(target) else "apart"
    protocol = {**rows, "k": sets.k, "split": how, "repeats": repeats, "seed": seed}
    protocol |= copies_of(source, target)
    if sets.labels is not None:
        protocol["label_majority"] = largest_share(sets.labels[1])
    return Comparison([*measured, *([real] if any(labelled) else [])], protocol, refused)


def fits_of(specs: Sequence[str]) -> list[list[str]]:
    """Methods by the fits that they take: those that differ in the frame alone share one, the target's frame first.

    Examples
    --------
    >>> fits_of(["mean-shift:frame=common", "c3", "mean-shift"])
    [['c3'], ['mean-shift', 'mean-shift:frame=common']]
    """
    models = {spec: parse_method(spec) for spec in dict.fromkeys(specs)}
    found: dict[str, list[str]] = {}
    for spec, model in sorted(models.items(), key=lambda item: item[1].frame != "target"):
        alike = model.like(frame="target") if "frame" in model.get_params() else model
        found.setdefault(repr(alike), []).append(spec)
    return list(found.values())


def _fit(repeat: Repeat, name: str, model: Aligner | Oracle, other: Fitted | None) -> Fitted:
    """A method fitted in a repeat; another that was, and differs from it in the frame alone, is put into its frame."""
    try:
        if other is None or not isinstance(other.model, Aligner) or not isinstance(model, Aligner):
            return repeat.fit(model)
        return other._replace(model=other.model.in_frame(model.frame))
    except (PremiseError, NoCommonFrameError, np.linalg.LinAlgError):
        raise  # ValueErrors as well, but the last is no fault of the input, and the others refuse this method alone
    except ValueError as error:  # a parameter out of range
        raise InputError(f"{name}: {error}") from error


def _labelled(sets: Sets, parts: Sequence[Split]) -> list[bool]:
    """In which splits label transfer is measured: of all methods and of real targets, or `closed` had no pairs."""
    if sets.labels is None:
        return [False] * len(parts)
    y, x = sets.labels
    found = [can_teach(y[part.fit_source]) and can_teach(x[part.fit_target]) for part in parts]
    if not all(found):
        rare = min((y, x), key=lambda labels: len(labels) - np.unique(labels, return_counts=True)[1].max())
        warn_of_rare_labels(rare, found.count(False), len(found), "splits")
    return found


def _least_rows(parts: Sequence[Split]) -> dict[str, int]:
    """Rows of each part in the split that has fewest: by item they differ, as items have any number of rows."""
    names = ("fit_source", "fit_target", "test_source", "test_target")
    return {f"rows_{name}": min(len(getattr(part, name)) for part in parts) for name in names}


def _neighbours(rows: dict[str, int], k: int | None) -> int:
    """One number of neighbours for all splits; InputError where some split has too few rows for it or at all."""
    needed = MINIMUM_ROWS // 5
    if min(rows.values()) < needed:
        raise InputError(
            f"too few different items: a part of a split has {min(rows.values())} rows, {needed} are needed"
        )
    tested = min(rows["rows_test_source"], rows["rows_test_target"])
    if k is not None and not 2 <= k < tested:
        raise InputError(f"k must be between 2 and {tested - 1}, not {k}")
    return default_k(tested) if k is None else k


def steps(methods: int, repeats: int, paired: bool, labelled: bool) -> int:
    """How often `progress` will be called at most."""
    return repeats * (methods + (len(ORACLES) if paired else 0) + (2 if labelled else 0))


def _specs(methods: Sequence[str] | str) -> list[str]:
    """Each method once; InputError for what is no name, as an aligner is."""
    specs = [methods] if isinstance(methods, str) else list(methods)
    for spec in specs:
        if not isinstance(spec, str):
            raise InputError(f"methods are named, as 'realign' or 'c3:noise=0.05', not given as {spec!r}")
    if not specs:
        raise InputError("no method is named: give at least one, as 'realign' or 'c3:noise=0.05'")
    return list(dict.fromkeys(specs))


def _check(sets: Sets, repeats: int) -> None:
    rows = {"source": len(sets.source), "target": len(sets.target)}
    both = f"source has {rows['source']}, target {rows['target']}"
    if sets.paired and rows["source"] != rows["target"]:
        raise InputError(f"pairs need equal numbers of rows: {both}")
    if min(rows.values()) < MINIMUM_ROWS:
        raise InputError(f"a comparison needs at least {MINIMUM_ROWS} rows a side: {both}")
    if repeats < 1:
        raise InputError(f"repeats must be at least 1, not {repeats}")
    labels = {"source": sets.source_labels, "target": sets.target_labels}
    if (labels["source"] is None) != (labels["target"] is None):
        raise InputError("label transfer needs labels for both sides: give source and target labels, or neither")
    for side, known in labels.items():
        if known is not None and len(known) != rows[side]:
            raise InputError(f"{len(known)} labels for {rows[side]} {side} rows")
    if sets.labels is not None:
        check_labels_meet(*sets.labels)
        for side, known in zip(rows, sets.labels, strict=True):
            check_can_teach(side, known)
