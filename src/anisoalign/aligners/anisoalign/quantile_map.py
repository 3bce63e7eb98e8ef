"""Radial quantile maps: each block's radii of the source onto those of the target (method.md section 4, Stage II)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from anisoalign.statistics.radii import RadiusHistogram

KNOTS = 65
"""Quantile levels a map is built on at most, evenly spaced and half a step from 0 and 1."""
ROWS_A_KNOT = 8
"""Rows of the smaller set that a knot stands for at least: closer quantiles are noise, and their slopes wild."""


@dataclass(frozen=True)
class RadialMap:
    """ρ ↦ F_x^{-1}(F_y(ρ)) of every block: piecewise linear, monotone, continued linearly outside the seen range.

    It is continued at the slope of the half of the knots on that side: that of the last two alone is mostly noise.

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
        knots = int(np.clip(min(source.n, target.n) // ROWS_A_KNOT, 2, KNOTS))
        levels = (np.arange(knots) + 0.5) / knots
        return cls(_rising(source.quantiles(levels)), _rising(target.quantiles(levels)))

    def __call__(self, radius: Float[Tensor, "n m"]) -> Float[Tensor, "n m"]:
        """Mapped radii, not below zero."""
        source, target = self.source.to(radius), self.target.to(radius)
        columns = radius.T.contiguous()
        place = torch.searchsorted(source, columns).clamp_(1, source.shape[1] - 1)
        low, high = source.gather(1, place - 1), source.gather(1, place)
        start, end = target.gather(1, place - 1), target.gather(1, place)
        mapped = start + (columns - low) * (end - start) / (high - low)
        last = source.shape[1] - 1
        for edge, middle, beyond in ((last, last // 2, torch.gt), (0, (last + 1) // 2, torch.lt)):
            x, y = source[:, [edge]], target[:, [edge]]
            slope = (y - target[:, [middle]]) / (x - source[:, [middle]])
            mapped = torch.where(beyond(columns, x), y + (columns - x) * slope, mapped)
        return mapped.clamp_min_(0.0).T


def _rising(quantiles: np.ndarray) -> Float[Tensor, "m knots"]:
    """Strictly rising, so that a slope exists where many radii are equal."""
    steps = np.maximum(np.diff(quantiles, axis=1), 1e-9 * np.maximum(quantiles[:, :1], 1e-6))
    return torch.from_numpy(np.concatenate([quantiles[:, :1], quantiles[:, :1] + np.cumsum(steps, axis=1)], axis=1))
