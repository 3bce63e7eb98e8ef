"""Fit the parts of AnisoAlign one after the other, and apply them at a strength."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from anisoalign.aligners.anisoalign.blocks import Part, along, blocks, joined, mean_of, moments_of
from anisoalign.aligners.anisoalign.coupling import COUPLED_ROWS, FEWEST, bandwidth_for, coupling, regress
from anisoalign.aligners.anisoalign.mixing import MOST_ROWS, mixing_matrix
from anisoalign.aligners.anisoalign.path import (
    ROTATED,
    TRANSPORTED,
    Affine,
    Arrays,
    Dial,
    Guide,
    Leg,
    RowMap,
    Start,
    blend,
    in_turn,
    visit,
)
from anisoalign.aligners.anisoalign.polar_fit import Whole, fit_polar
from anisoalign.aligners.anisoalign.polar_stage import PolarStage
from anisoalign.aligners.anisoalign.rotation import fit_rotation, turn_of_means
from anisoalign.aligners.anisoalign.settings import parse_terms, polar_settings
from anisoalign.aligners.gaussian_transport import dialled_transport, frame_of
from anisoalign.aligners.realign import trace_scale
from anisoalign.devices import find_device
from anisoalign.embeddings import InputError
from anisoalign.geometry import Frame
from anisoalign.statistics import Moments

RIDGE = 1.0
"""Penalty of the guide's regression in mean eigenvalues; results are flat in it over a factor of ten."""


class Route(NamedTuple):
    """The parts that lead to a station of the dial, from a source row or from the station `origin`."""

    origin: int | None
    parts: Sequence[Start | Affine | Guide | PolarStage]


@dataclass(frozen=True)
class Correction:
    """The whole fitted correction before the last calibration: the start of the dial, and its stations after it.

    `rotated` and `transported`, which contains the rotation, are stations of their own. The guided rows begin anew from
    the source row: `initial` turns the means and transports, `guide` and `restore` follow.
    """

    start: Start
    rotated: Affine | None
    transported: Affine | None
    initial: Affine | None
    guide: Guide | None
    restore: Affine | None
    polar: PolarStage | None
    polar_first: bool = False

    @property
    def dial(self) -> Dial:
        """Strengths of the stations: ReAlign, rotated, transported, all."""
        found = [0.0]
        if self.rotated is not None:
            found.append(ROTATED)
        if self._stops:
            found.append(TRANSPORTED)
        return Dial((*found, 1.0))

    @property
    def _stops(self) -> bool:
        """Whether transported rows are a station before the last one."""
        return self.transported is not None and (self.guide is not None or self.polar is not None)

    def parts(self) -> list[Affine | Guide | PolarStage]:
        """The parts that lead from a unit source row to the fully corrected row, in order."""
        middle = [part for part in (self.initial, self.guide, self.restore) if part is not None]
        if not middle and self.transported is not None:
            middle = [self.transported]
        polar = [] if self.polar is None else [self.polar]
        return [*polar, *middle] if self.polar_first else [*middle, *polar]

    def routes(self) -> list[Route]:
        """How each station of the dial is reached."""
        found, parts = [Route(None, [self.start])], self.parts()
        if self.rotated is not None:
            found.append(Route(None, [self.rotated]))
        if self._stops:
            assert self.transported is not None
            found.append(Route(None, [self.transported]))
            if parts[0] is self.transported:
                return [*found, Route(len(found) - 1, parts[1:])]
        return [*found, Route(None, parts)]

    def legs(self, dtype: torch.dtype) -> list[Leg]:
        """Their maps in a precision."""
        return [Leg(route.origin, in_turn([part.at(dtype) for part in route.parts])) for route in self.routes()]

    def at(self, strength: float, dtype: torch.dtype) -> RowMap:
        """The map at a strength in [0, 1]; 0 is ReAlign before its calibration."""
        legs, (station, share) = self.legs(dtype), self.dial.between(strength)

        def apply(rows: Tensor) -> Tensor:
            seen: dict[int, Tensor] = {}
            start = visit(legs, station, rows, seen)
            return start if share == 0.0 else blend(start, visit(legs, station + 1, rows, seen), share)

        return apply

    def means(self, rows: Tensor, strengths: Iterable[float]) -> Float[np.ndarray, "k d"]:
        """Mean of the mapped rows at each strength, before calibration; the steps are taken once."""
        legs, places = self.legs(torch.float64), [self.dial.between(strength) for strength in strengths]
        total = torch.zeros(len(places), rows.shape[1], dtype=torch.float64)
        for block in blocks(rows):  # its rows at every station are kept while it is measured
            seen: dict[int, Tensor] = {}
            for line, (station, share) in zip(total, places, strict=True):
                now = visit(legs, station, block, seen)
                if share > 0.0:
                    now = blend(now, visit(legs, station + 1, block, seen), share)
                line += now.sum(dim=0)
        return (total / len(rows)).numpy()

    def acts_at(self, strength: float) -> bool:
        """Whether the bounded parts, which lead to the last station alone, have a share in rows at a strength."""
        station, share = self.dial.between(strength)
        return station + (share > 0.0) == len(self.dial.strengths) - 1

    def relative_bounds(self, rows: Tensor) -> Float[Tensor, "parts n"]:
        """ε of each bounded part, one after the other, for unit source rows: sines of the angles they may turn by."""
        found = [torch.zeros(len(rows), dtype=rows.dtype)]
        for part in self.parts():
            if isinstance(part, Guide):
                found.append(torch.linalg.vector_norm(part.delta(rows.dtype)(rows), dim=1))
            elif isinstance(part, PolarStage):
                found.append(part.relative_bound(rows))
            rows = part.at(rows.dtype)(rows)
        return torch.stack(found)

    def arrays(self) -> Arrays:
        """Everything as arrays by name."""
        found: Arrays = {
            "start_source_mean": self.start.source_mean,
            "start_target_mean": self.start.target_mean,
            "start_scale": np.array(self.start.scale),
        }
        for name in ("rotated", "transported", "initial", "guide", "restore"):
            part = getattr(self, name)
            if part is not None:
                found |= {f"{name}_weight": part.weight, f"{name}_bias": part.bias}
            if isinstance(part, Affine) and part.shift is not None:
                found[f"{name}_shift"] = part.shift
        if self.guide is not None:
            found["guide_limits"] = np.array([self.guide.step, self.guide.bound])
        if self.polar is not None:
            found |= {f"polar_{name}": array for name, array in self.polar.arrays().items()}
        return found

    @classmethod
    def from_arrays(cls, found: Arrays, polar_config: dict[str, Any] | None, polar_first: bool) -> Correction:
        """Read back what `arrays` gave."""
        start = Start(found["start_source_mean"], found["start_target_mean"], float(found["start_scale"]))

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
        stations = affine("rotated"), affine("transported")
        return cls(start, *stations, affine("initial"), guide, affine("restore"), polar, polar_first)


