"""The whole correction of AnisoAlign: its parts strung together, applied at a strength."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from anisoalign.aligners.anisoalign.blocks import blocks, mean_of
from anisoalign.aligners.anisoalign.guarantee import angle_bound
from anisoalign.aligners.anisoalign.path import (
    ROTATED,
    TRANSPORTED,
    Affine,
    Arrays,
    Dial,
    Guide,
    Leg,
    Move,
    RowMap,
    Scaled,
    Start,
    blend,
    in_turn,
    on_rows,
    visit,
)
from anisoalign.aligners.anisoalign.polar_stage import PolarStage


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
        return [Leg(route.origin, in_turn([part.move(dtype) for part in route.parts])) for route in self.routes()]

    def move(self, strength: float, dtype: torch.dtype) -> Move:
        """The map at a strength in [0, 1]; 0 is ReAlign before its calibration."""
        legs, (station, share) = self.legs(dtype), self.dial.between(strength)

        def apply(rows: Scaled) -> Scaled:
            seen: dict[int, Scaled] = {}
            start = visit(legs, station, rows, seen)
            return start if share == 0.0 else blend(start, visit(legs, station + 1, rows, seen), share)

        return apply

    def at(self, strength: float, dtype: torch.dtype) -> RowMap:
        """The map of rows as they are."""
        return on_rows(self.move(strength, dtype))

    def means(
        self, rows: Tensor, strengths: Iterable[float], centre: Float[np.ndarray, " d"] | None = None
    ) -> Float[np.ndarray, "k d"]:
        """Mean of the mapped rows at each strength, before calibration; the steps are taken once.

        Where rows are a sample, `centre` is the mean of all of them: the sample is moved there, which takes from the
        means what its own is off by, to first order.
        """
        legs, places = self.legs(torch.float64), [self.dial.between(strength) for strength in strengths]
        total = torch.zeros(len(places), rows.shape[1], dtype=torch.float64)
        off = 0.0 if centre is None else torch.from_numpy(centre) - mean_of(blocks(rows), rows.shape[1])
        for block in blocks(rows):  # its rows at every station are kept while it is measured
            here, seen = Scaled.of(block + off), dict[int, Scaled]()
            for line, (station, share) in zip(total, places, strict=True):
                now = visit(legs, station, here, seen)
                if share > 0.0:
                    kept = Scaled(now.values.clone(), now.scale)
                    now = blend(kept, visit(legs, station + 1, here, seen), share)
                line += now.scale[:, 0] @ now.values
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

    def bounds(self, rows: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
        """Largest angle, radians, by which the whole guided step and refinement together can turn each row."""
        angles = [angle_bound(self.relative_bounds(block)).sum(dim=0) for block in blocks(torch.from_numpy(rows))]
        return torch.cat(angles).clamp_max(math.pi).numpy()

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
