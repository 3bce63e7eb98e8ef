"""Linear shrinkage of a covariance towards its mean eigenvalue, the amount chosen from moments alone."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from anisoalign.statistics.moments import Moments


def shrink(covariance: Float[np.ndarray, "d d"], amount: float) -> Float[np.ndarray, "d d"]:
    """(1 − a) Σ + a (tr Σ / d) I, shape (d, d); the trace is kept.

    Examples
    --------
    >>> import numpy as np
    >>> shrink(np.diag([3.0, 1.0]), 0.5)
    array([[2.5, 0. ],
           [0. , 1.5]])
    """
    d = len(covariance)
    shrunk = (1.0 - amount) * covariance
    shrunk[np.diag_indices(d)] += amount * np.trace(covariance) / d
    return shrunk


def ledoit_wolf(moments: Moments) -> float:
    """Ledoit–Wolf shrinkage of **unit rows**, exactly, from their moments.

    The estimator (Ledoit and Wolf 2004) needs E‖x − μ‖⁴, a fourth moment. For unit rows
    ‖x − μ‖² = 1 + ‖μ‖² − 2 x·μ, so that

        E‖x − μ‖⁴ = (1 − ‖μ‖²)² + 4 μᵀΣμ,

    and no second pass over the rows is needed.

    Parameters
    ----------
    moments : Moments
        Order "full", of rows of unit norm.

    Returns
    -------
    float
        Amount in [0, 1], to be handed to `shrink`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.covariance import ledoit_wolf_shrinkage
    >>> rows = np.random.default_rng(0).normal(size=(60, 8))
    >>> rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    >>> amount = ledoit_wolf(Moments.empty(8).update(rows))
    >>> bool(np.isclose(amount, ledoit_wolf_shrinkage(rows)))
    True
    """
    sigma, mean, d = moments.covariance, moments.mean, moments.space
    squared = float(np.sum(sigma * sigma))
    distance = squared - moments.trace**2 / d
    if moments.n < 2 or distance <= 0.0:
        return 1.0
    fourth = (1.0 - float(mean @ mean)) ** 2 + 4.0 * float(mean @ sigma @ mean)
    noise = (fourth - squared) / moments.n
    return float(np.clip(noise / distance, 0.0, 1.0))


def oracle_approximating(moments: Moments) -> float:
    """Oracle approximating shrinkage (Chen et al. 2010) from moments of any rows; float in [0, 1].

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.covariance import OAS
    >>> rows = np.random.default_rng(0).normal(size=(60, 8))
    >>> bool(np.isclose(oracle_approximating(Moments.empty(8).update(rows)), OAS().fit(rows).shrinkage_))
    True
    """
    sigma, d, n = moments.covariance, moments.dim, moments.n
    alpha = float(np.mean(sigma * sigma))
    mu2 = (moments.trace / d) ** 2
    denominator = (n + 1.0) * (alpha - mu2 / d)
    return 1.0 if denominator <= 0.0 else float(min((alpha + mu2) / denominator, 1.0))
