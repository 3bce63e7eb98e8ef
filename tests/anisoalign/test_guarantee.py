"""The guarantee of both bounded parts together, and the bound that a model says of the rows it was fitted on."""

import numpy as np
import pytest
import torch
from aligner_worlds import QUICK, distorted

import anisoalign as aa
from anisoalign.aligners.anisoalign.path import Guide
from anisoalign.aligners.anisoalign.polar_stage import PolarStage

BOUND = 0.3


def angles(a, b):
    a, b = torch.nn.functional.normalize(a, dim=1), torch.nn.functional.normalize(b, dim=1)
    return 2 * torch.asin(((a - b).norm(dim=1) / 2).clamp(max=1.0))


def turns(model, rows):
    """Angle by which the guided step, and by which the refinement turns each row."""
    found, now = [], torch.from_numpy(rows.copy())
    for part in model.correction().parts():
        after = part.at(torch.float64)(now.clone())
        if isinstance(part, Guide):
            found.append(angles(now, after))
        elif isinstance(part, PolarStage):
            start = part.initialise(now)
            found.append(angles(part.unnormalised(start), part.unnormalised(part.cast(torch.float64).refine(start))))
        now = after
    return torch.stack(found).numpy()


@pytest.mark.parametrize("initial", ["transport", "radial"])
def test_the_bound_covers_the_guided_step_and_the_refinement_one_after_the_other(initial):
    """Under an adversary: the guide goes all the way to its bound, and the refinement on from there."""
    source, target, _ = distorted(300, 0)
    tight = {"phase_bound": 0.2, "radius_bound": 0.1, "complement_bound": 0.05}
    model = aa.AnisoAlign(
        terms="init+guide+refine", initial=initial, strength=0.8, rank=8, guide_step=1.0, guide_bound=BOUND, **tight
    ).fit(source[:150], target[150:])
    # All planes turned so far that a step of length BOUND towards it is at a right angle to where it ends.
    cosine, sine = np.cos(2 * np.arcsin(BOUND)), np.sin(2 * np.arcsin(BOUND))
    model.guide_weight_ = np.kron(np.eye(source.shape[1] // 2), [[cosine, -sine], [sine, cosine]])
    model.guide_bias_ = np.zeros(source.shape[1])
    for name in [name for name in vars(model) if name.startswith("polar_refinement")]:
        array = getattr(model, name)
        setattr(model, name, np.random.default_rng(0).normal(size=array.shape).astype(array.dtype) * 1e3)
    given = model.transform(source[150:], return_bound=True)[1]
    turned = turns(model, source[150:])
    guided = turned[0 if initial == "transport" else 1]
    np.testing.assert_allclose(guided, np.arcsin(BOUND), rtol=0, atol=1e-9)
    assert (turned.sum(axis=0) <= given + 1e-9).all()
    assert turned.min() > 0.01  # so that either alone is less than both
    assert given.max() < 2 * turned.sum(axis=0).max()  # the bound is no idle one


@pytest.mark.parametrize(
    "model",
    [
        aa.AnisoAlign(strength=0.8),
        aa.AnisoAlign.paper(**QUICK),
        aa.AnisoAlign(**QUICK, strength=0.8, terms="init+guide+refine+prior+support"),
    ],
    ids=["default", "paper", "all parts"],
)
def test_the_bound_of_a_model_is_the_largest_of_those_of_the_sources_it_was_fitted_on(model):
    source, target, _ = distorted(300, 0)
    model.fit(source[:150], target[150:])
    own = model.transform(source[:150], return_bound=True)[1]
    assert own.max() > own.min()
    assert model.bound_ == pytest.approx(own.max(), abs=1e-12)
