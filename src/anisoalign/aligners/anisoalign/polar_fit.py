"""Fit the stages of the published method on all rows and on samples: initialise, learn the prior, refine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from anisoalign.aligners.anisoalign.polar_stage import PolarSettings, PolarStage
from anisoalign.aligners.anisoalign.potential import build_potential
from anisoalign.aligners.anisoalign.quantile_map import RadialMap
from anisoalign.aligners.anisoalign.refinement import log_radius, outside
from anisoalign.aligners.anisoalign.refinement_training import train_refinement
from anisoalign.aligners.anisoalign.score_prior import train_score_prior
from anisoalign.aligners.gaussian_transport import lacking_shrinkage
from anisoalign.embeddings import EmbeddingSet, InputError, Tile
from anisoalign.geometry.sphere import normalize_
from anisoalign.statistics.moments import Moments
from anisoalign.statistics.passes import summed
from anisoalign.statistics.phases import PhaseStatistics
from anisoalign.statistics.radii import RadiusHistogram

Progress = Callable[[str, int, int], None]
STATES = ("prior", "refinement")
"""Files of a checkpoint."""


class Whole(NamedTuple):
    """Both sets entire, of which samples are fitted: their moments, and their rows; `progress` is told of rows read."""

    source: Moments
    target: Moments
    source_rows: EmbeddingSet
    target_rows: EmbeddingSet
    progress: Callable[[int], None] | None = None


@dataclass
class PolarSums:
    """Radii of rows and, where they are asked for, their phases; mergeable."""

    radii: RadiusHistogram
    phases: PhaseStatistics | None

    def update(self, radius: Float[Tensor, "n m"], phase: Float[Tensor, "n m"]) -> PolarSums:
        """Take in rows."""
        self.radii.update(radius)
        if self.phases is not None:
            self.phases.update(radius, phase)
        return self

    def merge(self, other: PolarSums) -> PolarSums:
        """Take in the sums over other rows."""
        self.radii.merge(other.radii)
        if self.phases is not None and other.phases is not None:
            self.phases.merge(other.phases)
        return self


def _no_sums(blocks: int, phases: bool) -> PolarSums:
    return PolarSums(RadiusHistogram.empty(blocks), PhaseStatistics.empty(blocks) if phases else None)


def _polar_sums(stage: PolarStage, rows: Tensor | EmbeddingSet, phases: bool, whole: Whole | None) -> PolarSums:
    """Of rows as the stage sees them first; of a set in one pass, in float64, by the engine in use."""
    empty = partial(_no_sums, stage.basis.shape[1] // 2, phases)
    if isinstance(rows, Tensor):
        return empty().update(*stage.blocks(rows))
    return summed(
        rows,
        empty,
        partial(_TileSums, stage, empty),
        precision=np.dtype(np.float64),
        progress=None if whole is None else whole.progress,
    )


@dataclass
class _TileSums:
    """The sums over a tile; a class, so that a worker elsewhere can be sent it."""

    stage: PolarStage
    empty: Callable[[], PolarSums]

    def __call__(self, tile: Tile) -> PolarSums:
        return self.empty().update(*self.stage.blocks(torch.from_numpy(tile.values)))


def _moments(*sets: Tensor) -> list[Moments]:
    return [Moments.empty(rows.shape[1]).update(rows.numpy()) for rows in sets]


def scale_outside(
    source: Moments, target: Moments, basis: Float[Tensor, "d r"], to_the_letter: bool = False
) -> Float[Tensor, " d"]:
    """D's diagonal: the ratio of standard deviations of each coordinate of the part in V.

    1 where sources do not vary but for rounding, whose ratio says nothing of other rows. Where they are fewer than the
    targets, their covariance is first shrunk by what they lack; `to_the_letter` only where it is singular, with which
    the letter has no bound.
    """
    singular = source.n <= source.dim
    shrunk = 0.0 if to_the_letter and not singular else lacking_shrinkage(source, target)
    wanted, own = _variances(target, basis), _variances(source, basis, shrunk)
    varies = own > source.noise
    return torch.where(varies, wanted / torch.where(varies, own, 1.0), 1.0).sqrt()


def _variances(moments: Moments, basis: Float[Tensor, "d r"], shrunk: float = 0.0) -> Float[Tensor, " d"]:
    """Variance of each coordinate of the part in V.

    U takes in nearly all that a few sources vary in: unless their covariance is shrunk, a ratio to next to nothing
    would blow up all other rows.
    """
    covariance = (1.0 - shrunk) * torch.from_numpy(moments.covariance).to(basis)
    covariance.diagonal().add_(shrunk * moments.trace / moments.dim)
    return outside(outside(covariance, basis).T, basis).diagonal().clamp_min(0.0)


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
        The sets that were sampled, sources as they are before any initialisation; without it the samples are all.
    checkpoint : Path, optional
        Folder where both stages keep their state, to go on after an interruption.
    """
    mean_x = target.mean(dim=0) if whole is None else torch.from_numpy(whole.target.mean).to(target)
    shift = torch.zeros_like(mean_x)
    if radial:
        mean_y = source.mean(dim=0) if whole is None else torch.from_numpy(whole.source.mean).to(target)
        shift = mean_x - mean_y
    stage = PolarStage(
        basis=basis,
        centre=mean_x if settings.centre == "mean" else torch.zeros_like(mean_x),
        shift=torch.zeros_like(mean_x),  # targets are where they are
        radial=None,
        complement_mean=outside(mean_x[None], basis)[0],
        complement_scale=torch.ones_like(mean_x),
        refinement=None,
        prior=None,
        settings=settings,
    )
    wanted = _polar_sums(stage, target if whole is None else whole.target_rows, True, whole)
    seen, stats = stage.initialise(target), wanted.phases
    assert stats is not None
    if radial:
        stage = replace(stage, shift=shift)
        raw = _polar_sums(stage, source if whole is None else whole.source_rows, False, whole)
        y, x = _moments(source, target) if whole is None else (whole.source, whole.target)
        stage = replace(
            stage,
            radial=RadialMap.between(raw.radii, wanted.radii),
            complement_scale=scale_outside(y, x, basis, settings.bounds.per_coordinate),
        )
    if not settings.refine:
        return stage
    if min(len(source), len(target)) < 2:
        raise InputError(f"refine trains on two rows a side at least, not {len(source)} and {len(target)}")
    potential = build_potential(stats, settings.neighbours, settings.centred_coupling, settings.degree_normalised)
    step = 1 / potential.lipschitz if isinstance(settings.drift_step, str) else settings.drift_step
    settings = replace(settings, prior=replace(settings.prior, drift_step=step))
    stage = replace(stage, settings=settings)
    notes: dict[str, Any] = {"drift_lipschitz": potential.lipschitz, "drift_step": step}
    states: dict[str, Path | None] = dict.fromkeys(STATES)
    if checkpoint is not None:
        if checkpoint.exists() and not checkpoint.is_dir():
            raise InputError(f"{checkpoint} is a file: the states of the stages are kept in a folder")
        checkpoint.mkdir(parents=True, exist_ok=True)
        states = {name: checkpoint / name for name in states}
    prior = None
    if "prior" in settings.losses:
        logs = log_radius(seen.radius).float().to(device)
        prior, history = train_score_prior(
            seen.phase.float().to(device), logs, potential, settings.prior, seed, states["prior"], progress
        )
        notes |= {"prior_held_out": history.held, "prior_without_network": history.baseline}
        notes["prior_lead_error"] = history.error
    refinement, losses = train_refinement(
        stage, source, target, potential, prior, seed, device, states["refinement"], progress
    )
    notes["refinement_losses"] = losses
    prior = None if prior is None else prior.cpu()
    fitted = replace(stage, refinement=refinement, prior=prior, notes=notes)
    return replace(fitted, notes=notes | _realised(fitted, source))


def remove_states(checkpoint: Path) -> None:
    """Remove a checkpoint, and what an interruption left half written in it; files of others stay."""
    for name in STATES:
        for file in (checkpoint / name, checkpoint / f"{name}.partial"):
            file.unlink(missing_ok=True)
    if checkpoint.is_dir() and not any(checkpoint.iterdir()):
        checkpoint.rmdir()


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
