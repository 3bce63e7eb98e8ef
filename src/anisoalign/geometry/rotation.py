"""Rotations that bring one set to another: of the means, and by a cross-covariance. No inner product changes."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

NO_DIRECTION = 1e-6
"""Length below which a mean points nowhere; the turn is then the identity."""


def turn_between(start: Float[np.ndarray, " d"], end: Float[np.ndarray, " d"]) -> Float[np.ndarray, "d d"]:
    """The smallest rotation that gives `start` the direction of `end`; what is orthogonal to both stays.

    Moving a set's mean by translation instead adds to y_i·y_j a part that depends on how y_i and y_j lie to the mean:
    that is what mean shift and ReAlign lose in geometry consistency. The identity where either is (nearly) zero or
    they are parallel or opposite, since no plane is singled out.

    Examples
    --------
    >>> import numpy as np
    >>> turn = turn_between(np.array([2.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0]))
    >>> (turn @ np.array([2.0, 0.0, 5.0])).round(12).tolist()
    [0.0, 2.0, 5.0]
    """
    identity = np.eye(len(start))
    if min(np.linalg.norm(start), np.linalg.norm(end)) < NO_DIRECTION:
        return identity
    first, goal = start / np.linalg.norm(start), end / np.linalg.norm(end)
    across = goal - (goal @ first) * first
    sine, cosine = float(np.linalg.norm(across)), float(goal @ first)
    if sine < NO_DIRECTION:
        return identity
    plane = np.stack([first, across / sine], axis=1)
    inside = np.array([[cosine - 1.0, -sine], [sine, cosine - 1.0]])
    return identity + plane @ inside @ plane.T


def rotation_towards(
    cross: Float[np.ndarray, "d d"], fixed: Float[np.ndarray, " d"] | None = None
) -> Float[np.ndarray, "d d"]:
    """Orthogonal R with the largest tr(Rᵀ C) among those that leave `fixed` where it is (Procrustes).

    No inner product changes under R, nor any to `fixed`, so R costs no meaning however it was estimated.

    Parameters
    ----------
    cross : ndarray, shape (d, d)
        C = E[(x − μx)(y − μy)ᵀ], or an estimate of it.
    fixed : ndarray, shape (d,), optional
        A direction that R must not move; of any length, zero to leave none alone.

    Examples
    --------
    >>> import numpy as np
    >>> quarter = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    >>> np.allclose(rotation_towards(quarter * 3.0), quarter)
    True
    >>> rotation_towards(quarter * 3.0, fixed=np.array([0.0, 0.0, 2.0]))[2].tolist()
    [0.0, 0.0, 1.0]
    """
    length = 0.0 if fixed is None else float(np.linalg.norm(fixed))
    if fixed is None or length == 0.0:
        return _orthogonal_factor(cross)
    # Within an orthonormal basis of what is orthogonal to `fixed`, so that it stays to the last digit.
    along = (fixed / length)[:, None]
    basis = np.linalg.qr(along, mode="complete")[0][:, 1:]
    return along @ along.T + basis @ _orthogonal_factor(basis.T @ cross @ basis) @ basis.T


def _orthogonal_factor(matrix: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "d d"]:
    """U Vᵀ of the singular value decomposition."""
    try:
        left, _, right = np.linalg.svd(matrix)
    except np.linalg.LinAlgError:
        # LAPACK's divide and conquer may fail where many singular values are equal; the slower iteration does not.
        from scipy.linalg import svd

        left, _, right = svd(matrix, lapack_driver="gesvd")
    return left @ right
