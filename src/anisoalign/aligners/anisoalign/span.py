"""Few rows in many dimensions: a fit in the span of the rows costs the cube of its width, not of theirs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from anisoalign.aligners.anisoalign.correction import Correction
from anisoalign.aligners.anisoalign.correction_fit import Sample
from anisoalign.aligners.anisoalign.path import Start
from anisoalign.statistics import Moments

WORTH = 0.75
"""Share of the width below which the span is narrow enough to gain by it."""


@dataclass(frozen=True)
class Span:
    """An orthonormal basis B of all that both sets have rows in, and one direction more.

    Every part of a correction treats all directions alike that no row has a share in. One such direction stands for
    them: rows seen in the span have a last coordinate, which is 0, and what a map fitted there does to that coordinate
    is what it does to all that is orthogonal to B. So nothing is lost, and `lifted` gives the map of whole rows.

    Parameters
    ----------
    basis : ndarray, shape (d, s)
        B.

    Examples
    --------
    >>> import numpy as np
    >>> rows = np.eye(6)[:2]
    >>> Span.of(rows, rows[:1]).see(rows).shape
    (2, 4)
    """

    basis: Float[np.ndarray, "d s"]

    @classmethod
    def of(cls, rows_y: Float[np.ndarray, "n d"], rows_x: Float[np.ndarray, "m d"]) -> Span:
        """The span of rows that are fewer than their dimensions."""
        return cls(np.linalg.qr(np.concatenate([rows_y, rows_x]).T.astype(np.float64))[0])

    @property
    def space(self) -> int:
        """Dimensions d of the rows themselves."""
        return len(self.basis)

    def see(self, rows: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n k"]:
        """Rows of the span in its coordinates; as long as they were, and the last coordinate 0."""
        return np.pad(rows.astype(np.float64) @ self.basis, [(0, 0), (0, 1)])

    def moments(self, whole: Moments) -> Moments:
        """Moments of the seen rows, from those of the rows."""
        turned = self.basis.T @ (whole.n * whole.covariance) @ self.basis
        mean = np.append(self.basis.T @ whole.mean, 0.0)
        return Moments(whole.n, mean, np.pad(turned, [(0, 1), (0, 1)]), whole.rounding, self.space)

    def sample(self, whole: Sample) -> Sample:
        """What a correction is fitted on, seen in the span."""
        moments = self.moments(whole.moments_y), self.moments(whole.moments_x)
        return Sample(*moments, self.see(whole.rows_y), self.see(whole.rows_x))

    def lifted(self, correction: Correction) -> Correction:
        """The map of whole rows, of a correction without a polar stage that was fitted on seen ones."""
        start = correction.start
        means = self._point(start.source_mean), self._point(start.target_mean)
        parts: dict[str, Any] = {"start": Start(*means, start.scale)}
        for name in ("rotated", "transported", "initial", "guide", "restore"):
            part = getattr(correction, name)
            if part is not None:
                points = {key: getattr(part, key, None) for key in ("bias", "shift")}
                points = {key: self._point(point) for key, point in points.items() if point is not None}
                parts[name] = replace(part, weight=self._map(part.weight), **points)
        return replace(correction, **parts)

    def _map(self, seen: Float[np.ndarray, "k k"]) -> Float[np.ndarray, "d d"]:
        """B W Bᵀ + w (I − B Bᵀ), with w what is done to the last coordinate."""
        inside, outside = seen[:-1, :-1], float(seen[-1, -1])
        weight = self.basis @ (inside - outside * np.eye(len(inside))) @ self.basis.T
        weight[np.diag_indices(self.space)] += outside
        return weight

    def _point(self, seen: Float[np.ndarray, " k"]) -> Float[np.ndarray, " d"]:
        return self.basis @ seen[:-1]


def narrow(rows: int, dim: int) -> bool:
    """Whether so many rows of both sets together span little enough of so many dimensions."""
    return rows + 1 < WORTH * dim
