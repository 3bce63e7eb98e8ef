"""Questions about a description, in the paper's three groups: perception, reasoning, hallucination.

A form is asked only where the description holds its answer. Answers are drawn so that none can be guessed from the
question: `balanced` keeps as many questions of each answer of a form, and distractors are look-alikes chosen by a
relation that is symmetrical, so that a name is as often asked for where it is as where it is not.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from anisoalign.mllm.study.described import Description, Thing
from anisoalign.worlds.vocabulary import COLOURS

GROUPS = ("perception", "reasoning", "hallucination")
WARM = frozenset({"red", "orange", "yellow", "pink"})
ROUND = frozenset({"circle", "ring", "crescent"})
LOOK_ALIKE = {
    a: b
    for pair in (
        ("circle", "ring"),
        ("square", "diamond"),
        ("triangle", "crescent"),
        ("star", "cross"),
        ("white", "beige"),
        ("black", "navy"),
        ("grey", "brown"),
    )
    for a, b in (pair, pair[::-1])
}
"""Shapes and backgrounds taken for each other, in pairs; for colours it is the neighbours in hue."""
NUMBERS = ("zero", "one", "two", "three")


@dataclass(frozen=True)
class Question:
    """A question about one scene and its answer."""

    scene: int
    """Number of the scene it is asked about."""
    form: str
    text: str
    answer: str

    @property
    def group(self) -> str:
        """The paper's group the form belongs to."""
        return GROUP_OF[self.form]


Asked = tuple[str, str] | None
Form = Callable[[Description, np.random.Generator], Asked]


def _what_colour(told: Description, rng: np.random.Generator) -> Asked:
    thing = told.main
    return (f"what colour is the {thing.shape} ?", thing.colour) if thing.colour and _alone(told, "shape") else None


def _which_shape(told: Description, rng: np.random.Generator) -> Asked:
    thing = told.main
    return (
        (f"which shape is the {thing.colour} object ?", thing.shape) if thing.shape and _alone(told, "colour") else None
    )


def _where(told: Description, rng: np.random.Generator) -> Asked:
    thing = told.main
    return ("where is the main object ?", f"{thing.line} {thing.column}") if thing.line and thing.column else None


def _how_many(told: Description, rng: np.random.Generator) -> Asked:
    return "how many objects are there ?", NUMBERS[len(told.things)]


def _how_large(told: Description, rng: np.random.Generator) -> Asked:
    return ("how large is the main object ?", told.main.size) if told.main.size else None


def _what_background(told: Description, rng: np.random.Generator) -> Asked:
    return ("what colour is the background ?", told.background) if told.background else None


def _count_warm(told: Description, rng: np.random.Generator) -> Asked:
    if not all(thing.colour for thing in told.things):
        return None
    return "how many objects are warm ?", NUMBERS[sum(thing.colour in WARM for thing in told.things)]


def _warm_or_cold(told: Description, rng: np.random.Generator) -> Asked:
    thing = told.main
    if not (thing.colour and _alone(told, "shape")):
        return None
    return f"is the {thing.shape} warm or cold ?", "warm" if thing.colour in WARM else "cold"


def _round_or_straight(told: Description, rng: np.random.Generator) -> Asked:
    thing = told.main
    if not (thing.shape and _alone(told, "colour")):
        return None
    return f"is the {thing.colour} object round or straight ?", "round" if thing.shape in ROUND else "straight"


def _warm_and_round(told: Description, rng: np.random.Generator) -> Asked:
    thing = told.main
    if not (thing.colour and thing.shape):
        return None
    return "is the main object both warm and round ?", _yes(thing.colour in WARM and thing.shape in ROUND)


def _alike(told: Description, rng: np.random.Generator) -> Asked:
    if len(told.things) != 2 or not all(thing.colour for thing in told.things):
        return None
    first, second = (thing.colour in WARM for thing in told.things)
    return "are both objects warm or both cold ?", _yes(first == second)


def _which_is_main(told: Description, rng: np.random.Generator) -> Asked:
    if len(told.things) != 2:
        return None
    main, other = (thing.colour for thing in told.things)
    if not main or not other or main == other:
        return None
    first, second = (main, other) if rng.random() < 0.5 else (other, main)
    return f"is the main object {first} or {second} ?", main


def _nearer_edge(told: Description, rng: np.random.Generator) -> Asked:
    column = told.main.column
    return ("which edge is nearer , left or right ?", column) if column in ("left", "right") else None


def _is_there_pair(told: Description, rng: np.random.Generator) -> Asked:
    thing = told.main
    if not (thing.colour and thing.shape):
        return None
    colour, shape, there = thing.colour, thing.shape, rng.random() < 0.5
    if not there and rng.random() < 0.5:
        colour = _neighbour(colour, rng)
    elif not there:
        shape = LOOK_ALIKE[shape]
    return _exists(told, there, Thing(colour, shape), f"is there a {colour} {shape} ?")


