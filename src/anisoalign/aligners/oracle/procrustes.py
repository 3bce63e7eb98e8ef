"""Paired Procrustes: the best rotation."""

from __future__ import annotations

import numpy as np

from anisoalign.aligners.oracle.base import Oracle


class Procrustes(Oracle):
    """z = Norm(μx + R (y − μy)), R the orthogonal matrix with the largest Σ (x − μx)·R(y − μy). **Needs pairs.**

    Attributes
    ----------
    weight_ : ndarray, shape (d, d)
        R.
    bias_ : ndarray, shape (d,)
        μx − R μy.
    n_features_in_ : int
        Width d.

    Examples
    --------
    >>> import numpy as np
    >>> from anisoalign.geometry import normalize
    >>> rng = np.random.default_rng(0)
    >>> y, turn = normalize(rng.normal(size=(50, 4))), np.linalg.qr(rng.normal(size=(4, 4)))[0]
    >>> bool(np.allclose(Procrustes().fit(y, y @ turn).transform(y), y @ turn))
    True
    """

    name = "oracle-procrustes"

    def _fit(self, y: np.ndarray, x: np.ndarray) -> None:
        my, mx = y.mean(axis=0), x.mean(axis=0)
        left, _, right = np.linalg.svd((x - mx).T @ (y - my))
        self.weight_ = left @ right
        self.bias_ = mx - self.weight_ @ my
