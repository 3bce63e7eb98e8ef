"""Stage I: a periodic score prior of target phases, learned from targets alone (arXiv 2605.07825)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from anisoalign.aligners.anisoalign.drawn import layer
from anisoalign.aligners.anisoalign.potential import PhasePotential
from anisoalign.aligners.anisoalign.run import Run, run_key
from anisoalign.aligners.anisoalign.together import Share, Together
from anisoalign.aligners.anisoalign.wrapped import wrapped_score
from anisoalign.geometry.polar import wrap


@dataclass(frozen=True)
class PriorSettings:
    """How the prior is trained; σ_t = low · (high / low)^t, t uniform in [0, 1]."""

    noise_low: float = 0.05
    noise_high: float = 1.5
    drift_step: float = 0.1
    width: int = 256
    steps: int = 1500
    batch: int = 512
    rate: float = 1e-3
    held: float = 0.1
    look_every: int = 100
    patience: int = 4


class ScorePrior(nn.Module):
    """s(φ̃, t, log ρ), shape (n, m): a network with periodic inputs, divided by the noise so that its output is O(1).

    Zero at the start; without a `generator` to draw first weights all of them are, for those to be read into.
    """

    def __init__(self, blocks: int, settings: PriorSettings, generator: torch.Generator | None = None):
        super().__init__()
        self.settings = settings
        self.body = nn.Sequential(
            layer(3 * blocks + 2, settings.width, generator),
            nn.SiLU(),
            layer(settings.width, settings.width, generator),
            nn.SiLU(),
            layer(settings.width, blocks),
        )

    def forward(
        self, phase: Float[Tensor, "n m"], time: Float[Tensor, "n 1"], log_radius: Float[Tensor, "n m"]
    ) -> Float[Tensor, "n m"]:
        """Score of noised phases; t in [0, 1]."""
        features = [torch.sin(phase), torch.cos(phase), log_radius, torch.sin(math.pi * time), time]
        return self.body(torch.cat(features, dim=-1)) / (math.sqrt(2) * self.sigma(time))

    def sigma(self, time: Float[Tensor, "n 1"]) -> Float[Tensor, "n 1"]:
        """σ_t of the schedule."""
        low, high = self.settings.noise_low, self.settings.noise_high
        return low * (high / low) ** time


@dataclass
class History:
    """Held-out losses as training went: [step, loss of the network] and the loss of the best score without one.

    `error` is the standard error of how far the latter lies above the network's, over held-out rows; None of one row.
    """

    held: list[list[float]] = field(default_factory=list)
    baseline: float = float("nan")
    error: float | None = None


def noised(
    phase: Float[Tensor, "n m"],
    potential: PhasePotential,
    prior: ScorePrior,
    generator: torch.Generator,
    share: Share | None = None,
) -> tuple[Float[Tensor, "n m"], Float[Tensor, "n 1"], Float[Tensor, "n m"], Float[Tensor, "n 1"]]:
    """φ̃ = wrap(μφ + √2 σt ε) about the drifted centre μφ, with t, the exact wrapped score and λt = 2 σt².

    Where the rows are a share of a batch, what is drawn for the whole batch is drawn, and theirs of it taken.
    """
    rows, batch = (slice(None), len(phase)) if share is None else (share.rows, share.batch)
    shape = batch, phase.shape[1]
    time = torch.rand(batch, 1, generator=generator, dtype=torch.float32, device=generator.device)[rows].to(phase)
    noise = torch.randn(*shape, generator=generator, dtype=torch.float32, device=generator.device)[rows].to(phase)
    centre = potential.drifted(phase, prior.settings.drift_step)
    variance = 2 * prior.sigma(time).square()
    moved = wrap(centre + variance.sqrt() * noise)
    return moved, time, wrapped_score(wrap(moved - centre), variance.expand_as(phase)), variance


def prior_loss(
    prior: ScorePrior,
    phase: Float[Tensor, "n m"],
    log_radius: Float[Tensor, "n m"],
    potential: PhasePotential,
    generator: torch.Generator,
    share: Share | None = None,
) -> Float[Tensor, ""]:
    """E λt ‖s(φ̃, t, log ρ) − score‖² / m: of targets Stage I's objective, of refined sources L_II."""
    return _losses(prior, phase, log_radius, potential, generator, share).mean()


