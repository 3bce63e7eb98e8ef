"""The methods, one instance each, small enough for small sets."""

import pytest

from anisoalign.aligners import METHODS

SMALL = {"blockwise-covariance": {"block": 5}, "c3": {"noise": 0.05}, "gaussian-transport": {"rank": 5}}


@pytest.fixture(params=list(METHODS))
def method(request):
    """An unfitted aligner of every method there is."""
    return METHODS[request.param](**SMALL.get(request.param, {}))


@pytest.fixture
def fitted(method, planted):
    """The same, fitted on the planted set."""
    return method.fit(planted.source, planted.target)
