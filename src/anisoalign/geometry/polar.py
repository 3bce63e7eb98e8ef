"""Polar blocks: coordinates in pairs, each a radius and a phase."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor


def wrap(angle: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """The same angle in [−π, π), same shape and dtype; radians. Angles already there keep every bit.

    Examples
    --------
    >>> import math
    >>> import torch
    >>> wrap(torch.tensor([0.5, math.pi, 7.0])).tolist()
    [0.5, -3.1415927410125732, 0.7168145179748535]
    """
    wrapped = angle - 2 * math.pi * torch.floor((angle + math.pi) / (2 * math.pi))
    # Rounding may leave the interval by one unit in the last place, at either end.
    return torch.where(wrapped >= math.pi, wrapped - 2 * math.pi, wrapped).clamp(min=-math.pi)


def to_polar(c: Float[Tensor, "*n r"]) -> tuple[Float[Tensor, "*n m"], Float[Tensor, "*n m"]]:
    """Radii and phases of the blocks (c_2k, c_2k+1).

    Parameters
    ----------
    c : Tensor, shape (..., r)
        Coordinates Qᵀz, r even; columns 2k and 2k + 1 are a_k and b_k.

    Returns
    -------
    radius : Tensor, shape (..., r/2)
        ρ_k = hypot(a_k, b_k) ≥ 0. Nothing is added inside the root: that would not be invertible.
    phase : Tensor, shape (..., r/2)
        θ_k = atan2(b_k, a_k) in [−π, π), radians; 0 where the radius is 0.

    Raises
    ------
    ValueError
        If r is odd.

    Examples
    --------
    >>> import torch
    >>> radius, phase = to_polar(torch.tensor([3.0, 4.0, 0.0, -2.0]))
    >>> radius.tolist(), [round(angle, 4) for angle in phase.tolist()]
    ([5.0, 2.0], [0.9273, -1.5708])
    """
    if c.shape[-1] % 2:
        raise ValueError(f"polar blocks are pairs of coordinates: the rank must be even, not {c.shape[-1]}")
    a, b = c[..., 0::2], c[..., 1::2]
    return torch.hypot(a, b), wrap(torch.atan2(b, a))


def to_cartesian(radius: Float[Tensor, "*n m"], phase: Float[Tensor, "*n m"]) -> Float[Tensor, "*n r"]:
    """Coordinates of radii and phases, shape (..., 2m): the inverse of `to_polar`.

    Examples
    --------
    >>> import torch
    >>> to_cartesian(*to_polar(torch.tensor([3.0, 4.0, 0.0, -2.0], dtype=torch.float64))).numpy().round(12)
    array([ 3.,  4.,  0., -2.])
    """
    pairs = torch.stack([radius * torch.cos(phase), radius * torch.sin(phase)], dim=-1)
    return pairs.flatten(-2)
