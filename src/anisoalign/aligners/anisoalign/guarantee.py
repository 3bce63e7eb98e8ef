"""How far a bounded refinement can move a row: the guarantee of docs/how-anisoalign-works.md."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor


def block_factor(phase_bound: float, radius_bound: float) -> float:
    """κ = sqrt((e^{αρ} − 1)² + 4 e^{αρ} sin²(αθ / 2)): the share of its length that a block can move.

    Examples
    --------
    >>> block_factor(0.0, 0.0), round(block_factor(0.1, 0.0), 6)
    (0.0, 0.099958)
    """
    grown = math.exp(radius_bound)
    return math.sqrt((grown - 1) ** 2 + 4 * grown * math.sin(min(phase_bound, math.pi) / 2) ** 2)


def relative_bound(
    inside: Float[Tensor, "*n"], outside: Float[Tensor, "*n"], length: Float[Tensor, "*n"], factor: float
) -> Float[Tensor, "*n"]:
    """ε = hypot(κ ‖c⁰‖, βv) / ‖z⁰‖ of each row.

    Parameters
    ----------
    inside, outside, length : Tensor, shape (n,)
        ‖c⁰‖, βv (how far the part in V may move) and ‖z⁰‖.
    factor : float
        κ.
    """
    return torch.hypot(factor * inside, outside) / length


def angle_bound(epsilon: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """Largest angle between z⁰ and ẑ, radians: arcsin ε where ε < 1, else π (nothing is promised)."""
    return torch.where(epsilon < 1, torch.arcsin(epsilon.clamp_max(1.0)), torch.full_like(epsilon, math.pi))
