"""Move the source's mean onto the target's."""

from __future__ import annotations

import numpy as np

from anisoalign.aligners.base import Aligner
from anisoalign.statistics import Moments


class MeanShift(Aligner):
    """z = Norm(y − μy + μx); in a common frame z = Norm(y − μy), beside targets Norm(x − μx).

    The first is the move of "Mind the Gap" at full step, and Unicorn's; the second, which centres both sides, goes by
    the names GR-CLIP, I0T post-processing and C3 "collapse".

    Parameters
    ----------
    frame : {"target", "common"}
        Where aligned rows lie; see `Aligner.in_frame`.

    Attributes
    ----------
    weight_ : ndarray, shape ()
        1.
    bias_ : ndarray, shape (d,)
        μx − μy.
    target_mean_ : ndarray, shape (d,)
        μx.

    Examples
    --------
    >>> import numpy as np
    >>> rows = np.random.default_rng(0).normal(size=(50, 4))
    >>> MeanShift().fit(rows, rows + 1.0).transform(rows).shape
    (50, 4)
    """

    name = "mean-shift"

    def __init__(self, *, frame: str = "target"):
        self.frame = frame

    def _fit(self, source: Moments, target: Moments) -> None:
        self.weight_, self.bias_ = np.array(1.0), target.mean - source.mean