def _is_there_shape(told: Description, rng: np.random.Generator) -> Asked:
    if not told.main.shape:
        return None
    there = rng.random() < 0.5
    shape = told.main.shape if there else LOOK_ALIKE[told.main.shape]
    return _exists(told, there, Thing(shape=shape), f"is there a {shape} ?")


def _is_there_colour(told: Description, rng: np.random.Generator) -> Asked:
    thing = told.things[rng.integers(len(told.things))]
    if not thing.colour:
        return None
    there = rng.random() < 0.5
    colour = thing.colour if there else _neighbour(thing.colour, rng)
    return _exists(told, there, Thing(colour=colour), f"is there anything {colour} ?")


def _is_there_beside(told: Description, rng: np.random.Generator) -> Asked:
    """Ask for a second object of a colour: absent ones are changed in hue, or made up beside a lone object."""
    if not told.main.shape:
        return None
    if len(told.things) == 1:
        return f"is there a {COLOURS[rng.integers(len(COLOURS))]} object beside the {told.main.shape} ?", "no"
    other = told.things[1].colour
    if len(told.things) != 2 or not other:
        return None
    there = rng.random() < 0.75
    colour = other if there else _neighbour(other, rng)
    return f"is there a {colour} object beside the {told.main.shape} ?", _yes(there)


def _is_background(told: Description, rng: np.random.Generator) -> Asked:
    if not told.background:
        return None
    there = rng.random() < 0.5
    return f"is the background {told.background if there else LOOK_ALIKE[told.background]} ?", _yes(there)


FORMS: dict[str, dict[str, Form]] = {
    "perception": {
        "what colour": _what_colour,
        "which shape": _which_shape,
        "where": _where,
        "how many": _how_many,
        "how large": _how_large,
        "what background": _what_background,
    },
    "reasoning": {
        "how many warm": _count_warm,
        "warm or cold": _warm_or_cold,
        "round or straight": _round_or_straight,
        "both warm and round": _warm_and_round,
        "colours alike": _alike,
        "which is main": _which_is_main,
        "nearer edge": _nearer_edge,
    },
    "hallucination": {
        "is there a pair": _is_there_pair,
        "is there a shape": _is_there_shape,
        "is there a colour": _is_there_colour,
        "is there one beside": _is_there_beside,
        "is the background": _is_background,
    },
}
GROUP_OF = {form: group for group, forms in FORMS.items() for form in forms}


def ask_all(told: Description, scene: int, rng: np.random.Generator) -> list[Question]:
    """One question of each form whose answer the description holds."""
    asked = []
    for forms in FORMS.values():
        for name, form in forms.items():
            found = form(told, rng)
            if found is not None:
                asked.append(Question(scene, name, *found))
    return asked


def balanced(questions: Iterable[Question], per_form: int, rng: np.random.Generator) -> list[Question]:
    """At most ``per_form`` questions of each form, as many of each of its answers; in random order."""
    by_form: dict[str, dict[str, list[Question]]] = defaultdict(lambda: defaultdict(list))
    for question in questions:
        by_form[question.form][question.answer].append(question)
    kept: list[Question] = []
    for answers in by_form.values():
        each = min(per_form // len(answers), *(len(found) for found in answers.values()))
        for found in answers.values():
            kept += [found[i] for i in rng.permutation(len(found))[:each]]
    return [kept[i] for i in rng.permutation(len(kept))]


def even(questions: Sequence[Question], total: int) -> list[Question]:
    """About ``total`` of the questions, at least as many, those of each form as even as there are: rare forms whole."""
    counts = Counter(question.form for question in questions)
    cap, left, forms = 0.0, float(min(total, len(questions))), len(counts)
    for count in sorted(counts.values()):
        cap = left / forms
        if count > cap:
            break
        left, forms = left - count, forms - 1
    room = dict.fromkeys(counts, int(np.ceil(cap)))
    kept = []
    for question in questions:
        if room[question.form] > 0:
            room[question.form] -= 1
            kept.append(question)
    return kept


def _alone(told: Description, attribute: str) -> bool:
    """Whether the main object can be named by an attribute: it is described, and no other has the same."""
    main, *others = (getattr(thing, attribute) for thing in told.things)
    return main is not None and main not in others


def _neighbour(colour: str, rng: np.random.Generator) -> str:
    step = 1 if rng.random() < 0.5 else -1
    return COLOURS[(COLOURS.index(colour) + step) % len(COLOURS)]


def _exists(told: Description, there: bool, wanted: Thing, text: str) -> Asked:
    """The question, unless a distractor happens to be there all the same."""
    found = any(
        (wanted.colour in (None, thing.colour)) and (wanted.shape in (None, thing.shape)) for thing in told.things
    )
    return (text, _yes(there)) if found == there else None


def _yes(fact: bool) -> str:
    return "yes" if fact else "no"
