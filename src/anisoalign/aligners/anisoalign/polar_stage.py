"""The published method's stages on samples of both sets: initialise, learn the prior, refine (method.md section 4)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from anisoalign.aligners.anisoalign.guarantee import block_factor, relative_bound
from anisoalign.aligners.anisoalign.losses import (
    energy_distance,
    kernel_mmd,
    phase_structure_loss,
    sliced_wasserstein,
    structure_loss,
)
from anisoalign.aligners.anisoalign.path import Arrays, RowMap
from anisoalign.aligners.anisoalign.potential import PhasePotential, build_potential
from anisoalign.aligners.anisoalign.quantile_map import RadialMap
from anisoalign.aligners.anisoalign.refinement import SMALLEST, Bounds, Polar, Refinement, bounded, compose, outside
from anisoalign.aligners.anisoalign.score_prior import PriorSettings, ScorePrior, prior_loss, train_score_prior
from anisoalign.aligners.anisoalign.together import Together
from anisoalign.geometry.polar import to_polar
from anisoalign.geometry.sphere import normalize_
from anisoalign.statistics.moments import Moments
from anisoalign.statistics.phases import PhaseStatistics
from anisoalign.statistics.radii import RadiusHistogram

Progress = Callable[[str, int, int], None]
SUPPORT_LOSSES = ("sliced", "energy", "mmd")


@dataclass(frozen=True)
class PolarSettings:
    """Everything Stages I and II leave open; the losses are those named in `losses`."""

    losses: tuple[str, ...] = ("prior", "phase")
    refine: bool = True
    centre: str = "origin"
    bounds: Bounds = field(default_factory=lambda: Bounds(0.3, 0.2, 0.2))
    neighbours: int = 4
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


@dataclass(frozen=True)
class PolarStage:
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

    def initialise(self, rows: Float[Tensor, "n d"]) -> Polar:
        """Phases kept, radii mapped by quantiles, the part in V scaled and kept in V."""
        moved = rows + self.shift.to(rows)
        basis, centre = self.basis.to(rows), self.centre.to(rows)
        radius, phase = to_polar((moved - centre) @ basis)
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

    def at(self, dtype: torch.dtype) -> RowMap:
        """The map of unit rows in a precision."""
        stage = self.cast(dtype)

        def apply(rows: Tensor) -> Tensor:
            with torch.no_grad():
                return normalize_(stage.unnormalised(stage.refine(stage.initialise(rows))))

        return apply

    def relative_bound(self, rows: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        """ε of each row, of the refinement alone (method.md section 4, Guarantee); 0 without a refinement."""
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
        plain = dict(config["settings"])
        plain["bounds"], plain["prior"] = Bounds(**plain["bounds"]), PriorSettings(**plain["prior"])
        settings = PolarSettings(**{**plain, "losses": tuple(plain["losses"])})
        blocks, dim = found["basis"].shape[1] // 2, len(found["basis"])
        modules: dict[str, Any] = {"refinement": None, "prior": None}
        for part in modules:
            state = {name.removeprefix(f"{part}."): v for name, v in found.items() if name.startswith(f"{part}.")}
            if state:
                with torch.random.fork_rng(devices=[]):  # the first weights are drawn, and replaced at once
                    module = (
                        Refinement(blocks, dim, settings.width) if part == "refinement" else _prior_of(blocks, settings)
                    )
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


class Whole(NamedTuple):
    """Both sets entire: their moments, and their unit rows, float64, a tile at a time."""

    source: Moments
    target: Moments
    source_rows: Callable[[], Iterable[Tensor]]
    target_rows: Callable[[], Iterable[Tensor]]

    @classmethod
    def of(cls, source: Tensor, target: Tensor) -> Whole:
        """Of sets that are in memory."""
        y, x = (Moments.empty(rows.shape[1]).update(rows.numpy()) for rows in (source, target))
        return cls(y, x, lambda: [source], lambda: [target])


def _spread(moments: Moments, basis: Float[Tensor, "d r"]) -> Float[Tensor, " d"]:
    """Standard deviation of each coordinate of the part in V."""
    covariance = torch.from_numpy(moments.covariance).to(basis)
    return outside(outside(covariance, basis).T, basis).diagonal().clamp_min(0.0).sqrt()


def fit_polar(
    source: Float[Tensor, "n d"],
    target: Float[Tensor, "k d"],
    basis: Float[Tensor, "d r"],
    settings: PolarSettings,
    *,
    radial: bool,
    seed: int,
    whole: Whole | None = None,
    device: str = "cpu",
    checkpoint: Path | None = None,
    progress: Progress | None = None,
) -> PolarStage:
    """Fit the stages: statistics on all rows where they are given, networks on samples of unit rows.

    Parameters
    ----------
    source, target : Tensor, shapes (n, d) and (k, d)
        With `radial`, raw sources, mapped by the source's radial initialisation; else sources that are initialised
        already, whose polar coordinates are refined as they are.
    whole : Whole, optional
        Of the sets that were sampled, sources as they are before any initialisation.
    checkpoint : Path, optional
        Where Stage I keeps its state, to go on after an interruption.
    """
    whole = whole or Whole.of(source, target)
    mean_x, mean_y = (torch.from_numpy(moments.mean).to(target) for moments in (whole.target, whole.source))
    centre = mean_x if settings.centre == "mean" else torch.zeros_like(mean_x)
    stage = PolarStage(
        basis=basis,
        centre=centre,
        shift=mean_x - mean_y if radial else torch.zeros_like(mean_x),
        radial=None,
        complement_mean=outside(mean_x[None], basis)[0],
        complement_scale=torch.ones_like(mean_x),
        refinement=None,
        prior=None,
        settings=settings,
    )
    blocks = basis.shape[1] // 2
    stats, wanted = PhaseStatistics.empty(blocks), RadiusHistogram.empty(blocks)
    for rows in whole.target_rows():
        there = stage.initialise(rows - stage.shift)
        stats.update(there.radius, there.phase)
        wanted.update(there.radius)
    seen = stage.initialise(target - stage.shift)
    if radial:
        raw = RadiusHistogram.empty(blocks)
        for rows in whole.source_rows():
            raw.update(stage.initialise(rows).radius)
        spread_x, spread_y = (_spread(moments, basis) for moments in (whole.target, whole.source))
        stage = replace(
            stage,
            radial=RadialMap.between(raw, wanted),
            complement_scale=spread_x / (spread_y + 1e-12),
        )
    if not settings.refine:
        return stage
    potential = build_potential(stats, settings.neighbours, settings.centred_coupling, settings.degree_normalised)
    step = 1 / potential.lipschitz if isinstance(settings.drift_step, str) else settings.drift_step
    settings = replace(settings, prior=replace(settings.prior, drift_step=step))
    stage = replace(stage, settings=settings)
    notes: dict[str, Any] = {"drift_lipschitz": potential.lipschitz, "drift_step": step}
    prior = None
    if "prior" in settings.losses:
        logs = torch.log(seen.radius.clamp_min(SMALLEST)).float().to(device)
        prior, history = train_score_prior(
            seen.phase.float().to(device), logs, potential, settings.prior, seed, checkpoint, progress
        )
        notes |= {"prior_held_out": history.held, "prior_without_network": history.baseline}
    refinement, losses = _train(stage, source, target, potential, prior, seed, device, progress)
    notes["refinement_losses"] = losses
    prior = None if prior is None else prior.cpu()
    fitted = replace(stage, refinement=refinement, prior=prior, notes=notes)
    return replace(fitted, notes=notes | _realised(fitted, source))


def _realised(stage: PolarStage, source: Tensor) -> dict[str, list[float]]:
    """How far the refinement moved fitted sources: angle, degrees, and ‖v̂ − v⁰‖; mean and largest."""
    angles, moves = [], []
    stage = stage.cast(source.dtype)
    for rows in source.split(4096):
        start = stage.initialise(rows)
        end = stage.refine(start)
        a, b = (normalize_(stage.unnormalised(polar)) for polar in (start, end))
        angles.append(2 * torch.asin((torch.linalg.vector_norm(a - b, dim=1) / 2).clamp_max(1.0)).rad2deg())
        moves.append(torch.linalg.vector_norm(end.complement - start.complement, dim=1))

    def summary(parts: list[Tensor]) -> list[float]:
        whole = torch.cat(parts)
        return [float(whole.mean()), float(whole.max())]

    return {"realised_degrees": summary(angles), "realised_complement_move": summary(moves)}


def _train(
    stage: PolarStage,
    source: Tensor,
    target: Tensor,
    potential: PhasePotential,
    prior: ScorePrior | None,
    seed: int,
    device: str,
    progress: Progress | None,
) -> tuple[Refinement, list[list[float]]]:
    """Stage II: g against the losses named in the settings, of equal weight but for that of the phase loss."""
    settings = stage.settings
    start = Polar(*(part.float().to(device) for part in stage.initialise(source)))
    source, target = source.float().to(device), target.float().to(device)
    basis, potential = stage.basis.float().to(device), potential.to(source)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed + 2)
        refinement = Refinement(basis.shape[1] // 2, len(basis), settings.width).to(source)
    generator = torch.Generator().manual_seed(seed + 3)
    optimizer = torch.optim.AdamW(refinement.parameters(), lr=settings.rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.steps)
    weight = settings.phase_weight
    if isinstance(weight, str):  # "source"
        weight = 1 / (refinement.blocks * max(1, len(potential.edges)))
    together, batch = Together(), min(settings.batch, len(source))
    share = together.share(batch)
    kept: list[list[float]] = []
    for step in range(settings.steps):
        rows = torch.randint(len(source), (batch,), generator=generator).to(device)
        others = torch.randint(len(target), (batch,), generator=generator).to(device)
        first = Polar(*(part[rows[share.rows]] for part in start))
        out = bounded(first, refinement(first), settings.bounds, basis)
        alone: dict[str, Tensor] = {}  # means over rows, of which each process has its share
        if prior is not None:
            logs = torch.log(out.radius.clamp_min(SMALLEST))
            alone["prior"] = share.weight * prior_loss(prior, out.phase, logs, potential, generator, share)
        if "phase" in settings.losses:
            apart = phase_structure_loss(out.phase, first.phase, first.radius, potential.edges)
            alone["phase"] = share.weight * weight * apart
        coupled: dict[str, Tensor] = {}  # of all rows of the batch, in every process
        if {"support", "structure"} & set(settings.losses):
            moved = torch.nn.functional.normalize(stage.unnormalised(out), dim=1)
            moved = together.whole(moved, share)
            if "support" in settings.losses:
                coupled["support"] = _support(settings.support, moved, target[others], generator)
            if "structure" in settings.losses:
                coupled["structure"] = structure_loss(moved, source[rows])
        if not (alone or coupled):
            break  # bounds alone: nothing pulls, g stays zero
        loss = torch.stack([*alone.values(), *coupled.values()]).sum()
        optimizer.zero_grad()
        loss.backward()
        together.add_gradients(refinement)
        optimizer.step()
        schedule.step()
        if step % 50 == 0 or step + 1 == settings.steps:
            shared = together.total(torch.stack(list(alone.values())).sum()) if alone else 0.0
            kept.append([step, shared + sum(float(value.detach()) for value in coupled.values())])
        if progress is not None:
            progress("stage II", step + 1, settings.steps)
    return refinement.cpu().requires_grad_(False).eval(), kept


def _prior_of(blocks: int, settings: PolarSettings) -> ScorePrior:
    return ScorePrior(blocks, settings.prior)


def _support(kind: str, rows: Tensor, target: Tensor, generator: torch.Generator) -> Tensor:
    if kind == "sliced":
        return sliced_wasserstein(rows, target, generator)
    return energy_distance(rows, target) if kind == "energy" else kernel_mmd(rows, target)
