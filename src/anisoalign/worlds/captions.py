"""Captions: what is said of a scene, which is only part of it; some attributes far oftener than others."""

import re

from .scenes import Scene, SceneObject
from .vocabulary import COLOURS, RARE_COLOURS, RARE_SHAPES, RARE_SIZES, SHAPES, SIZES

RARE_WORD = {
    **dict(zip(COLOURS, RARE_COLOURS, strict=True)),
    **dict(zip(SHAPES, RARE_SHAPES, strict=True)),
    **dict(zip(SIZES, RARE_SIZES, strict=True)),
}

_A_BEFORE_VOWEL = re.compile(r"\ba(?= [aeiou])")

_PHRASES = ("{}", "{}", "there is {}", "we see {}", "an image of {}", "a picture with {}")
_LISTS = ("{}", "{}", "item {}", "note {}", "sketch {}", "scan {}")


def caption(scene: Scene) -> str:
    """Return the caption of a scene.

    Examples
    --------
    >>> from anisoalign.worlds.scenes import draw_scenes
    >>> isinstance(caption(draw_scenes(1, seed=0, domain="training")[0]), str)
    True
    """
    told = scene.told_as or scene
    if told.as_list:
        return _LISTS[told.phrasing % len(_LISTS)].format(_listed(told))
    return _PHRASES[told.phrasing % len(_PHRASES)].format(_phrased(told))


def _phrased(scene: Scene) -> str:
    """Say ``a large striped red circle in the upper left with a blue square on a grey background``."""
    said, main = scene.mentions, scene.main
    words = ["a", *_adjectives(scene, said), _shape(scene, main) if "shape" in said else "shape"]
    if "position" in said:
        words += ["in", "the", *main.position.split()]
    if "others" in said:
        for number, other in enumerate(scene.objects[1:]):
            words += ["and" if number else "with", "a", _colour(scene, other), _shape(scene, other)]
    if "background" in said:
        words += ["on", "a", scene.background, "background"]
    return _A_BEFORE_VOWEL.sub("an", " ".join(words))


def _listed(scene: Scene) -> str:
    """Say ``circle red striped large upper left near square blue surface grey``: a list, not a phrase."""
    said, main = scene.mentions, scene.main
    words = [_shape(scene, main) if "shape" in said else "object", *_adjectives(scene, said)[::-1]]
    if "position" in said:
        words += main.position.split()
    if "others" in said:
        for other in scene.objects[1:]:
            words += ["near", _shape(scene, other), _colour(scene, other)]
    if "background" in said:
        words += ["surface", scene.background]
    return " ".join(words)


def _adjectives(scene: Scene, said: frozenset[str]) -> list[str]:
    main = scene.main
    adjectives = []
    if "size" in said:
        adjectives.append(_worded(scene, main.size))
    if "fill" in said:
        adjectives.append(main.fill)
    if "colour" in said:
        adjectives.append(_colour(scene, main))
    return adjectives


def _colour(scene: Scene, thing: SceneObject) -> str:
    return _worded(scene, thing.colour)


def _shape(scene: Scene, thing: SceneObject) -> str:
    return _worded(scene, thing.shape)


def _worded(scene: Scene, word: str) -> str:
    return RARE_WORD[word] if scene.rare_words else word
