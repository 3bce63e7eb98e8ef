"""The embedded world: scenes, their pictures and captions, and embeddings of both by the shipped towers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .captions import caption
from .domains import DOMAINS, Domain
from .render import render
from .scenes import Scenes, draw_scenes
from .tokens import tokenize
from .towers import TwoTowers
from .vocabulary import LABEL_NAMES
from .weights import SHIPPED, load_towers

BATCH = 1000
"""Rows drawn and encoded at a time; bounds the memory, changes no result beyond rounding."""


@dataclass(frozen=True)
class WorldPairs:
    """Embedded pairs of the world; row i of every field belongs to scene i."""

    image: np.ndarray
    """float32 (n, 256), unit rows."""
    text: np.ndarray
    """float32 (n, 256), unit rows."""
    label: np.ndarray
    """int64 (n,), 0 … 63: colour and shape of the main object."""
    label_name: list[str]
    """The 64 names, ``"red circle"``, …."""
    caption: list[str]
    """The n captions."""

    def __len__(self) -> int:
        return len(self.label)


class RenderedWorld:
    """A world of rendered scenes with its own contrastive model.

    Parameters
    ----------
    towers
        The picture and the caption tower.
    provenance
        How they were trained.

    Examples
    --------
    >>> world = RenderedWorld.load()
    >>> pairs = world.embed(rows=100, seed=0)
    >>> pairs.image.shape, pairs.text.shape
    ((100, 256), (100, 256))
    """

    def __init__(self, towers: TwoTowers, provenance: dict | None = None) -> None:
        self.towers = towers.eval()
        self.provenance = provenance or {}

    @classmethod
    def load(cls, folder: str | Path = SHIPPED) -> RenderedWorld:
        """Open the world with the shipped weights, or with those a training run left in a folder.

        Raises
        ------
        FileNotFoundError, ValueError
            As `anisoalign.worlds.weights.load_towers` does.
        """
        towers, described = load_towers(Path(folder))
        return cls(towers, described["provenance"])

    def scenes(self, rows: int, seed: int, domain: str | Domain = DOMAINS[0], start: int = 0) -> Scenes:
        """Draw scenes ``start`` … ``start + rows − 1``; see `anisoalign.worlds.scenes.draw_scenes`."""
        return draw_scenes(rows, seed, domain, start)

    def render(self, scenes: Scenes) -> np.ndarray:
        """Draw the pictures of scenes, uint8 (n, 32, 32, 3)."""
        return render(scenes)

    def encode_images(self, images: np.ndarray) -> np.ndarray:
        """Embed pictures, uint8 (n, 32, 32, 3), as unit rows, float32 (n, 256)."""
        with torch.inference_mode():
            parts = [
                self.towers.pictures(pixels(images[start : start + BATCH])) for start in range(0, len(images), BATCH)
            ]
        return _joined(parts, self.towers.settings.width)

    def encode_texts(self, captions: Sequence[str]) -> np.ndarray:
        """Embed captions as unit rows, float32 (n, 256); unknown words all count as one."""
        longest = self.towers.settings.max_words
        with torch.inference_mode():
            parts = [
                self.towers.captions(torch.from_numpy(tokenize(captions[start : start + BATCH], longest)))
                for start in range(0, len(captions), BATCH)
            ]
        return _joined(parts, self.towers.settings.width)

    def embed(
        self,
        rows: int = 20_000,
        seed: int = 0,
        domain: str | Domain = DOMAINS[0],
        start: int = 0,
        progress: Callable[[int, int], None] | None = None,
    ) -> WorldPairs:
        """Draw, render, caption and embed scenes.

        Parameters
        ----------
        rows
            How many.
        seed
            Which world: other seeds give other scenes of the same law.
        domain
            One of `anisoalign.worlds.DOMAINS`, or a law of your own.
        start
            Number of the first scene.
        progress
            Called with (rows done, rows in all) after each batch.
        """
        width = self.towers.settings.width
        image, text = np.empty((rows, width), np.float32), np.empty((rows, width), np.float32)
        label, captions = np.empty(rows, np.int64), []
        for done in range(0, rows, BATCH):
            part = slice(done, min(done + BATCH, rows))
            scenes = self.scenes(part.stop - done, seed, domain, start + done)
            said = [caption(scene) for scene in scenes]
            image[part] = self.encode_images(render(scenes))
            text[part] = self.encode_texts(said)
            label[part] = scenes.label
            captions += said
            if progress is not None:
                progress(part.stop, rows)
        return WorldPairs(image, text, label, list(LABEL_NAMES), captions)


def pixels(images: np.ndarray) -> Tensor:
    """Turn pictures, uint8 (n, side, side, 3), into what the tower takes: float32 (n, 3, side, side) in ±1.

    Raises
    ------
    ValueError
        If the array has another type or shape.
    """
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3:
        raise ValueError(f"pictures are uint8 (n, side, side, 3), not {images.dtype} {images.shape}")
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))).float() / 127.5 - 1


def _joined(parts: list[Tensor], width: int) -> np.ndarray:
    return torch.cat(parts).numpy() if parts else np.empty((0, width), np.float32)
