"""A few sources against many targets, constant coordinates, rows that are all the same."""

import warnings

import numpy as np
import pytest
import torch

import anisoalign as aa
from anisoalign.aligners.anisoalign.premise import AlignmentWarning, PremiseError
from anisoalign.aligners.anisoalign.strength import choose_strength
from anisoalign.aligners.gaussian_transport import Framed
from anisoalign.aligners.modules import serving_module
from anisoalign.diagnostics.alignment import geometry_consistency
from anisoalign.embeddings import open_embeddings
from anisoalign.geometry import normalize
from anisoalign.serving import export
from anisoalign.statistics import measure

WIDTH = 128


@pytest.fixture(scope="module")
def law():
    """Draw unit rows about a mean, their spectrum falling, by seed and by the direction of the mean."""
    generator = np.random.default_rng(0)
    basis = np.linalg.qr(generator.normal(size=(WIDTH, WIDTH)))[0]
    spread = np.arange(1, WIDTH + 1) ** -0.5
    spread /= np.linalg.norm(spread)

    def draw(rows, seed, mean):
        return normalize((np.random.default_rng(seed).normal(size=(rows, WIDTH)) * spread) @ basis + basis[mean])

    return draw


@pytest.mark.parametrize("few", [5, 10, 20, 40])
@pytest.mark.parametrize("shrinkage", ["auto", 0.1, 0.3])
def test_few_sources_blow_up_no_row(law, few, shrinkage):
    """U takes in all that few rows vary in; what they leave outside says nothing of the scale there."""
    source, target, others = law(few, 1, 60), law(2000, 2, 70), law(300, 9, 60)
    found = aa.GaussianTransport(shrinkage=shrinkage).fit(source, target).transform(others, out_dtype="float64")
    frame = Framed.by(*(measure(open_embeddings(rows), "full") for rows in (source, target)), None).frame

    def outside(rows):
        covariance = np.cov(rows.T)
        return 1 - np.trace(frame.inside(covariance)) / np.trace(covariance)

    assert outside(found) < 2 * outside(target)
    assert geometry_consistency(others, found) > 0.6


@pytest.mark.filterwarnings("ignore::anisoalign.aligners.anisoalign.premise.AlignmentWarning")
@pytest.mark.parametrize("few", [2, 3, 10, 40])
def test_few_sources_blow_up_no_coordinate_of_the_published_method(law, few):
    source, target, others = law(few, 1, 60), law(2000, 2, 70), law(300, 9, 60)
    model = aa.AnisoAlign.paper(force=True, terms="init").fit(source, target)
    assert model.polar_complement_scale_.max() < 4
    assert geometry_consistency(others, model.transform(others, out_dtype="float64")) > 0.4


@pytest.mark.parametrize("rows", [WIDTH + 1, 400])
def test_sources_fewer_than_targets_but_more_than_dimensions_are_scaled_to_the_letter(law, rows):
    """By the ratio of standard deviations of the part in V; the covariance of no more rows is singular (above)."""
    source, target = law(rows, 1, 60), law(2000, 2, 70)
    model = aa.AnisoAlign.paper(force=True, terms="init").fit(source, target)
    outside = np.eye(source.shape[1]) - model.polar_basis_ @ model.polar_basis_.T
    letter = (normalize(target) @ outside).std(axis=0) / (normalize(source) @ outside).std(axis=0)
    np.testing.assert_allclose(model.polar_complement_scale_, letter, rtol=1e-6)


def test_the_default_keeps_its_geometry_where_sources_are_few(law):
    source, target, others = law(10, 1, 60), law(1500, 2, 70), law(300, 9, 60)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = aa.AnisoAlign(force=True).fit(source, target)
        found = {t: model.at_strength(t).transform(others, out_dtype="float64") for t in (model.strength_, 1.0)}
    assert geometry_consistency(others, found[model.strength_]) > 0.8
    assert geometry_consistency(others, found[1.0]) > 0.5


def test_the_target_counts_as_reached_by_few_rows_of_its_own_law(law):
    """Penetration of eleven rows among five hundred is nearly all noise: it must not decide a strength."""
    source, target = law(45, 3, 70), law(2000, 4, 70)

    def fit(fit_y, fit_x):
        return lambda rows: [rows] * 11

    reached = [choose_strength(source, target, fit, seed).target_reached[0] for seed in range(12)]
    assert min(reached) > 0.8


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_constant_coordinate_is_shifted_and_no_noise_whatever_rows_are_stored_as(dtype):
    generator = np.random.default_rng(0)
    source = generator.normal(size=(3000, 8))
    source[:, :7] *= np.sqrt(0.91) / np.linalg.norm(source[:, :7], axis=1)[:, None]
    source[:, 7] = 0.3
    model = aa.Standardize().fit(source.astype(dtype), generator.normal(size=(3000, 8)))
    assert model.weight_[7] == 1.0
    assert model.weight_[:7].min() > 0.1


@pytest.mark.parametrize("side", ["source", "target"])
def test_rows_that_are_all_the_same_are_refused_as_that(law, side):
    same, rows = np.repeat(law(1, 0, 60), 50, axis=0), law(50, 1, 70)
    with pytest.raises(PremiseError, match=f"all {side} rows are the same"):
        aa.AnisoAlign().fit(*((same, rows) if side == "source" else (rows, same)))


@pytest.mark.parametrize("length", [1e-10, 1e-13, 1e-15])
def test_short_rows_are_made_unit_by_modules_too(law, length):
    source = law(100, 1, 60)
    model = aa.ReAlign().fit(source, law(100, 2, 70))
    short = (source * length).astype(np.float32)
    np.testing.assert_allclose(serving_module(model)(torch.from_numpy(short)), model.transform(short), atol=1e-5)


def test_exporting_without_a_sample_says_nothing_of_drift(law, tmp_path):
    model = aa.AnisoAlign(strength=0.5).fit(law(400, 1, 60), law(400, 2, 60))
    with warnings.catch_warnings():
        warnings.simplefilter("error", AlignmentWarning)
        export(model, tmp_path / "m.pt2", to="torch-export")


def test_a_fit_from_statistics_forgets_where_an_earlier_fit_came_from(law):
    source, target = law(100, 1, 60), law(100, 2, 70)
    model = aa.ReAlign().fit(source, target)
    model.provenance_ = {"source": {"encoder": "an earlier one"}, "target": None}
    from anisoalign.embeddings import open_embeddings
    from anisoalign.statistics import measure

    moments = (measure(open_embeddings(rows), model.order) for rows in (source, target))
    assert not hasattr(model.fit_from_statistics(*moments), "provenance_")
