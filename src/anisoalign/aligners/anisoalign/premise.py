"""What must hold before a correction makes sense, and before a fitted one is applied to new rows."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
from jaxtyping import Float

from anisoalign.aligners.anisoalign.blocks import BLOCK
from anisoalign.diagnostics.gap import overlap_p_value
from anisoalign.diagnostics.repeats import count_repeats
from anisoalign.embeddings import InputError
from anisoalign.geometry.spectra import leading_directions, numerical_rank
from anisoalign.statistics import Moments
from anisoalign.statistics.moments import SAME

SIGNIFICANT = 0.01
FEWEST = 20
"""Rows a side below which subspaces are too uncertain to be compared, and drift to be told from chance."""
NARROWEST = 16
"""Width below which permuting coordinates says little."""
BATCHES = 8
"""Stretches that a file's rows are cut into at least, to see whether neighbours are alike."""
DEVIATIONS = 6.0
"""Sampling errors that a mean or an energy may be off before new rows count as drifted."""


class PremiseError(InputError):
    """The two sets share no geometry that a correction could rest on; `reason` is the message without advice."""

    def __init__(self, reason: str):
        super().__init__(f"{reason}; force=True (--force) fits all the same")
        self.reason = reason


class AlignmentWarning(UserWarning):
    """Something about the data makes a result less trustworthy than it looks."""


def check_premise(source: Moments, target: Moments, force: bool, seed: int) -> float | None:
    """Permutation p-value of the subspace overlap; None where the sets are too small to tell.

    Spectral correlation cannot serve: it is high for unrelated sets.

    Raises
    ------
    PremiseError
        If all rows of a set are the same, or the leading subspaces overlap no more than chance, unless `force`.
    """
    d = source.dim
    if min(source.n, target.n) < FEWEST or d < NARROWEST:
        return None
    same = [side for side, m in (("source", source), ("target", target)) if m.trace <= SAME]
    most = max(d // 10, min(8, d // 3))
    (ly, uy), (lx, ux) = (leading_directions(m.covariance, most) for m in (source, target))
    q = min(numerical_rank(ly, source.noise), numerical_rank(lx, target.noise))
    if q < 1 and not same:
        return None
    p = 1.0 if same else overlap_p_value(ux[:, :q], uy[:, :q], seed)
    if p > SIGNIFICANT:
        message = (
            f"source and target share no leading directions beyond chance (permutation p = {p:.2f}): "
            "are both from the same model, and about the same kind of thing? There is no shared frame to align in"
        )
        if same:
            message = f"all {same[0]} rows are the same: there is no direction that they vary in"
        if not force:
            raise PremiseError(message)
        warnings.warn(message, AlignmentWarning, stacklevel=3)
    return p


def warn_of_unread(sentences: Iterable[str]) -> None:
    """Warn whoever called `fit` of parameters that nothing reads."""
    for sentence in sentences:
        warnings.warn(sentence, AlignmentWarning, stacklevel=3)


def check_sizes(source: Float[np.ndarray, "n d"], rank: int, rows: int) -> None:
    """Warn whoever called `fit` of too few rows for the rank, and of sources that are mostly the same."""
    if rows <= rank:
        warnings.warn(
            f"{rows} rows for a frame of {rank} directions: covariances are rank-deficient and lean on shrinkage",
            AlignmentWarning,
            stacklevel=4,
        )
    different = len(source) - count_repeats(source)
    if different < len(source) / 2:
        warnings.warn(
            f"only {different} of {len(source)} sources looked at are different: what is learned rests on those",
            AlignmentWarning,
            stacklevel=4,
        )


def drift_statistics(rows: Float[np.ndarray, "n d"], mean: Float[np.ndarray, " d"]) -> dict[str, Any]:
    """Mean and spread of ‖y − μy‖² over the fitted sources, against which new rows are held."""
    energy = np.concatenate([((rows[i : i + BLOCK] - mean) ** 2).sum(axis=1) for i in range(0, len(rows), BLOCK)])
    return {"energy": float(energy.mean()), "spread": float(energy.std()), "rows": effective_rows(rows)}


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


def check_drift(
    rows: Float[np.ndarray, "n d"], mean: Float[np.ndarray, " d"], fitted: dict[str, Any], dimension: float
) -> None:
    """Warn where new rows have another mean or energy than the fitted ones, beyond sampling error.

    For n rows with tr Σ = E the squared distance of means is E (1/n + 1/N) on average, with a standard deviation
    of that times sqrt(2 / effective dimension); n and N are counted by `effective_rows`.
    """
    if len(rows) < FEWEST:
        return
    now = drift_statistics(rows, mean)
    share = 1 / now["rows"] + 1 / fitted["rows"]
    expected = fitted["energy"] * share
    distance = float(((rows.mean(axis=0) - mean) ** 2).sum())
    error = max(fitted["spread"], now["spread"]) * share**0.5
    if distance > expected * (1 + DEVIATIONS * (2 / max(dimension, 1.0)) ** 0.5) + 1e-9:
        _drifted(f"their mean is {distance**0.5:.3f} away, where {expected**0.5:.3f} is sampling error")
    elif abs(now["energy"] - fitted["energy"]) > DEVIATIONS * error + 1e-9:
        _drifted(f"their energy about the mean is {now['energy']:.3f}, not {fitted['energy']:.3f}")


def _drifted(what: str) -> None:
    warnings.warn(f"these rows have drifted from the fitted sources: {what}; fit again", AlignmentWarning, stacklevel=4)
