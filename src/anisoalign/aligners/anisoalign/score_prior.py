"""Stage I: a periodic score prior of target phases, learned from targets alone (method.md section 4)."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from anisoalign.aligners.anisoalign.potential import PhasePotential
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
    """s(φ̃, t, log ρ), shape (n, m): a network with periodic inputs, divided by the noise so that its output is O(1)."""

    def __init__(self, blocks: int, settings: PriorSettings):
        super().__init__()
        self.settings = settings
        self.body = nn.Sequential(
            nn.Linear(3 * blocks + 2, settings.width),
            nn.SiLU(),
            nn.Linear(settings.width, settings.width),
            nn.SiLU(),
            nn.Linear(settings.width, blocks),
        )
        last = self.body[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

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
    """Held-out losses as training went: [step, loss of the network] and the loss of the best score without one."""

    held: list[list[float]] = field(default_factory=list)
    baseline: float = float("nan")


def noised(
    phase: Float[Tensor, "n m"], potential: PhasePotential, prior: ScorePrior, generator: torch.Generator
) -> tuple[Float[Tensor, "n m"], Float[Tensor, "n 1"], Float[Tensor, "n m"], Float[Tensor, "n 1"]]:
    """φ̃ = wrap(μφ + √2 σt ε) about the drifted centre μφ, with t, the exact wrapped score and λt = 2 σt²."""
    time = torch.rand(len(phase), 1, generator=generator, device=generator.device).to(phase)
    noise = torch.randn(phase.shape, generator=generator, device=generator.device).to(phase)
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
) -> Float[Tensor, ""]:
    """E λt ‖s(φ̃, t, log ρ) − score‖² / m: of targets Stage I's objective, of refined sources L_II."""
    moved, time, score, variance = noised(phase, potential, prior, generator)
    return (variance * (prior(moved, time, log_radius) - score).square()).mean()


def baseline_loss(
    prior: ScorePrior, phase: Float[Tensor, "n m"], potential: PhasePotential, generator: torch.Generator
) -> Float[Tensor, ""]:
    """The same objective for the best score without a network: the best multiple, at each noise level, of the score
    of a wrapped Gaussian about the anchors, on the same draws as `prior_loss` makes from an equal generator."""
    moved, time, score, variance = noised(phase, potential, prior, generator)
    spread = 2 * (1 - torch.cos(phase - potential.anchor).mean(dim=0).clamp(1e-3, 1.0))
    guess = wrapped_score(wrap(moved - potential.anchor), variance + spread)
    losses = torch.zeros(())
    for part in time.flatten().mul(8).long().clamp_max(7).unique():
        rows = time.flatten().mul(8).long().clamp_max(7) == part
        weight, ours, exact = variance[rows], guess[rows], score[rows]
        best = (weight * ours * exact).sum() / (weight * ours.square()).sum().clamp_min(1e-12)
        losses = losses + (weight * (best * ours - exact).square()).sum()
    return losses / score.numel()


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
    with the same result as without interruption.

    Parameters
    ----------
    phase, log_radius : Tensor, shape (n, m)
        θ and log ρ of target rows.
    seed : int
        Of initial weights, of the rows held out and of all noise.
    """
    device = phase.device
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        prior = ScorePrior(phase.shape[1], settings).to(phase)
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(phase), generator=generator).to(device)
    held, kept = order[: max(1, int(settings.held * len(phase)))], order[max(1, int(settings.held * len(phase))) :]
    potential = potential.to(phase)
    optimizer = torch.optim.AdamW(prior.parameters(), lr=settings.rate, weight_decay=1e-4)
    history, best, since, start = History(), None, 0, 0
    if checkpoint is not None and checkpoint.exists():
        # weights_only: nothing but tensors and plain values is read
        state = torch.load(checkpoint, weights_only=True)
        prior.load_state_dict(state["prior"])
        optimizer.load_state_dict(state["optimizer"])
        generator.set_state(state["generator"])
        history.held, best, since, start = state["held"], state["best"], state["since"], state["step"]
    for step in range(start, settings.steps):
        if since >= settings.patience:
            break
        rows = kept[torch.randint(len(kept), (settings.batch,), generator=generator).to(device)]
        loss = prior_loss(prior, phase[rows], log_radius[rows], potential, generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if (step + 1) % settings.look_every == 0 or step + 1 == settings.steps:
            found = _held_loss(prior, phase[held], log_radius[held], potential, seed)
            since = 0 if not history.held or found < min(loss for _, loss in history.held) else since + 1
            history.held.append([step + 1, found])
            if since == 0:
                best = {name: value.clone() for name, value in prior.state_dict().items()}
            if checkpoint is not None:
                _write(checkpoint, prior, optimizer, generator, history.held, best, since, step + 1)
        if progress is not None:
            progress("stage I", step + 1, settings.steps)
    if best is not None:
        prior.load_state_dict(best)
    with torch.no_grad():
        history.baseline = float(baseline_loss(prior, phase[held], potential, torch.Generator().manual_seed(seed + 1)))
    return prior.requires_grad_(False).eval(), history


def _held_loss(prior: ScorePrior, phase: Tensor, log_radius: Tensor, potential: PhasePotential, seed: int) -> float:
    """Always the same noise, so that looks are comparable."""
    with torch.no_grad():
        return float(prior_loss(prior, phase, log_radius, potential, torch.Generator().manual_seed(seed + 1)))


def _write(path: Path, prior: ScorePrior, optimizer, generator, held, best, since: int, step: int) -> None:
    state = {
        "prior": prior.state_dict(),
        "optimizer": optimizer.state_dict(),
        "generator": generator.get_state(),
        "held": held,
        "best": best,
        "since": since,
        "step": step,
    }
    partial = path.with_name(path.name + ".partial")
    torch.save(state, partial)
    os.replace(partial, path)
