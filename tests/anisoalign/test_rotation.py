"""The rotation: no inner product changes, the optimum is one, and what was rotated is found again without pairs."""

import warnings

import numpy as np
import pytest
from aligner_worlds import EXACT, D
from hypothesis import given
from hypothesis import strategies as st

import anisoalign as aa
from anisoalign.aligners.anisoalign.path import ROTATED
from anisoalign.aligners.anisoalign.premise import AlignmentWarning
from anisoalign.diagnostics.alignment import geometry_consistency
from anisoalign.geometry import normalize
from anisoalign.geometry.rotation import rotation_towards, turn_between

SEEDS = st.integers(0, 2**32 - 1)


def orthogonal(rng, dim):
    q, r = np.linalg.qr(rng.normal(size=(dim, dim)))
    return q * np.sign(np.diagonal(r))


def leaving(fixed, rng):
    """A random orthogonal matrix that leaves a direction alone."""
    basis = np.linalg.qr(fixed[:, None], mode="complete")[0]
    inner = np.eye(len(fixed))
    inner[1:, 1:] = orthogonal(rng, len(fixed) - 1)
    return basis @ inner @ basis.T


@given(seed=SEEDS, dim=st.integers(2, 9))
def test_it_is_the_best_of_all_that_leave_the_direction_alone(seed, dim):
    rng = np.random.default_rng(seed)
    cross, fixed = rng.normal(size=(dim, dim)), rng.normal(size=dim)
    best = rotation_towards(cross, fixed)
    np.testing.assert_allclose(best.T @ best, np.eye(dim), atol=1e-10)
    np.testing.assert_allclose(best @ fixed, fixed, atol=1e-10)
    for _ in range(20):
        assert np.trace(leaving(fixed, rng).T @ cross) <= np.trace(best.T @ cross) + 1e-9
    # and near it, where a wrong optimum would show
    turned = best @ leaving(fixed, rng)
    for share in (1e-3, 1e-2):
        left, _, right = np.linalg.svd((1 - share) * best + share * turned)
        assert np.trace((left @ right).T @ cross) <= np.trace(best.T @ cross) + 1e-9


def test_nothing_fixed_is_procrustes_and_one_dimension_has_no_room():
    rng = np.random.default_rng(0)
    rows, turn = rng.normal(size=(50, 6)), orthogonal(rng, 6)
    np.testing.assert_allclose(rotation_towards((rows @ turn.T).T @ rows), turn, atol=1e-10)
    np.testing.assert_array_equal(rotation_towards(np.array([[-2.0]]), np.array([3.0])), [[1.0]])


def test_where_divide_and_conquer_gives_up_the_optimum_is_found_all_the_same(monkeypatch):
    """As it did on 50 distinct texts in 512 dimensions, where most singular values are equal."""
    rng = np.random.default_rng(0)
    cross, fixed = rng.normal(size=(8, 8)), rng.normal(size=8)
    expected = rotation_towards(cross, fixed)

    def gives_up(*_, **__):
        raise np.linalg.LinAlgError("SVD did not converge")

    monkeypatch.setattr(np.linalg, "svd", gives_up)
    np.testing.assert_allclose(rotation_towards(cross, fixed), expected, atol=1e-12)


def clusters(rng, rows, dim=D, topics=40):
    """Rows in clusters, all of them about one offset."""
    world = np.random.default_rng(3)
    centres = world.normal(size=(topics, dim)) * np.linspace(1.5, 0.2, dim)
    offset = 3 * normalize(world.normal(size=(1, dim)))
    return normalize(centres[rng.integers(topics, size=rows)] + 0.2 * rng.normal(size=(rows, dim)) + offset)


def test_the_turn_is_a_rotation_in_the_plane_of_the_means():
    start, end, other = np.random.default_rng(0).normal(size=(3, 9))
    turn = turn_between(start, end)
    np.testing.assert_allclose(turn.T @ turn, np.eye(9), atol=1e-12)
    assert np.linalg.det(turn) == pytest.approx(1.0)
    plane = np.linalg.qr(np.stack([start, end], axis=1))[0]
    outside = other - plane @ (plane.T @ other)
    np.testing.assert_allclose(turn @ outside, outside, atol=1e-12)
    np.testing.assert_allclose(turn @ start / np.linalg.norm(start), end / np.linalg.norm(end), atol=1e-12)


@pytest.mark.parametrize("pair", [(np.zeros(4), np.ones(4)), (np.ones(4), np.ones(4)), (np.ones(4), -np.ones(4))])
def test_no_plane_no_turn(pair):
    np.testing.assert_array_equal(turn_between(*pair), np.eye(4))


@pytest.mark.parametrize("seed", range(3))
def test_a_planted_rotation_is_found_without_pairs(seed):
    """Sources are rotated targets; the rotation undoes more than half of what every moment method leaves."""
    rng = np.random.default_rng(seed)
    target, own = clusters(rng, 800), clusters(rng, 800)
    skew = np.triu(rng.normal(size=(D, D)), 1)
    skew *= 0.6 / np.linalg.norm(skew - skew.T, 2)
    left, _, right = np.linalg.svd(np.eye(D) + (skew - skew.T))
    source = own @ (left @ right).T
    cosines = {
        name: (model.fit(source, target).transform(source, **EXACT) * own).sum(axis=1).mean()
        for name, model in {
            "ours": aa.AnisoAlign(strength=ROTATED),
            "means": aa.AnisoAlign(strength=ROTATED, rotation="means"),
            "realign": aa.ReAlign(),
            "transport": aa.GaussianTransport(shrinkage=0.1),
            "half of the transport": aa.GaussianTransport(shrinkage=0.1, strength=0.5),
        }.items()
    }
    assert 1 - cosines["ours"] < 0.5 * min(1 - value for name, value in cosines.items() if name != "ours")


@given(seed=SEEDS)
def test_the_rotated_station_keeps_all_inner_products_about_the_mean(seed):
    """Before rows are normalised, z − μx is s R (y − μy); what normalising changes is second order."""
    rng = np.random.default_rng(seed)
    source, target = clusters(rng, 300, 12), clusters(rng, 200, 12) @ turn_between(*rng.normal(size=(2, 12)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AlignmentWarning)  # a turn of any size may leave no shared directions
        model = aa.AnisoAlign(strength=ROTATED, force=True).fit(source, target)
    weight = model.rotated_weight_
    gram = weight.T @ weight
    np.testing.assert_allclose(gram, gram[0, 0] * np.eye(12), atol=1e-10)
    centred = source - source.mean(axis=0)
    moved = source @ weight.T + model.rotated_bias_ - model.target_mean_
    np.testing.assert_allclose(moved @ moved.T, gram[0, 0] * centred @ centred.T, atol=1e-10)


def test_geometry_is_kept_where_a_shift_loses_it():
    """The means far apart, as encoders have them."""
    rng = np.random.default_rng(0)
    turn = turn_between(*np.random.default_rng(1).normal(size=(2, D)))
    source, target = clusters(rng, 600) @ turn, clusters(rng, 500)
    kept = [
        geometry_consistency(source[400:], model.fit(source[:400], target).transform(source[400:], **EXACT))
        for model in (aa.AnisoAlign(strength=ROTATED), aa.ReAlign())
    ]
    assert kept[0] > 0.995 > kept[1]
