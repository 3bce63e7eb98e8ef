"""The score of the wrapped Gaussian on the circle, exact (arXiv 2605.07825, Stage I)."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

WINDINGS = 4
HARMONICS = 8
SWITCH = 3.0
"""Variance above which the Fourier series is used: there both series are exact to rounding with the terms above."""


def wrapped_score(difference: Float[Tensor, "*shape"], variance: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """d/dδ log p(δ), of the sum over windings: not the score −δ/v of the wrapped difference.

    For small variance a mean of −(δ + 2πj)/v over windings, for large the derivative of the theta series.
    """
    # Exponents relative to winding 0: the difference of two large squares would lose digits at small variance.
    windings = _windings(difference)
    relative = -windings * (difference[..., None] + windings / 2) / variance[..., None]
    near = -(difference + (torch.softmax(relative, dim=-1) * windings).sum(dim=-1)) / variance
    order = torch.arange(1, HARMONICS + 1).to(difference)
    slope = -2 * (order * _harmonics(difference, variance, torch.sin)).sum(dim=-1)
    far = slope / (1 + 2 * _harmonics(difference, variance, torch.cos).sum(dim=-1))
    return torch.where(variance < SWITCH, near, far)


def _windings(difference: Tensor) -> Tensor:
    return 2 * math.pi * torch.arange(-WINDINGS, WINDINGS + 1, dtype=torch.float32).to(difference)


def _harmonics(difference: Tensor, variance: Tensor, wave) -> Tensor:
    """e^{−n² v / 2} wave(n δ) for n = 1 … HARMONICS; v is kept at `SWITCH` at least, where the series is used."""
    order = torch.arange(1, HARMONICS + 1).to(difference)
    return torch.exp(-order.square() * variance.clamp_min(SWITCH)[..., None] / 2) * wave(order * difference[..., None])
