"""What was planted is found, and nothing beats the bound that knows the pairs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import anisoalign as aa
from anisoalign.comparison import DEFAULT_METHODS, compare_rows
from anisoalign.geometry import joint_frame

SEEDS = st.integers(0, 2**32 - 1)


@settings(max_examples=3)
@given(SEEDS)
def test_paired_ridge_bounds_every_unpaired_method_in_held_out_cosine(make_planted, seed):
    y, x, _ = make_planted(400, 12, seed)
    records = compare_rows(y, x, paired=True, repeats=2, seed=seed % 1000).to_dicts()
    cosine = {record["method"]: record["paired_cosine"] for record in records}
    bound = cosine.pop("oracle-ridge")
    assert set(cosine) == {*DEFAULT_METHODS, "oracle-procrustes"}
    assert max(cosine.values()) < bound
    # The rotation that knows the pairs is above whatever only moves the mean.
    assert cosine["mean-shift"] < cosine["oracle-procrustes"]


@settings(max_examples=3)
@given(SEEDS)
def test_the_bound_falls_when_the_pairs_are_shuffled(make_planted, seed):
    """Negative control: a ridge on false pairs has nothing to learn but the mean."""
    y, x, _ = make_planted(400, 12, seed)
    rng = np.random.default_rng(seed)
    fit, test = slice(0, 300), slice(300, 400)

    def cosine(targets):
        return (aa.oracle.Ridge().fit(y[fit], targets).transform(y[test]) * x[test]).sum(axis=1).mean()

    assert cosine(x[fit]) > cosine(x[fit][rng.permutation(300)]) + 0.01


@settings(max_examples=5)
@given(SEEDS)
def test_a_planted_rotation_is_found_by_the_oracles_and_by_no_unpaired_method(make_planted, turn, seed):
    y = make_planted(300, 8, seed).source
    x = y @ turn(8, seed)
    for oracle in (aa.oracle.Procrustes(), aa.oracle.Ridge()):
        assert np.abs(oracle.fit(y[:200], x[:200]).transform(y[200:]) - x[200:]).max() < 0.02
    shifted = aa.MeanShift().fit(y[:150], x[150:]).transform(y)
    assert (shifted * x).sum(axis=1).mean() < 0.999


@settings(max_examples=5)
@given(SEEDS)
def test_whitening_undoes_a_planted_stretch_along_known_axes(seed):
    """x = A y with A symmetric positive: optimal transport finds A from the moments alone."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(4000, 5)) * np.array([1.0, 0.7, 0.5, 0.4, 0.3]) * 0.05 + np.array([1.0, 0, 0, 0, 0])
    stretch = np.diag([1.0, 0.5, 1.5, 0.8, 2.0])
    stretched = rows @ stretch
    moments = [aa.statistics.Moments.empty(5).update(part) for part in (rows[:2000], stretched[2000:])]
    weight = aa.GaussianTransport(rank=5, shrinkage=0.0).fit_from_statistics(*moments).weight_
    np.testing.assert_allclose(weight, stretch, atol=0.2)


@pytest.mark.parametrize("seed", range(5))
def test_planted_shared_directions_are_told_from_unrelated_ones(make_planted, turn, seed):
    y, x, _ = make_planted(400, 32, seed, latent=8)
    together, apart = aa.diagnose(y, x, q=6), aa.diagnose(y, x @ turn(32, seed), q=6)
    assert together.subspace_overlap > 2.5 * together.subspace_overlap_chance
    assert together.subspace_overlap_p == pytest.approx(0.005)
    assert apart.subspace_overlap < 2.5 * apart.subspace_overlap_chance
    assert apart.subspace_overlap_p > 0.01
    # The spectra agree either way: they are no test of the premise.
    assert apart.spectral_correlation == pytest.approx(together.spectral_correlation, rel=1e-6)
    assert apart.spectral_correlation > 0.9


def test_the_p_value_of_unrelated_subspaces_is_spread_evenly():
    rng, found = np.random.default_rng(0), []
    for _ in range(60):
        turns = [np.linalg.qr(rng.normal(size=(20, 20)))[0] for _ in range(2)]
        sets = [rng.normal(size=(60, 20)) * 0.9 ** np.arange(20) @ turned for turned in turns]
        found.append(aa.diagnose(*sets, q=4).subspace_overlap_p)
    assert 0.35 < np.mean(found) < 0.65
    assert np.mean(np.array(found) <= 0.1) < 0.25
    assert min(found) >= 1 / 200


def test_a_planted_residual_is_read_back():
    """Residuals along two of ten directions, equally: anisotropy 5, effective dimension 0.2."""
    rng = np.random.default_rng(0)
    y = np.concatenate([np.full((5000, 1), 1.0), 0.01 * rng.normal(size=(5000, 9))], axis=1)
    x = y.copy()
    x[:, 1:3] += 0.01 * rng.normal(size=(5000, 2))
    report = aa.diagnose(y, x, paired=True)
    assert report.residual_anisotropy == pytest.approx(5.0, rel=0.1)
    assert report.residual_effective_dimension == pytest.approx(0.2, rel=0.1)
    assert report.residual_energy[1] == pytest.approx(1.0, abs=1e-2)


def test_a_planted_gap_is_measured_and_closed(make_planted):
    y, x, labels = make_planted(600, 16, 3)
    raw = aa.diagnose(y, x, paired=True)
    assert raw.centroid_gap > 0.3
    for model in (aa.MeanShift(), aa.ReAlign(), aa.GaussianTransport(), aa.WhitenColor()):
        z = model.fit(y[:300], x[300:]).transform(y[300:])
        closed = aa.diagnose(z, x[300:], paired=True)
        assert closed.centroid_gap < 0.25 * raw.centroid_gap
        assert closed.paired_distance < raw.paired_distance
    assert len(np.unique(labels)) == 5


def test_the_joint_frame_holds_a_planted_plane():
    rng = np.random.default_rng(1)
    plane = np.linalg.qr(rng.normal(size=(12, 2)))[0]
    sets = [rng.normal(size=(500, 2)) @ plane.T + 0.01 * rng.normal(size=(500, 12)) for _ in range(2)]
    frame = joint_frame(*(np.cov(rows.T) for rows in sets), rank=0.95)
    assert frame.rank == 2
    np.testing.assert_allclose(frame.basis @ frame.basis.T, plane @ plane.T, atol=0.01)
