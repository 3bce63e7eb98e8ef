"""Whether a gap is a rotation or a translation is told from unpaired rows."""

import numpy as np
import pytest
from aligner_worlds import distorted, shifted

import anisoalign as aa
from anisoalign.aligners.anisoalign import chosen_rotation
from anisoalign.aligners.anisoalign.chosen_rotation import FEWEST


def unpaired(world, rows):
    """Sources of some items and targets of others."""
    return world.source[:rows], world.target[rows : 2 * rows]


@pytest.mark.parametrize(("gap", "rotation"), [("turn", "full"), ("shift", "none")])
@pytest.mark.parametrize("seed", range(4))
def test_a_planted_gap_is_found_to_be_what_it_is(gap, rotation, seed):
    model = aa.AnisoAlign(strength=0.5).fit(*unpaired(distorted(1200, seed, gap), 600))
    assert model.rotation_ == rotation
    assert any("no rotation" in note for note in model.notes()) == (rotation == "none")


def test_what_is_chosen_does_not_depend_on_the_strength_and_is_as_if_given():
    rows = unpaired(distorted(1200, 0, "shift"), 600)
    given = aa.AnisoAlign(strength=1.0, rotation="none").fit(*rows)
    for model in (aa.AnisoAlign(strength=1.0).fit(*rows), aa.AnisoAlign().fit(*rows).at_strength(1.0)):
        assert model.rotation_ == "none"
        np.testing.assert_array_equal(model.transform(rows[0]), given.transform(rows[0]))


def test_of_few_rows_nothing_is_held_out_and_the_rotation_is_taken(monkeypatch):
    monkeypatch.setattr(chosen_rotation, "apart", lambda *given: pytest.fail("too few rows to hold out"))
    model = aa.AnisoAlign(strength=0.5).fit(*unpaired(shifted(400, 0), FEWEST - 1))
    assert model.rotation_ == "full"


def test_one_split_in_which_the_rotation_is_nearer_keeps_it(monkeypatch):
    looked = []
    monkeypatch.setattr(chosen_rotation, "_translation_is_nearer", lambda *given: looked.append(given[-1]) or False)
    model = aa.AnisoAlign(strength=0.5).fit(*unpaired(shifted(400, 0), 200))
    assert (model.rotation_, looked) == ("full", [0])


def test_a_radial_start_is_not_rotated():
    rows = unpaired(distorted(400, 0), 200)
    assert aa.AnisoAlign(strength=0.5, initial="radial", terms="init").fit(*rows).rotation_ == "none"
