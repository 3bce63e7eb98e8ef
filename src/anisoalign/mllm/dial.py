"""How strongly texts are corrected for training, where whoever fitted the aligner left that open."""

from __future__ import annotations

from typing import TypeVar

from anisoalign.aligners import Aligner, AnisoAlign
from anisoalign.aligners.saving import aligner_fingerprint

Given = TypeVar("Given", bound=Aligner | None)

STRENGTH = 1.0
"""A model that learns from substitutes alone must have seen the directions in which images vary, and never ranks texts
against images: it gains by the whole correction where search, which "auto" is for, is better off with a part of it
(docs/study.md)."""


def dialled(aligner: Given, used: Aligner | None = None) -> Given:
    """The aligner to train with: at full strength if its strength was left at "auto", else as it is.

    Parameters
    ----------
    aligner : Aligner or None
    used : Aligner, optional
        The one a model was trained with before, which is kept as it is.

    Examples
    --------
    >>> import numpy as np
    >>> rows = np.random.default_rng(0).normal(size=(200, 8)) * np.linspace(2, 0.5, 8)
    >>> dialled(AnisoAlign().fit(rows[:100] + 1, rows[100:] - 1)).strength_
    1.0
    >>> dialled(AnisoAlign(strength=0.3).fit(rows[:100] + 1, rows[100:] - 1)).strength_
    0.3
    """
    if not isinstance(aligner, AnisoAlign) or aligner.fitted_with["strength"] != "auto":
        return aligner
    if used is not None and aligner_fingerprint(used) == aligner_fingerprint(aligner):
        return aligner
    return aligner.at_strength(STRENGTH)
