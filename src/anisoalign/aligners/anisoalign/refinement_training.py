"""Stage II of the published method: the refinement trained against the losses that its settings name."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from anisoalign.aligners.anisoalign.losses import phase_structure_loss, structure_loss, support_loss
from anisoalign.aligners.anisoalign.polar_stage import PolarStage
from anisoalign.aligners.anisoalign.potential import PhasePotential
from anisoalign.aligners.anisoalign.refinement import Polar, Refinement, bounded, log_radius
from anisoalign.aligners.anisoalign.run import Run, run_key
from anisoalign.aligners.anisoalign.score_prior import ScorePrior, prior_loss
from anisoalign.aligners.anisoalign.together import Together

Progress = Callable[[str, int, int], None]
LOOK_EVERY = 50
"""Steps from one loss noted, and one state written, to the next."""


def train_refinement(
    stage: PolarStage,
    source: Float[Tensor, "n d"],
    target: Float[Tensor, "k d"],
    potential: PhasePotential,
    prior: ScorePrior | None,
    seed: int,
    device: str,
    checkpoint: Path | None,
    progress: Progress | None,
) -> tuple[Refinement, list[list[float]]]:
    """Train g against the losses named in the settings, of equal weight but for that of the phase loss.

    Parameters
    ----------
    stage : PolarStage
        Initialises sources; its refinement and prior are not looked at.
    source, target : Tensor, shapes (n, d) and (k, d), unit rows
    potential : PhasePotential
        Its edges are those of the phase loss.
    prior : ScorePrior, optional
        Frozen; needed for the loss "prior".
    device : str
        Where it is trained; the result is on the CPU.
    checkpoint : Path, optional
        File of the state, to go on after an interruption.
    progress : callable, optional
        Called with "stage II", the step and the number of steps.

    Returns
    -------
    refinement : Refinement
        Frozen.
    losses : list of [step, loss]
        Every `LOOK_EVERY` steps.
    """
    settings = stage.settings
    start = Polar(*(part.float().to(device) for part in stage.initialise(source)))
    source, target = source.float().to(device), target.float().to(device)
    basis, potential = stage.basis.float().to(device), potential.to(source)
    drawn = torch.Generator().manual_seed(seed + 2)
    refinement = Refinement(basis.shape[1] // 2, len(basis), settings.width, drawn).to(source)
    if not settings.losses:
        return refinement.cpu().requires_grad_(False).eval(), []  # bounds alone: nothing pulls, g stays zero
    weight = settings.phase_weight
    if isinstance(weight, str):  # "source"
        weight = 1 / (refinement.blocks * max(1, len(potential.edges)))
    together, batch = Together(), min(settings.batch, len(source))
    share = together.share(batch)
    generator = torch.Generator().manual_seed(seed + 3)
    optimizer = torch.optim.AdamW(refinement.parameters(), lr=settings.rate, weight_decay=1e-4)
    run = Run(refinement, optimizer, generator)
    frozen = [] if prior is None else list(prior.parameters())
    key = (
        ""
        if checkpoint is None
        else run_key(*start, source, target, basis, *potential.tensors(), *frozen, settings, seed)
    )
    if checkpoint is not None:
        run.resume(checkpoint, key, together)
    while run.step < settings.steps:
        for group in optimizer.param_groups:  # a cosine from the rate down to 0, a function of the step alone
            group["lr"] = settings.rate * (1 + math.cos(math.pi * run.step / settings.steps)) / 2
        rows = torch.randint(len(source), (batch,), generator=generator).to(device)
        others = torch.randint(len(target), (batch,), generator=generator).to(device)
        first = Polar(*(part[rows[share.rows]] for part in start))
        out = bounded(first, refinement(first), settings.bounds, basis)
        alone: dict[str, Tensor] = {}  # means over rows, of which each process has its share
        if prior is not None:
            logs = log_radius(out.radius)
            alone["prior"] = share.weight * prior_loss(prior, out.phase, logs, potential, generator, share)
        if "phase" in settings.losses:
            apart = phase_structure_loss(out.phase, first.phase, first.radius, potential.edges)
            alone["phase"] = share.weight * weight * apart
        coupled: dict[str, Tensor] = {}  # of all rows of the batch, in every process
        if {"support", "structure"} & set(settings.losses):
            moved = torch.nn.functional.normalize(stage.unnormalised(out), dim=1)
            moved = together.whole(moved, share)
            if "support" in settings.losses:
                coupled["support"] = support_loss(settings.support, moved, target[others], generator)
            if "structure" in settings.losses:
                coupled["structure"] = structure_loss(moved, source[rows])
        run.descend(torch.stack([*alone.values(), *coupled.values()]).sum(), together)
        if run.step % LOOK_EVERY == 0 or run.step == settings.steps:
            shared = together.total(torch.stack(list(alone.values())).sum()) if alone else 0.0
            run.note(shared + sum(float(value.detach()) for value in coupled.values()))
            if checkpoint is not None and together.rank == 0:
                run.write(checkpoint, key)
        if progress is not None:
            progress("stage II", run.step, settings.steps)
    return refinement.cpu().requires_grad_(False).eval(), run.held
