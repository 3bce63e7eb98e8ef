"""Maps between Gaussians: square roots of covariances and the optimal transport map."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def _spectral(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    floor = max(float(values[-1]), 0.0) * len(values) * np.finfo(np.float64).eps
    return values, vectors, floor


def sqrt_psd(matrix: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "d d"]:
    """Symmetric square root of a positive semi-definite matrix, shape (d, d)."""
    values, vectors, _ = _spectral(matrix)
    return (vectors * np.sqrt(np.clip(values, 0.0, None))) @ vectors.T


def inverse_sqrt(matrix: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "d d"]:
    """Symmetric (pseudo-)inverse square root; directions below rounding are sent to zero."""
    values, vectors, floor = _spectral(matrix)
    kept = values > floor
    roots = np.where(kept, 1.0 / np.sqrt(np.where(kept, values, 1.0)), 0.0)
    return (vectors * roots) @ vectors.T


def gaussian_transport(source: Float[np.ndarray, "d d"], target: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "d d"]:
    """Linear part of the optimal transport map from N(·, source) to N(·, target), shape (d, d).

    T = S^{-1/2} (S^{1/2} Σ S^{1/2})^{1/2} S^{-1/2}, the only symmetric positive map with T S T = Σ
    (Knott and Smith 1984).

    Examples
    --------
    >>> import numpy as np
    >>> gaussian_transport(np.diag([1.0, 4.0]), np.diag([9.0, 1.0])).round(12)
    array([[3. , 0. ],
           [0. , 0.5]])
    """
    root, inverse = sqrt_psd(source), inverse_sqrt(source)
    transport = inverse @ sqrt_psd(root @ target @ root) @ inverse
    return (transport + transport.T) / 2
