"""Fit the parts of AnisoAlign one after the other, and apply them at a strength."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from anisoalign.aligners.anisoalign.coupling import FEWEST, bandwidth_for, coupling, regress
from anisoalign.aligners.anisoalign.path import Affine, Anchor, Arrays, Guide, RowMap, blend, share_of_turn
from anisoalign.aligners.anisoalign.polar_stage import PolarStage
from anisoalign.aligners.gaussian_transport import dialled_transport
from anisoalign.aligners.realign import trace_scale
from anisoalign.geometry.turn import Turn
from anisoalign.statistics import Moments

COUPLED_ROWS = 4096
"""Rows a side that are coupled: the plan has that number squared of entries (134 MB in float64)."""
RIDGE = 1.0
"""Penalty of the guide's regression in mean eigenvalues; results are flat in it over a factor of ten."""


@dataclass(frozen=True)
class Correction:
    """The whole fitted correction before the last calibration: an anchor and the steps that follow one another."""

    anchor: Anchor
    initial: Affine | None
    guide: Guide | None
    restore: Affine | None
    polar: PolarStage | None
    polar_first: bool = False

    def steps(self, dtype: torch.dtype) -> list[RowMap]:
        """The steps from a unit source row to the fully corrected row, in order."""
        middle = [part.at(dtype) for part in (self.initial, self.guide, self.restore) if part is not None]
        if self.polar is None:
            return middle
        polar = self.polar.at(dtype)
        return [polar, *middle] if self.polar_first else [*middle, polar]

    def full(self, dtype: torch.dtype) -> RowMap:
        """The correction at strength 1."""
        steps = self.steps(dtype)

        def apply(rows: Tensor) -> Tensor:
            for step in steps:
                rows = step(rows)
            return rows

        return apply

    def at(self, strength: float, dtype: torch.dtype) -> RowMap:
        """The map at a strength in [0, 1]; 0 is ReAlign before its calibration."""
        anchor = self.anchor.at(share_of_turn(strength), dtype)
        if strength == 0.0:
            return anchor
        full = self.full(dtype)
        if strength == 1.0:
            return full
        return lambda rows: blend(anchor(rows), full(rows), strength)

    def means(self, rows: Tensor, strengths: Iterable[float]) -> Float[np.ndarray, "k d"]:
        """Mean of the mapped rows at each strength, before calibration; the steps are taken once."""
        full, anchors, found = self.full(rows.dtype)(rows), {}, []
        for strength in strengths:
            share = share_of_turn(strength)
            if share not in anchors:
                anchors = {share: self.anchor.at(share, rows.dtype)(rows)}
            found.append(blend(anchors[share], full, strength).mean(dim=0))
        return torch.stack(found).double().numpy()

    def arrays(self) -> Arrays:
        """Everything as arrays by name."""
        found: Arrays = {
            "anchor_source_mean": self.anchor.source_mean,
            "anchor_target_mean": self.anchor.target_mean,
            "anchor_scale": np.array(self.anchor.scale),
            "anchor_plane": self.anchor.turn.plane,
            "anchor_angle": np.array(self.anchor.turn.angle),
        }
        for name, part in (("initial", self.initial), ("guide", self.guide), ("restore", self.restore)):
            if part is not None:
                found |= {f"{name}_weight": part.weight, f"{name}_bias": part.bias}
        if self.initial is not None and self.initial.shift is not None:
            found["initial_shift"] = self.initial.shift
        if self.guide is not None:
            found["guide_limits"] = np.array([self.guide.step, self.guide.bound])
        if self.polar is not None:
            found |= {f"polar_{name}": array for name, array in self.polar.arrays().items()}
        return found

    @classmethod
    def from_arrays(cls, found: Arrays, polar_config: dict[str, Any] | None, polar_first: bool) -> Correction:
        """Read back what `arrays` gave."""
        turn = Turn(found["anchor_plane"], float(found["anchor_angle"]))
        anchor = Anchor(
            found["anchor_source_mean"], found["anchor_target_mean"], float(found["anchor_scale"]), turn
        )

        def affine(name: str) -> Affine | None:
            if f"{name}_weight" not in found:
                return None
            return Affine(found[f"{name}_weight"], found[f"{name}_bias"], found.get(f"{name}_shift"))

        guide = None
        if "guide_weight" in found:
            step, bound = found["guide_limits"]
            guide = Guide(found["guide_weight"], found["guide_bias"], float(step), float(bound))
        polar = None
        if polar_config is not None:
            own = {name.removeprefix("polar_"): a for name, a in found.items() if name.startswith("polar_")}
            polar = PolarStage.from_arrays(own, polar_config)
        return cls(anchor, affine("initial"), guide, affine("restore"), polar, polar_first)


def anchor_of(source: Moments, target: Moments, turn: bool) -> Anchor:
    """ReAlign with the rotation between the means beside it."""
    nothing = Turn(np.zeros((source.dim, 2)), 0.0)
    rotation = Turn.between(source.mean, target.mean) if turn else nothing
    return Anchor(source.mean, target.mean, trace_scale(source, target), rotation)


def fit_initial(
    source: Moments, target: Moments, rows: Tensor, turn: Turn, rank: int | float | None, shrinkage: Any, strength: float
) -> Affine:
    """Turn, then shrunk transport inside U at a strength (method.md section 5), recentred on `rows`."""
    rotation = turn.matrix()
    turned = Moments(source.n, rotation @ source.mean, rotation @ source.covariance @ rotation.T * source.n)
    dialled = dialled_transport(turned, target, rank=rank, shrinkage=shrinkage, strength=strength)
    weight = dialled.weight @ rotation
    free = Affine(weight, target.mean - weight @ source.mean)
    return Affine(free.weight, free.bias, target.mean - free.at(rows.dtype)(rows).mean(dim=0).double().numpy())


def fit_guide(
    rows: Float[np.ndarray, "n d"],
    target: Float[np.ndarray, "m d"],
    neighbours: float,
    balance: float,
    step: float,
    bound: float,
) -> Guide:
    """Learn b(z) from initialised sources and targets: couple a sample, regress its barycentres on its rows."""
    rows, target = rows[:: -(-len(rows) // COUPLED_ROWS)], target[:: -(-len(target) // COUPLED_ROWS)]
    wanted = min(max(FEWEST, neighbours * len(target)), max(1.0, 0.9 * len(target)))
    plan = coupling(rows, target, bandwidth_for(rows, target, wanted), balance)
    weight, bias = regress(rows, plan @ target, RIDGE)
    return Guide(weight, bias, step, bound)


def fit_restore(
    rows: Tensor, target: Moments, rank: int | float | None, shrinkage: Any, strength: float
) -> Affine:
    """Transport of what the step left towards the target's covariance, at a strength; 0 only restores the trace."""
    moments = Moments.empty(target.dim).update(rows.numpy())
    weight = dialled_transport(moments, target, rank=rank, shrinkage=shrinkage, strength=strength).weight
    return Affine(weight, target.mean - weight @ moments.mean)
