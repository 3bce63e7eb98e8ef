"""Radial quantile maps: each block's radii of the source onto those of the target (arXiv 2605.07825, Stage II)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from anisoalign.statistics.radii import RadiusHistogram

KNOTS = 65
"""Quantile levels a map is built on at most within, evenly spaced and half a step from 0 and 1; tails have more."""
ROWS_A_KNOT = 8
"""Rows of the smaller set that a knot stands for at least: closer quantiles are noise, and their slopes wild.

Half as many lie beyond the outermost one: a line through fewer errs more than one continued from further within.
"""


@dataclass(frozen=True)
class RadialMap:
    """ρ ↦ F_x^{-1}(F_y(ρ)) of every block: piecewise linear, monotone, continued linearly outside the seen range.

    `between` adds a knot on either side, beyond the seen range, at the slope of the half of the knots there: that of
    the last two alone is mostly noise.

    Parameters
    ----------
    source, target : Tensor, shapes (m, knots)
        Quantiles of the two distributions at the same levels, rising along the second axis.

    Examples
    --------
    >>> line = torch.linspace(1, 2, KNOTS)[None]
    >>> RadialMap(line, 3 * line)(torch.tensor([[1.5], [4.0]])).flatten().tolist()
    [4.5, 12.0]
    """

    source: Float[Tensor, "m knots"]
    target: Float[Tensor, "m knots"]

    @classmethod
    def between(cls, source: RadiusHistogram, target: RadiusHistogram) -> RadialMap:
        """Map from one measured distribution onto another."""
        levels = levels_for(min(source.n, target.n))
        return cls(*(_continued(_rising(side.quantiles(levels))) for side in (source, target)))

    def __call__(self, radius: Float[Tensor, "n m"]) -> Float[Tensor, "n m"]:
        """Mapped radii, not below zero."""
        source, target = self.source.to(radius), self.target.to(radius)
        columns = radius.T.contiguous()
        # The segment of each radius; the outermost ones are continued.
        place = torch.searchsorted(source, columns).clamp_(1, source.shape[1] - 1)
        low, high = source.gather(1, place - 1), source.gather(1, place)
        start, end = target.gather(1, place - 1), target.gather(1, place)
        mapped = start + (columns - low) * (end - start) / (high - low)
        return mapped.clamp_min_(0.0).T


def levels_for(rows: int) -> Float[np.ndarray, " L"]:
    """Quantile levels that so many rows tell: even within, and in either tail halved on from the outermost even one.

    Halving goes on while `ROWS_A_KNOT` / 2 rows lie beyond, so that the number of levels grows by two where the rows
    double. The outermost even level alone would leave 0.8 % of the rows of either tail to a straight line.

    Examples
    --------
    >>> [len(levels_for(rows)) for rows in (100, 1000, 100_000, 1_000_000_000)]
    [12, 65, 79, 105]
    """
    knots = int(np.clip(rows // ROWS_A_KNOT, 2, KNOTS))
    even = (np.arange(knots) + 0.5) / knots
    beyond = 2 * even[0] * rows / ROWS_A_KNOT  # how many times as many rows lie there as must
    tail = even[0] / 2.0 ** np.arange(int(np.log2(max(beyond, 1.0))), 0, -1)
    return np.concatenate([tail, even, 1 - tail[::-1]])


def _continued(knots: Float[Tensor, "m knots"]) -> Float[Tensor, "m more"]:
    """Knots with one more on either side, as far out as the middle one lies within."""
    low, high = knots[:, [knots.shape[1] // 2]], knots[:, [(knots.shape[1] - 1) // 2]]
    return torch.cat([2 * knots[:, :1] - low, knots, 2 * knots[:, -1:] - high], dim=1)


def _rising(quantiles: np.ndarray) -> Float[Tensor, "m knots"]:
    """Strictly rising, so that a slope exists where many radii are equal."""
    steps = np.maximum(np.diff(quantiles, axis=1), 1e-9 * np.maximum(quantiles[:, :1], 1e-6))
    return torch.from_numpy(np.concatenate([quantiles[:, :1], quantiles[:, :1] + np.cumsum(steps, axis=1)], axis=1))
