"""Maps between Gaussians: square roots of covariances and the optimal transport map."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float


class _Spectrum(NamedTuple):
    """Of a positive semi-definite matrix, whose square roots are then at hand."""

    values: Float[np.ndarray, " d"]
    vectors: Float[np.ndarray, "d d"]

    @classmethod
    def of(cls, matrix: Float[np.ndarray, "d d"]) -> _Spectrum:
        return cls(*np.linalg.eigh((matrix + matrix.T) / 2))

    def root(self) -> Float[np.ndarray, "d d"]:
        return (self.vectors * np.sqrt(np.clip(self.values, 0.0, None))) @ self.vectors.T

    def inverse_root(self, noise: float) -> Float[np.ndarray, "d d"]:
        rounding = max(float(self.values[-1]), 0.0) * len(self.values) * np.finfo(np.float64).eps
        kept = self.values > max(rounding, noise)
        roots = np.where(kept, 1.0 / np.sqrt(np.where(kept, self.values, 1.0)), 0.0)
        return (self.vectors * roots) @ self.vectors.T


def sqrt_psd(matrix: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "d d"]:
    """Symmetric square root of a positive semi-definite matrix, shape (d, d).

    Examples
    --------
    >>> import numpy as np
    >>> sqrt_psd(np.diag([4.0, 0.0])).tolist()
    [[2.0, 0.0], [0.0, 0.0]]
    """
    return _Spectrum.of(matrix).root()


def inverse_sqrt(matrix: Float[np.ndarray, "d d"], noise: float = 0.0) -> Float[np.ndarray, "d d"]:
    """Symmetric (pseudo-)inverse square root, shape (d, d); directions below rounding are sent to zero.

    So are those of an eigenvalue up to `noise`, what rounding of the rows may have made: `Moments.noise`.

    Examples
    --------
    >>> import numpy as np
    >>> inverse_sqrt(np.diag([4.0, 0.0])).tolist()
    [[0.5, 0.0], [0.0, 0.0]]
    """
    return _Spectrum.of(matrix).inverse_root(noise)


def gaussian_transport(
    source: Float[np.ndarray, "d d"], target: Float[np.ndarray, "d d"], noise: float = 0.0
) -> Float[np.ndarray, "d d"]:
    """Linear part of the optimal transport map from N(·, source) to N(·, target), shape (d, d).

    T = S^{-1/2} (S^{1/2} Σ S^{1/2})^{1/2} S^{-1/2}, the only symmetric positive map with T S T = Σ
    (Knott and Smith 1984). Directions in which the source varies by no more than `noise` are sent to zero.

    Examples
    --------
    >>> import numpy as np
    >>> gaussian_transport(np.diag([1.0, 4.0]), np.diag([9.0, 1.0])).round(12)
    array([[3. , 0. ],
           [0. , 0.5]])
    """
    spectrum = _Spectrum.of(source)
    root, inverse = spectrum.root(), spectrum.inverse_root(noise)
    transport = inverse @ sqrt_psd(root @ target @ root) @ inverse
    return (transport + transport.T) / 2
