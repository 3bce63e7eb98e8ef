"""Move the source's mean onto the target's."""

from __future__ import annotations

import numpy as np

from anisoalign.aligners.base import Aligner
from anisoalign.statistics import Moments


class MeanShift(Aligner):
    """z = Norm(y − μy + μx).

    The same step goes by the names C3 "collapse", GR-CLIP, I0T post-processing and Unicorn, and is the move
    of "Mind the Gap" at full step.

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

    def _fit(self, source: Moments, target: Moments) -> None:
        self.weight_, self.bias_ = np.array(1.0), target.mean - source.mean
