"""The fitted map at every strength: from ReAlign to the full correction, without refitting."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from anisoalign.geometry.sphere import normalize_
from anisoalign.geometry.turn import Turn

TURNED_BY = 0.25
"""Strength at which the turn of the means is complete: it costs no meaning, so it comes first."""

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
class Anchor:
    """Where the dial begins: ReAlign of sources turned by a share of the angle between the means.

    Norm(μx + s R_u (y − μy)); at share 0 this is ReAlign before its calibration.
    """

    source_mean: Float[np.ndarray, " d"]
    target_mean: Float[np.ndarray, " d"]
    scale: float
    turn: Turn

    def at(self, share: float, dtype: torch.dtype) -> RowMap:
        """The map at a share of the turn, in a precision."""
        plane = torch.as_tensor(self.turn.plane, dtype=dtype)
        inside = torch.as_tensor(self.turn.inside(share).T, dtype=dtype)
        mean = torch.as_tensor(self.source_mean, dtype=dtype)
        target = torch.as_tensor(self.target_mean, dtype=dtype)

        def apply(rows: Tensor) -> Tensor:
            centred = rows - mean
            if share > 0 and self.turn.angle > 0:
                centred.addmm_((centred @ plane) @ inside, plane.T)
            return normalize_(centred.mul_(self.scale).add_(target))

        return apply


def blend(anchor: Tensor, full: Tensor, strength: float) -> Tensor:
    """Norm((1 − t) a + t f): a point on the dial, from the rows at both its ends."""
    return normalize_(torch.lerp(anchor, full, strength))


def share_of_turn(strength: float) -> float:
    """How much of the turn is made at a strength."""
    return min(1.0, strength / TURNED_BY)