class Turned(NamedTuple):
    """Sources' moments after a rotation, and the frame that they then share with the targets."""

    rotation: Float[np.ndarray, "d d"]
    source: Moments
    frame: Frame

    @classmethod
    def by(
        cls, rotation: Float[np.ndarray, "d d"], source: Moments, target: Moments, rank: int | float | None
    ) -> Turned:
        """Turn the moments and decompose, once for all transports after this rotation."""
        turned = source.rotated(rotation)
        return cls(rotation, turned, frame_of(turned, target, rank))


def fit_initial(
    source: Moments, target: Moments, rows: Tensor, turned: Turned, shrinkage: Any, strength: float
) -> Affine:
    """Rotate, then shrunk transport inside U at a strength, recentred on `rows`."""
    dialled = dialled_transport(turned.source, target, turned.frame, shrinkage=shrinkage, strength=strength)
    weight = dialled.weight @ turned.rotation
    free = Affine(weight, target.mean - weight @ source.mean)
    return Affine(free.weight, free.bias, target.mean - mean_of(along([free], rows), target.dim).numpy())


class Coupled(NamedTuple):
    """Some source rows as they are and on the way, and the barycentres of the targets that each is coupled with."""

    source: Float[np.ndarray, "n d"]
    rows: Float[np.ndarray, "n d"]
    barycentres: Float[np.ndarray, "n d"]

    def cross(self) -> Float[np.ndarray, "d d"]:
        """Barycentres' cross-covariance with the sources as they are, times n."""
        centred = self.source - self.source.mean(axis=0, dtype=np.float64)
        return (self.barycentres - self.barycentres.mean(axis=0)).T @ centred


