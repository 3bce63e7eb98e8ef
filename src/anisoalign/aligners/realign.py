"""ReAlign (arXiv 2602.07026): anchor, trace, centroid."""

from __future__ import annotations

import numpy as np

from anisoalign.aligners.base import Aligner
from anisoalign.aligners.contents import Value, number
from anisoalign.statistics import Moments
from anisoalign.statistics.moments import SAME


def trace_scale(source: Moments, target: Moments) -> float:
    """S = sqrt(tr Σx / tr Σy); 1 where the source does not vary."""
    return float(np.sqrt(target.trace / source.trace)) if source.trace > SAME else 1.0


class ReAlign(Aligner):
    """z = Norm(μx + s (y − μy)) with s² = tr Σx / tr Σy, then Norm(z − mean z + μx).

    For unit rows tr Σ = 1 − ‖μ‖², so the means are all that is needed.

    Parameters
    ----------
    frame : {"target", "common"}
        Where aligned rows lie; see `Aligner.in_frame`.

    Attributes
    ----------
    scale_ : float
        s.
    weight_ : ndarray, shape ()
        s.
    bias_ : ndarray, shape (d,)
        μx − s μy.
    target_mean_ : ndarray, shape (d,)
        μx.
    calibration_mean_ : ndarray, shape (d,)
        Mean of Norm(μx + s (y − μy)) over the sources.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> text, image = rng.normal(size=(50, 4)) + [3, 0, 0, 0], rng.normal(size=(60, 4)) + [0, 3, 0, 0]
    >>> aligned = ReAlign().fit(text, image).transform(text)
    >>> aligned.mean(axis=0).argmax()
    np.int64(1)
    """

    name = "realign"
    calibrated = True

    def __init__(self, *, frame: str = "target"):
        self.frame = frame

    def _held_values(self) -> dict[str, Value]:
        return {**super()._held_values(), "scale_": number(0)}

    def _fit(self, source: Moments, target: Moments) -> None:
        self.scale_ = trace_scale(source, target)
        self.weight_ = np.array(self.scale_)
        self.bias_ = target.mean - self.scale_ * source.mean
