"""Rounding is no direction: moments remember how exact they are, and nothing is blown up that is rounding alone."""

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

import anisoalign as aa
from anisoalign.aligners.anisoalign.polar_fit import scale_outside
from anisoalign.aligners.blockwise_covariance import BlockwiseCovariance
from anisoalign.aligners.gaussian_transport import Framed, dialled_transport
from anisoalign.geometry import Frame, normalize, principal_subspace
from anisoalign.geometry.spectra import eigenvalues, numerical_rank
from anisoalign.statistics import Moments, measure

DTYPES = ("float32", "float64")


def rank_of(moments):
    return numerical_rank(eigenvalues(moments.covariance), moments.noise)


def few_points(width, points=8, rows=6000, dtype="float32", mixed=True):
    """A few points, each of them many times, in any order or point by point."""
    generator = np.random.default_rng(width)
    which = generator.integers(0, points, rows) if mixed else np.arange(rows) * points // rows
    return generator.normal(size=(points, width)).astype(dtype)[which]


@pytest.mark.parametrize("stored", ["float16", "float32", "float64"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", [32, 512])
def test_eight_points_vary_in_seven_directions_whatever_the_precision(width, dtype, stored):
    assert rank_of(measure(few_points(width, dtype=stored), dtype=dtype)) == 7


@pytest.mark.parametrize("mixed", [True, False])
@pytest.mark.parametrize("points", [2, 4, 8])
@pytest.mark.parametrize("width", [16, 64, 512])
def test_few_points_vary_in_no_more_directions_in_any_order(width, points, mixed):
    """Sums of the same product again and again err alike, which independent errors do not."""
    assert rank_of(measure(few_points(width, points, 20_000, mixed=mixed), dtype="float32")) == points - 1


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_of_a_subspace_stored_in_halves_vary_in_it_alone(dtype):
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(6000, 30)) @ generator.normal(size=(30, 256))
    assert rank_of(measure(normalize(rows).astype(np.float16), dtype=dtype)) == 30


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("stored", ["float16", "float32"])
def test_small_eigenvalues_of_rows_that_fill_the_space_are_counted(stored, dtype):
    """A thousandth of the mean eigenvalue is far above rounding, though ε d λ1 would drop it."""
    spread = np.concatenate([np.full(8, 4.0), np.ones(496), np.full(8, 0.03)])
    rows = np.random.default_rng(0).normal(size=(4000, 512)) * spread
    moments = measure(rows.astype(stored), dtype=dtype)
    values = eigenvalues(moments.covariance)
    assert values[-1] < 1e-3 * values.mean()
    assert rank_of(moments) == 512


def test_moments_of_parts_round_as_the_coarsest_of_them():
    fine, coarse = (Moments.empty(4).update(np.eye(4, dtype=dtype)) for dtype in ("float64", "float32"))
    assert fine.rounding < coarse.rounding == np.finfo(np.float32).eps
    assert fine.merge(coarse).rounding == coarse.rounding
    assert Moments.empty(4, rounding=1e-3).update(np.eye(4)).rounding == 1e-3
    assert coarse.rotated(np.eye(4)).rounding == coarse.rounding


def test_a_file_keeps_the_rounding_and_one_of_before_counts_as_exact(tmp_path):
    path, moments = tmp_path / "m.safetensors", Moments.empty(4).update(np.eye(4, dtype=np.float32))
    moments.save(path)
    assert Moments.load(path).rounding == moments.rounding
    before = {name: array for name, array in load_file(path).items() if name != "rounding"}
    save_file(before, path, {"anisoalign_moments": "1"})
    assert Moments.load(path).rounding == np.finfo(np.float64).eps
    np.testing.assert_array_equal(Moments.load(path).covariance, moments.covariance)


@pytest.mark.filterwarnings("ignore:these rows have drifted")
@pytest.mark.parametrize(
    "method",
    [
        lambda: aa.WhitenColor(shrinkage=0.0),
        lambda: BlockwiseCovariance(block=128, shrinkage=0.0),
        lambda: aa.GaussianTransport(shrinkage=0.0),
    ],
    ids=["whiten-color", "blockwise", "transport"],
)
def test_a_fit_in_float32_maps_new_rows_as_one_in_float64_does(method):
    generator = np.random.default_rng(1)
    source, target = few_points(128), generator.normal(size=(2000, 128)) * np.linspace(2, 0.5, 128)
    new = generator.normal(size=(50, 128))
    quick, exact = (method().fit(source, target, dtype=dtype).transform(new, out_dtype="float64") for dtype in DTYPES)
    assert np.einsum("ij,ij->i", quick, exact).min() > 0.999


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_published_method_scales_no_coordinate_by_rounding(dtype):
    """Eight directions hold all that eight points vary in: sources say nothing of the scale beyond them."""
    source, target = (
        measure(r, dtype=dtype) for r in (few_points(128), np.random.default_rng(1).normal(size=(999, 128)))
    )
    basis = torch.from_numpy(principal_subspace(source.covariance)[:, :8].copy())
    assert scale_outside(source, target, basis).unique().tolist() == [1.0]


@pytest.mark.parametrize("mixed", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
def test_rounding_outside_the_frame_is_no_scale_of_all_that_lies_there(dtype, mixed):
    source = measure(few_points(512, rows=20_000, mixed=mixed), dtype=dtype)
    target = measure(np.random.default_rng(1).normal(size=(999, 512)), dtype=dtype)
    vectors = principal_subspace(source.covariance)
    found = dialled_transport(Framed(source, target, Frame(vectors[:, :7].copy())), strength=1.0)
    np.testing.assert_allclose(found.weight @ vectors[:, -1], found.scale * vectors[:, -1], atol=1e-9)
