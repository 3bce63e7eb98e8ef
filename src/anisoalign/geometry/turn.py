"""The rotation that takes one direction to another and leaves all that is orthogonal to both alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

NO_DIRECTION = 1e-6
"""Length below which a mean points nowhere; the turn is then the identity."""


@dataclass(frozen=True)
class Turn:
    """Rotation by `angle` in the plane of two directions.

    Inner products do not change under it, so it costs no meaning. Moving a set's mean by translation instead adds
    to y_i·y_j a part that depends on how y_i and y_j lie to the mean: that is what mean shift and ReAlign lose in
    geometry consistency.

    Parameters
    ----------
    plane : ndarray, shape (d, 2)
        Orthonormal basis whose first column is the direction turned; zeros where there is nothing to turn.
    angle : float
        Radians in [0, π).
    """

    plane: Float[np.ndarray, "d 2"]
    angle: float

    @classmethod
    def between(cls, start: Float[np.ndarray, " d"], end: Float[np.ndarray, " d"]) -> Turn:
        """The smallest rotation that gives `start` the direction of `end`.

        The identity where either is (nearly) zero or they are parallel or opposite, since no plane is singled out.

        Examples
        --------
        >>> import numpy as np
        >>> turn = Turn.between(np.array([2.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0]))
        >>> (turn.matrix() @ np.array([2.0, 0.0, 5.0])).round(12).tolist()
        [0.0, 2.0, 5.0]
        """
        nothing = cls(np.zeros((len(start), 2)), 0.0)
        if min(np.linalg.norm(start), np.linalg.norm(end)) < NO_DIRECTION:
            return nothing
        first, goal = start / np.linalg.norm(start), end / np.linalg.norm(end)
        across = goal - (goal @ first) * first
        sine = float(np.linalg.norm(across))
        if sine < NO_DIRECTION:
            return nothing
        return cls(np.stack([first, across / sine], axis=1), float(np.arctan2(sine, goal @ first)))

    def inside(self, share: float = 1.0) -> Float[np.ndarray, "2 2"]:
        """G − I with G the rotation by `share` of the angle within the plane: R = I + P (G − I) Pᵀ."""
        cosine, sine = np.cos(share * self.angle), np.sin(share * self.angle)
        return np.array([[cosine - 1.0, -sine], [sine, cosine - 1.0]])

    def matrix(self, share: float = 1.0) -> Float[np.ndarray, "d d"]:
        """R, shape (d, d), orthogonal, by `share` of the angle."""
        return np.eye(len(self.plane)) + self.plane @ self.inside(share) @ self.plane.T
