"""Sweeps that were left out: scaled sums, expanded norms and undivided maps equal what they stand for."""

import numpy as np
import pytest
import torch

from anisoalign.aligners import make
from anisoalign.aligners.maps import AffineMap
from anisoalign.embeddings import open_embeddings
from anisoalign.statistics import Moments, measure

TOLERANCE = {np.dtype("float32"): 1e-6, np.dtype("float64"): 1e-14}
DTYPES = list(TOLERANCE)
WEIGHTS = [np.array(0.7), np.array([0.5, 1.0, 1.5, 2.0, 0.1, 0.9]), np.eye(6) + 0.1 * np.arange(36).reshape(6, 6)]


def far_from_unit(dtype, rows=300):
    """Rows around a centre, with norms over many orders of size."""
    rng = np.random.default_rng(0)
    return ((rng.normal(size=(rows, 6)) + 1) * 10.0 ** rng.uniform(-9, 9, (rows, 1))).astype(dtype)


def scaled(values):
    return 1 / np.linalg.norm(values, axis=1)


def unit(values):
    return values.astype(np.float64) / np.linalg.norm(values.astype(np.float64), axis=1, keepdims=True)


def plain(weight, bias, y):
    return unit((y @ weight.T if weight.ndim == 2 else y * weight) + bias)


@pytest.mark.parametrize("dtype", DTYPES)
def test_undivided_tiles_times_scale_are_unit_rows(dtype):
    values = far_from_unit(dtype)
    values[7], values[8] = [3e25, 0, 4e25, 0, 0, 0], [3e-25, 0, 4e-25, 0, 0, 0]
    (tile,) = open_embeddings(values).tiles(dtype, divide=False)
    np.testing.assert_allclose(tile.values * tile.scale[:, None], unit(values), atol=TOLERANCE[dtype])


def test_undivided_tiles_leave_bad_rows_out():
    values = far_from_unit(np.float32)
    values[3], values[5, 1] = 0, np.nan
    (tile,) = open_embeddings(values, bad_rows="drop").tiles(divide=False)
    assert tile.rows.tolist() == [row for row in range(300) if row not in (3, 5)]
    np.testing.assert_allclose(tile.values * tile.scale[:, None], unit(values[tile.rows]), atol=1e-6)


@pytest.mark.parametrize("order", ["mean", "diagonal", "full"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_scaled_moments_are_those_of_unit_rows(dtype, order):
    values = far_from_unit(dtype)
    found, truth = Moments.empty(6, order).update(values, scale=scaled(values)), unit(values)
    np.testing.assert_allclose(found.mean, truth.mean(axis=0), atol=TOLERANCE[dtype])
    if order != "mean":
        np.testing.assert_allclose(found.variance, truth.var(axis=0), atol=TOLERANCE[dtype])
    np.testing.assert_allclose(
        measure(values, "mean", dtype=dtype.name).mean, truth.mean(axis=0), atol=TOLERANCE[dtype]
    )


@pytest.mark.parametrize("weight", WEIGHTS, ids=["scalar", "diagonal", "matrix"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_map_of_undivided_rows_is_the_map_of_unit_rows(dtype, weight):
    values, bias, shift = far_from_unit(dtype), np.linspace(-0.3, 0.4, 6), np.linspace(0.1, -0.1, 6)
    truth = plain(weight, bias, unit(values))
    move = AffineMap(weight, bias, None, torch.from_numpy(values).dtype)
    mean = move.mean(values.copy(), scaled(values))
    np.testing.assert_allclose(mean, truth.mean(axis=0), atol=TOLERANCE[dtype])
    move = AffineMap(weight, bias, shift, torch.from_numpy(values).dtype)
    moved = move(torch.from_numpy(values.copy()), scaled(values)).numpy()
    np.testing.assert_allclose(moved, unit(truth + shift), atol=3 * TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("gap", [0.5, 0.3, 0.1, 1e-2, 1e-3])
def test_near_antipodal_rows_keep_their_digits(dtype, gap):
    """Where s y nearly cancels b, the expansion of ‖s y + b‖² would lose what is left."""
    rng = np.random.default_rng(1)
    bias = np.array([1.0, 0, 0, 0, 0, 0])
    values = unit(-bias + gap * rng.normal(size=(50, 6))).astype(dtype)
    truth = plain(np.array(1.0), bias, values.astype(np.float64)).mean(axis=0)
    found = AffineMap(np.array(1.0), bias, None, torch.from_numpy(values).dtype).mean(values, np.ones(50, dtype))
    # The rows' own rounding, of some 1e-7, is part of what the gap leaves over.
    np.testing.assert_allclose(found, truth, atol=TOLERANCE[dtype] * max(1, 0.2 / gap))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("method", ["realign", "gaussian-transport"])
def test_the_calibration_mean_is_that_of_the_rows_before_calibration(dtype, method):
    rng = np.random.default_rng(2)
    centres = np.eye(6)
    source, target = rng.normal(size=(400, 6)) + 2 * centres[0], rng.normal(size=(500, 6)) + centres[1]
    model = make(method, {}).fit(source, target, dtype=dtype.name)
    truth = plain(model.weight_, model.bias_, unit(source)).mean(axis=0)
    np.testing.assert_allclose(model.calibration_mean_, truth, atol=TOLERANCE[dtype])
