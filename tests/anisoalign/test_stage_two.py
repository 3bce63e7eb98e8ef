"""Stage II goes down the losses that it is told to, and the initialisation before it takes the target's spread in V."""

import numpy as np
import pytest
import torch

from anisoalign.aligners.anisoalign.losses import (
    SUPPORT_LOSSES,
    energy_distance,
    phase_structure_loss,
    structure_loss,
)
from anisoalign.aligners.anisoalign.polar_fit import fit_polar
from anisoalign.aligners.anisoalign.polar_stage import PolarSettings
from anisoalign.aligners.anisoalign.potential import build_potential
from anisoalign.aligners.anisoalign.refinement import Bounds, outside
from anisoalign.aligners.anisoalign.score_prior import PriorSettings, prior_loss
from anisoalign.geometry import to_polar
from anisoalign.statistics.phases import PhaseStatistics

QUICK = {
    "prior": PriorSettings(steps=80, look_every=40, batch=128, width=32),
    "bounds": Bounds(0.6, 0.4, 0.4),
    "steps": 40,
    "batch": 128,
    "width": 32,
    "rate": 1e-2,
}


@pytest.fixture(scope="module")
def sets(in_leading_directions):
    return in_leading_directions(12, 6)


def refined(sets, *losses, radial=True, **settings):
    """A stage trained on the losses, with the rows as it found them and as it leaves them."""
    stage = fit_polar(*sets, PolarSettings(losses=losses, **QUICK | settings), radial=radial, seed=0)
    start = stage.initialise(sets[0].float())
    return stage, start, stage.refine(start)


@pytest.fixture(scope="module")
def pulled(sets):
    """The same with the prior alone."""
    return refined(sets, "prior")


def whole(stage, polar):
    return torch.nn.functional.normalize(stage.unnormalised(polar), dim=1)


def potential_of(sets):
    radius, phase = to_polar(sets[1] @ sets[2])
    return build_potential(PhaseStatistics.empty(phase.shape[1]).update(radius, phase), 4, False, False)


def test_the_prior_term_brings_sources_to_where_the_prior_of_the_targets_fits_them(sets, pulled):
    stage, *ends = pulled
    before, after = (
        # Every row five times, under the same noise before and after: what the draw does is not the question.
        float(
            prior_loss(
                stage.prior,
                polar.phase.repeat(5, 1),
                polar.radius.clamp_min(1e-6).log().repeat(5, 1),
                potential_of(sets).to(polar.phase),
                torch.Generator().manual_seed(9),
            )
        )
        for polar in ends
    )
    assert after < 0.98 * before


@pytest.mark.parametrize("kind", SUPPORT_LOSSES)
def test_the_support_term_brings_rows_to_the_targets_whichever_distance_is_taken(sets, kind):
    stage, *ends = refined(sets, "support", radial=False, support=kind)
    before, after = (float(energy_distance(whole(stage, polar), sets[1].float())) for polar in ends)
    assert after < 0.85 * before


def test_the_structure_term_gives_back_geometry_that_the_initialisation_lost(sets):
    stage, *ends = refined(sets, "structure")
    before, after = (float(structure_loss(whole(stage, polar), sets[0].float())) for polar in ends)
    assert after < 0.9 * before


def test_the_phase_term_holds_blocks_to_each_other_where_the_prior_pulls_them_apart(sets, pulled):
    edges = potential_of(sets).edges
    apart = [
        float(phase_structure_loss(end.phase, start.phase, start.radius, edges))
        for _, start, end in (pulled, refined(sets, "prior", "phase"))
    ]
    assert apart[1] < 0.8 * apart[0]


def test_the_phase_term_alone_has_nothing_to_do_at_the_initialisation(sets):
    _, start, end = refined(sets, "phase")
    assert all(torch.equal(a, b) for a, b in zip(start, end, strict=True))


def uneven(seed, spread, n=80, d=10):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.normal(size=(n, d)) * spread + rng.normal(size=d))


def initialised(source, target, basis):
    stage = fit_polar(source, target, basis, PolarSettings(refine=False, losses=()), radial=True, seed=0)
    return stage.initialise(source).complement


def test_where_the_axes_lie_in_v_sources_take_the_targets_mean_and_spread_on_each():
    source, target = uneven(0, np.linspace(0.5, 2.0, 10)), uneven(1, np.linspace(3.0, 0.2, 10))
    found = initialised(source, target, torch.eye(10, dtype=torch.float64)[:, :4].contiguous())[:, 4:]
    torch.testing.assert_close(found.std(dim=0), target[:, 4:].std(dim=0), rtol=1e-9, atol=0)
    torch.testing.assert_close(found.mean(dim=0), target[:, 4:].mean(dim=0), rtol=0, atol=1e-9)


def test_in_any_other_v_coordinates_are_scaled_and_what_leaves_v_is_taken_off():
    """v⁰ = μx,V + P_V D (v − μy,V), with D the ratio of the spreads that coordinates have in V."""
    source, target = uneven(0, np.linspace(0.5, 2.0, 10)), uneven(1, np.linspace(3.0, 0.2, 10))
    basis = torch.from_numpy(np.linalg.qr(np.random.default_rng(2).normal(size=(10, 4)))[0])
    inside_y, inside_x = outside(source, basis), outside(target, basis)
    scaled = (inside_y - inside_y.mean(dim=0)) * inside_x.std(dim=0) / inside_y.std(dim=0)
    wanted = inside_x.mean(dim=0) + scaled - scaled @ basis @ basis.T
    torch.testing.assert_close(initialised(source, target, basis), wanted, rtol=0, atol=1e-9)
