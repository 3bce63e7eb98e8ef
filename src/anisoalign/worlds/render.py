"""Pictures of scenes, drawn by arithmetic on whole batches: no drawing library, no stored images."""

from collections.abc import Callable

import numpy as np

from . import draws
from .scenes import MAX_OBJECTS, Scenes
from .vocabulary import COLOURS, FILLS, SHAPES

IMAGE_SIZE = 32
"""Width and height of a picture in pixels."""

_PAINTS = {
    "red": (0.85, 0.12, 0.12),
    "orange": (0.95, 0.50, 0.08),
    "yellow": (0.93, 0.88, 0.15),
    "green": (0.13, 0.65, 0.18),
    "cyan": (0.15, 0.82, 0.82),
    "blue": (0.15, 0.25, 0.90),
    "purple": (0.50, 0.15, 0.70),
    "pink": (0.97, 0.50, 0.75),
}
_PAINT = np.array([_PAINTS[name] for name in COLOURS], dtype=np.float32)

_GROUND = np.array(
    [  # black, grey, white, brown, navy, beige
        (0.05, 0.05, 0.05),
        (0.50, 0.50, 0.50),
        (0.95, 0.95, 0.95),
        (0.35, 0.22, 0.12),
        (0.08, 0.10, 0.30),
        (0.85, 0.78, 0.62),
    ],
    dtype=np.float32,
)

Pixels = np.ndarray


def _star(u: Pixels, v: Pixels) -> Pixels:
    angle = np.arctan2(u, -v)
    sector = np.abs(np.mod(angle * (5 / (2 * np.pi)) + 0.5, 1) - 0.5) * 2  # 0 at a point, 1 between two
    return 1.1 - 0.62 * sector - np.hypot(u, v)


# Each shape: how far inside a point is (> 0 inside), with the object's radius as the unit of length.
_INSIDE: dict[str, Callable[[Pixels, Pixels], Pixels]] = {
    "circle": lambda u, v: 0.95 - np.hypot(u, v),
    "square": lambda u, v: 0.8 - np.maximum(np.abs(u), np.abs(v)),
    "triangle": lambda u, v: np.minimum(0.65 - v, 0.42 + 0.45 * v - 0.87 * np.abs(u)),
    "diamond": lambda u, v: 0.75 - 0.71 * (np.abs(u) + np.abs(v)),
    "cross": lambda u, v: np.minimum(0.32 - np.minimum(np.abs(u), np.abs(v)), 1 - np.maximum(np.abs(u), np.abs(v))),
    "ring": lambda u, v: 0.24 - np.abs(np.hypot(u, v) - 0.76),
    "star": _star,
    "crescent": lambda u, v: np.minimum(1 - np.hypot(u, v), np.hypot(u - 0.5, v) - 0.72),
}


def render(scenes: Scenes) -> np.ndarray:
    """Draw scenes.

    Returns
    -------
    uint8 (n, 32, 32, 3), RGB

    Examples
    --------
    >>> from anisoalign.worlds.scenes import draw_scenes
    >>> render(draw_scenes(4, seed=0, domain="training")).shape
    (4, 32, 32, 3)
    """
    size = IMAGE_SIZE
    picture = np.broadcast_to(_GROUND[scenes.background][:, None, None], (len(scenes), size, size, 3)).copy()
    for column in reversed(range(MAX_OBJECTS)):  # the main object last: on top
        _draw_objects(picture, scenes, column)
    picture = _disturb(picture, scenes)
    return np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)


def _draw_objects(picture: Pixels, scenes: Scenes, column: int) -> None:
    for shape in range(len(SHAPES)):
        rows = np.flatnonzero((scenes.count > column) & (scenes.shape[:, column] == shape))
        if len(rows):
            cover = _cover(scenes, rows, column, SHAPES[shape])[..., None]
            paint = _PAINT[scenes.colour[rows, column]] + scenes.paint[rows, column].astype(np.float32)
            picture[rows] += cover * (paint[:, None, None] - picture[rows])


def _cover(scenes: Scenes, rows: np.ndarray, column: int, shape: str) -> Pixels:
    """Share of each pixel that the object covers, (rows, size, size)."""

    def value(array: np.ndarray) -> Pixels:
        return array[rows, column].astype(np.float32)[:, None, None]

    grid = (np.arange(IMAGE_SIZE, dtype=np.float32) + 0.5) / IMAGE_SIZE
    radius = value(scenes.radius)
    dx = (grid[None, None, :] - value(scenes.x)) / radius
    dy = (grid[None, :, None] - value(scenes.y)) / radius
    cos, sin = np.cos(value(scenes.angle)), np.sin(value(scenes.angle))
    u, v = cos * dx + sin * dy, cos * dy - sin * dx
    inside = _INSIDE[shape](u, v)
    cover = np.clip(inside * radius * IMAGE_SIZE + 0.5, 0, 1)
    return cover * _fill(scenes.fill[rows, column], u, v, inside)


def _fill(fill: np.ndarray, u: Pixels, v: Pixels, inside: Pixels) -> Pixels:
    """How much paint each pixel of the object takes: full where plain, less between stripes and dots."""
    full = np.ones_like(u)
    for name, amount in (
        ("striped", lambda a, b, _: 0.7 + 0.3 * np.sign(np.sin(9 * a))),
        ("dotted", lambda a, b, _: 0.7 - 0.3 * np.sign(np.sin(8 * a) * np.sin(8 * b))),
        ("outlined", lambda a, b, depth: np.where(depth < 0.2, 1, 0.35)),
    ):
        rows = fill == FILLS.index(name)
        full[rows] = amount(u[rows], v[rows], inside[rows])
    return full


def _disturb(picture: Pixels, scenes: Scenes) -> Pixels:
    """Lighting, blur, contrast and noise: what pictures vary in and captions never mention."""

    def value(array: np.ndarray) -> Pixels:
        return array.astype(np.float32)[:, None, None, None]

    grid = np.linspace(-0.5, 0.5, IMAGE_SIZE, dtype=np.float32)
    slope = scenes.slope.astype(np.float32)
    picture += value(slope[:, 0]) * grid[None, None, :, None] + value(slope[:, 1]) * grid[None, :, None, None]
    once = _smoothed(picture)
    blur = value(scenes.blur)
    picture += np.minimum(blur, 1) * (once - picture)
    picture += np.maximum(blur - 1, 0) * (_smoothed(once) - picture)
    picture = 0.5 + value(scenes.contrast) * (picture - 0.5) + value(scenes.light)
    return picture + value(scenes.noise) * _noise(scenes.noise_key)


def _smoothed(picture: Pixels) -> Pixels:
    """Binomial smoothing (1, 2, 1)/4 along both sides, edges repeated."""
    for axis in (1, 2):
        length = picture.shape[axis]
        before = np.take(picture, np.maximum(np.arange(length) - 1, 0), axis=axis)
        after = np.take(picture, np.minimum(np.arange(length) + 1, length - 1), axis=axis)
        picture = 0.5 * picture + 0.25 * (before + after)
    return picture


def _noise(noise_key: np.ndarray) -> Pixels:
    """Uniform noise of unit variance, (n, size, size, 3), a function of each row's key alone."""
    counters = noise_key[:, None] + np.arange(IMAGE_SIZE**2, dtype=np.uint64)
    quarters = draws.bits(0, counters, 0).view(np.uint16).reshape(-1, IMAGE_SIZE, IMAGE_SIZE, 4)
    return (quarters[..., :3].astype(np.float32) / 32767.5 - 1) * np.float32(np.sqrt(3))
