"""The methods against plain transcriptions of their formulas, and against POT and scikit-learn."""

import numpy as np
import ot
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import orthogonal_procrustes, sqrtm
from scipy.optimize import linear_sum_assignment
from sklearn.linear_model import LogisticRegression
from sklearn.linear_model import Ridge as RidgeRegression

import anisoalign as aa
from anisoalign.diagnostics import control_transforms, cross_fitted_label_transfer, label_transfer
from anisoalign.geometry import gaussian_transport
from anisoalign.statistics import keyed_normal

SEEDS = st.integers(0, 2**32 - 1)
EXACT = {"dtype": "float64", "out_dtype": "float64"}


def norm(rows):
    return rows / np.sqrt((rows * rows).sum(axis=1, keepdims=True))


def moments(rows):
    mean = rows.sum(axis=0) / len(rows)
    return mean, (rows - mean).T @ (rows - mean) / len(rows)


def literal_realign(y, x):
    """ReAlign: anchor, trace, centroid."""
    mu_y, sigma_y = moments(y)
    mu_x, sigma_x = moments(x)
    s = np.sqrt(np.trace(sigma_x) / np.trace(sigma_y))
    z = norm(mu_x + s * (y - mu_y))
    return norm(z - z.mean(axis=0) + mu_x)


def literal_transport(y, x, rank, t, shrinkage):
    """Transport with a dial."""
    mu_y, sigma_y = moments(y)
    mu_x, sigma_x = moments(x)
    d = len(mu_x)
    u = np.linalg.svd(sigma_x + sigma_y)[0][:, :rank]
    inside_y, inside_x = u.T @ sigma_y @ u, u.T @ sigma_x @ u
    shrunk_y, shrunk_x = (
        (1 - shrinkage) * c + shrinkage * np.trace(c) / rank * np.eye(rank) for c in (inside_y, inside_x)
    )
    root = sqrtm(shrunk_y).real
    transport = np.linalg.inv(root) @ sqrtm(root @ shrunk_x @ root).real @ np.linalg.inv(root)
    s = np.sqrt(np.trace(sigma_x) / np.trace(sigma_y))
    outside = np.eye(d) - u @ u.T
    s_v = np.sqrt(np.trace(outside @ sigma_x) / np.trace(outside @ sigma_y))
    a = u @ ((1 - t) * s * np.eye(rank) + t * transport) @ u.T + ((1 - t) * s + t * s_v) * outside
    z = norm((y - mu_y) @ a.T + mu_x)
    return norm(z - z.mean(axis=0) + mu_x)


@settings(max_examples=10)
@given(SEEDS)
def test_realign_is_its_formula(make_planted, seed):
    y, x, _ = make_planted(80, 7, seed)
    x = x[:50]
    np.testing.assert_allclose(aa.ReAlign().fit(y, x).transform(y, **EXACT), literal_realign(y, x), atol=1e-12)


@pytest.mark.parametrize("t", [0.0, 0.25, 0.5, 1.0])
@settings(max_examples=4)
@given(seed=SEEDS)
def test_transport_is_its_formula(make_planted, t, seed):
    y, x, _ = make_planted(90, 9, seed)
    x = x[:60]
    model = aa.GaussianTransport(rank=4, strength=t, shrinkage=0.3).fit(y, x)
    np.testing.assert_allclose(model.transform(y, **EXACT), literal_transport(y, x, 4, t, 0.3), atol=1e-9)


@settings(max_examples=10)
@given(SEEDS, st.integers(2, 8))
def test_gaussian_transport_is_that_of_pot(seed, d):
    rng = np.random.default_rng(seed)
    source, target = (rng.normal(size=(5 * d, d)) @ rng.normal(size=(d, d)) for _ in range(2))
    sigma_y, sigma_x = moments(source)[1], moments(target)[1]
    expected, _ = ot.gaussian.bures_wasserstein_mapping(np.zeros(d), np.zeros(d), sigma_y, sigma_x)
    np.testing.assert_allclose(gaussian_transport(sigma_y, sigma_x), expected, rtol=1e-6, atol=1e-6)


def test_the_paired_cosine_limit_is_the_bures_distance_of_pot(planted):
    """E‖x − y‖² ≥ W₂² of the moments' Gaussians, so the mean of x·y = 1 − ‖x − y‖²/2 is bounded by it."""
    y, x, _ = planted
    distance = ot.gaussian.bures_wasserstein_distance(*moments(y)[:1], *moments(x)[:1], moments(y)[1], moments(x)[1])
    assert aa.diagnose(y, x).paired_cosine_limit == pytest.approx(1 - float(distance) ** 2 / 2, abs=1e-8)
    best = linear_sum_assignment(-(y @ x.T))
    assert (y[best[0]] * x[best[1]]).sum(axis=1).mean() <= 1 - float(distance) ** 2 / 2


