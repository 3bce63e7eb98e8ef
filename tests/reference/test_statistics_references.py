"""Statistics and spectra agree with numpy, scipy and scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm, subspace_angles
from scipy.stats import entropy
from sklearn.covariance import OAS, ledoit_wolf_shrinkage, shrunk_covariance
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from anisoalign.geometry import (
    anisotropy,
    effective_dimension,
    effective_rank,
    eigenvalues,
    inverse_sqrt,
    joint_frame,
    power_law_exponent,
    principal_subspace,
    spectral_correlation,
    sqrt_psd,
    subspace_overlap,
)
from anisoalign.statistics import Moments, ledoit_wolf, measure, oracle_approximating, shrink

SEEDS = st.integers(0, 2**32 - 1)


@settings(max_examples=10)
@given(SEEDS, st.integers(2, 80), st.integers(1, 8))
def test_moments_are_those_of_numpy_and_scikit_learn(seed, n, d):
    rows = np.random.default_rng(seed).normal(size=(n, d)) + 2.0
    moments = Moments.empty(d)
    for part in np.array_split(rows, 3):
        moments.update(part)
    np.testing.assert_allclose(moments.mean, rows.mean(axis=0), atol=1e-13)
    np.testing.assert_allclose(moments.covariance, np.cov(rows.T, bias=True).reshape(d, d), atol=1e-12)
    scaler = StandardScaler().fit(rows)
    np.testing.assert_allclose(moments.variance, scaler.var_, atol=1e-12)
    assert moments.trace == pytest.approx(rows.var(axis=0).sum(), rel=1e-12)


def test_measure_normalises_rows_first():
    rows = np.random.default_rng(0).normal(size=(50, 4)) * 7.0
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    np.testing.assert_allclose(measure(rows).covariance, np.cov(units.T, bias=True), atol=1e-14)


@settings(max_examples=15)
@given(SEEDS, st.integers(2, 200), st.integers(2, 12), st.sampled_from([0.0, 0.5, 4.0]))
def test_ledoit_wolf_of_unit_rows_is_that_of_scikit_learn(seed, n, d, offset):
    rows = np.random.default_rng(seed).normal(size=(n, d)) * 0.8 ** np.arange(d) + offset
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    moments = Moments.empty(d).update(rows)
    assert ledoit_wolf(moments) == pytest.approx(ledoit_wolf_shrinkage(rows), rel=1e-6, abs=1e-9)
    shrunk = shrink(moments.covariance, 0.3)
    np.testing.assert_allclose(shrunk, shrunk_covariance(np.cov(rows.T, bias=True), 0.3), atol=1e-14)


@settings(max_examples=15)
@given(SEEDS, st.integers(2, 200), st.integers(2, 12))
def test_oracle_approximating_is_that_of_scikit_learn(seed, n, d):
    rows = np.random.default_rng(seed).normal(size=(n, d)) * 0.8 ** np.arange(d) + 1.0
    expected = OAS().fit(rows).shrinkage_
    assert oracle_approximating(Moments.empty(d).update(rows)) == pytest.approx(expected, rel=1e-6, abs=1e-9)


@settings(max_examples=10)
@given(SEEDS, st.integers(2, 8))
def test_roots_are_those_of_scipy(seed, d):
    rows = np.random.default_rng(seed).normal(size=(3 * d, d))
    sigma = rows.T @ rows / len(rows)
    np.testing.assert_allclose(sqrt_psd(sigma), sqrtm(sigma).real, atol=1e-8)
    np.testing.assert_allclose(inverse_sqrt(sigma) @ sigma @ inverse_sqrt(sigma), np.eye(d), atol=1e-7)
    thin = rows[: d - 1].T @ rows[: d - 1]  # rank d − 1: a pseudo-inverse, not an explosion
    np.testing.assert_allclose(inverse_sqrt(thin) @ inverse_sqrt(thin), np.linalg.pinv(thin, rcond=1e-12), rtol=1e-5)


@settings(max_examples=10)
@given(SEEDS, st.integers(1, 6))
def test_subspaces_are_those_of_scikit_learn_and_scipy(seed, q):
    rng = np.random.default_rng(seed)
    x, y = (rng.normal(size=(60, 8)) @ rng.normal(size=(8, 8)) for _ in range(2))
    ux, uy = (principal_subspace(np.cov(rows.T))[:, :q] for rows in (x, y))
    reference = PCA(q).fit(x).components_
    np.testing.assert_allclose(np.abs(reference @ ux), np.eye(q), atol=1e-6)
    assert subspace_overlap(ux, uy) == pytest.approx(np.mean(np.cos(subspace_angles(ux, uy)) ** 2), abs=1e-10)
    np.testing.assert_allclose(eigenvalues(np.cov(x.T)), PCA().fit(x).explained_variance_, rtol=1e-8)


def test_the_frame_is_the_top_of_the_summed_covariances(planted):
    y, x, _ = planted
    sx, sy = np.cov(x.T, bias=True), np.cov(y.T, bias=True)
    values, vectors = np.linalg.eigh(sx + sy)
    frame = joint_frame(sx, sy, rank=4)
    np.testing.assert_allclose(frame.basis @ frame.basis.T, vectors[:, -4:] @ vectors[:, -4:].T, atol=1e-12)
    assert frame.coverage(sx + sy) == pytest.approx(values[-4:].sum() / values.sum())
    energy = joint_frame(sx, sy, rank=0.9)
    assert energy.coverage(sx + sy) >= 0.9 - 1e-12
    assert joint_frame(sx, sy, rank=energy.rank - 1).coverage(sx + sy) < 0.9
    assert joint_frame(sx, sy).rank == joint_frame(sx, sy, rank=1.0).rank == joint_frame(sx, sy, rank=99).rank == 16
    assert joint_frame(sx, sy, rank=1).rank == 1


@pytest.mark.parametrize("rank", [0, -1, 2.5, True, float("nan")])
def test_a_rank_that_is_none_is_refused(rank):
    with pytest.raises(ValueError, match="rank must be"):
        joint_frame(np.eye(3), np.eye(3), rank=rank)


def test_planted_spectra_are_read_back():
    law = np.arange(1, 41) ** -1.7
    assert power_law_exponent(law) == pytest.approx(1.7)
    assert spectral_correlation(law, 3.0 * law**0.5) == pytest.approx(1.0)
    assert anisotropy(law) == pytest.approx(40 * law[0] / law.sum())
    assert effective_dimension(law) == pytest.approx(law.sum() ** 2 / (law**2).sum() / 40)
    assert effective_rank(law) == pytest.approx(np.exp(entropy(law)))
    assert anisotropy(np.ones(5)) == effective_dimension(np.ones(5)) == 1.0
    assert effective_rank(np.ones(5)) == pytest.approx(5.0)
    line = np.array([2.0, 0.0, 0.0, 0.0])
    assert (anisotropy(line), effective_dimension(line), effective_rank(line)) == (4.0, 0.25, 1.0)


def test_eigenvalues_below_rounding_are_not_compared():
    x, y = np.array([1.0, 1e-2, 1e-3, 1e-5, 1e-14]), np.array([1.0, 0.5, 0.1, 0.01, 0.0])
    expected = np.corrcoef(np.log(x[:4]), np.log(y[:4]))[0, 1]
    assert spectral_correlation(x, y) == pytest.approx(expected)
    assert spectral_correlation(x[:2], y[:2]) is None
    assert power_law_exponent(np.array([1.0, 0.5, 0.0])) is None
