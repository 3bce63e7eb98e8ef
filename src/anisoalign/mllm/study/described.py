"""What is said of a scene: read from the words of a caption, or seen in the scene itself.

Conversations for text-only training are made from what `read` finds in a caption and from nothing else: a person
who has only text knows only what it says. `seen` is the truth of a scene, for questions about pictures.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from anisoalign.worlds import Scene
from anisoalign.worlds.captions import RARE_WORD
from anisoalign.worlds.vocabulary import BACKGROUNDS, COLOURS, COLUMNS, FILLS, LINES, SHAPES, SIZES

_COMMON_WORD = {rare: common for common, rare in RARE_WORD.items()}
_OPENING = re.compile(r"^(an image of|a picture with|there is|we see|item|note|sketch|scan) ")
_NEXT_OBJECT = re.compile(r"\b(?:with|and|near)\b")


@dataclass(frozen=True)
class Thing:
    """One object, as far as it is described; None for what is not."""

    colour: str | None = None
    shape: str | None = None
    size: str | None = None
    fill: str | None = None
    column: str | None = None
    line: str | None = None


@dataclass(frozen=True)
class Description:
    """A scene, as far as it is described: the main object first."""

    things: tuple[Thing, ...]
    background: str | None = None

    @property
    def main(self) -> Thing:
        """The main object."""
        return self.things[0]


def read(caption: str) -> Description:
    """Read a caption of the embedded world; rarer words become their common ones.

    Examples
    --------
    >>> read("a picture with a big crimson disc with a blue square").things[0].colour
    'red'
    >>> read("circle red upper left surface grey").background
    'grey'
    """
    text = _OPENING.sub("", caption)
    parts = [{_COMMON_WORD.get(word, word) for word in part.split()} for part in _NEXT_OBJECT.split(text)]
    words = set().union(*parts)
    return Description(tuple(_thing(part) for part in parts), _one_of(BACKGROUNDS, words))


def seen(scene: Scene) -> Description:
    """Everything there is to see in a scene, whatever its caption says.

    Sizes are told of the main object alone, as captions do.
    """
    things = []
    for number, thing in enumerate(scene.objects):
        line, column = thing.position.split()
        main = number == 0
        things.append(
            Thing(
                colour=thing.colour,
                shape=thing.shape,
                size=thing.size if main else None,
                fill=thing.fill if main else None,
                column=column if main else None,
                line=line if main else None,
            )
        )
    return Description(tuple(things), scene.background)


def _thing(words: set[str]) -> Thing:
    return Thing(
        colour=_one_of(COLOURS, words),
        shape=_one_of(SHAPES, words),
        size=_one_of(SIZES, words),
        fill=_one_of(FILLS, words),
        column=_one_of(COLUMNS, words),
        line=_one_of(LINES, words),
    )


def _one_of(names: tuple[str, ...], words: set[str]) -> str | None:
    return next((name for name in names if name in words), None)