def test_mean_shift_c3_and_standardize_are_their_formulas(planted):
    y, x, _ = planted
    shifted = norm(y - y.mean(axis=0) + x.mean(axis=0))
    np.testing.assert_allclose(aa.MeanShift().fit(y, x).transform(y, **EXACT), shifted, atol=1e-12)
    noisy = norm(shifted + 0.1 * keyed_normal(5, np.arange(len(y)), 16))
    np.testing.assert_allclose(aa.C3(noise=0.1, seed=5).fit(y, x).transform(y, **EXACT), noisy, atol=1e-12)
    scaled = norm((y - y.mean(axis=0)) / y.std(axis=0) * x.std(axis=0) + x.mean(axis=0))
    np.testing.assert_allclose(aa.Standardize().fit(y, x).transform(y, **EXACT), scaled, atol=1e-12)


def test_whitening_and_colouring_is_coral(planted):
    y, x, _ = planted
    (mu_y, sigma_y), (mu_x, sigma_x) = moments(y), moments(x)
    expected = norm((y - mu_y) @ np.linalg.inv(sqrtm(sigma_y).real) @ sqrtm(sigma_x).real + mu_x)
    np.testing.assert_allclose(aa.WhitenColor(shrinkage=0.0).fit(y, x).transform(y, **EXACT), expected, atol=1e-9)
    np.testing.assert_allclose(control_transforms(y, x)["moment_match"], expected, atol=1e-9)


def test_memory_projection_is_a_softmax_over_the_memory(planted):
    y, x, _ = planted
    similarity = y @ x.astype(np.float32).astype(np.float64).T / 0.05
    weights = np.exp(similarity - similarity.max(axis=1, keepdims=True))
    expected = norm(weights / weights.sum(axis=1, keepdims=True) @ x)
    np.testing.assert_allclose(
        aa.MemoryProjection(temperature=0.05).fit(y, x).transform(y, **EXACT), expected, atol=1e-5
    )


def test_oracles_are_those_of_scipy_and_scikit_learn(planted):
    y, x, _ = planted
    my, mx = y.mean(axis=0), x.mean(axis=0)
    rotation = orthogonal_procrustes(y - my, x - mx)[0]
    procrustes = aa.oracle.Procrustes().fit(y, x)
    np.testing.assert_allclose(procrustes.transform(y), norm((y - my) @ rotation + mx), atol=1e-9)
    ridge = aa.oracle.Ridge().fit(y, x)
    reference = RidgeRegression(alpha=ridge.alpha_).fit(y, x)
    np.testing.assert_allclose(ridge.transform(y), norm(reference.predict(y)), atol=1e-9)


def test_metrics_are_their_formulas(planted):
    """Section 6, by loops over rows."""
    y, x, labels = planted
    y, x, labels = y[:60], x[:60], labels[:60]
    z = literal_realign(y, x)
    scores = aa.evaluate(y, x, z, paired=True, source_labels=labels, k=5)
    assert scores.instance_consistency == pytest.approx(np.mean([a @ b for a, b in zip(y, z, strict=True)]))
    pairs = [(i, j) for i in range(60) for j in range(i + 1, 60)]
    geometry = np.corrcoef([y[i] @ y[j] for i, j in pairs], [z[i] @ z[j] for i, j in pairs])[0, 1]
    assert scores.geometry_consistency == pytest.approx(geometry)

    def nearest(query, pool, skipped, k):
        order = sorted((j for j in range(len(pool)) if j != skipped), key=lambda j: (-round(query @ pool[j], 6), j))
        return order[:k]

    overlap = [len(set(nearest(y[i], y, i, 5)) & set(nearest(z[i], z, i, 5))) / 5 for i in range(60)]
    assert scores.neighbour_consistency == pytest.approx(np.mean(overlap))
    assert scores.recall_at_1 == pytest.approx(np.mean([nearest(z[i], x, None, 1) == [i] for i in range(60)]))
    assert scores.recall_at_10 == pytest.approx(np.mean([i in nearest(z[i], x, None, 10) for i in range(60)]))
    assert scores.reverse_recall_at_1 == pytest.approx(np.mean([nearest(x[i], z, None, 1) == [i] for i in range(60)]))
    assert scores.reverse_recall_at_10 == pytest.approx(np.mean([i in nearest(x[i], z, None, 10) for i in range(60)]))
    pool = np.concatenate([x, z])
    mixed = [i in nearest(z[i], pool, 60 + i, 10) for i in range(60)]
    assert scores.mixed_recall_at_10 == pytest.approx(np.mean(mixed))
    reverse = [60 + i in nearest(x[i], pool, i, 10) for i in range(60)]
    assert scores.reverse_mixed_recall_at_10 == pytest.approx(np.mean(reverse))
    share = np.mean([np.mean(np.array(nearest(z[i], pool, 60 + i, 10)) < 60) for i in range(60)])
    assert scores.mixed_target_share_at_10 == pytest.approx(share)
    raw = aa.evaluate(y, x, y, paired=True)
    for key in ("mixed_target_share_at_10", "mixed_recall_at_10", "reverse_mixed_recall_at_10"):
        assert getattr(scores, f"raw_{key}") == getattr(raw, key), key
    assert scores.paired_cosine == pytest.approx(np.mean((x * z).sum(axis=1)))
    values = np.linalg.eigvalsh((x - z).T @ (x - z) / 60)
    assert scores.uncentered_residual_anisotropy == pytest.approx(values[-1] / values.mean())
    assert scores.label_transfer == cross_fitted_label_transfer(z, x, labels)
    evaluated = aa.evaluate(y, x, z, paired=True)
    wanted = values[::-1][np.array(evaluated.residual_spectrum_k) - 1] / values.mean()
    np.testing.assert_allclose(evaluated.residual_spectrum, wanted, atol=1e-9)
    assert aa.evaluate(y, x, z).residual_spectrum is None


