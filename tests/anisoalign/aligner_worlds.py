"""Planted sets for the assembled AnisoAlign, whose truth is known."""

from typing import NamedTuple

import numpy as np

from anisoalign.geometry import normalize
from anisoalign.geometry.rotation import turn_between

EXACT = {"dtype": "float64", "out_dtype": "float64"}
QUICK = {"prior_steps": 20, "refine_steps": 10, "rank": 8}
D = 32


class World(NamedTuple):
    """Rows that are pairs, and labels."""

    source: np.ndarray
    target: np.ndarray
    label: np.ndarray


def distorted(n: int, seed: int, gap: str = "turn", topics: int = 40, spread: float = 1.2, noise: float = 0.6) -> World:
    """Targets in clusters about an offset; sources see them with ten directions too narrow, in noise.

    With gap="shift" sources are about another offset; with "turn" they are rotated as a whole, offset and meaning, so
    that they come to lie about that other offset. Every seed is another world: clusters, distortion, offsets and draws.
    """
    world, rng = np.random.default_rng([11, seed]), np.random.default_rng([seed, 5])
    centres = world.normal(size=(topics, D)) * np.linspace(1.5, 0.2, D)
    label = rng.integers(topics, size=n)
    meaning = centres[label] + spread * rng.normal(size=(n, D)) * np.linspace(1.0, 0.3, D)
    frame, _ = np.linalg.qr(world.normal(size=(D, D)))
    width = np.ones(D)
    width[:10] = np.linspace(0.3, 0.7, 10)
    there, here = 3 * normalize(world.normal(size=(2, D)))
    seen = meaning @ frame @ np.diag(width) @ frame.T + noise * rng.normal(size=(n, D))
    source = seen + there if gap == "shift" else (seen + here) @ turn_between(here, there).T
    return World(normalize(source), normalize(meaning + here), label.astype(str))


def shifted(n: int, seed: int, away: float = 1.2, spread: float = 0.9, noise: float = 1.0) -> World:
    """The same law on both sides, apart by an exact translation: one constant coordinate each, none of the other's.

    Both sides see their meaning in noise of their own, so that neither recall nor label transfer is at its ceiling,
    where no method could lose.
    """
    world, rng = np.random.default_rng(7), np.random.default_rng([seed, 3])
    centres = world.normal(size=(12, D - 2)) * np.linspace(1.5, 0.2, D - 2)
    label = rng.integers(12, size=n)
    meaning = normalize(centres[label] + spread * rng.normal(size=(n, D - 2)) * np.linspace(1.0, 0.3, D - 2))
    here, there = (normalize(meaning + noise * rng.normal(size=(n, D - 2)) / (D - 2) ** 0.5) for _ in "yx")
    none, one = np.zeros((n, 1)), np.full((n, 1), away)
    return World(normalize(np.hstack([here, one, none])), normalize(np.hstack([there, none, one])), label.astype(str))
