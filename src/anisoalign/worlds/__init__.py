"""A small rendered world with its own contrastive model: real embeddings of a trained model, no download.

Scenes are drawn from a seed, rendered, captioned and embedded on the spot; only the weights are stored.
"""

from .captions import caption
from .domains import DOMAINS
from .render import render
from .scenes import Scene, SceneObject, Scenes, draw_scenes
from .world import RenderedWorld, WorldPairs

__all__ = [
    "DOMAINS",
    "RenderedWorld",
    "Scene",
    "SceneObject",
    "Scenes",
    "WorldPairs",
    "caption",
    "draw_scenes",
    "render",
]