def test_pairs_of_unequal_sets_are_refused_before_their_labels_are_compared(planted):
    y, x, labels = planted
    with pytest.raises(aa.InputError, match="pairs need as many rows on both sides"):
        aa.evaluate(y[:60], x[:50], y[:60], paired=True, source_labels=labels[:60], target_labels=labels[:50])


def test_the_gap_is_its_formulas(planted):
    """Section 3, by plain numpy."""
    y, x, _ = planted
    (mu_y, sigma_y), (mu_x, sigma_x) = moments(y), moments(x)
    residual = (x - mu_x) - (y - mu_y)
    values = np.linalg.eigvalsh(residual.T @ residual / len(y))[::-1]
    report = aa.diagnose(y, x, paired=True, q=3)
    assert report.centroid_gap == pytest.approx(np.linalg.norm(mu_x - mu_y))
    assert report.covariance_gap == pytest.approx(np.linalg.norm(sigma_x - sigma_y) / np.linalg.norm(sigma_x))
    assert report.paired_distance == pytest.approx(np.linalg.norm(x - y, axis=1).mean())
    assert report.centered_paired_distance == pytest.approx(np.linalg.norm(residual, axis=1).mean())
    assert report.residual_ratio == pytest.approx(report.centered_paired_distance / report.paired_distance)
    assert report.residual_anisotropy == pytest.approx(values[0] / values.mean())
    assert report.residual_effective_dimension == pytest.approx(values.sum() ** 2 / (values**2).sum() / 16)
    assert report.residual_energy_ratio == pytest.approx(values.sum() / (report.centroid_gap**2 + values.sum()))
    steps = report.residual_energy_k
    assert (steps[0], steps[-1]) == (1, 16)
    assert (np.diff(steps) > 0).all()
    energy = np.cumsum(values) / values.sum()
    assert report.residual_energy == pytest.approx([energy[k - 1] for k in steps])
    u = np.linalg.eigh(sigma_x + sigma_y)[1][:, -6:]
    assert report.residual_coverage == pytest.approx(np.trace(u.T @ residual.T @ residual @ u) / (residual**2).sum())
    assert report.residual_coverage_chance == 6 / 16
    both = sigma_x + sigma_y
    assert report.residual_coverage_unpaired == pytest.approx(np.trace(u.T @ both @ u) / np.trace(both))
    top = [np.linalg.eigh(sigma)[1][:, -3:] for sigma in (sigma_x, sigma_y)]
    assert report.subspace_overlap == pytest.approx(np.sum((top[0].T @ top[1]) ** 2) / 3)
    assert report.centroid_cosine == pytest.approx((y @ x.T).mean())
    cosines = (y @ y.T)[np.triu_indices(len(y), 1)]
    assert report.within_source_cosine == pytest.approx(cosines.mean(), abs=1e-6)
    assert sum(report.histogram_within_source) == len(cosines)
    assert sum(report.histogram_paired) == len(y)


def test_label_transfer_is_a_logistic_regression_tested_on_targets(planted):
    y, x, labels = planted
    expected = LogisticRegression(C=30.0, max_iter=5000).fit(y[:200], labels[:200]).score(x[200:], labels[200:])
    assert label_transfer(y[:200], labels[:200], x[200:], labels[200:]) == pytest.approx(expected)
    with pytest.raises(ValueError, match="at least two different labels"):
        label_transfer(y, ["same"] * len(y), x, labels)


def test_cross_fitting_never_tests_a_target_whose_text_was_trained_on():
    """Labels that only the own text could tell: rows are far apart and every label is drawn at random."""
    rng = np.random.default_rng(0)
    rows = norm(rng.normal(size=(200, 400)))
    labels = rng.choice(["a", "b"], 200)
    assert label_transfer(rows, labels, rows, labels) > 0.95  # tested on its own training rows
    assert abs(cross_fitted_label_transfer(rows, rows, labels) - 0.5) < 0.12
