"""Whitening and colouring within blocks of coordinates: the predecessor's own failed variant."""

from __future__ import annotations

import numpy as np

from anisoalign.aligners.base import Aligner
from anisoalign.aligners.parameters import at_least
from anisoalign.aligners.shrinking import check_shrinkage, shrunk_covariance
from anisoalign.geometry import inverse_sqrt, sqrt_psd
from anisoalign.statistics import Moments


class BlockwiseCovariance(Aligner):
    """z = Norm(μx + W (y − μy)), W whitening–colouring within blocks of neighbouring coordinates; depends on the basis.

    Parameters
    ----------
    block : int
        Coordinates in a block; the last block may be smaller.
    shrinkage : float or "auto"
        Of both covariances towards their mean eigenvalue.
    frame : {"target", "common"}
        Where aligned rows lie; see `Aligner.in_frame`.

    Attributes
    ----------
    weight_ : ndarray, shape (d, d)
        W, block-diagonal: Σx^½ Σy^{-½} of each block of the shrunk covariances.
    bias_ : ndarray, shape (d,)
        μx − W μy.
    target_mean_ : ndarray, shape (d,)
        μx.

    Examples
    --------
    >>> import numpy as np
    >>> rows = np.random.default_rng(0).normal(size=(50, 4))
    >>> weight = BlockwiseCovariance(block=2).fit(rows, rows[:, ::-1]).weight_
    >>> float(abs(weight[:2, 2:]).max())
    0.0
    """

    name = "blockwise-covariance"
    order = "full"

    def __init__(self, *, block: int = 32, shrinkage: float | str = "auto", frame: str = "target"):
        self.block = block
        self.shrinkage = shrinkage
        self.frame = frame

    def _check_parameters(self) -> None:
        super()._check_parameters()
        at_least("block", self.block, 1)
        check_shrinkage(self.shrinkage)

    def _fit(self, source: Moments, target: Moments) -> None:
        sy, sx = shrunk_covariance(source, self.shrinkage), shrunk_covariance(target, self.shrinkage)
        self.weight_ = np.zeros_like(sx)
        for first in range(0, source.dim, self.block):
            part = slice(first, first + self.block)
            self.weight_[part, part] = sqrt_psd(sx[part, part]) @ inverse_sqrt(sy[part, part], source.noise)
        self.bias_ = target.mean - self.weight_ @ source.mean
