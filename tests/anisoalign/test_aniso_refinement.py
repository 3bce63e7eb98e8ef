"""Stage II: bounds that hold whatever the network says, losses that pull where they should, a stage that saves."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from anisoalign.aligners.anisoalign.guarantee import angle_bound, block_factor, relative_bound
from anisoalign.aligners.anisoalign.losses import (
    energy_distance,
    kernel_mmd,
    phase_structure_loss,
    sliced_wasserstein,
    structure_loss,
)
from anisoalign.aligners.anisoalign.mixing import instability, mixing_matrix
from anisoalign.aligners.anisoalign.polar_fit import Whole, fit_polar
from anisoalign.aligners.anisoalign.polar_stage import PolarSettings, PolarStage
from anisoalign.aligners.anisoalign.refinement import Bounds, Polar, Refinement, bounded, compose, outside
from anisoalign.aligners.anisoalign.score_prior import PriorSettings
from anisoalign.embeddings import open_embeddings
from anisoalign.geometry import to_polar
from anisoalign.statistics import Moments

SEEDS = st.integers(0, 2**32 - 1)
QUICK = PolarSettings(prior=PriorSettings(steps=40, look_every=20, batch=64, width=32), steps=20, batch=64, width=32)


@pytest.fixture(scope="module")
def sets(in_leading_directions):
    return in_leading_directions(16, 8)


def fitted(sets, *, radial=True, seed=0, **settings):
    values = {name: getattr(QUICK, name) for name in ("prior", "steps", "batch", "width")}
    return fit_polar(*sets, PolarSettings(**(values | settings)), radial=radial, seed=seed)


def start_of(seed, n=40, d=12, r=6):
    rng = np.random.default_rng(seed)
    basis = torch.from_numpy(np.linalg.qr(rng.normal(size=(d, r)))[0])
    rows = torch.from_numpy(rng.normal(size=(n, d)) + rng.normal(size=d))
    radius, phase = to_polar(rows @ basis)
    return Polar(phase, radius, outside(rows, basis)), basis


def angles(a, b):
    a, b = torch.nn.functional.normalize(a, dim=1), torch.nn.functional.normalize(b, dim=1)
    return 2 * torch.asin(((a - b).norm(dim=1) / 2).clamp(max=1.0))


def wild(start, seed, size=1e3):
    generator = torch.Generator().manual_seed(seed % 2**31)
    network = Refinement(start.phase.shape[1], start.complement.shape[1], 16).double()
    for p in network.parameters():
        torch.nn.init.normal_(p, std=size, generator=generator)
    return network.requires_grad_(False)


@given(SEEDS, st.floats(0, math.pi), st.floats(0, 2), st.floats(0, 2), st.booleans())
def test_every_part_keeps_its_bound_under_a_saturated_network(seed, phase, radius, complement, per_coordinate):
    start, basis = start_of(seed)
    out = bounded(start, wild(start, seed)(start), Bounds(phase, radius, complement, per_coordinate), basis)
    moved = (compose(out, basis) - compose(start, basis)) @ basis
    c0 = (compose(start, basis) @ basis).norm(dim=1)
    assert bool((moved.norm(dim=1) <= block_factor(phase, radius) * c0 + 1e-12).all())
    step = (out.complement - start.complement).norm(dim=1)
    reach = complement * (12**0.5 if per_coordinate else start.complement.norm(dim=1))
    assert bool((step <= reach + 1e-12).all())
    torch.testing.assert_close(out.complement @ basis, torch.zeros(40, 6, dtype=torch.float64), rtol=0, atol=1e-12)


@given(SEEDS)
def test_bounds_of_zero_give_the_initialisation_to_the_last_bit(seed):
    start, basis = start_of(seed)
    for per_coordinate in (False, True):
        out = bounded(start, wild(start, seed)(start), Bounds(0.0, 0.0, 0.0, per_coordinate), basis)
        assert all(torch.equal(a, b) for a, b in zip(out, start, strict=True))


def test_an_untrained_refinement_is_the_initialisation():
    start, basis = start_of(0)
    out = bounded(start, Refinement(3, 12, 16).double()(start), Bounds(0.3, 0.2, 0.2), basis)
    assert all(torch.equal(a, b) for a, b in zip(out, start, strict=True))


@given(SEEDS, st.floats(0, math.pi), st.floats(0, 1))
def test_the_block_factor_is_the_furthest_a_block_can_move(seed, phase, radius):
    rng = np.random.default_rng(seed)
    turns, grows = rng.uniform(-phase, phase, 500), np.exp(rng.uniform(-radius, radius, 500))
    factor = block_factor(phase, radius)
    assert np.abs(grows * np.exp(1j * turns) - 1).max() <= factor + 1e-12
    assert abs(np.exp(radius + 1j * phase) - 1) == pytest.approx(factor, abs=1e-12)  # and it is reached


def test_where_nothing_can_be_promised_the_bound_says_so():
    epsilon = torch.tensor([0.0, 0.5, 1.0, 7.0, math.inf], dtype=torch.float64)
    assert angle_bound(epsilon).tolist() == pytest.approx([0.0, math.pi / 6, math.pi, math.pi, math.pi])
    one, nothing = torch.ones(1), torch.zeros(1)
    assert relative_bound(one, one, nothing, 0.3).item() == math.inf


@pytest.mark.parametrize("centre", ["origin", "mean"])
@pytest.mark.parametrize("radial", [True, False])
def test_the_guarantee_holds_on_every_row_and_pair_under_a_saturated_network(sets, centre, radial):
    stage = fitted(sets, radial=radial, centre=centre, losses=("phase",), bounds=Bounds(0.2, 0.1, 0.1))
    stage = stage.cast(torch.float64)
    for seed in range(3):
        for p in stage.refinement.parameters():
            torch.nn.init.normal_(p, std=1e3, generator=torch.Generator().manual_seed(seed))
        start = stage.initialise(sets[0])
        before, after = stage.unnormalised(start), stage.unnormalised(stage.refine(start))
        epsilon = stage.relative_bound(sets[0])
        assert 0.01 < float(epsilon.max()) < 0.5
        assert bool(((before - after).norm(dim=1) <= epsilon * before.norm(dim=1) + 1e-12).all())
        turned = angles(before, after)
        assert bool((turned <= angle_bound(epsilon) + 1e-9).all())
        assert float((turned / angle_bound(epsilon)).max()) > 0.3  # the bound is not idle
        pairs = (angles(before, before.roll(1, 0)) - angles(after, after.roll(1, 0))).abs()
        assert bool((pairs <= angle_bound(epsilon) + angle_bound(epsilon).roll(1) + 1e-9).all())


def test_initialised_sources_keep_phases_and_take_radii_and_spread_of_the_target(sets):
    source, target, basis = sets
    stage = fitted(sets, refine=False)
    start = stage.initialise(source)
    moved = source - source.mean(dim=0) + target.mean(dim=0)
    torch.testing.assert_close(start.phase, to_polar(moved @ basis)[1])
    wanted = to_polar(target @ basis)[0]
    levels = torch.linspace(0.1, 0.9, 9, dtype=torch.float64)
    torch.testing.assert_close(start.radius.quantile(levels, 0), wanted.quantile(levels, 0), rtol=0.05, atol=0.01)
    torch.testing.assert_close(start.complement @ basis, torch.zeros(300, 8, dtype=torch.float64), rtol=0, atol=1e-12)
    torch.testing.assert_close(start.complement.mean(dim=0), outside(target, basis).mean(dim=0), rtol=0, atol=1e-12)
    out = stage.at(torch.float64)(source.clone())
    torch.testing.assert_close(out.norm(dim=1), torch.ones(300, dtype=torch.float64))


def test_rows_that_come_initialised_are_only_taken_apart_and_put_together(sets):
    stage = fitted(sets, radial=False, refine=False)
    torch.testing.assert_close(stage.unnormalised(stage.initialise(sets[0])), sets[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("losses", [("prior",), ("phase",), ("prior", "phase")])
def test_a_stage_comes_back_from_its_arrays_to_the_last_bit(sets, losses):
    stage, twin = fitted(sets, losses=losses), fitted(sets, losses=losses)
    again = PolarStage.from_arrays(stage.arrays(), stage.config())
    for name, array in stage.arrays().items():
        assert array.tobytes() == again.arrays()[name].tobytes()
        assert array.tobytes() == twin.arrays()[name].tobytes()  # the same seed, the same model
    out, back = stage.at(torch.float32)(sets[0].float()), again.at(torch.float32)(sets[0].float())
    assert out.numpy().tobytes() == back.numpy().tobytes()
    if "prior" in losses:
        other = fitted(sets, losses=losses, seed=1)
        assert any(a.tobytes() != other.arrays()[name].tobytes() for name, a in stage.arrays().items())


@pytest.mark.parametrize("losses", [("support",), ("structure",), ("prior", "phase", "support", "structure")])
def test_the_losses_of_whole_rows_train(sets, losses):
    stage = fitted(sets, losses=losses)
    assert stage.refinement is not None
    assert any(bool(p.abs().max() > 0) for p in stage.refinement.head.parameters())


SUPPORT = {
    "sliced": lambda rows, target: sliced_wasserstein(rows, target, torch.Generator().manual_seed(0)),
    "energy": energy_distance,
    "mmd": kernel_mmd,
}


@pytest.mark.parametrize("loss", SUPPORT.values(), ids=SUPPORT.keys())
def test_support_losses_pull_on_the_complement_and_are_least_on_the_target(loss):
    start, basis = start_of(1)
    target = torch.nn.functional.normalize(compose(start_of(2)[0], start_of(2)[1]), dim=1)
    push = torch.zeros_like(start.complement, requires_grad=True)
    moves = Polar(torch.zeros_like(start.phase), torch.zeros_like(start.radius), push)
    out = bounded(start, moves, Bounds(0.3, 0.2, 0.2), basis)
    found = loss(torch.nn.functional.normalize(compose(out, basis), dim=1), target)
    found.backward()
    assert push.grad is not None
    assert bool(push.grad.isfinite().all())
    assert float(push.grad.abs().max()) > 1e-6  # from the very first step, where the move is zero
    assert float(loss(target, target)) < float(found.detach())


def test_the_structure_loss_is_one_minus_the_correlation_of_inner_products():
    rng = np.random.default_rng(0)
    before, after = (torch.nn.functional.normalize(torch.from_numpy(rng.normal(size=(30, 6))), dim=1) for _ in "ba")
    after = torch.nn.functional.normalize(before + 0.3 * after, dim=1).requires_grad_(True)
    above = np.triu_indices(30, 1)
    grams = [(rows.detach() @ rows.detach().T).numpy()[above] for rows in (before, after)]
    loss = structure_loss(after, before)
    assert float(loss.detach()) == pytest.approx(1 - np.corrcoef(*grams)[0, 1], abs=1e-12)
    loss.backward()
    assert float(after.grad.abs().max()) > 1e-4
    assert float(structure_loss(before, before)) == pytest.approx(0.0, abs=1e-12)


def test_the_phase_structure_loss_sees_what_pairs_do_and_not_a_common_turn():
    start, _ = start_of(3)
    edges = torch.tensor([[0, 1], [1, 2]])
    same = phase_structure_loss(start.phase + 0.7, start.phase, start.radius, edges)
    assert float(same) == pytest.approx(0.0, abs=1e-12)
    moved = (start.phase + torch.tensor([0.2, 0.0, 0.0], dtype=torch.float64)).requires_grad_(True)
    loss = phase_structure_loss(moved, start.phase, start.radius, edges)
    weight = start.radius[:, 1] * start.radius[:, [0, 2]].T  # ω of both edges, before normalising
    wanted = (weight[0] / weight.sum(dim=0) * (1 - math.cos(0.2))).mean()
    assert float(loss.detach()) == pytest.approx(float(wanted), abs=1e-12)
    loss.backward()
    assert float(moved.grad[:, :2].abs().min()) > 0


@pytest.mark.parametrize("kind", ["identity", "haar", "learned"])
def test_mixing_is_orthogonal_and_learning_it_makes_statistics_agree(sets, kind):
    source, target, basis = sets
    mixed = mixing_matrix(kind, 8, 0, target @ basis, source @ basis)
    np.testing.assert_allclose(mixed.T @ mixed, np.eye(8), atol=1e-12)
    np.testing.assert_array_equal(mixed, mixing_matrix(kind, 8, 0, target @ basis, source @ basis))
    if kind == "learned":
        start, end = (torch.from_numpy(m) for m in (mixing_matrix("haar", 8, 0), mixed))
        assert instability(end, target @ basis, source @ basis) < instability(start, target @ basis, source @ basis)
    if kind != "identity":
        assert np.abs(mixed - mixing_matrix(kind, 8, 1, target @ basis, source @ basis)).max() > 0.01


def test_mixing_says_what_it_lacks():
    with pytest.raises(ValueError, match="not 'random'"):
        mixing_matrix("random", 4, 0)
    with pytest.raises(ValueError, match="needs coordinates of both sets"):
        mixing_matrix("learned", 4, 0)


def test_phases_get_a_gradient_at_the_start():
    start = Polar(torch.tensor([[0.3, -2.0]]), torch.ones(1, 2), torch.zeros(1, 4))
    moves = Polar(torch.zeros(1, 2, requires_grad=True), torch.zeros(1, 2), torch.zeros(1, 4))
    out = bounded(start, moves, Bounds(0.3, 0.2, 0.2), torch.eye(4))
    assert torch.equal(out.phase, start.phase)
    (gradient,) = torch.autograd.grad(out.phase.sum(), moves.phase)
    torch.testing.assert_close(gradient, torch.full((1, 2), 0.3))


def test_statistics_are_of_all_rows_where_they_are_given(sets):
    source, target, basis = sets
    moments = [Moments.empty(rows.shape[1]).update(rows.numpy()) for rows in (source, target)]
    tiles = Whole(*moments, *(open_embeddings(rows.numpy()) for rows in (source, target)))
    settings = PolarSettings(refine=False, losses=())
    stage = fit_polar(source[:40], target[:40], basis, settings, radial=True, seed=0, whole=tiles)
    alone = fit_polar(source, target, basis, settings, radial=True, seed=0)
    for name, array in alone.arrays().items():
        np.testing.assert_allclose(stage.arrays()[name], array, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(stage.shift, target.mean(dim=0) - source.mean(dim=0), atol=1e-12)
    spread = [outside(rows, basis).std(dim=0) for rows in (target, source)]
    np.testing.assert_allclose(stage.complement_scale, spread[0] / spread[1], rtol=1e-6)


def test_the_steps_of_the_drift_and_the_phase_loss_can_be_those_of_the_theory(sets):
    notes = fitted(sets, drift_step="auto").notes
    assert notes["drift_step"] * notes["drift_lipschitz"] == pytest.approx(1.0)
    given = fitted(sets, drift_step=0.05).notes
    assert given["drift_step"] == 0.05
    weighed, light, none = (
        fitted(sets, losses=losses, phase_weight=weight).refinement.head.weight
        for losses, weight in ((("prior", "phase"), 1.0), (("prior", "phase"), "source"), (("prior",), 1.0))
    )
    assert float((light - none).norm()) < 0.2 * float((weighed - none).norm())


def test_what_the_refinement_did_is_told(sets):
    stage = fitted(sets, bounds=Bounds(0.3, 0.2, 0.2))
    mean, most = stage.notes["realised_degrees"]
    rows = stage.initialise(sets[0])
    turned = angles(stage.unnormalised(rows), stage.unnormalised(stage.cast(torch.float64).refine(rows)))
    assert most == pytest.approx(float(turned.max().rad2deg()), rel=1e-4)
    assert 0 < mean <= most
