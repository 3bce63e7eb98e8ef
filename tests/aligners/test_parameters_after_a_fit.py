"""`set_params` is for the next fit: what is fitted maps rows as before, is saved as before, and says what it was."""

import warnings
from typing import Any

import numpy as np
import pytest
import torch

import anisoalign as aa
from anisoalign.aligners import METHODS
from anisoalign.aligners.modules import draws, serving_module

SMALL = {
    "gaussian-transport": {"rank": 5},
    "aniso-align": {"strength": 0.8, "rank": 6},
    "memory-projection": {"memory": 40},
}
PUBLISHED = {"initial": "radial", "terms": "init+refine+prior+phase+support", "prior_steps": 4, "refine_steps": 3}
OTHER = {
    "strength": 0.3,
    "frame": "common",
    "rank": 3,
    "shrinkage": 0.7,
    "block": 3,
    "noise": 0.7,
    "seed": 3,
    "temperature": 0.5,
    "memory": 11,
    "terms": "init",
    "rotation": "none",
    "initial": "radial",
    "initial_strength": 1.0,
    "restore_strength": 0.0,
    "guide_shrinkage": 0.6,
    "guide_step": 0.2,
    "guide_bound": 0.05,
    "neighbours": 0.2,
    "balance": 0.0,
    "mixing": "haar",
    "centre": "mean",
    "phase_bound": 0.1,
    "radius_bound": 0.1,
    "complement_bound": 0.1,
    "complement": "coordinate",
    "edges": 1,
    "drift_step": 0.5,
    "phase_weight": 5.0,
    "centred_coupling": True,
    "degree_normalised": True,
    "support": "energy",
    "prior_steps": 3,
    "refine_steps": 2,
    "fit_rows": 60,
    "force": True,
    "device": "cpu",
}
"""A legal value of each parameter that is no default of it and none of those above."""


def fitted_on(method, planted, **changes) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return METHODS[method](**{**SMALL.get(method, {}), **changes}).fit(planted.source[:150], planted.target)


CASES = [*((name, {}) for name in METHODS), ("aniso-align", PUBLISHED)]


@pytest.fixture(params=CASES, ids=[*METHODS, "published"])
def model(request, planted):
    return fitted_on(request.param[0], planted, **request.param[1])


def seen(model, rows, folder):
    """All that a fitted model does and says."""
    model.save(folder)
    found = [model.transform(rows).tobytes(), aa.load(folder).transform(rows).tobytes(), model.notes()]
    found += [(folder / name).read_bytes() for name in ("config.json", "README.md")]
    if not draws(model):
        found.append(serving_module(model)(torch.from_numpy(rows[:3].astype(np.float32))).numpy().tobytes())
    return found


def test_no_parameter_set_after_a_fit_changes_what_was_fitted(model, planted, tmp_path):
    before = seen(model, planted.source, tmp_path / "m")
    for name, given in model.get_params().items():
        other = OTHER[name] if given != OTHER[name] else "transport"
        assert other != given
        model.set_params(**{name: other})
        assert seen(model, planted.source, tmp_path / "m") == before, name
        assert model.fitted_with[name] == given
        model.set_params(**{name: given})


@pytest.mark.parametrize(
    ("name", "parameter"), [("c3", "noise"), ("random-target", "seed"), ("memory-projection", "temperature")]
)
def test_a_parameter_acts_from_the_next_fit_on(planted, name, parameter):
    model = fitted_on(name, planted)
    before = model.transform(planted.source)
    again = model.set_params(**{parameter: OTHER[parameter]}).fit(planted.source[:150], planted.target)
    fresh = fitted_on(name, planted, **{parameter: OTHER[parameter]})
    assert again.transform(planted.source).tobytes() == fresh.transform(planted.source).tobytes() != before.tobytes()


def test_another_strength_is_that_of_the_fit_and_not_of_the_next_one(planted):
    model = fitted_on("aniso-align", planted)
    before = model.at_strength(0.3).transform(planted.source)
    moved = model.set_params(initial="radial", seed=5).at_strength(0.3)
    assert moved.transform(planted.source).tobytes() == before.tobytes()
    assert moved.get_params() == {**model.fitted_with, "strength": 0.3}
