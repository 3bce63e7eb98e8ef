"""Which method a fitted model recommends: the simplest of those that do as well as the best, to a hundredth."""

import numpy as np
import pytest

import anisoalign as aa
from anisoalign.aligners.anisoalign.notes import SIMPLE, recommendation
from anisoalign.aligners.anisoalign.premise import AlignmentWarning
from anisoalign.aligners.anisoalign.strength import WORTH


def said(scores, at=1, **more):
    """What is said where these were measured."""
    curve = {
        **more,
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


def test_no_method_is_named_where_most_sources_repeat():
    scores = dict.fromkeys(SIMPLE, 0.5) | {"gaussian-transport": 0.9}
    note = said(scores, sources=2_000, repeated_sources=1_950)
    assert note.startswith("no method is recommended here: 1,950 of 2,000 sources repeat another")
    assert not any(name in note for name in SIMPLE)
    assert "gaussian-transport" in said(scores, sources=2_000, repeated_sources=0)


def test_a_fit_on_prompts_of_classes_keeps_its_strength_and_says_on_how_few_it_was_chosen(make_planted):
    source, target, _ = make_planted(400, 16)
    prompts = source[np.arange(400) % 50]
    with pytest.warns(AlignmentWarning, match="only 50 of 400 sources looked at are different"):
        model = aa.AnisoAlign(force=True, terms="init", rotation="full").fit(prompts, target)
    notes = "\n".join(model.notes())
    assert f"strength {model.strength_:g} of the correction" in notes
    assert "chosen on held-out rows of only 50 different sources, copies of which were fitted on" in notes
    assert "no method is recommended here: 350 of 400 sources repeat another" in notes
    assert "recommended here: " not in notes.replace("no method is recommended here: ", "")
    notes = "\n".join(aa.AnisoAlign(force=True, terms="init", rotation="full").fit(source, target).notes())
    assert "chosen on held-out rows: " in notes
    assert "\nrecommended here: " in notes