def couple(
    parts: Sequence[Part],
    source: Float[np.ndarray, "n d"],
    target: Float[np.ndarray, "m d"],
    neighbours: float,
    balance: float,
) -> Coupled:
    """Couple what `parts` make of sources with targets, `COUPLED_ROWS` a side at most."""
    source = source[:: -(-len(source) // COUPLED_ROWS)]
    target = np.asarray(target[:: -(-len(target) // COUPLED_ROWS)], np.float64)
    rows = joined(along(parts, torch.from_numpy(source))).numpy()
    wanted = min(max(FEWEST, neighbours * len(target)), max(1.0, 0.9 * len(target)))
    return Coupled(source, rows, coupling(rows, target, bandwidth_for(rows, target, wanted), balance) @ target)


def fit_restore(moments: Moments, target: Moments, frame: Frame, shrinkage: Any, strength: float) -> Affine:
    """Transport of what the step left towards the target's covariance, at a strength; 0 only restores the trace."""
    weight = dialled_transport(moments, target, frame, shrinkage=shrinkage, strength=strength).weight
    return Affine(weight, target.mean - weight @ moments.mean)


def fit_guide(
    rows: Float[np.ndarray, "n d"], barycentres: Float[np.ndarray, "n d"], step: float, bound: float
) -> Guide:
    """Learn b(z): regress the barycentres of the coupling on the rows that were coupled."""
    return Guide(*regress(rows, barycentres, RIDGE), step, bound)


class Made(NamedTuple):
    """A fitted correction and the rank of its last frame."""

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
    whole: Whole | None = None,
) -> Made:
    """Fit all parts that `model.terms` names, each on what the ones before it made of the sample.

    Parameters
    ----------
    model : AnisoAlign
        For its parameters alone.
    moments_y, moments_x : Moments
        Of all rows of source and target.
    rows_y, rows_x : ndarray, float32 or float64
        Unit rows of samples of both.
    whole : Whole, optional
        Of all rows of both, for the statistics of the polar stage; by default those of the samples.
    """
    terms = parse_terms(model.terms)
    start = Start(moments_y.mean, moments_x.mean, trace_scale(moments_y, moments_x))
    rotated = transported = initial = guide = restore = polar = coupled = frame = None
    radial = model.initial == "radial"
    dialled = model.initial_strength if "init" in terms else 0.0

    def turned_by(rotation: np.ndarray) -> Turned:
        return Turned.by(rotation, moments_y, moments_x, model.rank)

    def transport(turned: Turned, shrinkage: Any) -> Affine:
        return fit_initial(moments_y, moments_x, torch.from_numpy(rows_y), turned, shrinkage, dialled)

    def coupled_after(parts: Sequence[Part]) -> Coupled:
        return couple(parts, rows_y, rows_x, model.neighbours, model.balance)

    def stage(now: Tensor) -> PolarStage:
        return fit_polar(
            now,
            torch.from_numpy(rows_x).double(),
            _basis(model, moments_y, moments_x, rows_y, rows_x),
            polar_settings(model),
            radial=radial,
            seed=model.seed,
            whole=whole,
            device=str(find_device(model.device)),
            checkpoint=None if checkpoint is None else Path(checkpoint),
            progress=stages,
        )

    if radial and terms & {"init", "refine"}:
        polar = stage(torch.from_numpy(rows_y).double())
    if not radial:
        turned = turned_by(turn_of_means(moments_y, moments_x, model.rotation))
        if "guide" in terms or model.rotation == "full":
            initial = transport(turned, model.guide_shrinkage)
            coupled = coupled_after([initial])
            if model.rotation == "full":
                turned = turned_by(_full_rotation(model, turned, moments_x, coupled))
        frame = turned.frame
        rotated = None if model.rotation == "none" else start.rotated(turned.rotation)
        if "init" in terms or "guide" not in terms:
            transported = transport(turned, model.shrinkage)
    if "guide" in terms:
        before = [part for part in (polar, initial) if part is not None]
        coupled = coupled or coupled_after(before)
        guide = fit_guide(coupled.rows, coupled.barycentres, model.guide_step, model.guide_bound)
        led = moments_of(along([*before, guide], torch.from_numpy(rows_y)), moments_x.dim)
        frame = frame_of(led, moments_x, model.rank)
        restore = fit_restore(led, moments_x, frame, model.guide_shrinkage, model.restore_strength)
    else:
        initial = None
    made = Correction(start, rotated, transported, initial, guide, restore, polar, radial)
    if not radial and "refine" in terms:
        made = replace(made, polar=stage(joined(along(made.parts(), torch.from_numpy(rows_y)))))
    if made.polar is not None:
        return Made(made, made.polar.basis.shape[1])
    assert frame is not None  # terms without stages have a transport
    return Made(made, frame.rank)


def _full_rotation(model: Any, turned: Turned, target: Moments, coupled: Coupled) -> Float[np.ndarray, "d d"]:
    """The turn of the means, then the rotation about the targets' mean."""
    full = dialled_transport(turned.source, target, turned.frame, shrinkage=model.shrinkage, strength=1.0).weight
    crossed, transported = coupled.cross() @ turned.rotation.T, full @ turned.source.covariance
    return fit_rotation(crossed, transported, target.mean) @ turned.rotation


def _basis(model: Any, moments_y: Moments, moments_x: Moments, rows_y: np.ndarray, rows_x: np.ndarray) -> Tensor:
    """Q R, with an even number of columns, since blocks are pairs."""
    d = moments_y.dim
    if d < 2:
        raise InputError("rows of one dimension have no blocks of two: leave refine and initial=radial out")
    frame = frame_of(moments_y, moments_x, model.rank)
    even = min(d, max(2, frame.rank // 2 * 2))
    if even > frame.rank:
        frame = frame_of(moments_y, moments_x, even)
    basis = frame.basis[:, :even].copy()  # one column of one row counts as contiguous whatever its stride
    x = y = None
    if model.mixing == "learned":
        few_x, few_y = (rows[:: -(-len(rows) // MOST_ROWS)] for rows in (rows_x, rows_y))
        x, y = torch.from_numpy(few_x @ basis), torch.from_numpy((few_y - moments_y.mean + moments_x.mean) @ basis)
    mixed = basis @ mixing_matrix(model.mixing, basis.shape[1], model.seed, x, y)
    return torch.from_numpy(np.ascontiguousarray(mixed))
