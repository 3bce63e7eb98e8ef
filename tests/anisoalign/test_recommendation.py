"""Which method a fitted model recommends: the simplest of those that do as well as the best, to a hundredth."""

import pytest

from anisoalign.aligners.anisoalign.notes import SIMPLE, recommendation
from anisoalign.aligners.anisoalign.strength import WORTH


def said(scores, at=1):
    """What is said where these were measured."""
    curve = {
        "score": [scores["realign"], scores["aniso-align"]],
        "rivals": {name: scores[name] for name in ("mean-shift", "gaussian-transport")},
    }
    return recommendation(curve, at)


def recommended(scores):
    """The method that is named."""
    return said(scores).removeprefix("recommended here: ").split(",")[0].split(":")[0]


@pytest.mark.parametrize("simple", SIMPLE[:-1])
def test_a_simpler_method_is_named_where_it_is_within_a_hundredth_of_the_best_and_not_beyond(simple):
    others = dict.fromkeys(SIMPLE, 0.5) | {"aniso-align": 0.8}
    assert recommended(others | {simple: 0.8 - 0.9 * WORTH}) == simple
    assert recommended(others | {simple: 0.8 - 1.1 * WORTH}) == "aniso-align"


def test_of_two_that_are_both_within_it_the_simpler_is_named():
    near = dict.fromkeys(SIMPLE, 0.8 - 0.5 * WORTH) | {"aniso-align": 0.8}
    assert recommended(near) == SIMPLE[0]
    assert recommended(near | {SIMPLE[0]: 0.5}) == SIMPLE[1]


def test_the_best_is_looked_for_among_the_simple_ones_too():
    """The lead that counts is that of the best, whoever it is."""
    scores = dict.fromkeys(SIMPLE, 0.5) | {"realign": 0.7, "gaussian-transport": 0.9, "aniso-align": 0.88}
    assert recommended(scores) == "gaussian-transport"


def test_at_strength_0_it_is_realign_and_not_a_method_of_its_own():
    note = said(dict.fromkeys(SIMPLE, 0.5) | {"realign": 0.8, "aniso-align": 0.9}, at=0)
    assert note.startswith("recommended here: realign,")
    assert "aniso-align" not in note


def test_the_transport_is_named_with_the_strength_that_was_scored():
    note = said({"mean-shift": 0.1, "realign": 0.2, "gaussian-transport": 0.9, "aniso-align": 0.3})
    assert note.startswith("recommended here: gaussian-transport:strength=0.5, by")
    assert "gaussian-transport:strength=0.5 0.90" in note
