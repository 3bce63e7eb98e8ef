"""Spectra of covariances and the subspaces of their leading eigenvectors (docs/what-the-numbers-mean.md)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

_FLOOR = 1e-10


def eigenvalues(covariance: Float[np.ndarray, "d d"]) -> Float[np.ndarray, " d"]:
    """Eigenvalues of a covariance, largest first, rounding below zero clipped; shape (d,)."""
    return np.clip(np.linalg.eigvalsh(covariance)[::-1], 0.0, None)


def numerical_rank(values: Float[np.ndarray, " d"], noise: float = 0.0) -> int:
    """Number of eigenvalues (largest first) above max(1e-10, d·eps) times the largest, and above `noise`.

    `noise` is what rounding may have made an eigenvalue of before there were any: `Moments.noise`.
    """
    floor = max(_FLOOR, len(values) * np.finfo(np.float64).eps)
    return int(np.count_nonzero(values > max(floor * float(values[0]), noise)))


def spectral_correlation(
    x: Float[np.ndarray, " d"], y: Float[np.ndarray, " d"], noise: tuple[float, float] = (0.0, 0.0)
) -> float | None:
    """Cλ: Pearson correlation of log-eigenvalues, over those that are numerically positive in both.

    `noise` is that of either, as in `numerical_rank`. None where fewer than three eigenvalues can be compared. It is
    high even for unrelated sets: any two spectra fall. It says nothing about shared directions; `subspace_overlap`
    does.
    """
    kept = min(numerical_rank(x, noise[0]), numerical_rank(y, noise[1]))
    if kept < 3:
        return None
    return float(np.corrcoef(np.log(x[:kept]), np.log(y[:kept]))[0, 1])


def power_law_exponent(values: Float[np.ndarray, " d"], noise: float = 0.0) -> float | None:
    """Exponent a of λ_i ∝ i^{−a}: least squares in log-log over the numerically positive eigenvalues."""
    kept = numerical_rank(values, noise)
    if kept < 3:
        return None
    slope, _ = np.polyfit(np.log(np.arange(1, kept + 1)), np.log(values[:kept]), 1)
    return float(-slope)


def effective_rank(values: Float[np.ndarray, " d"]) -> float:
    """Exponential of the entropy of the normalised spectrum (Roy and Vetterli 2007), in [1, d].

    Examples
    --------
    >>> import numpy as np
    >>> round(effective_rank(np.array([1.0, 1.0, 0.0])), 6)
    2.0
    """
    p = values[values > 0] / values.sum()
    return float(np.exp(-np.sum(p * np.log(p))))


def anisotropy(values: Float[np.ndarray, " d"]) -> float:
    """Ar = λ1 / (tr Σ / d): 1 when isotropic (or nothing varies), d when all energy lies along one direction."""
    total = values.sum()
    return float(values[0] / (total / len(values))) if total > 0 else 1.0


def effective_dimension(values: Float[np.ndarray, " d"]) -> float:
    """Participation ratio tr(Σ)² / tr(Σ²) as a fraction of d, in (0, 1]; 1 where nothing varies."""
    total = values.sum()
    return float(total**2 / np.sum(values**2) / len(values)) if total > 0 else 1.0


def participation(covariance: Float[np.ndarray, "d d"]) -> float:
    """Participation ratio tr(Σ)² / tr(Σ²), in [1, d], which takes no eigenvalues; d where nothing varies.

    Examples
    --------
    >>> import numpy as np
    >>> participation(np.diag([1.0, 1.0, 0.0]))
    2.0
    """
    total = float(np.trace(covariance))
    return total**2 / float(np.sum(covariance**2)) if total > 0 else float(len(covariance))


def principal_subspace(covariance: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "d d"]:
    """Eigenvectors of a covariance as columns, largest eigenvalue first; shape (d, d)."""
    return np.linalg.eigh(covariance)[1][:, ::-1]


def leading_directions(
    covariance: Float[np.ndarray, "d d"], most: int
) -> tuple[Float[np.ndarray, " q"], Float[np.ndarray, "d q"]]:
    """The `most` largest eigenvalues, largest first, and their eigenvectors as columns: a fraction of the whole work.

    Examples
    --------
    >>> import numpy as np
    >>> leading_directions(np.diag([1.0, 3.0, 2.0]), 2)[0].round(6).tolist()
    [3.0, 2.0]
    """
    from scipy.linalg import eigh

    d = len(covariance)
    values, vectors = eigh(covariance, subset_by_index=[d - most, d - 1])
    return np.clip(values[::-1], 0.0, None), vectors[:, ::-1]


def subspace_overlap(x: Float[np.ndarray, "d q"], y: Float[np.ndarray, "d q"]) -> float:
    """O_q = ‖UxᵀUy‖²_F / q for orthonormal columns: 1 when the subspaces agree, q/d on average by chance.

    Examples
    --------
    >>> import numpy as np
    >>> subspace_overlap(np.eye(4)[:, :2], np.eye(4)[:, 1:3])
    0.5
    """
    return float(np.sum((x.T @ y) ** 2) / x.shape[1])


def spaced_ranks(d: int, most: int = 64) -> list[int]:
    """At most `most` ranks from 1 to d, about evenly spaced on a log scale.

    Examples
    --------
    >>> spaced_ranks(5), len(spaced_ranks(1000)) <= 64, spaced_ranks(1000)[-1]
    ([1, 2, 3, 4, 5], True, 1000)
    """
    return sorted({int(k) for k in np.geomspace(1, d, most).round()})
