"""Losses of the target's support are the distances they are named after, and know sets, not rows in an order."""

import itertools

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from anisoalign.aligners.anisoalign.losses import (
    DIRECTIONS,
    SUPPORT_LOSSES,
    kernel_mmd,
    sliced_wasserstein,
    support_loss,
)
from anisoalign.geometry import normalize

ROWS, TARGET = (normalize(np.random.default_rng(seed).normal(size=(14, 5)) + 0.5) for seed in (0, 1))


def tensors(*arrays):
    return [torch.from_numpy(np.ascontiguousarray(array)) for array in arrays]


@pytest.mark.parametrize("kind", SUPPORT_LOSSES)
def test_the_order_of_rows_does_not_matter_on_either_side(kind):
    rng = np.random.default_rng(2)

    def loss(rows, target):
        return float(support_loss(kind, *tensors(rows, target), torch.Generator().manual_seed(0)))

    for _ in range(3):
        shuffled = loss(ROWS[rng.permutation(14)], TARGET[rng.permutation(14)])
        assert shuffled == pytest.approx(loss(ROWS, TARGET), abs=1e-12)


def test_the_sliced_loss_is_the_mean_of_optimal_matchings_along_the_directions_it_draws():
    """On a line the best matching is that of ranks; here it is sought among all. Times d: a shift costs its square."""
    along = torch.randn(5, DIRECTIONS, generator=torch.Generator().manual_seed(3)).double().numpy()
    along = along / np.linalg.norm(along, axis=0)
    costs = []
    for direction in along.T:
        apart = (ROWS @ direction)[:, None] - (TARGET @ direction)[None, :]
        costs.append((apart**2)[linear_sum_assignment(apart**2)].mean())
    found = support_loss("sliced", *tensors(ROWS, TARGET), torch.Generator().manual_seed(3))
    assert float(found) == pytest.approx(5 * np.mean(costs), rel=1e-9)
    shift = np.array([0.3, -0.2, 0.1, 0.0, 0.4])
    square = np.mean([sliced_shift(shift, seed) for seed in range(40)])
    assert square == pytest.approx(shift @ shift, rel=0.1)


def sliced_shift(shift, seed):
    return float(sliced_wasserstein(*tensors(ROWS, ROWS + shift), torch.Generator().manual_seed(seed)))


def over_pairs(measure, rows):
    """Mean over pairs of different rows."""
    return np.mean([measure(a, b) for a, b in itertools.permutations(rows, 2)])


def across(measure, rows, target):
    return np.mean([measure(a, b) for a, b in itertools.product(rows, target)])


def test_the_energy_distance_is_that_of_all_pairs():
    def apart(a, b):
        return np.linalg.norm(a - b)

    few = TARGET[:9]  # a set may be the smaller one
    wanted = 2 * across(apart, ROWS, few) - over_pairs(apart, ROWS) - over_pairs(apart, few)
    found = support_loss("energy", *tensors(ROWS, few), torch.Generator())
    assert float(found) == pytest.approx(wanted, abs=1e-12)


def test_the_kernel_discrepancy_is_that_of_all_pairs():
    few, found = TARGET[:9], {}
    for bandwidth in (0.1, 0.5):

        def kernel(a, b, bandwidth=bandwidth):
            return np.exp((a @ b - 1) / bandwidth)

        wanted = over_pairs(kernel, ROWS) + over_pairs(kernel, few) - 2 * across(kernel, ROWS, few)
        found[bandwidth] = float(kernel_mmd(*tensors(ROWS, few), bandwidth))
        assert found[bandwidth] == pytest.approx(wanted, abs=1e-12)
    assert float(support_loss("mmd", *tensors(ROWS, few), torch.Generator())) == found[0.1]
