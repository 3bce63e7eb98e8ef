"""A fit of second moments is the same to the last byte however many threads the products may take."""

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

import anisoalign as aa
from anisoalign.aligners.saving import aligner_fingerprint
from anisoalign.statistics import measure

WIDTH = 384
"""Wide enough that libraries share a decomposition."""


@pytest.fixture(scope="module")
def moments():
    rows = np.random.default_rng(0).normal(size=(1200, WIDTH)) * np.linspace(1.0, 0.2, WIDTH)
    return measure(rows[:600] + 0.5), measure(rows[600:] - 0.5)


def fitted(method, moments, threads):
    with threadpool_limits(limits=threads, user_api="blas"):
        model = method().fit_from_statistics(*moments)
        assert {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"} == {threads}
    return aligner_fingerprint(model)


@pytest.mark.parametrize("method", [aa.GaussianTransport, aa.WhitenColor, aa.BlockwiseCovariance])
def test_a_fit_of_several_threads_is_that_of_one(method, moments):
    assert len({fitted(method, moments, threads) for threads in (1, 2, 3)}) == 1
