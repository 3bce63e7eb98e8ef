"""What must hold before a correction makes sense."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

import numpy as np
from jaxtyping import Float

from anisoalign.aligners.drift import FEWEST, AlignmentWarning
from anisoalign.diagnostics.gap import overlap_p_value
from anisoalign.diagnostics.repeats import count_repeats
from anisoalign.embeddings import InputError
from anisoalign.geometry.spectra import leading_directions, numerical_rank
from anisoalign.statistics import Moments
from anisoalign.statistics.moments import SAME

SIGNIFICANT = 0.01
NARROWEST = 16
"""Width below which permuting coordinates says little."""


class PremiseError(InputError):
    """The two sets share no geometry that a correction could rest on; `reason` is the message without advice."""

    def __init__(self, reason: str):
        super().__init__(f"{reason}; force=True (--force) fits all the same")
        self.reason = reason


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
