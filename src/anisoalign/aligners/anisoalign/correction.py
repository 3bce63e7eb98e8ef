"""Fit the parts of AnisoAlign one after the other, and apply them at a strength."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from anisoalign.aligners.anisoalign.coupling import COUPLED_ROWS, FEWEST, bandwidth_for, coupling, regress
from anisoalign.aligners.anisoalign.mixing import mixing_matrix
from anisoalign.aligners.anisoalign.path import Affine, Anchor, Arrays, Guide, RowMap, blend, share_of_turn
from anisoalign.aligners.anisoalign.polar_stage import PolarStage, fit_polar
from anisoalign.aligners.anisoalign.settings import parse_terms, polar_settings
from anisoalign.aligners.gaussian_transport import dialled_transport
from anisoalign.aligners.realign import trace_scale
from anisoalign.embeddings import InputError
from anisoalign.geometry import joint_frame
from anisoalign.geometry.turn import Turn
from anisoalign.statistics import Moments

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

    def parts(self) -> list[Affine | Guide | PolarStage]:
        """The parts that lead from a unit source row to the fully corrected row, in order."""
        middle = [part for part in (self.initial, self.guide, self.restore) if part is not None]
        polar = [] if self.polar is None else [self.polar]
        return [*polar, *middle] if self.polar_first else [*middle, *polar]

    def steps(self, dtype: torch.dtype) -> list[RowMap]:
        """Their maps in a precision."""
        return [part.at(dtype) for part in self.parts()]

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

    def relative_bounds(self, rows: Tensor) -> Float[Tensor, "parts n"]:
        """ε of each bounded part, one after the other, for unit source rows: sines of the angles they may turn by."""
        found = [torch.zeros(len(rows), dtype=rows.dtype)]
        order: list[Any] = [self.initial, self.guide, self.restore]
        for part in [self.polar, *order] if self.polar_first else [*order, self.polar]:
            if part is None:
                continue
            if isinstance(part, Guide):
                found.append(torch.linalg.vector_norm(part.delta(rows.dtype)(rows), dim=1))
            elif isinstance(part, PolarStage):
                found.append(part.relative_bound(rows))
            rows = part.at(rows.dtype)(rows)
        return torch.stack(found)

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
        anchor = Anchor(found["anchor_source_mean"], found["anchor_target_mean"], float(found["anchor_scale"]), turn)

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
    source: Moments,
    target: Moments,
    rows: Tensor,
    turn: Turn,
    rank: int | float | None,
    shrinkage: Any,
    strength: float,
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


def fit_restore(rows: Tensor, target: Moments, rank: int | float | None, shrinkage: Any, strength: float) -> Affine:
    """Transport of what the step left towards the target's covariance, at a strength; 0 only restores the trace."""
    moments = Moments.empty(target.dim).update(rows.numpy())
    weight = dialled_transport(moments, target, rank=rank, shrinkage=shrinkage, strength=strength).weight
    return Affine(weight, target.mean - weight @ moments.mean)


class Made(NamedTuple):
    """A fitted correction and the rank of its frame."""

    correction: Correction
    rank: int


def fit_correction(
    model: Any,
    moments_y: Moments,
    moments_x: Moments,
    rows_y: Float[np.ndarray, "n d"],
    rows_x: Float[np.ndarray, "m d"],
    stages: Callable[[str, int, int], None] | None = None,
    checkpoint: str | Path | None = None,
) -> Made:
    """Fit all parts that `model.terms` names, each on what the ones before it made of the sample.

    Parameters
    ----------
    model : AnisoAlign
        For its parameters alone.
    moments_y, moments_x : Moments
        Of all rows of source and target.
    rows_y, rows_x : ndarray, float64
        Unit rows of samples of both.
    """
    terms, anchor = parse_terms(model.terms), anchor_of(moments_y, moments_x, model.turn)
    basis = _frame(model, moments_y, moments_x, rows_y, rows_x)
    rows = torch.from_numpy(rows_y)
    initial = guide = restore = polar = None
    radial = model.initial == "radial"

    def stage(now: Tensor) -> PolarStage:
        return fit_polar(
            now,
            torch.from_numpy(rows_x),
            basis,
            polar_settings(model),
            radial=radial,
            seed=model.seed,
            device=device_of(model.device),
            checkpoint=None if checkpoint is None else Path(checkpoint),
            progress=stages,
        )

    if radial and terms & {"init", "refine"}:
        polar = stage(rows)
        rows = polar.at(rows.dtype)(rows)
    else:
        dial = model.initial_strength if "init" in terms else 0.0
        initial = fit_initial(moments_y, moments_x, rows, anchor.turn, model.rank, model.shrinkage, dial)
        rows = initial.at(rows.dtype)(rows)
    if "guide" in terms:
        found = fit_guide(rows.numpy(), rows_x, model.neighbours, model.balance, model.guide_step, model.guide_bound)
        rows = found.at(rows.dtype)(rows)
        guide, restore = found, fit_restore(rows, moments_x, model.rank, model.shrinkage, model.restore_strength)
        rows = restore.at(rows.dtype)(rows)
    if not radial and "refine" in terms:
        polar = stage(rows)
    return Made(Correction(anchor, initial, guide, restore, polar, radial), basis.shape[1])


def _frame(model: Any, moments_y: Moments, moments_x: Moments, rows_y: np.ndarray, rows_x: np.ndarray) -> Tensor:
    """Q R, with an even number of columns, since blocks are pairs."""
    d = moments_y.dim
    rank = (d + 1) // 2 if model.rank is None else model.rank
    frame = joint_frame(moments_x.covariance, moments_y.covariance, rank=rank).rank
    even = min(d, max(2, frame // 2 * 2))
    basis = joint_frame(moments_x.covariance, moments_y.covariance, rank=even).basis.copy()
    if "refine" not in parse_terms(model.terms) and model.initial != "radial":
        return torch.from_numpy(basis)
    if d < 2:
        raise InputError("rows of one dimension have no blocks of two: leave refine and initial=radial out")
    x, y = torch.from_numpy(rows_x @ basis), torch.from_numpy((rows_y - moments_y.mean + moments_x.mean) @ basis)
    mixed = basis @ mixing_matrix(model.mixing, basis.shape[1], model.seed, x, y)
    return torch.from_numpy(np.ascontiguousarray(mixed))


def device_of(name: str) -> str:
    """`name`, and for "auto" a GPU where there is one."""
    if name != "auto":
        return name
    return "cuda" if torch.cuda.is_available() else "cpu"
