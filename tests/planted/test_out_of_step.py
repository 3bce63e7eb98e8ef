"""Sets given as pairs though they lie in different orders are told from pairs, and pairs are not taken for such."""

import warnings

import numpy as np
import pytest

import anisoalign as aa
from anisoalign.geometry import normalize

WORDS = "do not look like pairs; check that both sets are in one order"


@pytest.fixture(scope="module")
def pairs():
    """300 pairs apart by an offset, whose cosines are 0.1 above those of unmatched rows."""
    rng = np.random.default_rng(3)
    meaning = rng.normal(size=(300, 16))
    sides = (meaning + sign * 1.5 + 1.5 * rng.normal(size=meaning.shape) for sign in (1, -0.2))
    return tuple(normalize(side) for side in sides)


def shuffled(rows):
    return rows[np.random.default_rng(0).permutation(len(rows))]


def test_the_verdict_says_so(pairs):
    text, image = pairs
    assert WORDS in str(aa.diagnose(text, shuffled(image), paired=True))
    assert WORDS not in str(aa.diagnose(text, image, paired=True))
    assert WORDS not in str(aa.diagnose(text, shuffled(image)))


def test_evaluate_and_compare_warn(pairs):
    text, image = pairs
    wrong = shuffled(image)
    aligned = aa.ReAlign().fit(text, image).transform(text)
    with pytest.warns(UserWarning, match=WORDS):
        aa.evaluate(text, wrong, aligned, paired=True)
    with pytest.warns(UserWarning, match=WORDS):
        aa.compare(text, wrong, paired=True, methods=["realign"], repeats=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        aa.evaluate(text, image, aligned, paired=True)
        aa.compare(text, image, paired=True, methods=["realign"], repeats=2)
        aa.evaluate(text, wrong, aligned)


def test_pairs_in_frames_turned_against_each_other_are_pairs(pairs):
    text, image = pairs
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(16, 16)))[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        aa.compare(text, image @ turn, paired=True, methods=["realign"], repeats=2)
    with pytest.warns(UserWarning, match=WORDS):
        aa.compare(text, shuffled(image) @ turn, paired=True, methods=["realign"], repeats=2)


def test_an_alignment_that_shows_the_pairs_is_enough(pairs):
    text, image = pairs
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        aa.evaluate(-text, image, image, paired=True)
