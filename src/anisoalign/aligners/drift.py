"""Whether new rows are like the sources that a model was fitted on, told from a sample of them.

A map of sources makes nothing useful of targets, or of rows that it has mapped before, and no row alone shows which it
is: the mean of many does.
"""

from __future__ import annotations

import itertools
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from anisoalign.aligners.origins import source_of
from anisoalign.embeddings import EmbeddingSet, InputError, open_embeddings
from anisoalign.geometry.spectra import participation
from anisoalign.statistics import Moments
from anisoalign.statistics.moments import SAME

if TYPE_CHECKING:
    from anisoalign.aligners.base import Aligner

FEWEST = 20
"""Rows below which drift is not told from chance."""
SAMPLE = 4096
"""Rows looked at, at most."""
STRETCHES = 16
"""Places of a file from which they are read, since a compressed file is read whole for rows spread all over it."""
BATCHES = 8
"""Stretches that a file's rows are cut into at least, to see whether neighbours are alike."""
ALIKE = 8
"""Rows that count as one where moments alone are known, which do not tell of neighbours such as an image's captions."""
NARROW = 8.0
"""Effective dimension where the covariance is not known; a real one is rarely lower."""
DEVIATIONS = 6.0
"""Sampling errors that a mean or an energy may be off before new rows count as drifted."""
_BLOCK = 1024


class AlignmentWarning(UserWarning):
    """Something about the data makes a result less trustworthy than it looks."""


def remember_sources(model: Aligner, source: Moments) -> None:
    """Keep with a model what its sources' moments say that new rows can be held against; nothing of a few rows."""
    for name in ("source_mean_", "source_energy_", "source_dimension_"):
        vars(model).pop(name, None)  # of sources that were fitted before
    if source.n < FEWEST or source.trace <= SAME:
        return
    model.source_mean_ = source.mean.copy()
    model.source_energy_ = {"energy": float(source.trace), "rows": source.n / ALIKE}
    known = source.m2 is not None and source.m2.ndim == 2
    model.source_dimension_ = participation(source.covariance) if known else NARROW


def warn_of_drift(model: Aligner, source: Any) -> None:
    """Warn whoever called `transform` where rows are not like the fitted sources; models that know none say nothing.

    Bad rows, and sets that cannot be read, are left to the pass over all rows, which names them.
    """
    mean = getattr(model, "source_mean_", None)
    mean = getattr(model, "start_source_mean_", None) if mean is None else mean
    fitted = getattr(model, "source_energy_", None)
    if mean is None or fitted is None or getattr(source, "ndim", 2) != 2:
        return
    try:
        rows = _looked_at(source)
        if rows.dim != len(mean) or rows.rows < FEWEST or _is_told_of(model, rows):
            return
        seen = _sample(rows)
    except InputError:
        return
    if len(seen) and (told := drift(seen, mean, fitted, model.source_dimension_)):
        warnings.warn(
            f"these rows have drifted from the fitted sources: {told}; {_cure(model, seen.mean(axis=0), mean)}",
            AlignmentWarning,
            stacklevel=3,
        )


def _is_told_of(model: Aligner, rows: EmbeddingSet) -> bool:
    """Whether rows say themselves that they are not like the sources, which `check_source` refuses or tells."""
    now, then = rows.provenance, source_of(model) or {}
    if now is None:
        return False
    kinds = {now.get("modality"), then.get("modality")} - {None}
    return now.get("aligned_by") != then.get("aligned_by") or len(kinds) > 1


