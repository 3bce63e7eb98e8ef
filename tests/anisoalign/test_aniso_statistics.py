"""Polar coordinates and what is measured of them: inverses, and sums that do not depend on the cut."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from anisoalign.aligners.anisoalign.quantile_map import RadialMap
from anisoalign.geometry import to_cartesian, to_polar, wrap
from anisoalign.statistics.phases import PhaseStatistics
from anisoalign.statistics.radii import NO_RADIUS, WIDTH, RadiusHistogram

SEEDS = st.integers(0, 2**32 - 1)


def draw(seed, n, m):
    rng = np.random.default_rng(seed)
    return to_polar(torch.from_numpy(rng.normal(size=(n, 2 * m)) + rng.normal(size=2 * m)))


@given(SEEDS, st.integers(0, 20), st.integers(1, 6), st.sampled_from([1e-9, 1.0, 1e6]))
def test_polar_and_back_is_the_identity(seed, n, m, size):
    c = torch.from_numpy(np.random.default_rng(seed).normal(size=(n, 2 * m)) * size)
    radius, phase = to_polar(c)
    assert bool((radius >= 0).all() & (phase >= -np.pi).all() & (phase < np.pi).all())
    torch.testing.assert_close(to_cartesian(radius, phase), c, rtol=0, atol=1e-14 * size)


def test_blocks_are_adjacent_columns_and_a_zero_block_stays_zero():
    radius, phase = to_polar(torch.tensor([[0.0, 2.0, -3.0, 0.0, 0.0, 0.0]], dtype=torch.float64))
    assert radius.tolist() == [[2.0, 3.0, 0.0]]
    assert phase.tolist() == [[np.pi / 2, -np.pi, 0.0]]
    assert to_cartesian(radius, phase)[0, 4:].tolist() == [0.0, 0.0]
    with pytest.raises(ValueError, match="rank must be even, not 3"):
        to_polar(torch.zeros(1, 3))


@given(st.floats(-1e4, 1e4), st.sampled_from([torch.float32, torch.float64]))
def test_wrap_lands_in_the_interval_on_the_same_angle(angle, dtype):
    angle = torch.tensor([angle], dtype=dtype)
    wrapped = wrap(angle)
    end = torch.tensor(torch.pi, dtype=dtype)
    assert bool(-end <= wrapped)
    assert bool(wrapped < end)
    turns = (angle.double() - wrapped.double()) / (2 * np.pi)
    assert abs(turns - turns.round()).item() < (1e-3 if dtype == torch.float32 else 1e-11)
    assert torch.equal(wrap(wrapped), wrapped)


@given(SEEDS, st.integers(1, 60), st.integers(1, 5), st.data())
def test_any_cut_gives_the_same_statistics(seed, n, m, data):
    radius, phase = draw(seed, n, m)
    cuts = sorted(data.draw(st.lists(st.integers(0, n), max_size=4)))
    whole, parts = PhaseStatistics.empty(m).update(radius, phase), PhaseStatistics.empty(m)
    counted, counts = RadiusHistogram.empty(m).update(radius), RadiusHistogram.empty(m)
    for rows in np.split(np.arange(n), cuts):
        parts.merge(PhaseStatistics.empty(m).update(radius[rows], phase[rows]))
        counts.merge(RadiusHistogram.empty(m).update(radius[rows]))
    assert parts.n == whole.n == counts.n == n
    for name in ("first", "pairs", "energy"):
        np.testing.assert_allclose(getattr(parts, name) / n, getattr(whole, name) / n, rtol=1e-12, atol=1e-12)
    assert counts.first == counted.first
    np.testing.assert_array_equal(counts.counts, counted.counts)


def test_statistics_are_those_of_their_definition():
    radius, phase = draw(1, 200, 3)
    stats, r, unit = PhaseStatistics.empty(3).update(radius, phase), radius.numpy(), np.exp(1j * phase.numpy())
    np.testing.assert_allclose(stats.anchor, np.angle(unit.mean(axis=0)), atol=1e-12)
    np.testing.assert_allclose(stats.weight, (r**2).mean(axis=0) / (r**2).mean(axis=0).sum(), atol=1e-12)
    pairs = (unit[:, :, None] * unit[:, None, :].conj()).mean(axis=0)  # E e^{i(θ_k − θ_l)}
    np.testing.assert_allclose(stats.coupling(centred=False), pairs, atol=1e-12)
    mean = unit.mean(axis=0)
    centred = ((unit - mean)[:, :, None] * (unit - mean)[:, None, :].conj()).mean(axis=0)
    np.testing.assert_allclose(stats.coupling(centred=True), centred, atol=1e-12)


def test_saved_statistics_come_back_to_the_last_bit():
    radius, phase = draw(2, 50, 3)
    stats, histogram = PhaseStatistics.empty(3).update(radius, phase), RadiusHistogram.empty(3).update(radius)
    for first in (stats, histogram):
        again = type(first).from_arrays(first.arrays())
        for name, array in first.arrays().items():
            assert array.tobytes() == again.arrays()[name].tobytes()
    assert PhaseStatistics.from_arrays(stats.arrays()).n == 50


def test_statistics_that_cannot_meet_say_why():
    with pytest.raises(ValueError, match="of 2 and of 3 blocks"):
        PhaseStatistics.empty(2).merge(PhaseStatistics.empty(3))
    with pytest.raises(ValueError, match=r"2 blocks, width .* cannot take in one of 3 blocks"):
        RadiusHistogram.empty(2).merge(RadiusHistogram.empty(3))
    with pytest.raises(ValueError, match="no rows has no quantiles"):
        RadiusHistogram.empty(2).quantiles(np.array([0.5]))


def test_the_last_quantile_of_a_block_is_its_largest_radius_whatever_other_blocks_hold():
    radius = torch.tensor([[1.0, 20.0], [2.0, 5.0]], dtype=torch.float64)
    found = RadiusHistogram.empty(2).update(radius).quantiles(np.array([0.0, 1.0]))
    np.testing.assert_allclose(found, [[1.0, 2.0], [5.0, 20.0]], rtol=2e-2)


def test_quantiles_are_known_to_the_width_of_a_bin():
    radius, _ = draw(3, 5000, 4)
    levels = np.linspace(0.02, 0.98, 25)
    found = RadiusHistogram.empty(4).update(radius).quantiles(levels)
    np.testing.assert_allclose(np.log(found), np.log(np.quantile(radius.numpy(), levels, axis=0).T), atol=2 * WIDTH)
    nothing = RadiusHistogram.empty(1).update(torch.zeros(3, 1)).quantiles(levels)
    np.testing.assert_allclose(nothing, NO_RADIUS, rtol=2 * WIDTH)


def test_radial_maps_rise_and_give_the_targets_radii():
    y, x = draw(4, 4000, 5)[0], 3 * draw(5, 3000, 5)[0].square()
    move = RadialMap.between(RadiusHistogram.empty(5).update(y), RadiusHistogram.empty(5).update(x))
    ramp = torch.linspace(0, 20, 3001, dtype=torch.float64)[:, None].expand(-1, 5)
    assert bool((move(ramp).diff(dim=0) >= 0).all())
    assert bool((move(ramp) >= 0).all())
    levels = np.linspace(0.05, 0.95, 19)
    reached, wanted = np.quantile(move(y).numpy(), levels, axis=0), np.quantile(x.numpy(), levels, axis=0)
    np.testing.assert_allclose(reached, wanted, rtol=0.05)
    same = RadialMap.between(RadiusHistogram.empty(5).update(y), RadiusHistogram.empty(5).update(y))
    torch.testing.assert_close(same(y), y, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("narrow", [False, True])
def test_radial_maps_are_right_in_the_tails_that_were_seen(narrow):
    """The quantiles of log-normals are known; of 100,000 rows a ten-thousandth is ten."""
    rng, shares = np.random.default_rng(0), norm.ppf([0.0001, 0.001, 0.01, 0.5, 0.99, 0.999, 0.9999])
    own, wanted = (0.26, 0.1) if narrow else (0.1, 0.26)
    sides = (torch.from_numpy(np.exp(spread * rng.normal(size=(100_000, 1)))) for spread in (own, wanted))
    move = RadialMap.between(*(RadiusHistogram.empty(1).update(side) for side in sides))
    found = move(torch.from_numpy(np.exp(own * shares))[:, None])[:, 0].numpy()
    np.testing.assert_allclose(np.log(found / np.exp(wanted * shares)), 0.0, atol=0.05)
    np.testing.assert_allclose(np.log(found / np.exp(wanted * shares))[1:-1], 0.0, atol=0.02)


def test_radial_maps_of_constant_radii_are_finite_in_float32():
    ones = torch.ones(50, 2)
    move = RadialMap.between(RadiusHistogram.empty(2).update(ones), RadiusHistogram.empty(2).update(2 * ones))
    np.testing.assert_allclose(move(ones).numpy(), 2.0, rtol=0.02)


@pytest.mark.parametrize("rows", [20, 50, 100])
def test_few_radii_give_no_wild_slopes(rows):
    """Two samples of one distribution: whatever lies between or beyond the knots moves by what the sample allows."""
    rng = np.random.default_rng(rows)
    few, many, new = (torch.from_numpy(rng.gamma(8.0, 0.01, (n, 4))) for n in (rows, 1000, 4000))
    move = RadialMap.between(RadiusHistogram.empty(4).update(few), RadiusHistogram.empty(4).update(many))
    slopes = move.target.diff(dim=1) / move.source.diff(dim=1)
    assert float(slopes.max()) < 10
    assert float(move(new).max()) < 1.5 * float(new.max())
