"""Train the two towers: ``python -m anisoalign.worlds.train --out DIR --seed 0 --steps 800``.

The contrastive loss of CLIP with a fixed temperature. The gap is not put in by hand: the two towers start in
two cones, captions name part of a scene, some are wrong, and training stops before the cones have merged.
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
from .domains import TRAINING
from .render import render
from .scenes import draw_scenes
from .tokens import tokenize
from .towers import TwoTowers
from .weights import save_towers
from .world import BATCH, pixels

SCENE_SEED = 1_000_000
"""Training scenes have seed ``SCENE_SEED + seed``: apart from those that anyone embeds."""


@dataclass(frozen=True)
class TrainSettings:
    """What a training run is given."""

    seed: int = 0
    steps: int = 800
    scenes: int = 40_000
    batch: int = 512
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    logit_scale: float = 70.0
    """Inverse temperature, fixed."""


def train(settings: TrainSettings, progress: Callable[[int, float], None] | None = None) -> TwoTowers:
    """Train both towers; the same settings on the same machine give the same weights.

    Parameters
    ----------
    settings
        Seed, steps and the rest.
    progress
        Called with (step, loss) after each step.
    """
    torch.manual_seed(settings.seed)
    images, tokens = training_set(settings)
    towers = TwoTowers()
    optimizer = torch.optim.AdamW(
        towers.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, settings.steps))
    batches = _batches(settings)
    towers.train()
    for step in range(1, settings.steps + 1):
        rows = next(batches)
        loss = contrastive_loss(
            towers.pictures(pixels(images[rows])),
            towers.captions(torch.from_numpy(tokens[rows])),
            settings.logit_scale,
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if progress is not None:
            progress(step, loss.item())
    return towers.eval()


def contrastive_loss(images: Tensor, texts: Tensor, logit_scale: float) -> Tensor:
    """Cross-entropy of finding each row's partner in the batch, both ways; rows (n, d) are unit."""
    logits = logit_scale * images @ texts.T
    partner = torch.arange(len(images))
    return (functional.cross_entropy(logits, partner) + functional.cross_entropy(logits.T, partner)) / 2


def training_set(settings: TrainSettings) -> tuple[np.ndarray, np.ndarray]:
    """Pictures, uint8 (n, 32, 32, 3), and tokens, int64 (n, words), of the training scenes."""
    images, captions = [], []
    for start in range(0, settings.scenes, BATCH):
        rows = min(BATCH, settings.scenes - start)
        scenes = draw_scenes(rows, SCENE_SEED + settings.seed, TRAINING, start)
        images.append(render(scenes))
        captions += [caption(scene) for scene in scenes]
    return np.concatenate(images), tokenize(captions)


def _batches(settings: TrainSettings):
    """Rows of one batch after another: every scene once in each epoch, the last short batch dropped."""
    random = np.random.default_rng(settings.seed)
    size = min(settings.batch, settings.scenes)
    while True:
        order = random.permutation(settings.scenes)
        for start in range(0, settings.scenes - size + 1, size):
            yield order[start : start + size]


def _rate(step: int, steps: int) -> float:
    """Learning rate at a step, as a share of its peak: up over the first tenth, then down a cosine."""
    warm = max(1, steps // 10)
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + np.cos(np.pi * (step - warm) / max(1, steps - warm)))


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    default = TrainSettings()
    parser = argparse.ArgumentParser(
        prog="python -m anisoalign.worlds.train", description="Train the towers."
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for weights.safetensors and .json")
    parser.add_argument("--seed", type=int, default=default.seed)
    parser.add_argument("--steps", type=int, default=default.steps)
    parser.add_argument("--scenes", type=int, default=default.scenes, help="training scenes")
    given = parser.parse_args(arguments)
    if given.steps < 1 or given.scenes < 2:
        parser.error("--steps must be at least 1 and --scenes at least 2")
    settings = TrainSettings(seed=given.seed, steps=given.steps, scenes=given.scenes)
    towers = train(settings, _reporter(settings.steps))
    options = f"--seed {given.seed} --steps {given.steps} --scenes {given.scenes}"
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
