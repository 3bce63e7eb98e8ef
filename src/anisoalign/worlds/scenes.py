"""Scenes: what is in a picture and what its caption will say, before either is made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import overload

import numpy as np

from . import draws
from .domains import MENTIONS, Domain, domain_named
from .vocabulary import BACKGROUNDS, COLOURS, COLUMNS, FILLS, LINES, SHAPES, SIZES

MAX_OBJECTS = 3


@dataclass(frozen=True)
class SceneObject:
    """One object of a scene; coordinates are shares of the image's width, from its upper left corner."""

    colour: str
    shape: str
    size: str
    fill: str
    x: float
    y: float
    radius: float

    @property
    def position(self) -> str:
        """Where the object's centre lies, as ``"upper left"`` … ``"lower right"``."""
        return f"{LINES[_third(self.y)]} {COLUMNS[_third(self.x)]}"


@dataclass(frozen=True)
class Scene:
    """One scene, readable: its objects (the main one first), its background and how it will be worded."""

    objects: tuple[SceneObject, ...]
    background: str
    mentions: frozenset[str]
    """Which of `anisoalign.worlds.domains.MENTIONS` the caption mentions."""
    rare_words: bool
    as_list: bool
    phrasing: int
    told_as: Scene | None
    """The other scene that a wrong caption describes; None for a right one."""

    @property
    def main(self) -> SceneObject:
        """The main object: the first and largest one, which gives the label."""
        return self.objects[0]

    @property
    def label(self) -> int:
        """``8 * colour + shape`` of the main object, 0 … 63."""
        return 8 * COLOURS.index(self.main.colour) + SHAPES.index(self.main.shape)


@dataclass(frozen=True)
class Scenes:
    """Many scenes as arrays; indexing with an integer gives a `Scene`, with a slice or rows fewer `Scenes`.

    Arrays of shape (n, 3) have a column for each possible object, the main one first; those at or beyond
    ``count`` are not drawn.
    """

    count: np.ndarray
    colour: np.ndarray
    shape: np.ndarray
    fill: np.ndarray
    x: np.ndarray
    y: np.ndarray
    radius: np.ndarray
    angle: np.ndarray
    paint: np.ndarray
    """Colour offsets of the objects, (n, 3 objects, 3 channels)."""
    background: np.ndarray
    contrast: np.ndarray
    light: np.ndarray
    slope: np.ndarray
    blur: np.ndarray
    noise: np.ndarray
    noise_key: np.ndarray
    mentions: np.ndarray
    rare_words: np.ndarray
    as_list: np.ndarray
    phrasing: np.ndarray
    told: Scenes | None
    """What each caption describes where ``wrong``; None inside a `told` itself."""
    wrong: np.ndarray

    def __len__(self) -> int:
        return len(self.count)

    @property
    def label(self) -> np.ndarray:
        """int64 (n,): ``8 * colour + shape`` of each main object."""
        return 8 * self.colour[:, 0] + self.shape[:, 0]

    @overload
    def __getitem__(self, rows: int) -> Scene: ...
    @overload
    def __getitem__(self, rows: slice | np.ndarray) -> Scenes: ...
    def __getitem__(self, rows: int | slice | np.ndarray) -> Scene | Scenes:
        if isinstance(rows, (int, np.integer)):
            return self._scene(int(rows))
        arrays = {field.name: getattr(self, field.name)[rows] for field in fields(self) if field.name != "told"}
        return Scenes(**arrays, told=None if self.told is None else self.told[rows])

    def __iter__(self) -> Iterator[Scene]:
        return (self._scene(row) for row in range(len(self)))

    def _scene(self, row: int) -> Scene:
        return Scene(
            objects=tuple(self._object(row, column) for column in range(self.count[row])),
            background=BACKGROUNDS[self.background[row]],
            mentions=frozenset(name for name, said in zip(MENTIONS, self.mentions[row], strict=True) if said),
            rare_words=bool(self.rare_words[row]),
            as_list=bool(self.as_list[row]),
            phrasing=int(self.phrasing[row]),
            told_as=self.told._scene(row) if self.told is not None and self.wrong[row] else None,
        )

    def _object(self, row: int, column: int) -> SceneObject:
        radius = float(self.radius[row, column])
        return SceneObject(
            colour=COLOURS[self.colour[row, column]],
            shape=SHAPES[self.shape[row, column]],
            size=SIZES[(radius > 0.22) + (radius > 0.29)],
            fill=FILLS[self.fill[row, column]],
            x=float(self.x[row, column]),
            y=float(self.y[row, column]),
            radius=radius,
        )


