"""Stage II: a bounded refinement of phases, radii and the complement (arXiv 2605.07825)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from anisoalign.aligners.anisoalign.drawn import layer
from anisoalign.geometry.polar import to_cartesian, wrap

_SMALLEST = 1e-6
"""Radii are kept above this inside logarithms alone."""


class Polar(NamedTuple):
    """Phases and radii of the blocks of U, shape (n, m), and the part in V, shape (n, d)."""

    phase: Float[Tensor, "n m"]
    radius: Float[Tensor, "n m"]
    complement: Float[Tensor, "n d"]


@dataclass(frozen=True)
class Bounds:
    """αθ in radians, αρ in log radius, αv of the part in V; `per_coordinate` is the source's form of the last.

    The source bounds each coordinate of Δv by αv, so the whole by αv √d; the default bounds it by αv ‖v⁰‖.
    """

    phase: float
    radius: float
    complement: float
    per_coordinate: bool = False


class Refinement(nn.Module):
    """g([sin θ⁰; cos θ⁰; log ρ⁰; v⁰]) → (Δθ, Δρ, Δv); zero at the start, so training starts at the initialisation.

    Without a `generator` to draw first weights all of them are zeros, for those to be read into.
    """

    def __init__(self, blocks: int, dim: int, width: int, generator: torch.Generator | None = None):
        super().__init__()
        self.blocks = blocks
        first, second = layer(3 * blocks + dim, width, generator), layer(width, width, generator)
        self.body = nn.Sequential(first, nn.SiLU(), second, nn.SiLU())
        self.head = layer(width, 2 * blocks + dim)

    def forward(self, start: Polar) -> Polar:
        """Unbounded moves of phases, log radii and the part in V."""
        logs = log_radius(start.radius)
        features = torch.cat([torch.sin(start.phase), torch.cos(start.phase), logs, start.complement], dim=-1)
        out = self.head(self.body(features))
        return Polar(*out.split([self.blocks, self.blocks, out.shape[-1] - 2 * self.blocks], dim=-1))


def log_radius(radius: Float[Tensor, "n m"]) -> Float[Tensor, "n m"]:
    """Log ρ, of small radii as of a small one."""
    return torch.log(radius.clamp_min(_SMALLEST))


def outside(rows: Float[Tensor, "n d"], basis: Float[Tensor, "d r"]) -> Float[Tensor, "n d"]:
    """The part in V: z − Q Qᵀ z."""
    return rows - (rows @ basis) @ basis.T


def bounded(start: Polar, moves: Polar, bounds: Bounds, basis: Float[Tensor, "d r"]) -> Polar:
    """θ̂ = wrap(θ⁰ + αθ tanh Δθ), ρ̂ = ρ⁰ exp(αρ tanh Δρ), v̂ = v⁰ + a bounded move that stays in V.

    All bounds 0 give the initialisation to the last bit.
    """
    turn = bounds.phase * torch.tanh(moves.phase)
    phase = start.phase + turn
    # Wrapped only where needed: no move gives the initialisation to the last bit, and still passes a gradient.
    phase = torch.where(phase.abs() <= math.pi, phase, wrap(phase))
    radius = start.radius * torch.exp(bounds.radius * torch.tanh(moves.radius))
    inside_v = outside(moves.complement, basis)
    if bounds.per_coordinate:
        step = outside(bounds.complement * torch.tanh(inside_v), basis)
    else:
        length = torch.linalg.vector_norm(inside_v, dim=-1, keepdim=True)
        size = bounds.complement * torch.linalg.vector_norm(start.complement, dim=-1, keepdim=True)
        # tanh(l) / l is 1 at 0, where the gradient must not vanish
        step = size * inside_v * torch.where(length > 1e-6, torch.tanh(length) / length.clamp_min(1e-6), 1.0)
    return Polar(phase, radius, start.complement + step)


def compose(polar: Polar, basis: Float[Tensor, "d r"]) -> Float[Tensor, "n d"]:
    """Q c(ρ, θ) + v, before the sphere."""
    return to_cartesian(polar.radius, polar.phase) @ basis.T + polar.complement
