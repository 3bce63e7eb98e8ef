"""Gaussian optimal transport inside the shared dominant frame, with a dial (method.md section 5)."""

from __future__ import annotations

import numpy as np

from anisoalign.aligners.base import Aligner, in_unit_interval
from anisoalign.aligners.realign import trace_scale
from anisoalign.aligners.shrinking import shrinkage_amount
from anisoalign.geometry import gaussian_transport, joint_frame
from anisoalign.statistics import Moments, shrink


class GaussianTransport(Aligner):
    """z = Norm(μx + A_t (y − μy)), calibrated, with A_t between ReAlign's scale and optimal transport.

    Inside U = span Q, the `rank` leading eigenvectors of Σx + Σy, A_t = (1 − t) s I + t T, with T the
    optimal transport map of the shrunk covariances; outside, (1 − t) s + t s_V, with s_V² the ratio of the
    traces there. At t = 0 this is ReAlign exactly.

    Parameters
    ----------
    rank : int, float or None
        Directions of U: a number, a share of energy in (0, 1], or None for half of the width.
    shrinkage : float or "auto"
        Of both covariances inside U towards their mean eigenvalue; "auto" is Ledoit–Wolf, from moments.
    strength : float
        t in [0, 1].

    Attributes
    ----------
    rank_ : int
        Directions of U.
    shrinkage_ : list of float
        Amounts used, source and target.
    scale_ : float
        s.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> text, image = rng.normal(size=(500, 8)), rng.normal(size=(600, 8)) * np.linspace(1, 2, 8)
    >>> GaussianTransport(strength=0.5).fit(text, image).transform(text).shape
    (500, 8)
    """

    name = "gaussian-transport"
    order = "full"
    calibrated = True

    def __init__(self, *, rank: int | float | None = None, shrinkage: float | str = "auto", strength: float = 1.0):
        self.rank = rank
        self.shrinkage = shrinkage
        self.strength = strength

    def _fit(self, source: Moments, target: Moments) -> None:
        t = in_unit_interval("strength", self.strength)
        d = source.dim
        sy, sx = source.covariance, target.covariance
        frame = joint_frame(sx, sy, rank=(d + 1) // 2 if self.rank is None else self.rank)
        self.shrinkage_ = [shrinkage_amount(m, self.shrinkage) for m in (source, target)]
        inside_y, inside_x = frame.inside(sy), frame.inside(sx)
        transport = gaussian_transport(shrink(inside_y, self.shrinkage_[0]), shrink(inside_x, self.shrinkage_[1]))
        rest_y = np.trace(sy) - np.trace(inside_y)
        rest_x = np.trace(sx) - np.trace(inside_x)
        self.scale_ = trace_scale(source, target)
        s_v = float(np.sqrt(rest_x / rest_y)) if rest_y > 1e-12 and rest_x > 0 else self.scale_
        outside = (1.0 - t) * self.scale_ + t * s_v
        inside = (1.0 - t) * self.scale_ * np.eye(frame.rank) + t * transport
        q = frame.basis
        self.rank_ = frame.rank
        self.weight_ = outside * np.eye(d) + q @ (inside - outside * np.eye(frame.rank)) @ q.T
        self.bias_ = target.mean - self.weight_ @ source.mean