def _looked_at(source: Any) -> EmbeddingSet:
    if isinstance(source, Tensor) and source.device.type != "cpu":
        return open_embeddings(source[:: -(-len(source) // SAMPLE) or 1])  # no more than is looked at comes over
    return open_embeddings(source)


def _sample(rows: EmbeddingSet) -> Float[np.ndarray, "n d"]:
    """At most `SAMPLE` unit rows: of memory spread evenly, of files from a few places."""
    if rows.path is None or rows.rows <= SAMPLE:
        return rows.sample(SAMPLE, 0, np.float64)
    long = SAMPLE // STRETCHES
    first = np.arange(STRETCHES) * (rows.rows - long) // (STRETCHES - 1)
    # Places of a set that is barely longer than the sample may overlap.
    return rows.take(np.unique(first[:, None] + np.arange(long)), np.float64).values


def _cure(model: Aligner, now: np.ndarray, mean: np.ndarray) -> str:
    """What to do about it: rows far nearer to where targets lay, or to where rows are put, are no sources at all."""
    away = np.linalg.norm(now - mean)
    places = (model.target_mean_, model._centre())
    if min(float(np.linalg.norm(now - place)) for place in places) < away / 2:
        return (
            "they lie where targets do, or aligned rows: targets are mapped by model.targets() (--side target), rows "
            "that were mapped already not again"
        )
    return "fit again, or, where rows of both sides are mixed, map each side by itself"


def drift_statistics(rows: Float[np.ndarray, "n d"], mean: Float[np.ndarray, " d"]) -> dict[str, Any]:
    """Mean and spread of ‖y − μy‖² over fitted sources, and how many independent ones they are worth."""
    energy, spread = _energies(rows, mean)
    return {"energy": energy, "spread": spread, "rows": effective_rows(rows)}


def effective_rows(rows: Float[np.ndarray, "n d"]) -> float:
    """How many independent rows would have a mean as sure as these: fewer where neighbours in a file are alike.

    The captions of an image stand side by side. By batch means: rows are cut into stretches, and n is divided by the
    mean square between them over that of all rows, which is 1 where rows are independent.

    Examples
    --------
    >>> import numpy as np
    >>> rows = np.random.default_rng(0).normal(size=(1000, 64))
    >>> round(effective_rows(rows), -2), round(effective_rows(np.repeat(rows[:200], 5, axis=0)), -2)
    (1000.0, 200.0)
    """
    n = len(rows)
    batches = max(BATCHES, round(n ** (1 / 3)))
    if n < 2 * batches:
        return float(n)
    edges = np.arange(batches + 1) * n // batches
    means = np.array([rows[a:b].mean(axis=0, dtype=np.float64) for a, b in itertools.pairwise(edges)])
    sizes = np.diff(edges)
    centre = sizes @ means / n
    total = sum(float(((rows[a:b] - centre) ** 2).sum()) for a, b in itertools.pairwise(edges)) / (n - 1)
    between = float(sizes @ ((means - centre) ** 2).sum(axis=1)) / (batches - 1)
    return n / max(1.0, between / total) if total > 0 else float(n)


def drift(
    rows: Float[np.ndarray, "n d"], mean: Float[np.ndarray, " d"], fitted: dict[str, Any], dimension: float
) -> str:
    """How new rows differ from the fitted ones in mean or energy, beyond sampling error; empty if they do not.

    For n rows with tr Σ = E the squared distance of means is E (1/n + 1/N) on average, with a standard deviation
    of that times sqrt(2 / effective dimension); n and N are counted by `effective_rows`. Energies are compared where
    their spread over the fitted rows is known.
    """
    share = 1 / effective_rows(rows) + 1 / fitted["rows"]
    expected = fitted["energy"] * share
    distance = float(((rows.mean(axis=0) - mean) ** 2).sum())
    if distance > expected * (1 + DEVIATIONS * (2 / max(dimension, 1.0)) ** 0.5) + 1e-9:
        return f"their mean is {distance**0.5:.3f} away, where {expected**0.5:.3f} is sampling error"
    if "spread" not in fitted:
        return ""
    energy, spread = _energies(rows, mean)
    if abs(energy - fitted["energy"]) > DEVIATIONS * max(fitted["spread"], spread) * share**0.5 + 1e-9:
        return f"their energy about the mean is {energy:.3f}, not {fitted['energy']:.3f}"
    return ""


def _energies(rows: Float[np.ndarray, "n d"], mean: Float[np.ndarray, " d"]) -> tuple[float, float]:
    """Mean and spread of ‖y − μy‖²."""
    blocks = (rows[i : i + _BLOCK] for i in range(0, len(rows), _BLOCK))
    energy = np.concatenate([((block - mean) ** 2).sum(axis=1) for block in blocks])
    return float(energy.mean()), float(energy.std())