def draw_scenes(rows: int, seed: int, domain: str | Domain, start: int = 0) -> Scenes:
    """Draw scenes ``start`` … ``start + rows − 1`` of a world.

    A scene depends on the seed, the domain's name and its own number, never on how many are drawn with it.

    Examples
    --------
    >>> scenes = draw_scenes(100, seed=0, domain="training")
    >>> draw_scenes(1, seed=0, domain="training", start=7)[0] == scenes[7]
    True
    """
    law = domain_named(domain) if isinstance(domain, str) else domain
    numbers = np.arange(start, start + rows)
    told = _draw(law, draws.key(seed, law.name, "told"), numbers)
    scenes = replace(_draw(law, draws.key(seed, law.name), numbers), told=told)
    wording = ("mentions", "rare_words", "as_list", "phrasing")
    return replace(scenes, told=replace(told, **{name: getattr(scenes, name) for name in wording}))


def _draw(law: Domain, key: int, rows: np.ndarray) -> Scenes:
    x, y = _places(key, rows)
    fill = np.zeros((len(rows), MAX_OBJECTS), dtype=np.int64)
    fill[:, 0] = draws.choices(key, rows, 3, law.fills)
    radius = 0.11 + 0.04 * draws.uniforms(key, rows, 4, MAX_OBJECTS)
    radius[:, 0] = _between(law.radius, draws.uniform(key, rows, 5))
    # the sum of three uniforms on ±1 has unit variance
    paint = 2 * draws.uniforms(key, rows, 7, 27).reshape(len(rows), MAX_OBJECTS, 3, 3).sum(axis=-1) - 3
    return Scenes(
        count=1 + draws.choices(key, rows, 0, law.counts),
        colour=draws.integers(key, rows, 1, len(COLOURS), MAX_OBJECTS),
        shape=draws.integers(key, rows, 2, len(SHAPES), MAX_OBJECTS),
        fill=fill,
        x=x,
        y=y,
        radius=radius,
        angle=np.deg2rad(15) * (2 * draws.uniforms(key, rows, 6, MAX_OBJECTS) - 1),
        paint=law.colour_jitter * paint,
        background=draws.integers(key, rows, 8, len(BACKGROUNDS), 1)[:, 0],
        contrast=_between(law.contrast, draws.uniform(key, rows, 9)),
        light=_between(law.light, draws.uniform(key, rows, 10)),
        slope=law.gradient * (2 * draws.uniforms(key, rows, 11, 2) - 1),
        blur=_between(law.blur, draws.uniform(key, rows, 12)),
        noise=_between(law.noise, draws.uniform(key, rows, 13)),
        noise_key=draws.bits(key, rows, 14),
        mentions=draws.uniforms(key, rows, 15, len(MENTIONS)) < _rates(law, key, rows),
        rare_words=draws.uniform(key, rows, 16) < law.rare_word_rate,
        as_list=draws.uniform(key, rows, 17) < law.list_rate,
        phrasing=draws.integers(key, rows, 18, 12, 1)[:, 0],
        told=None,
        wrong=draws.uniform(key, rows, 19) < law.wrong_rate,
    )


def _rates(law: Domain, key: int, rows: np.ndarray) -> np.ndarray:
    """Probability that each caption mentions each attribute, (n, mentions): many at once or hardly any."""
    detailed = draws.uniform(key, rows, 22) < law.detailed_share
    return np.where(detailed[:, None], law.detailed_rates, law.terse_rates)


def _places(key: int, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centres of the objects, (n, 3) each: the main one anywhere, the others in the corners far from it."""
    main = 0.28 + 0.44 * draws.uniforms(key, rows, 20, 2)
    corners = np.array([(0.16, 0.16), (0.84, 0.16), (0.16, 0.84), (0.84, 0.84)])
    jitter = 0.04 * (2 * draws.uniforms(key, rows, 21, 8).reshape(-1, 4, 2) - 1)
    spots = corners + jitter
    farthest = np.argsort(-((spots - main[:, None]) ** 2).sum(axis=-1), axis=1)[:, : MAX_OBJECTS - 1]
    others = np.take_along_axis(spots, farthest[:, :, None], axis=1)
    centres = np.concatenate([main[:, None], others], axis=1)
    return centres[:, :, 0], centres[:, :, 1]


def _between(bounds: tuple[float, float], share: np.ndarray) -> np.ndarray:
    return bounds[0] + (bounds[1] - bounds[0]) * share


def _third(coordinate: float) -> int:
    return int(coordinate > 0.43) + int(coordinate > 0.57)
