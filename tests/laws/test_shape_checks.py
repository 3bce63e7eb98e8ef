"""The suite checks the shapes that signatures state; if it did not, these would pass silently."""

import jaxtyping
import numpy as np
import pytest

from anisoalign.aligners import GaussianTransport
from anisoalign.diagnostics import mixing
from anisoalign.geometry import normalize, subspace_overlap
from anisoalign.statistics import Moments


def test_a_wrong_shape_is_caught():
    with pytest.raises(jaxtyping.TypeCheckError):
        normalize(np.ones(3))
    with pytest.raises(jaxtyping.TypeCheckError):
        subspace_overlap(np.eye(3), np.eye(4))
    with pytest.raises(jaxtyping.TypeCheckError):
        mixing(np.eye(3), np.eye(4), 2)
    with pytest.raises(jaxtyping.TypeCheckError):
        Moments.empty(2).update(np.eye(2, dtype=int))


def test_methods_that_return_self_are_checked_all_the_same():
    with pytest.raises(jaxtyping.TypeCheckError):
        GaussianTransport().fit_from_statistics(np.eye(2), np.eye(2))
