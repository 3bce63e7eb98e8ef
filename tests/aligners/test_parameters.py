"""Parameters: stored as given, checked in `fit` by name, readable from the command line's notation."""

import inspect

import numpy as np
import pytest
from sklearn.base import clone

import anisoalign as aa
from anisoalign.aligners import METHODS, make, parse_method


def test_scikit_learn_can_clone_read_and_set(method):
    twin = clone(method)
    assert twin is not method
    assert twin.get_params() == method.get_params()
    for name, value in method.get_params().items():
        assert method.set_params(**{name: value}) is method
        assert getattr(method, name) is value
    with pytest.raises(ValueError, match="warp"):
        method.set_params(warp=9)


def test_cloning_forgets_what_was_fitted(fitted):
    assert not [name for name in vars(clone(fitted)) if name.endswith("_")]


def test_setting_a_parameter_and_fitting_again_forgets_the_first_fit(planted):
    y, x, _ = planted
    model = aa.GaussianTransport(strength=0.0, rank=4).fit(y, x)
    model.set_params(strength=1.0, rank=6).fit(x, y)
    fresh = aa.GaussianTransport(strength=1.0, rank=6).fit(x, y)
    assert model.transform(x).tobytes() == fresh.transform(x).tobytes()


def test_parameters_are_keywords_only(method):
    parameters = inspect.signature(type(method)).parameters.values()
    assert all(p.kind is p.KEYWORD_ONLY and p.default is not p.empty for p in parameters)


@pytest.mark.parametrize(
    ("name", "parameter", "value"),
    [
        ("gaussian-transport", "strength", 1.5),
        ("gaussian-transport", "strength", -0.1),
        ("gaussian-transport", "strength", float("nan")),
        ("gaussian-transport", "rank", 0),
        ("gaussian-transport", "rank", 1.5),
        ("gaussian-transport", "shrinkage", 2.0),
        ("gaussian-transport", "shrinkage", "oas"),
        ("whiten-color", "shrinkage", -1.0),
        ("blockwise-covariance", "shrinkage", "much"),
        ("blockwise-covariance", "block", 0),
        ("blockwise-covariance", "block", 2.5),
        ("c3", "noise", -0.1),
        ("c3", "noise", float("nan")),
        ("c3", "noise", float("inf")),
        ("memory-projection", "temperature", 0.0),
        ("memory-projection", "temperature", -1.0),
        ("memory-projection", "memory", 0),
        ("random-target", "memory", 0),
        ("c3", "seed", -1),
        ("random-target", "seed", -1),
        ("memory-projection", "seed", -1),
    ],
)
def test_a_value_out_of_range_is_refused_by_name_when_fitting(planted, name, parameter, value):
    model = METHODS[name]().set_params(**{parameter: value})  # not here: scikit-learn clones before it checks
    with pytest.raises(ValueError, match=parameter):
        model.fit(planted.source, planted.target)


@pytest.mark.parametrize("value", ["strong", None])
@pytest.mark.parametrize(
    ("name", "parameter"), [("gaussian-transport", "strength"), ("c3", "noise"), ("memory-projection", "temperature")]
)
def test_a_value_of_the_wrong_kind_is_refused_by_name_when_fitting(planted, name, parameter, value):
    with pytest.raises(ValueError, match=parameter):
        METHODS[name]().set_params(**{parameter: value}).fit(planted.source, planted.target)


def test_specifications_are_read():
    model = parse_method("gaussian-transport:strength=0.5,rank=64,shrinkage=auto")
    assert model.get_params() == {"strength": 0.5, "rank": 64, "shrinkage": "auto", "frame": "target"}
    assert parse_method("gaussian-transport:rank=None").rank is None
    assert type(parse_method("gaussian-transport:rank=0.9").rank) is float
    for name, method in METHODS.items():
        assert type(parse_method(name)) is type(make(name)) is method
        assert method.name == name


def test_a_misspelt_method_or_parameter_is_answered_with_those_there_are():
    with pytest.raises(aa.InputError) as caught:
        parse_method("gausian-transport")
    assert all(name in str(caught.value) for name in METHODS)
    with pytest.raises(aa.InputError, match="no parameter 'strenght'") as caught:
        parse_method("gaussian-transport:strenght=0.5")
    assert all(name in str(caught.value) for name in ("rank", "shrinkage", "strength"))
    with pytest.raises(aa.InputError, match="its parameters are: none"):
        parse_method("identity:seed=1")
    with pytest.raises(aa.InputError, match="not of the form name=value"):
        parse_method("c3:noise")


def test_numpy_numbers_serve_as_parameters(planted, tmp_path):
    y, x, _ = planted
    for model, plain in (
        (aa.BlockwiseCovariance().set_params(block=np.int64(4)), aa.BlockwiseCovariance(block=4)),
        (aa.GaussianTransport().set_params(strength=np.float32(0.5)), aa.GaussianTransport(strength=0.5)),
    ):
        model.fit(y, x).save(tmp_path / "model")
        assert aa.load(tmp_path / "model").get_params() == plain.get_params()
        assert model.transform(y).tobytes() == plain.fit(y, x).transform(y).tobytes()
