"""Paired ridge regression: the best linear map."""

from __future__ import annotations

import numpy as np

from anisoalign.aligners.oracle.base import Oracle

ALPHAS = tuple(10.0**power for power in np.arange(-3.0, 2.01, 0.5))


class Ridge(Oracle):
    """z = Norm(W y + b) by ridge regression of targets on sources. **Needs pairs.**

    Parameters
    ----------
    alphas : sequence of float
        Penalties tried; the one with the smallest leave-one-out error is taken.

    Attributes
    ----------
    weight_ : ndarray, shape (d, d)
        W.
    bias_ : ndarray, shape (d,)
        b.
    n_features_in_ : int
        Width d.
    alpha_ : float
        The penalty taken.

    Examples
    --------
    >>> import numpy as np
    >>> from anisoalign.geometry import normalize
    >>> rng = np.random.default_rng(0)
    >>> y, turn = normalize(rng.normal(size=(200, 4))), np.linalg.qr(rng.normal(size=(4, 4)))[0]
    >>> z = Ridge().fit(y, y @ turn).transform(y)
    >>> bool(np.allclose(z, y @ turn, atol=1e-3))
    True
    """

    name = "oracle-ridge"

    def __init__(self, *, alphas: tuple[float, ...] = ALPHAS):
        self.alphas = alphas

    def _fit(self, y: np.ndarray, x: np.ndarray) -> None:
        from sklearn.linear_model import RidgeCV

        model = RidgeCV(alphas=self.alphas).fit(y, x)
        self.weight_, self.bias_ = np.asarray(model.coef_), np.asarray(model.intercept_)
        self.alpha_ = model.alpha_
