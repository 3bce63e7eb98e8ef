"""The fitted map at every strength: from ReAlign to the full correction, without refitting."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from anisoalign.geometry.sphere import normalize_

ROTATED, TRANSPORTED = 0.2, 0.5
"""Strengths at which the rotation and the transport are complete; the guided step follows up to 1."""

Arrays = dict[str, np.ndarray]
RowMap = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Affine:
    """z = Norm(W y + b), followed where `shift` is given by Norm(z + shift)."""

    weight: Float[np.ndarray, "d d"]
    bias: Float[np.ndarray, " d"]
    shift: Float[np.ndarray, " d"] | None = None

    def at(self, dtype: torch.dtype) -> RowMap:
        """The map in a precision."""
        weight, bias = torch.as_tensor(self.weight, dtype=dtype), torch.as_tensor(self.bias, dtype=dtype)
        shift = None if self.shift is None else torch.as_tensor(self.shift, dtype=dtype)

        def apply(rows: Tensor) -> Tensor:
            moved = normalize_(torch.addmm(bias, rows, weight.T))
            return moved if shift is None else normalize_(moved.add_(shift))

        return apply


@dataclass(frozen=True)
class Guide:
    """Bounded step towards the estimate of the targets that a row speaks of: z + δ, ‖δ‖ ≤ `bound`, onto the sphere.

    δ = step · (b(z) − z), shortened where it is longer than `bound`, with b(z) = Norm(W z + c).

    Parameters
    ----------
    weight, bias : ndarray, shapes (d, d) and (d,)
        W and c, of `coupling.regress`.
    step, bound : float
        Share of the way, and the longest step; rows are unit, so a row turns by at most arcsin(bound).
    """

    weight: Float[np.ndarray, "d d"]
    bias: Float[np.ndarray, " d"]
    step: float
    bound: float

    def delta(self, dtype: torch.dtype) -> RowMap:
        """The bounded step δ of unit rows."""
        estimate = Affine(self.weight, self.bias).at(dtype)

        def apply(rows: Tensor) -> Tensor:
            delta = estimate(rows).sub_(rows).mul_(self.step)
            length = torch.linalg.vector_norm(delta, dim=1, keepdim=True)
            return delta.mul_(self.bound / length.clamp_min(self.bound))

        return apply

    def at(self, dtype: torch.dtype) -> RowMap:
        """The map in a precision."""
        delta = self.delta(dtype)
        return lambda rows: normalize_(delta(rows).add_(rows))


@dataclass(frozen=True)
class Start:
    """Where the dial begins: Norm(μx + s (y − μy)), ReAlign before its calibration."""

    source_mean: Float[np.ndarray, " d"]
    target_mean: Float[np.ndarray, " d"]
    scale: float

    def at(self, dtype: torch.dtype) -> RowMap:
        """The map in a precision."""
        mean = torch.as_tensor(self.source_mean, dtype=dtype)
        target = torch.as_tensor(self.target_mean, dtype=dtype)
        return lambda rows: normalize_((rows - mean).mul_(self.scale).add_(target))

    def rotated(self, rotation: Float[np.ndarray, "d d"]) -> Affine:
        """Norm(μx + s R (y − μy))."""
        weight = self.scale * rotation
        return Affine(weight, self.target_mean - weight @ self.source_mean)


@dataclass(frozen=True)
class Dial:
    """Stations between ReAlign and the full correction; between two of them rows are blended on the sphere.

    Parameters
    ----------
    strengths : tuple of float
        Where the stations lie, ascending from 0 to 1.
    """

    strengths: tuple[float, ...]

    def between(self, strength: float) -> tuple[int, float]:
        """The station at or before a strength, and the share of the way to the next.

        Examples
        --------
        >>> Dial((0.0, 0.25, 1.0)).between(0.625)
        (1, 0.5)
        >>> Dial((0.0, 0.25, 1.0)).between(1.0)
        (2, 0.0)
        """
        last = max(i for i, at in enumerate(self.strengths) if at <= strength)
        if last == len(self.strengths) - 1:
            return last, 0.0
        start, end = self.strengths[last : last + 2]
        return last, (strength - start) / (end - start)


@dataclass(frozen=True)
class Leg:
    """How a station is reached: by a move from the source rows, or from those at an earlier station."""

    origin: int | None
    move: RowMap


def visit(legs: list[Leg], station: int, rows: Tensor, seen: dict[int, Tensor]) -> Tensor:
    """Rows at a station; what was `seen` on the way there is not computed twice."""
    if station not in seen:
        leg = legs[station]
        seen[station] = leg.move(rows if leg.origin is None else visit(legs, leg.origin, rows, seen))
    return seen[station]


def in_turn(steps: list[RowMap]) -> RowMap:
    """The steps, one after the other."""

    def apply(rows: Tensor) -> Tensor:
        for step in steps:
            rows = step(rows)
        return rows

    return apply


def blend(start: Tensor, end: Tensor, share: float) -> Tensor:
    """Norm((1 − u) a + u b): a point between two stations, from the rows at both."""
    return start if share == 0.0 else normalize_(torch.lerp(start, end, share))
