"""What moment matching promises: fixed points, covariances reached, the dial's ends."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import anisoalign as aa
from anisoalign.geometry import joint_frame
from anisoalign.statistics import Moments, measure, shrink

SEEDS = st.integers(0, 2**32 - 1)
EXACT = {"dtype": "float64", "out_dtype": "float64"}

MOMENT_METHODS = [
    aa.Identity(),
    aa.MeanShift(),
    aa.C3(noise=0.0),
    aa.Standardize(),
    aa.ReAlign(),
    aa.BlockwiseCovariance(block=3),
    aa.WhitenColor(),
    aa.GaussianTransport(),
    aa.GaussianTransport(rank=3, strength=0.5),
    aa.GaussianTransport(rank=0.7, shrinkage=0.0),
]


def cov(rows):
    return np.cov(rows.T, bias=True)


def affine(model, rows):
    """W y + b, the map before the sphere, from the fitted attributes."""
    weight = model.weight_
    return (rows @ weight.T if weight.ndim == 2 else rows * weight) + model.bias_


@pytest.mark.parametrize("model", MOMENT_METHODS, ids=repr)
@pytest.mark.parametrize("rows", [200, 6])
@settings(max_examples=5)
@given(seed=SEEDS)
def test_equal_sets_are_left_alone(make_planted, model, rows, seed):
    y = make_planted(rows, 10, seed).source  # 6 rows in 10 dimensions too: covariances without full rank
    model.fit(y, y[::-1])
    np.testing.assert_allclose(model.transform(y, **EXACT), y, rtol=0, atol=1e-6)


@settings(max_examples=10)
@given(SEEDS, st.integers(1, 10), st.sampled_from([0.0, 0.3]))
def test_transport_gives_the_target_covariance_inside_the_frame(make_planted, seed, rank, shrinkage):
    y, x, _ = make_planted(200, 10, seed)
    model = aa.GaussianTransport(rank=rank, shrinkage=shrinkage).fit(y, x)
    q = joint_frame(cov(x), cov(y), rank).basis
    moved = shrink(q.T @ cov(y) @ q, shrinkage)
    inside = q.T @ model.weight_ @ q
    np.testing.assert_allclose(inside @ moved @ inside.T, shrink(q.T @ cov(x) @ q, shrinkage), atol=1e-10)
    np.testing.assert_allclose(inside, inside.T, atol=1e-12)
    assert np.linalg.eigvalsh(inside).min() > 0
    if shrinkage == 0.0:
        z = affine(model, y)
        np.testing.assert_allclose(cov(z @ q), cov(x @ q), atol=1e-10)
        np.testing.assert_allclose(z.mean(axis=0), x.mean(axis=0), atol=1e-12)
        outside = np.eye(10) - q @ q.T
        assert np.trace(cov(z @ outside)) == pytest.approx(np.trace(cov(x @ outside)), abs=1e-10)


@settings(max_examples=10)
@given(SEEDS, st.sampled_from([None, 3, 0.8]))
def test_strength_zero_is_realign_exactly(make_planted, seed, rank):
    y, x, _ = make_planted(100, 9, seed)
    realign, dial = aa.ReAlign().fit(y, x), aa.GaussianTransport(strength=0.0, rank=rank).fit(y, x)
    np.testing.assert_allclose(dial.transform(y, **EXACT), realign.transform(y, **EXACT), rtol=0, atol=1e-12)
    # The dial moves: a positive strength is another map.
    assert np.abs(aa.GaussianTransport(strength=0.5).fit(y, x).transform(y) - realign.transform(y)).max() > 1e-3


@settings(max_examples=5)
@given(SEEDS)
def test_the_dial_moves_on_a_straight_line(make_planted, seed):
    y, x, _ = make_planted(100, 9, seed)
    at = {t: aa.GaussianTransport(strength=t).fit(y, x).weight_ for t in (0.0, 0.25, 1.0)}
    np.testing.assert_allclose(at[0.25], 0.75 * at[0.0] + 0.25 * at[1.0], atol=1e-12)


@settings(max_examples=10)
@given(SEEDS)
def test_unshrunk_whitening_and_colouring_reaches_both_moments(make_planted, seed):
    y, x, _ = make_planted(200, 8, seed)
    z = affine(aa.WhitenColor(shrinkage=0.0).fit(y, x), y)
    np.testing.assert_allclose(z.mean(axis=0), x.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(cov(z), cov(x), atol=1e-10)


@settings(max_examples=10)
@given(SEEDS)
def test_blocks_reach_the_covariance_of_their_block_only(make_planted, seed):
    y, x, _ = make_planted(200, 8, seed)
    z = affine(aa.BlockwiseCovariance(block=3, shrinkage=0.0).fit(y, x), y)
    for block in (slice(0, 3), slice(3, 6), slice(6, 8)):
        np.testing.assert_allclose(cov(z)[block, block], cov(x)[block, block], atol=1e-10)
    assert np.abs(cov(z) - cov(x)).max() > 1e-4


@settings(max_examples=10)
@given(SEEDS)
def test_standardize_reaches_mean_and_variance_of_every_coordinate(make_planted, seed):
    y, x, _ = make_planted(200, 8, seed)
    z = affine(aa.Standardize().fit(y, x), y)
    np.testing.assert_allclose(z.mean(axis=0), x.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(z.var(axis=0), x.var(axis=0), atol=1e-12)


@settings(max_examples=10)
@given(SEEDS)
def test_realign_reaches_mean_and_trace_and_brings_the_centroid_nearer(make_planted, seed):
    y, x, _ = make_planted(200, 8, seed)
    model = aa.ReAlign().fit(y, x)
    z = affine(model, y)
    np.testing.assert_allclose(z.mean(axis=0), x.mean(axis=0), atol=1e-12)
    assert np.trace(cov(z)) == pytest.approx(np.trace(cov(x)), rel=1e-10)

    # The sphere takes the centroid away again; the calibration brings it back most of the way.
    uncalibrated, calibrated = z / np.linalg.norm(z, axis=1, keepdims=True), model.transform(y, **EXACT)
    left = [np.linalg.norm(rows.mean(axis=0) - x.mean(axis=0)) for rows in (uncalibrated, calibrated)]
    assert left[1] < 0.8 * left[0]


@settings(max_examples=10)
@given(SEEDS, st.floats(0.0, 1.0))
def test_shrinking_keeps_the_trace_and_the_directions(make_planted, seed, amount):
    sigma = cov(make_planted(50, 7, seed).source)
    shrunk = shrink(sigma, amount)
    assert np.trace(shrunk) == pytest.approx(np.trace(sigma), rel=1e-12)
    np.testing.assert_allclose(shrunk @ sigma, sigma @ shrunk, atol=1e-15)
    assert np.ptp(np.linalg.eigvalsh(shrunk)) == pytest.approx((1 - amount) * np.ptp(np.linalg.eigvalsh(sigma)))


@pytest.mark.parametrize("alpha", [0.0, 0.25, 1.0])
def test_the_residual_path_starts_at_the_mean_shift_and_approaches_the_target(planted, alpha):
    y, x, _ = planted
    z = aa.oracle.ResidualPath(alpha=alpha).fit_transform(y, x)
    shifted = aa.MeanShift().fit(y, x).transform(y, **EXACT)
    if alpha == 0.0:
        np.testing.assert_allclose(z, shifted, rtol=0, atol=1e-12)
        return
    before = aa.oracle.ResidualPath(alpha=0.0).fit_transform(y, x)
    assert (z * x).sum(axis=1).mean() > (before * x).sum(axis=1).mean() + 1e-3


def test_the_residual_path_over_all_directions_ends_at_the_targets(planted):
    z = aa.oracle.ResidualPath(alpha=1.0, energy=1.0).fit_transform(planted.source, planted.target)
    np.testing.assert_allclose(z, planted.target, rtol=0, atol=1e-6)


@pytest.mark.parametrize("model", [m for m in MOMENT_METHODS if not m.keeps_rows], ids=repr)
def test_statistics_and_calibration_are_all_that_a_fit_is(planted, model):
    y, x, _ = planted
    whole = model.fit(y, x).transform(y, **EXACT)
    again = type(model)(**model.get_params())
    again.fit_from_statistics(measure(y, model.order), measure(x, model.order))
    if model.calibrated:
        again.calibrate(y)
    assert again.transform(y, **EXACT).tobytes() == whole.tobytes()


def test_statistics_of_a_higher_order_serve_as_well(planted):
    y, x, _ = planted
    full = [Moments.empty(16).update(rows) for rows in (y, x)]
    for model in (aa.MeanShift(), aa.Standardize(), aa.ReAlign()):
        model.fit_from_statistics(*full)
        if model.calibrated:
            model.calibrate(y)
        np.testing.assert_allclose(
            model.transform(y, **EXACT), type(model)().fit(y, x).transform(y, **EXACT), rtol=0, atol=1e-12
        )
