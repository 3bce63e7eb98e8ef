"""What one seed's person has: images to fit on, texts, perhaps pairs; and the pictures that are tested.

Four disjoint ranges of scenes of one world, in the `shifted` domain, on which the towers were not trained:

* **images to fit on**: their image embeddings alone, for aligners;
* **texts**: captions and their embeddings. Aligners are fitted on them, conversations are made from what they say.
  Their pictures are for the rows that are allowed real pairs, never for an aligner;
* **pictures with true answers**: for real visual instruction tuning;
* **tested pictures**, which nothing else has seen, with true answers.

So no scene gives both its image and its text to a fit. Texts and images follow one law, the easiest case: what lies
between them is the gap of the towers, what captions leave out, and where they are wrong.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from anisoalign.embeddings.atomic import TEMPORARY, rename_synced
from anisoalign.mllm.study.described import Description, read, seen
from anisoalign.mllm.study.questions import Question, ask_all, balanced, even
from anisoalign.worlds import RenderedWorld, Scenes, caption, draw_scenes

DOMAIN = "shifted"
_RANGES = {"fitted": 0, "texts": 1_000_000, "tuned": 2_000_000, "tested": 3_000_000}
"""Number of the first scene of each range."""


@dataclass(frozen=True)
class Sizes:
    """How many scenes and questions."""

    fitted: int = 2500
    """Images to fit on."""
    texts: int = 2000
    """Captions, ×1."""
    tuned: int = 500
    """Pictures with true answers to tune on."""
    tested: int = 4000
    """Pictures from which tested questions are drawn."""
    per_form: int = 200
    """Tested questions of each form."""
    per_scene: int = 4
    """Questions about each caption or picture in training."""


@dataclass(frozen=True)
class Corpus:
    """The scenes of one seed, embedded; `multiple` is how many times `sizes.texts` captions there are."""

    seed: int
    sizes: Sizes
    multiple: int
    fitted_image: np.ndarray
    text: np.ndarray
    image: np.ndarray
    tuned_image: np.ndarray
    tested_image: np.ndarray

    @cached_property
    def captions(self) -> list[str]:
        """What is said of the scenes of the texts' range."""
        return [caption(scene) for scene in self._scenes("texts", len(self.text))]

    @cached_property
    def told(self) -> list[Question]:
        """Conversations made from captions alone."""
        return self._training([read(text) for text in self.captions], "texts")

    @cached_property
    def true(self) -> list[Question]:
        """Conversations about the same scenes with true answers, as their pictures would give."""
        return self._training([seen(scene) for scene in self._scenes("texts", len(self.text))], "texts")

    @cached_property
    def tuned(self) -> list[Question]:
        """Conversations with true answers about the pictures to tune on."""
        return self._training([seen(scene) for scene in self._scenes("tuned", len(self.tuned_image))], "tuned")

    @cached_property
    def tested(self) -> list[Question]:
        """Questions with true answers about tested pictures, as many of each answer of a form."""
        told = [seen(scene) for scene in self._scenes("tested", len(self.tested_image))]
        asked = [q for n, d in enumerate(told) for q in ask_all(d, n, self._draws("tested", n))]
        return balanced(asked, self.sizes.per_form, self._draws("tested"))

    def _training(self, told: Sequence[Description], name: str) -> list[Question]:
        """``per_scene`` questions for each scene on average, forms and their answers as even as they allow."""
        asked = [q for n, d in enumerate(told) for q in ask_all(d, n, self._draws(name, n))]
        return even(balanced(asked, len(asked), self._draws(name)), self.sizes.per_scene * len(told))

    def _scenes(self, name: str, rows: int) -> Scenes:
        return draw_scenes(rows, self.seed, DOMAIN, _RANGES[name])

    def _draws(self, name: str, *numbers: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, _RANGES[name], *numbers])


def make_corpus(seed: int, sizes: Sizes, multiple: int, folder: Path) -> Corpus:
    """Embed the scenes of a seed, or read them from ``folder`` where an earlier call has left them."""
    rows = {
        "fitted": sizes.fitted,
        "texts": sizes.texts * multiple,
        "tuned": sizes.tuned,
        "tested": sizes.tested,
    }
    path = folder / ("-".join(["corpus", str(seed), *map(str, rows.values())]) + ".npz")
    if not path.is_file():
        world = RenderedWorld.load()
        pairs = {name: world.embed(count, seed, DOMAIN, _RANGES[name]) for name, count in rows.items()}
        arrays = {f"{name}_image": found.image for name, found in pairs.items()}
        _write(path, {**arrays, "text": pairs["texts"].text})
    with np.load(path) as found:
        return Corpus(
            seed,
            sizes,
            multiple,
            found["fitted_image"],
            found["text"],
            found["texts_image"],
            found["tuned_image"],
            found["tested_image"],
        )


def _write(path: Path, arrays: dict[str, Any]) -> None:
    temporary = path.with_name(f"{TEMPORARY}{path.name}")
    with temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
        file.flush()
        os.fsync(file.fileno())
    rename_synced(temporary, path)
