"""Parameters of AnisoAlign: each bad value refused by name before a row is read; presets and terms by their names."""

import inspect
import math

import numpy as np
import pytest
import torch
from aligner_worlds import QUICK, distorted
from sklearn.exceptions import NotFittedError

import anisoalign as aa
from anisoalign.aligners import make, parse_method
from anisoalign.aligners.anisoalign.aligner import PAPER
from anisoalign.aligners.anisoalign.premise import AlignmentWarning

NAN, INF = math.nan, math.inf
SHARES = ("strength", "initial_strength", "restore_strength", "guide_step", "guide_bound", "neighbours", "balance")
LENGTHS = ("phase_bound", "radius_bound", "complement_bound", "drift_step", "noise")
COUNTS = {"edges": 0, "prior_steps": 0, "refine_steps": 0, "fit_rows": 1, "seed": -1}
CHOICES = ("initial", "mixing", "centre", "complement", "support", "device")
SWITCHES = ("centred_coupling", "degree_normalised", "force")
BAD = [
    *((name, value) for name in SHARES for value in (-0.1, 1.1, NAN, "much", None, True)),
    *((name, value) for name in LENGTHS for value in (-1.0, NAN, INF, "far", None, False)),
    *((name, value) for name, low in COUNTS.items() for value in (low, 2.5, "many", None, True)),
    *((name, value) for name in CHOICES for value in ("other", "", None, 3)),
    ("seed", 2**63),
    *((name, value) for name in SWITCHES for value in (1, "yes", None)),
    *(("rank", value) for value in (0, -3, 0.0, 1.5, NAN, True)),
    *(("shrinkage", value) for value in (-0.1, 2.0, NAN, "oas", None, True)),
    ("device", "cuda:x"),
    *((name, value) for name in ("drift_step", "phase_weight") for value in (-1.0, NAN, INF, "far", None, False)),
]


@pytest.mark.parametrize(("name", "value"), BAD, ids=lambda part: repr(part) if not isinstance(part, str) else part)
def test_a_bad_value_is_refused_by_name_before_a_row_is_read(name, value):
    model = aa.AnisoAlign().set_params(**{name: value})
    with pytest.raises(ValueError, match=name) as caught:
        model.fit("not/read", "not/read")
    assert not isinstance(caught.value, aa.InputError)  # which a missing file would be
    assert repr(value) in str(caught.value)


def test_bounds_of_the_range_are_in_it():
    """What is checked there must not be refused: no file is what is complained of."""
    for name, value in (("strength", 0), ("strength", 1.0), ("balance", 0.0), ("rank", 1.0), ("shrinkage", "auto")):
        with pytest.raises(aa.InputError, match="not/read"):
            aa.AnisoAlign(**{name: value}).fit("not/read", "not/read")


class Unchecked(aa.AnisoAlign):
    """Its constructor takes NumPy's numbers here too, where the suite checks annotations as it runs."""

    __init__ = inspect.unwrap(aa.AnisoAlign.__init__)


def test_numbers_and_truths_of_numpy_are_taken_as_those_of_python():
    source, target, _ = distorted(120, 0)
    plain = {**QUICK, "seed": 3, "force": True, "centred_coupling": True, "prior_steps": 5, "refine_steps": 5}
    names = ("seed", "force", "centred_coupling", "prior_steps", "refine_steps")
    theirs = plain | {name: np.asarray(plain[name])[()] for name in names}
    models = [Unchecked.paper(**kinds) for kinds in (plain, theirs)]
    first, second = (model.fit(source[:60], target[60:]) for model in models)
    assert first.transform(source).tobytes() == second.transform(source).tobytes()


def test_the_largest_seed_is_taken_by_every_generator():
    source, target, _ = distorted(120, 0)
    for seed in (2**63 - 1, np.int64(2**63 - 1)):
        model = Unchecked.paper(**{**QUICK, "prior_steps": 1, "refine_steps": 1, "seed": seed})
        model.fit(source[:60], target[60:])


def test_a_device_that_is_not_there_is_refused_before_a_row_is_read(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="device cuda is not there: PyTorch finds 0 CUDA"):
        aa.AnisoAlign.paper(device="cuda").fit("not/read", "not/read")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ValueError, match="device cuda:2 is not there: PyTorch finds 2 CUDA"):
        aa.AnisoAlign(device="cuda:2").fit("not/read", "not/read")
    with pytest.raises(aa.InputError, match="not/read"):
        aa.AnisoAlign(device="cuda:1").fit("not/read", "not/read")


@pytest.mark.parametrize("terms", ["", "init+", "init,guide", "init+ guide +magic"])
def test_unknown_terms_are_answered_with_those_there_are(terms):
    with pytest.raises(ValueError, match="terms has no part") as caught:
        aa.AnisoAlign(terms=terms).fit("not/read", "not/read")
    assert all(part in str(caught.value) for part in ("init", "guide", "refine", "prior", "phase", "support"))