def _losses(
    prior: ScorePrior,
    phase: Float[Tensor, "n m"],
    log_radius: Float[Tensor, "n m"],
    potential: PhasePotential,
    generator: torch.Generator,
    share: Share | None = None,
) -> Float[Tensor, "n m"]:
    """Of each row and block, λt (s − score)²."""
    moved, time, score, variance = noised(phase, potential, prior, generator, share)
    return variance * (prior(moved, time, log_radius) - score).square()


def baseline_losses(
    prior: ScorePrior, phase: Float[Tensor, "n m"], potential: PhasePotential, generator: torch.Generator
) -> Float[Tensor, "n m"]:
    """Losses of the best score without a network, on the draws `prior_loss` makes from an equal generator.

    That is the exact score of independent wrapped Gaussians about the anchors, with variance −2 log |m_k|, times the
    best factor at each of eight noise levels.
    """
    moved, time, score, variance = noised(phase, potential, prior, generator)
    resultant = torch.cos(phase - potential.anchor).mean(dim=0).clamp(1e-6, 1 - 1e-9)
    spread = -2 * torch.log(resultant)
    guess = wrapped_score(wrap(moved - potential.anchor), variance + spread)
    losses = torch.zeros_like(score)
    for part in time.flatten().mul(8).long().clamp_max(7).unique():
        rows = time.flatten().mul(8).long().clamp_max(7) == part
        weight, ours, exact = variance[rows], guess[rows], score[rows]
        best = (weight * ours * exact).sum() / (weight * ours.square()).sum().clamp_min(1e-12)
        losses[rows] = weight * (best * ours - exact).square()
    return losses


def train_score_prior(
    phase: Float[Tensor, "n m"],
    log_radius: Float[Tensor, "n m"],
    potential: PhasePotential,
    settings: PriorSettings,
    seed: int,
    checkpoint: Path | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> tuple[ScorePrior, History]:
    """Train on target phases, stop when the held-out loss no longer falls, keep the best and freeze it.

    With `checkpoint`, the state is written there at every look at the held-out rows and training goes on from it,
    with the same result as without interruption; a state of other rows, settings or seed is not taken up.
    Several processes share each batch (`together`); the first of them writes the state.

    Parameters
    ----------
    phase, log_radius : Tensor, shape (n, m)
        θ and log ρ of target rows.
    seed : int
        Of initial weights, of the rows held out and of all noise.
    """
    device = phase.device
    prior = ScorePrior(phase.shape[1], settings, torch.Generator().manual_seed(seed)).to(phase)
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(phase), generator=generator).to(device)
    few = max(1, int(settings.held * len(phase)))
    held, kept = order[:few], order[few:]
    potential = potential.to(phase)
    together = Together()
    share = together.share(settings.batch)
    run = Run(prior, torch.optim.AdamW(prior.parameters(), lr=settings.rate, weight_decay=1e-4), generator)
    key = "" if checkpoint is None else run_key(phase, log_radius, *potential.tensors(), settings, seed)
    if checkpoint is not None:
        run.resume(checkpoint, key, together)
    while run.step < settings.steps and run.since < settings.patience:
        rows = kept[torch.randint(len(kept), (settings.batch,), generator=generator).to(device)[share.rows]]
        loss = prior_loss(prior, phase[rows], log_radius[rows], potential, generator, share)
        run.descend(share.weight * loss, together)
        if run.step % settings.look_every == 0 or run.step == settings.steps:
            run.look(together.agreed(_held_loss(prior, phase[held], log_radius[held], potential, seed)))
            if checkpoint is not None and together.rank == 0:
                run.write(checkpoint, key)
        if progress is not None:
            progress("stage I", run.step, settings.steps)
    prior.load_state_dict(run.best)
    with torch.no_grad():
        draws = [torch.Generator().manual_seed(seed + 1) for _ in range(2)]
        without = baseline_losses(prior, phase[held], potential, draws[0])
        ahead = (without - _losses(prior, phase[held], log_radius[held], potential, draws[1])).mean(dim=1)
    error = float(ahead.std() / few**0.5) if few > 1 else None
    return prior.requires_grad_(False).eval(), History(run.held, float(without.mean()), error)


def _held_loss(prior: ScorePrior, phase: Tensor, log_radius: Tensor, potential: PhasePotential, seed: int) -> float:
    """Always the same noise, so that looks are comparable."""
    with torch.no_grad():
        return float(prior_loss(prior, phase, log_radius, potential, torch.Generator().manual_seed(seed + 1)))
