"""The shared dominant frame of two modalities."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class Frame:
    """Orthonormal basis Q of the joint dominant subspace U; its complement is V.

    Parameters
    ----------
    basis : ndarray, shape (d, r)
        Q, columns by falling eigenvalue of Σx + Σy.
    """

    basis: Float[np.ndarray, "d r"]

    @property
    def rank(self) -> int:
        """Dimension r of U."""
        return self.basis.shape[1]

    def inside(self, covariance: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "r r"]:
        """Qᵀ Σ Q, the covariance seen inside U, shape (r, r)."""
        return self.basis.T @ covariance @ self.basis

    def coverage(self, covariance: Float[np.ndarray, "d d"]) -> float:
        """tr(P_U Σ) / tr Σ, the share of energy inside U."""
        return float(np.trace(self.inside(covariance)) / np.trace(covariance))


def joint_frame(
    x: Float[np.ndarray, "d d"],
    y: Float[np.ndarray, "d d"],
    rank: int | float | None = None,
    noise: float | None = None,
) -> Frame:
    """Top-r eigenvectors of Σx + Σy.

    The ridge λI of the source moves no eigenvector, so it is not needed here.

    Parameters
    ----------
    x, y : ndarray, shape (d, d)
        Covariances of target and source.
    rank : int, float or None
        A number of directions, a share of energy in (0, 1], or None for all d.
    noise : float, optional
        Eigenvalue up to which a direction is left out whatever the rank: nothing varies there, and which of such
        directions would be taken is chance. One direction is always taken.

    Examples
    --------
    >>> import numpy as np
    >>> joint_frame(np.diag([5.0, 1.0, 0.1, 0.1]), np.diag([3.0, 2.0, 0.1, 0.1]), rank=0.9).rank
    2
    """
    values, vectors = np.linalg.eigh(x + y)
    values, vectors = np.clip(values[::-1], 0.0, None), vectors[:, ::-1]
    found = resolve_rank(values, rank)
    if noise is not None:
        found = min(found, max(1, int((values > noise).sum())))
    return Frame(np.ascontiguousarray(vectors[:, :found]))


def resolve_rank(values: Float[np.ndarray, " d"], rank: int | float | None) -> int:
    """Number of leading directions that `rank` asks for: given, by share of energy, or all."""
    d = len(values)
    if rank is None:
        return d
    if isinstance(rank, bool) or not isinstance(rank, Real):
        raise ValueError(f"rank must be a number of directions, a share of energy or None, not {rank!r}")
    if not isinstance(rank, Integral) and 0.0 < rank <= 1.0:
        total = values.sum()
        if total <= 0.0:
            return 1  # nothing varies: one direction holds all there is
        energy = np.cumsum(values) / total
        return min(d, int(np.searchsorted(energy, rank - 1e-12)) + 1)
    if float(rank).is_integer() and rank >= 1:
        return min(d, int(rank))
    raise ValueError(f"rank must be a whole number ≥ 1 or a share of energy in (0, 1], not {rank!r}")