@pytest.mark.parametrize("loss", ["prior", "phase", "support", "structure"])
def test_a_loss_without_what_it_trains_is_refused(loss):
    with pytest.raises(ValueError, match=f"no refine for the loss of {loss}"):
        aa.AnisoAlign(terms=f"init+{loss}").fit("not/read", "not/read")


def test_the_preset_is_the_published_method_and_parameters_override_it():
    assert parse_method("aniso-align:paper").get_params() == aa.AnisoAlign.paper().get_params()
    changed = parse_method("aniso-align:paper,strength=0.5,mixing=identity")
    assert changed.get_params() == aa.AnisoAlign.paper(strength=0.5, mixing="identity").get_params()
    differing = {k for k, v in aa.AnisoAlign.paper().get_params().items() if v != aa.AnisoAlign().get_params()[k]}
    assert differing == set(PAPER)
    assert parse_method("aniso-align:terms=init+guide+refine+support,strength=auto").terms.endswith("support")


@pytest.mark.parametrize(
    ("variant", "name"),
    [
        ("phase_bound=0.9", "phase_bound=0.9"),
        ("edges=9,mixing=identity", "edges=9"),
        ("mixing=haar", "mixing='haar'"),
        ("paper,guide_step=0.1", "guide_step=0.1"),
        ("paper,rotation=full", "rotation='full'"),
        ("initial=radial,terms=init,shrinkage=0.9", "shrinkage=0.9"),
        ("paper,terms=init+refine+prior,phase_weight=2", "phase_weight=2"),
    ],
)
def test_a_parameter_that_nothing_reads_is_told_before_a_row_is_read(variant, name):
    model = parse_method(f"aniso-align:{variant}")
    told = pytest.warns(AlignmentWarning, match=f"^{name} changes nothing where terms=")
    with told as said, pytest.raises(aa.InputError, match="not/read"):
        model.fit("not/read", "not/read")
    assert len(said) == 1


@pytest.mark.parametrize("terms", ["init", "guide", "init+refine", "init+refine+phase", "init+refine+support"])
def test_what_a_preset_brings_along_is_not_told_of_where_its_terms_are_changed(terms):
    with pytest.raises(aa.InputError, match="not/read"):
        aa.AnisoAlign.paper(terms=terms).fit("not/read", "not/read")


@pytest.mark.parametrize("variant", ["aniso-align:strength=0.5,strength=0.9", "c3:noise=0.1, noise=0.1"])
def test_a_parameter_named_twice_is_refused(variant):
    with pytest.raises(aa.InputError, match=r"names (strength|noise) twice"):
        parse_method(variant)


def test_an_unknown_preset_is_answered_with_those_there_are():
    with pytest.raises(
        aa.InputError, match=r"'papre' is not of the form name=value and no preset of aniso-align: paper"
    ):
        parse_method("aniso-align:papre")
    with pytest.raises(aa.InputError, match="not of the form name=value"):
        parse_method("aniso-align:strength=0.5,paper")  # a preset comes first
    with pytest.raises(aa.InputError, match="no parameter 'strenght'"):
        make("aniso-align", {"strenght": 0.5}, "paper")


def test_a_strength_is_changed_on_a_fitted_model_alone_and_on_a_copy():
    source, target, _ = distorted(300, 0)
    with pytest.raises(NotFittedError, match="AnisoAlign is not fitted"):
        aa.AnisoAlign().at_strength(0.5)
    model = aa.AnisoAlign(strength=0.5).fit(source[:150], target[150:])
    before = model.transform(source).tobytes()
    for wrong in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match="strength"):
            model.at_strength(wrong)
    weaker = model.at_strength(0.2)
    assert (weaker.strength, weaker.strength_) == (0.2, 0.2)
    assert weaker.transform(source).tobytes() != before
    assert (model.strength, model.strength_) == (0.5, 0.5)
    assert model.transform(source).tobytes() == before
    assert weaker.at_strength(0.5).transform(source, out_dtype="float64") == pytest.approx(
        model.transform(source, out_dtype="float64"), abs=1e-9
    )


def test_moments_alone_do_not_determine_it():
    with pytest.raises(TypeError, match="use fit"):
        aa.AnisoAlign().fit_from_statistics(aa.statistics.Moments.empty(4), aa.statistics.Moments.empty(4))


def test_fitting_again_forgets_the_parts_of_the_first_fit():
    source, target, _ = distorted(300, 0)
    model = aa.AnisoAlign.paper(**QUICK).fit(source[:150], target[150:])
    assert any(name.startswith("polar_") for name in vars(model))
    model.set_params(**aa.AnisoAlign(strength=0.5).get_params()).fit(source[:150], target[150:])
    fresh = aa.AnisoAlign(strength=0.5).fit(source[:150], target[150:])
    assert {name for name in vars(model) if name.endswith("_")} == {n for n in vars(fresh) if n.endswith("_")}
    assert model.transform(source).tobytes() == fresh.transform(source).tobytes()
