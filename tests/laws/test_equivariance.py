"""Turning both sets turns the result, except for the methods that have a preferred basis."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import anisoalign as aa

SEEDS = st.integers(0, 2**32 - 1)

FREE = [
    aa.Identity(),
    aa.MeanShift(),
    aa.ReAlign(),
    aa.GaussianTransport(rank=5),
    aa.GaussianTransport(rank=0.9, strength=0.5, shrinkage=0.3),
    aa.WhitenColor(),
    aa.WhitenColor(shrinkage=0.0),
    aa.MemoryProjection(),
    aa.RandomTarget(),
    aa.AnisoAlign(strength=0.2, force=True),
    aa.AnisoAlign(strength=0.8, force=True),
    aa.oracle.Procrustes(),
    aa.oracle.Ridge(),
]
# A preferred basis: variances by coordinate, blocks of coordinates, noise drawn by coordinate.
BOUND = [aa.Standardize(), aa.BlockwiseCovariance(block=4), aa.C3(noise=0.05)]


def aligned(model, source, target):
    """The source after a fit on both sets, in float64 where the method offers it."""
    model.fit(source, target)
    options = {} if isinstance(model, aa.oracle.Ridge | aa.oracle.Procrustes) else {"out_dtype": "float64"}
    return model.transform(source, **options)


def difference(model, planted, rotation):
    """Largest difference between turning first and turning afterwards."""
    turned = aligned(model, planted.source @ rotation, planted.target @ rotation)
    return np.abs(turned - aligned(model, planted.source, planted.target) @ rotation).max()


@pytest.mark.parametrize("model", FREE, ids=repr)
@settings(max_examples=5)
@given(seed=SEEDS)
def test_rotation_commutes(make_planted, turn, model, seed):
    tolerance = 1e-5 if getattr(model, "keeps_rows", False) else 1e-8  # kept rows are float32
    assert difference(model, make_planted(120, 10, seed), turn(10, seed)) < tolerance


@pytest.mark.parametrize("model", BOUND, ids=repr)
@settings(max_examples=5)
@given(seed=SEEDS)
def test_rotation_does_not_commute_with_a_preferred_basis(make_planted, turn, model, seed):
    assert difference(model, make_planted(120, 10, seed), turn(10, seed)) > 1e-3


@pytest.mark.parametrize("model", [*FREE[:7], aa.Standardize(), aa.BlockwiseCovariance(block=4)], ids=repr)
@settings(max_examples=5)
@given(seed=SEEDS)
def test_the_order_of_rows_and_of_targets_does_not_matter(make_planted, model, seed):
    y, x, _ = make_planted(80, 8, seed)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(y))
    shuffled = aligned(model, y[order], x[rng.permutation(len(x))])
    np.testing.assert_allclose(shuffled, aligned(model, y, x)[order], rtol=0, atol=1e-9)


@pytest.mark.parametrize("model", [*FREE, *BOUND], ids=repr)
def test_the_length_of_the_rows_does_not_matter(planted, model):
    lengths = np.random.default_rng(0).uniform(0.1, 10.0, size=(len(planted.source), 1))
    stretched = aligned(model, planted.source * lengths, planted.target * lengths[::-1])
    np.testing.assert_allclose(stretched, aligned(model, planted.source, planted.target), rtol=0, atol=1e-6)
