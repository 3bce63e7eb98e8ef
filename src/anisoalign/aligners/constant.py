"""Sides that are one row over and over: less its own mean, as in a common frame, nothing is left of such a side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from anisoalign.aligners.contents import Value
from anisoalign.embeddings import InputError
from anisoalign.statistics import Moments

SIDES = Value(
    "which sides do not vary", lambda found: found in (["source"], ["target"], ["source", "target"]), needed=False
)


class NoCommonFrameError(InputError):
    """A side is one row over and over, of which nothing is left less its own mean."""


def constant_sides(source: Moments, target: Moments) -> list[str]:
    """The sides of a fit that do not vary but for rounding.

    Examples
    --------
    >>> import numpy as np
    >>> rows = np.eye(4)
    >>> constant_sides(Moments.empty(4).update(rows[[0, 0]]), Moments.empty(4).update(rows))
    ['source']
    """
    return [side for side, moments in (("source", source), ("target", target)) if not moments.varies]


def remember_constant(model: Any, sides: Sequence[str]) -> None:
    """Keep with a model which sides do not vary, for when it changes its frame; nothing where both do."""
    vars(model).pop("constant_sides_", None)  # of sets that were fitted before
    if sides:
        model.constant_sides_ = list(sides)


def refuse_constant(frame: str, sides: Sequence[str]) -> None:
    """Raise NoCommonFrameError where a side that does not vary would be mapped into a common frame."""
    if frame == "common" and sides:
        raise NoCommonFrameError(
            f"all {sides[0]} rows are the same: less their mean nothing is left of them, so that there is no common "
            "frame; frame='target' there is"
        )
