"""What the method and its notes say beside the laws: centred rows, forms of the preset, parts without a part."""

import numpy as np
import pytest
from aligner_worlds import EXACT, QUICK, distorted

import anisoalign as aa


@pytest.fixture(scope="module")
def unpaired():
    """Sources of some items, targets of others, and sources of a third part."""
    source, target, _ = distorted(1500, 0)
    return source[:600], target[600:1200], source[1200:]


@pytest.fixture(scope="module")
def default(unpaired):
    return aa.AnisoAlign(strength=0.7).fit(unpaired[0], unpaired[1])


def quick_paper(**changes):
    return aa.AnisoAlign.paper(**{**QUICK, **changes})


def test_the_result_is_centred_on_the_targets(default, unpaired):
    source, target = unpaired[:2]
    mean = default.transform(source, **EXACT).mean(axis=0)
    assert np.linalg.norm(mean - target.mean(axis=0)) < 0.02


@pytest.mark.parametrize("mixing", ["identity", "haar", "learned"])
@pytest.mark.parametrize("centre", ["origin", "mean"])
def test_every_form_of_the_paper_trains(mixing, centre, unpaired):
    model = quick_paper(
        mixing=mixing, centre=centre, centred_coupling=True, degree_normalised=True, complement="relative"
    )
    z = model.fit(unpaired[0], unpaired[1]).transform(unpaired[2])
    np.testing.assert_allclose(np.linalg.norm(z, axis=1), 1.0, atol=1e-5)
    assert model.polar_config_["notes"]["prior_held_out"]


def test_the_bounded_parts_promise_nothing_where_they_have_no_part(default, unpaired):
    for strength, acts in ((0.0, False), (0.2, False), (0.5, False), (0.6, True), (1.0, True)):
        model = default.at_strength(strength)
        bounds = model.transform(unpaired[2], return_bound=True)[1]
        assert (model.bound_ > 0) is acts
        assert bool((bounds > 0).any()) is acts
        assert any("have no part in a row" in note for note in model.notes()) is not acts


def test_a_prior_that_learned_nothing_says_so_and_one_that_did_does_not(unpaired):
    model = quick_paper().fit(unpaired[0], unpaired[1])  # a few steps, in which nothing is learned
    (note,) = [note for note in model.notes() if note.startswith("prior: learned nothing")]
    about = model.polar_config_["notes"]
    assert f"{about['prior_without_network']:.3f} without one" in note
    about["prior_held_out"].append([100, about["prior_without_network"] - 1.9 * about["prior_lead_error"]])
    assert any(note.startswith("prior: learned nothing") for note in model.notes())  # a lead within the noise
    about["prior_held_out"].append([200, about["prior_without_network"] - 2.1 * about["prior_lead_error"]])
    assert not any(note.startswith("prior") for note in model.notes())
    del about["prior_lead_error"]  # as in models saved before it was kept
    assert not any(note.startswith("prior") for note in model.notes())
    assert not any(note.startswith("prior") for note in aa.AnisoAlign(strength=0.5).fit(*unpaired[:2]).notes())
