"""Few rows in many dimensions are fitted in their span: the same map, to rounding, at a fraction of the work."""

import numpy as np
import pytest

from anisoalign.aligners import AnisoAlign
from anisoalign.aligners.anisoalign import span
from anisoalign.aligners.anisoalign.span import Span, narrow
from anisoalign.geometry import joint_frame, normalize
from anisoalign.statistics import Moments

DIM = 120
pytestmark = pytest.mark.filterwarnings("ignore::anisoalign.aligners.anisoalign.premise.AlignmentWarning")
"""Of few rows a fit warns, rightly."""


def drawn(rows: int, seed: int) -> np.ndarray:
    """Unit rows about a centre of their own, with shared directions and some noise in all of them."""
    shared = np.random.default_rng(0).normal(size=(20, DIM))
    rng = np.random.default_rng(seed)
    scene = rng.normal(size=(rows, 20)) * np.linspace(2, 0.3, 20)
    return normalize(scene @ shared + 0.5 * rng.normal(size=(rows, DIM)) + 3 * rng.normal(size=DIM))


@pytest.fixture
def both(monkeypatch):
    """The same fit in the span of the rows and in all dimensions; what either makes of rows that no fit saw."""

    def fit(source, target, **settings):
        models = []
        for worth in (1.0, 0.0):
            monkeypatch.setattr(span, "WORTH", worth)
            models.append(AnisoAlign(force=True, **settings).fit(source, target))
        new = drawn(30, 9)
        return models, [model.transform(new, out_dtype="float64") for model in models]

    return fit


@pytest.mark.parametrize("sizes", [(50, 45), (60, 25), (12, 50)])
@pytest.mark.parametrize(
    "settings",
    [
        {"strength": 1.0},
        {"strength": 0.3},
        {"strength": 0.75, "rotation": "none"},
        {"strength": 1.0, "rotation": "means", "terms": "init"},
        {"strength": 0.9, "terms": "guide"},
        {"strength": 0.9, "rank": 7, "shrinkage": 0.4},
        {"strength": 0.9, "rank": 0.9, "guide_bound": 0.2},
    ],
    ids=str,
)
def test_new_rows_are_mapped_as_by_a_fit_in_all_dimensions(both, sizes, settings):
    (narrowed, whole), (in_span, in_all) = both(drawn(sizes[0], 1), drawn(sizes[1], 2), **settings)
    np.testing.assert_allclose(in_span, in_all, atol=1e-7)
    assert narrowed.rank_ == whole.rank_


def test_the_strength_is_chosen_alike(both):
    (narrowed, whole), (in_span, in_all) = both(drawn(52, 1), drawn(48, 2))
    assert narrowed.strength_curve_ is not None
    assert narrowed.strength_ == whole.strength_
    np.testing.assert_allclose(narrowed.strength_curve_["score"], whole.strength_curve_["score"], atol=1e-3)
    np.testing.assert_allclose(in_span, in_all, atol=1e-7)


def test_rows_that_repeat_span_no_more_than_they_do(both):
    source, target = np.repeat(drawn(9, 1), 4, axis=0), drawn(40, 2)
    _, (in_span, in_all) = both(source, target, strength=1.0)
    np.testing.assert_allclose(in_span, in_all, atol=1e-7)


def test_the_guarantee_of_each_row_is_the_same(both):
    models, _ = both(drawn(50, 1), drawn(45, 2), strength=1.0)
    bounds = [model.transform(drawn(30, 9), return_bound=True)[1] for model in models]
    np.testing.assert_allclose(*bounds, atol=1e-7)
    assert max(map(np.max, bounds)) > 0.05


def test_what_is_fitted_in_the_span_is_no_wider(monkeypatch):
    widths = []
    whole = np.linalg.svd
    monkeypatch.setattr(np.linalg, "svd", lambda matrix, **more: widths.append(len(matrix)) or whole(matrix, **more))
    AnisoAlign(force=True, strength=1.0).fit(drawn(50, 1), drawn(35, 2))
    assert widths
    assert max(widths) <= 86


@pytest.mark.parametrize("settings", [{"terms": "init+refine+support", "refine_steps": 1}, {"initial": "radial"}])
def test_a_polar_stage_is_fitted_in_all_dimensions(monkeypatch, settings):
    monkeypatch.setattr(Span, "of", lambda *given: pytest.fail("seen in a span"))
    AnisoAlign(force=True, strength=1.0, **settings).fit(drawn(50, 1), drawn(35, 2))


def test_inner_products_and_moments_are_those_of_the_rows():
    y, x = drawn(30, 1), drawn(20, 2)
    seen = Span.of(y, x)
    np.testing.assert_allclose(seen.see(y) @ seen.see(x).T, y @ x.T, atol=1e-12)
    told, found = seen.moments(Moments.empty(DIM).update(y)), Moments.empty(seen.see(y).shape[1]).update(seen.see(y))
    np.testing.assert_allclose(told.mean, found.mean, atol=1e-12)
    np.testing.assert_allclose(told.covariance, found.covariance, atol=1e-12)
    assert (told.space, told.dim) == (DIM, 51)


@pytest.mark.parametrize(("rows", "dim", "is_narrow"), [(300, 512, True), (400, 512, False), (800, 1280, True)])
def test_a_span_is_taken_where_it_is_narrow(rows, dim, is_narrow):
    assert narrow(rows, dim) == is_narrow


def test_a_frame_holds_no_direction_in_which_nothing_varies():
    """Which of them it would be is chance: eigenvectors of one eigenvalue, zero, are any."""
    y, x = drawn(8, 1), drawn(9, 2)
    moments = [Moments.empty(DIM).update(rows) for rows in (x, y)]
    noise = sum(each.noise for each in moments)
    assert joint_frame(*(each.covariance for each in moments), rank=60, noise=noise).rank == 7 + 8
    assert joint_frame(np.zeros((4, 4)), np.zeros((4, 4)), rank=3, noise=0.0).rank == 1
