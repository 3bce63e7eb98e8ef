"""The published method's stages, fitted: a map of unit rows (arXiv 2605.07825)."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from anisoalign.aligners.anisoalign.guarantee import block_factor, relative_bound
from anisoalign.aligners.anisoalign.path import Arrays, Move, Part, Scaled
from anisoalign.aligners.anisoalign.quantile_map import RadialMap
from anisoalign.aligners.anisoalign.refinement import Bounds, Polar, Refinement, bounded, compose, outside
from anisoalign.aligners.anisoalign.score_prior import PriorSettings, ScorePrior
from anisoalign.aligners.contents import Shape
from anisoalign.geometry.polar import to_polar
from anisoalign.geometry.sphere import normalize_


@dataclass(frozen=True)
class PolarSettings:
    """Everything Stages I and II leave open; the losses are those named in `losses`."""

    losses: tuple[str, ...] = ("prior", "phase")
    refine: bool = True
    centre: str = "origin"
    bounds: Bounds = field(default_factory=lambda: Bounds(0.3, 0.2, 0.2))
    neighbours: int = 4  # `edges` of the model: saved models and the states of stages know it by this name
    centred_coupling: bool = False
    degree_normalised: bool = False
    prior: PriorSettings = field(default_factory=PriorSettings)
    drift_step: float | str = 0.1
    phase_weight: float | str = 1.0
    support: str = "sliced"
    steps: int = 400
    batch: int = 256
    rate: float = 1e-3
    width: int = 256

    @classmethod
    def read(cls, plain: dict[str, Any]) -> PolarSettings:
        """Read back what `dataclasses.asdict` gave; TypeError or KeyError for anything else."""
        parts = {"bounds": Bounds(**plain["bounds"]), "prior": PriorSettings(**plain["prior"])}
        return cls(**{**plain, **parts, "losses": tuple(plain["losses"])})

    @property
    def of_the_map(self) -> tuple[Any, ...]:
        """What decides of the map and its networks, beside their weights; training alone reads the rest."""
        return self.losses, self.refine, self.bounds, self.width, self.prior.width


@dataclass(frozen=True)
class PolarStage(Part):
    """Fitted Stages 0–II: unit rows to unit rows, before the calibration.

    Parameters
    ----------
    basis : Tensor, shape (d, r)
        Q, mixed; r even.
    centre : Tensor, shape (d,)
        The point that polar coordinates are taken about: the origin, or μx.
    shift : Tensor, shape (d,)
        μx − μy where rows arrive as raw sources, zeros where they arrive initialised.
    radial : RadialMap or None
        Radial quantile maps; None leaves radii as they arrive.
    complement_mean, complement_scale : Tensor, shape (d,)
        μx,V and the diagonal of D; the part in V becomes μx,V + P_V D (v − μx,V).
    refinement : Refinement or None
        g, trained; None is the initialisation alone.
    prior : ScorePrior or None
        The frozen prior of Stage I, kept with the model; the map does not need it.
    notes : dict
        Losses as training went.
    """

    basis: Float[Tensor, "d r"]
    centre: Float[Tensor, " d"]
    shift: Float[Tensor, " d"]
    radial: RadialMap | None
    complement_mean: Float[Tensor, " d"]
    complement_scale: Float[Tensor, " d"]
    refinement: Refinement | None
    prior: ScorePrior | None
    settings: PolarSettings
    notes: dict[str, Any] = field(default_factory=dict)

    def blocks(self, rows: Float[Tensor, "n d"]) -> tuple[Float[Tensor, "n m"], Float[Tensor, "n m"]]:
        """Radii and phases as they arrive."""
        return to_polar((rows + self.shift.to(rows) - self.centre.to(rows)) @ self.basis.to(rows))

    def initialise(self, rows: Float[Tensor, "n d"]) -> Polar:
        """Phases kept, radii mapped by quantiles, the part in V scaled and kept in V."""
        moved, basis = rows + self.shift.to(rows), self.basis.to(rows)
        radius, phase = self.blocks(rows)
        if self.radial is not None:
            radius = self.radial(radius)
        mean = self.complement_mean.to(rows)
        scaled = (outside(moved, basis) - mean) * self.complement_scale.to(rows)
        return Polar(phase, radius, mean + outside(scaled, basis))

    def refine(self, start: Polar) -> Polar:
        """θ̂, ρ̂ and v̂ within their bounds."""
        if self.refinement is None:
            return start
        weights = next(self.refinement.parameters())
        if weights.dtype != start.phase.dtype:
            self.refinement.to(start.phase.dtype)
        return bounded(start, self.refinement(start), self.settings.bounds, self.basis.to(start.phase))

    def unnormalised(self, polar: Polar) -> Float[Tensor, "n d"]:
        """Q c(ρ, θ) + v, and where the centre is not the origin, its part in U."""
        basis, centre = self.basis.to(polar.phase), self.centre.to(polar.phase)
        return compose(polar, basis) + (centre @ basis) @ basis.T

    def move(self, dtype: torch.dtype) -> Move:
        """The map in a precision."""
        stage = self.cast(dtype)

        def apply(rows: Scaled) -> Scaled:
            with torch.no_grad():
                return Scaled.of(normalize_(stage.unnormalised(stage.refine(stage.initialise(rows.rows())))))

        return apply

    def relative_bound(self, rows: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        """ε of each row, of the refinement alone (docs/how-anisoalign-works.md); 0 without a refinement."""
        start = self.initialise(rows)
        if self.refinement is None:
            return torch.zeros(len(rows), dtype=rows.dtype)
        bounds = self.settings.bounds
        reach = bounds.complement * torch.linalg.vector_norm(start.complement, dim=1)
        if bounds.per_coordinate:
            reach = torch.full_like(reach, bounds.complement * rows.shape[1] ** 0.5)
        inside = torch.linalg.vector_norm(start.radius, dim=1)
        length = torch.linalg.vector_norm(self.unnormalised(start), dim=1)
        return relative_bound(inside, reach, length, block_factor(bounds.phase, bounds.radius))

    def cast(self, dtype: torch.dtype) -> PolarStage:
        """A copy whose network is in a precision, since modules are changed in place."""
        if self.refinement is None:
            return self
        return replace(self, refinement=deepcopy(self.refinement).to(dtype).requires_grad_(False))

    def arrays(self) -> Arrays:
        """Tensors by name."""
        found = {name: getattr(self, name) for name in ("basis", "centre", "shift")}
        found |= {"complement_mean": self.complement_mean, "complement_scale": self.complement_scale}
        if self.radial is not None:
            found |= {"radial_source": self.radial.source, "radial_target": self.radial.target}
        for part in ("refinement", "prior"):
            module = getattr(self, part)
            if module is not None:
                found |= {f"{part}.{name}": value for name, value in module.state_dict().items()}
        return {name: value.detach().cpu().numpy() for name, value in found.items()}

    def config(self) -> dict[str, Any]:
        """Settings and training notes, for JSON."""
        return {"settings": asdict(self.settings), "notes": self.notes}

    @classmethod
    def from_arrays(cls, arrays: Arrays, config: dict[str, Any]) -> PolarStage:
        """Read back what `arrays` and `config` gave."""
        found = {name: torch.from_numpy(np.array(value)) for name, value in arrays.items()}
        settings = PolarSettings.read(config["settings"])
        blocks, dim = found["basis"].shape[1] // 2, len(found["basis"])
        modules: dict[str, Any] = {"refinement": None, "prior": None}
        for part in modules:
            state = {name.removeprefix(f"{part}."): v for name, v in found.items() if name.startswith(f"{part}.")}
            if state:
                if part == "refinement":
                    module = Refinement(blocks, dim, settings.width)
                else:
                    module = ScorePrior(blocks, settings.prior)
                module.to(next(iter(state.values())).dtype).load_state_dict(state)
                modules[part] = module.requires_grad_(False).eval()
        radial = RadialMap(found["radial_source"], found["radial_target"]) if "radial_source" in found else None
        return cls(
            found["basis"],
            found["centre"],
            found["shift"],
            radial,
            found["complement_mean"],
            found["complement_scale"],
            modules["refinement"],
            modules["prior"],
            settings,
            config["notes"],
        )


def held_arrays(settings: PolarSettings, dim: int, rank: int, radial: bool) -> dict[str, Shape]:
    """What `PolarStage.arrays` gives of a stage that was fitted with these settings, by name."""
    blocks = rank // 2
    held: dict[str, Shape] = {
        "basis": (dim, 2 * blocks),
        **dict.fromkeys(("centre", "shift", "complement_mean", "complement_scale"), (dim,)),
    }
    if radial:
        held |= {"radial_source": (blocks, None), "radial_target": (blocks, None)}
    networks: dict[str, torch.nn.Module] = {}
    if settings.refine:
        networks["refinement"] = Refinement(blocks, dim, settings.width)
    if settings.refine and "prior" in settings.losses:
        networks["prior"] = ScorePrior(blocks, settings.prior)
    for part, network in networks.items():
        held |= {f"{part}.{name}": tuple(value.shape) for name, value in network.state_dict().items()}
    return held
