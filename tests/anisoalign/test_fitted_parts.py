"""What the parts of a fit are solutions of: the mixed rotation, the guide's regression, the restored spread."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from anisoalign.aligners.anisoalign.correction_fit import fit_restore
from anisoalign.aligners.anisoalign.coupling import regress
from anisoalign.aligners.anisoalign.rotation import fit_rotation, unit
from anisoalign.aligners.gaussian_transport import Framed
from anisoalign.geometry.rotation import rotation_towards
from anisoalign.statistics import Moments

SEEDS = st.integers(0, 2**32 - 1)


@given(seed=SEEDS, dim=st.integers(1, 9), rank=st.integers(1, 9))
def test_the_best_rotation_reaches_one_of_what_is_divided_by_its_nuclear_norm(seed, dim, rank):
    rng = np.random.default_rng(seed)
    cross = rng.normal(size=(dim, rank)) @ rng.normal(size=(rank, dim))
    # Singular values are had from their squares, so that those of zero are zero to half of the digits.
    assert np.trace(rotation_towards(cross).T @ unit(cross)) == pytest.approx(1.0, abs=1e-6)


def test_nothing_stays_nothing_when_it_is_divided_by_its_norm():
    np.testing.assert_array_equal(unit(np.zeros((3, 3))), np.zeros((3, 3)))


@given(seed=SEEDS, first=st.floats(1e-3, 1e3), second=st.floats(1e-3, 1e3))
def test_the_rotation_does_not_depend_on_how_large_either_estimate_is(seed, first, second):
    """Rows are counted in the one and variances in the other: their sizes mean nothing."""
    rng = np.random.default_rng(seed)
    coupled, transported, fixed = rng.normal(size=(6, 6)), rng.normal(size=(6, 6)), rng.normal(size=6)
    plain = fit_rotation(coupled, transported, fixed)
    np.testing.assert_allclose(fit_rotation(first * coupled, second * transported, fixed), plain, rtol=0, atol=1e-6)


def test_each_of_the_three_estimates_has_a_say_in_the_rotation():
    """Two of them agree on a turn by φ and the third does not turn: what comes out lies between, nearer the two."""
    angle, fixed = 0.9, np.array([0.0, 0.0, 1.0])

    def turned(by):
        cosine, sine = np.cos(by), np.sin(by)
        return np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])

    def found(*turns):
        best = fit_rotation(*(7.0 * turned(by) for by in turns), fixed)
        return np.arctan2(best[1, 0], best[0, 0])

    # The sum of unit vectors at the angles, the identity's at 0.
    mean = np.angle(np.exp(1j * angle) + np.exp(1j * angle) + 1)
    assert found(angle, angle) == pytest.approx(mean, abs=1e-9)
    assert found(angle, 0.0) == pytest.approx(found(0.0, angle), abs=1e-9)
    assert found(angle, -angle) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("ridge", [0.1, 1.0, 5.0])
def test_the_guide_is_ridge_regression_with_a_penalty_in_mean_eigenvalues(ridge):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(40, 6)) * np.linspace(2, 0.2, 6) + 1.0
    wanted = rows @ rng.normal(size=(6, 6)) + rng.normal(size=(40, 6)) - 3.0
    mean_eigenvalue = np.linalg.eigvalsh(np.cov(rows.T, bias=True)).mean()
    theirs = Ridge(alpha=40 * ridge * mean_eigenvalue).fit(rows, wanted)
    weight, bias = regress(rows, wanted, ridge)
    np.testing.assert_allclose(weight, theirs.coef_, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(bias, theirs.intercept_, rtol=1e-9)


@pytest.fixture(scope="module")
def moments():
    """What a guided step left, and targets."""
    rng = np.random.default_rng(0)
    led = rng.normal(size=(200, 8)) @ rng.normal(size=(8, 8)) * 0.3 + 1.0
    target = rng.normal(size=(150, 8)) @ rng.normal(size=(8, 8)) - 2.0
    return [Moments.empty(8).update(rows) for rows in (led, target)]


def restored(moments, rank, shrinkage, strength):
    """Mean and covariance of what was led once it is restored, before the sphere."""
    led, target = moments
    framed = Framed.by(led, target, rank)
    part = fit_restore(framed, shrinkage, strength)
    return part.weight @ led.mean + part.bias, part.weight @ led.covariance @ part.weight.T, framed.frame


@pytest.mark.parametrize(("strength", "shrinkage"), [(0.0, 0.0), (0.0, 0.3), (1.0, 0.0)])
def test_at_either_end_the_restored_rows_vary_as_much_as_targets_and_lie_about_their_mean(moments, strength, shrinkage):
    mean, covariance, _ = restored(moments, 4, shrinkage, strength)
    np.testing.assert_allclose(mean, moments[1].mean, rtol=0, atol=1e-9)
    assert np.trace(covariance) == pytest.approx(moments[1].trace, rel=1e-9)


def test_in_full_the_restored_rows_vary_in_the_frame_just_as_targets_do(moments):
    _, covariance, frame = restored(moments, 4, 0.0, 1.0)
    np.testing.assert_allclose(frame.inside(covariance), frame.inside(moments[1].covariance), rtol=0, atol=1e-9)
    _, halfway, _ = restored(moments, 4, 0.0, 0.5)
    assert np.abs(frame.inside(halfway) - frame.inside(moments[1].covariance)).max() > 0.1
