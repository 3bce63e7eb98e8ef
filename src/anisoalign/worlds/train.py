"""Train the two towers: ``python -m anisoalign.worlds.train --out DIR --seed 0 --steps 800``.

The contrastive loss of CLIP with a fixed temperature, on scenes of which none is seen twice. The gap is what
training leaves between the cones in which the towers start: captions name part of a scene, and some are wrong.
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .captions import caption
from .domains import TRAINING, Domain
from .render import render
from .scenes import draw_scenes
from .tokens import tokenize
from .towers import TowerSettings, TwoTowers
from .weights import save_towers
from .world import pixels

SCENE_SEED = 1_000_000
"""Training scenes have seed ``SCENE_SEED + seed``: apart from those that anyone embeds."""


@dataclass(frozen=True)
class TrainSettings:
    """What a training run is given."""

    seed: int = 0
    steps: int = 800
    batch: int = 512
    scenes: int | None = None
    """After how many scenes, a multiple of the batch, they come again; None for never."""
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    logit_scale: float = 70.0
    """Inverse temperature, fixed."""


def train(
    settings: TrainSettings,
    progress: Callable[[int, float], None] | None = None,
    law: Domain = TRAINING,
    sizes: TowerSettings | None = None,
) -> TwoTowers:
    """Train both towers; the same settings on the same machine give the same weights.

    Parameters
    ----------
    settings
        Seed, steps and the rest.
    progress
        Called with (step, loss) after each step.
    law
        The domain of the training scenes.
    sizes
        Sizes of the towers, and the cones that they start in.
    """
    torch.manual_seed(settings.seed)
    towers = TwoTowers(sizes).train()
    optimizer = torch.optim.AdamW(towers.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, settings.steps))
    for step in range(settings.steps):
        images, tokens = training_batch(settings, step, law)
        loss = contrastive_loss(towers.pictures(images), towers.captions(tokens), settings.logit_scale)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if progress is not None:
            progress(step + 1, loss.item())
    return towers.eval()


def training_batch(settings: TrainSettings, step: int, law: Domain) -> tuple[Tensor, Tensor]:
    """Draw the scenes of a step: pictures (batch, 3, 32, 32) and tokens (batch, words)."""
    start = step * settings.batch
    if settings.scenes is not None:
        start %= settings.scenes
    scenes = draw_scenes(settings.batch, SCENE_SEED + settings.seed, law, start)
    return pixels(render(scenes)), torch.from_numpy(tokenize([caption(scene) for scene in scenes]))


def contrastive_loss(images: Tensor, texts: Tensor, logit_scale: float) -> Tensor:
    """Cross-entropy of finding each row's partner in the batch, both ways; rows (n, d) are unit."""
    logits = logit_scale * images @ texts.T
    partner = torch.arange(len(images))
    return (functional.cross_entropy(logits, partner) + functional.cross_entropy(logits.T, partner)) / 2


def _rate(step: int, steps: int) -> float:
    """Learning rate at a step, as a share of its peak: up over the first tenth, then down a cosine."""
    warm = max(1, steps // 10)
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + np.cos(np.pi * (step - warm) / max(1, steps - warm)))


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    default = TrainSettings()
    parser = argparse.ArgumentParser(prog="python -m anisoalign.worlds.train", description="Train the towers.")
    parser.add_argument("--out", type=Path, required=True, help="folder for weights.safetensors and .json")
    parser.add_argument("--seed", type=int, default=default.seed)
    parser.add_argument("--steps", type=int, default=default.steps)
    parser.add_argument("--batch", type=int, default=default.batch, help="scenes a step, all of them new")
    given = parser.parse_args(arguments)
    if given.steps < 1 or given.batch < 2:
        parser.error("--steps must be at least 1 and --batch at least 2")
    settings = TrainSettings(seed=given.seed, steps=given.steps, batch=given.batch)
    towers = train(settings, _reporter(settings.steps))
    options = f"--seed {given.seed} --steps {given.steps} --batch {given.batch}"
    command = f"python -m anisoalign.worlds.train --out {given.out.name} {options}"
    save_towers(towers, given.out, {"command": command, **asdict(settings), "domain": asdict(TRAINING)})
    print(f"wrote {given.out / 'weights.safetensors'} and weights.json", file=sys.stderr)
    return 0


def _reporter(steps: int) -> Callable[[int, float], None]:
    started = time.monotonic()

    def report(step: int, loss: float) -> None:
        if step % 10 == 0 or step == steps:
            rate = step / (time.monotonic() - started)
            eta = (steps - step) / rate
            line = f"\rstep {step}/{steps}  loss {loss:.3f}  {rate:.1f} steps/s  {eta:.0f} s left "
            print(line, end="\n" if step == steps else "", file=sys.stderr, flush=True)

    return report


if __name__ == "__main__":
    sys.exit(main())
