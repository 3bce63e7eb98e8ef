"""Whiten the source, colour it like the target (CORAL)."""

from __future__ import annotations

from anisoalign.aligners.base import Aligner
from anisoalign.aligners.shrinking import check_shrinkage, shrunk_covariance
from anisoalign.geometry import inverse_sqrt, sqrt_psd
from anisoalign.statistics import Moments


class WhitenColor(Aligner):
    """z = Norm(μx + Σx^½ Σy^{-½} (y − μy)): full second-order matching (Sun et al. 2016).

    Parameters
    ----------
    shrinkage : float or "auto"
        Of both covariances towards their mean eigenvalue; "auto" is Ledoit–Wolf, from moments alone.
    frame : {"target", "common"}
        Where aligned rows lie; see `Aligner.in_frame`.

    Attributes
    ----------
    weight_ : ndarray, shape (d, d)
        W = Σx^½ Σy^{-½}, of the shrunk covariances.
    bias_ : ndarray, shape (d,)
        μx − W μy.
    target_mean_ : ndarray, shape (d,)
        μx.

    Examples
    --------
    >>> import numpy as np
    >>> rows = np.random.default_rng(0).normal(size=(50, 4))
    >>> bool(np.allclose(WhitenColor(shrinkage=0.1).fit(rows, rows.copy()).weight_, np.eye(4)))
    True
    """

    name = "whiten-color"
    order = "full"

    def __init__(self, *, shrinkage: float | str = "auto", frame: str = "target"):
        self.shrinkage = shrinkage
        self.frame = frame

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_shrinkage(self.shrinkage)

    def _fit(self, source: Moments, target: Moments) -> None:
        sy, sx = shrunk_covariance(source, self.shrinkage), shrunk_covariance(target, self.shrinkage)
        self.weight_ = sqrt_psd(sx) @ inverse_sqrt(sy, source.noise)
        self.bias_ = target.mean - self.weight_ @ source.mean
