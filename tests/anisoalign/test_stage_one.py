"""The objective of Stage I: what phases are noised to, what is asked of the network there, and on which rows."""

import numpy as np
import pytest
import torch

from anisoalign.aligners.anisoalign import score_prior
from anisoalign.aligners.anisoalign.polar_fit import fit_polar
from anisoalign.aligners.anisoalign.polar_stage import PolarSettings
from anisoalign.aligners.anisoalign.potential import PhasePotential
from anisoalign.aligners.anisoalign.score_prior import (
    PriorSettings,
    ScorePrior,
    noised,
    prior_loss,
    train_score_prior,
)

STEP, LOW, HIGH = 0.7, 0.1, 1.5
COPIES = 20_000


def potential():
    """Pulls hard at the row below, one block more than the other."""
    numbers = torch.tensor([[0.5, -1.0, 2.0], [0.2, 0.5, 0.3]], dtype=torch.float64)
    edges = torch.tensor([[0, 1], [1, 2]])
    return PhasePotential(numbers[0], numbers[1], edges, torch.ones(2).double(), torch.tensor([1.0, -2.0]).double())


@pytest.fixture(scope="module")
def copies():
    """One row of phases many times over, noised; with the point about which it must lie."""
    prior = ScorePrior(3, PriorSettings(noise_low=LOW, noise_high=HIGH, drift_step=STEP, width=8))
    row = np.array([2.9, 0.3, -1.4])
    found = noised(torch.from_numpy(row).repeat(COPIES, 1), potential(), prior, torch.Generator().manual_seed(0))
    slope = [
        float(potential()(torch.from_numpy(row + h)[None]) - potential()(torch.from_numpy(row - h)[None])) / 2e-6
        for h in 1e-6 * np.eye(3)
    ]
    assert np.abs(slope).min() > 0.2  # each block is drifted, so that the way it is drifted shows
    return *(part.numpy() for part in found), row - STEP * np.array(slope)


def test_noised_phases_are_wrapped_gaussian_about_the_drifted_centre_at_every_level_of_noise(copies):
    """Wrapping changes no e^{iδ}, so that E cos δ = e^{−v/2} with v = 2σ², and E sin δ = 0, as without it."""
    moved, time, _, variance, centre = copies
    assert ((moved >= -np.pi) & (moved < np.pi)).all()
    sigma = LOW * (HIGH / LOW) ** time
    np.testing.assert_allclose(variance, 2 * sigma**2, rtol=1e-6)
    away, shrunk = moved - centre, np.exp(-(sigma**2))
    # Each divided by its standard deviation: Var cos δ = (1 + e^{−2v})/2 − e^{−v}, Var sin δ = (1 − e^{−2v})/2.
    cosines = (np.cos(away) - shrunk) / np.sqrt((1 + shrunk**4) / 2 - shrunk**2)
    sines = np.sin(away) / np.sqrt((1 - shrunk**4) / 2)
    for level in range(5):
        rows = (5 * time[:, 0]).astype(int) == level
        assert rows.sum() == pytest.approx(COPIES / 5, rel=0.05)  # t is uniform
        for part in (cosines, sines):
            assert np.abs(part[rows].mean(axis=0)).max() * np.sqrt(rows.sum()) < 4


def test_what_is_asked_of_the_network_is_the_slope_of_the_wrapped_log_density(copies):
    moved, _, score, variance, centre = copies
    away = (moved - centre)[..., None] + 2 * np.pi * np.arange(-12, 13)
    share = np.exp(-(away**2) / (2 * variance[..., None]))
    np.testing.assert_allclose(score, -(share * away).sum(axis=-1) / share.sum(axis=-1) / variance, rtol=0, atol=1e-6)


def test_a_network_that_says_nothing_is_charged_each_score_by_twice_the_square_of_its_noise():
    """λt = 2σt²: every level of noise then costs about as much, and none drowns the others."""
    prior = ScorePrior(3, PriorSettings(noise_low=LOW, noise_high=HIGH, drift_step=STEP, width=8))
    phase = torch.zeros(5000, 3, dtype=torch.float64)
    _, time, score, _ = noised(phase, potential(), prior, torch.Generator().manual_seed(1))
    with torch.no_grad():
        loss = prior_loss(prior.double(), phase, phase, potential(), torch.Generator().manual_seed(1))
    cost = 2 * (LOW * (HIGH / LOW) ** time) ** 2 * score.square()
    assert float(loss) == pytest.approx(float(cost.mean()), rel=1e-6)
    assert float(cost[time[:, 0] < 0.2].mean()) == pytest.approx(1.0, abs=0.1)  # v E(δ/v)² where nothing wraps


def test_the_prior_is_trained_about_centres_drifted_by_the_step_that_is_set():
    rng = np.random.default_rng(0)
    source, target = (torch.from_numpy(rng.normal(size=(100, 8)) + rng.normal(size=8)) for _ in "yx")
    basis = torch.eye(8, dtype=torch.float64)[:, :6].contiguous()
    quick = PriorSettings(steps=10, look_every=5, batch=32, width=16)
    settings = [PolarSettings(("prior",), drift_step=step, prior=quick, steps=1) for step in (0.1, 0.6, "auto")]
    priors = [fit_polar(source, target, basis, each, radial=True, seed=0).prior for each in settings]
    weights = [torch.cat([p.flatten() for p in prior.parameters()]) for prior in priors]
    for other in weights[1:]:
        assert float((weights[0] - other).norm()) > 1e-4


def test_rows_that_are_held_out_are_never_trained_on(monkeypatch):
    trained, held = set(), set()

    def watched(prior, phase, log_radius, *rest):
        (trained if torch.is_grad_enabled() else held).update(log_radius[:, 0].tolist())
        return prior_loss(prior, phase, log_radius, *rest)

    monkeypatch.setattr(score_prior, "prior_loss", watched)
    numbers = torch.arange(60.0)[:, None].repeat(1, 3)  # each row is known again by its radius
    settings = PriorSettings(steps=30, look_every=10, batch=64, width=8, held=0.2)
    train_score_prior(torch.zeros(60, 3), numbers, potential(), settings, 0)
    assert len(held) == 12
    assert trained == set(range(60)) - held
