"""Compiled sweeps give what they stand for, and leave to others what they cannot take."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from anisoalign import compiled
from anisoalign.aligners import make
from anisoalign.compiled import loops
from anisoalign.embeddings import InputError, open_embeddings
from anisoalign.statistics import measure
from anisoalign.statistics.passes import OwnMoments

STORED = ["float16", "float32"]
TAKEN = ["identity", "mean-shift", "realign", "standardize", "gaussian-transport", "whiten-color"]


@pytest.fixture
def always(monkeypatch):
    monkeypatch.setattr(compiled, "FEWEST_VALUES", 0)


def sides(dtype, rows=1000, dim=37):
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(rows, dim)) + 1, rng.normal(size=(rows, dim)) * np.linspace(2, 0.1, dim) - 0.5
    return (3 * source).astype(dtype), target.astype(dtype)


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("dtype", STORED)
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (100, 64), (131, 77)])
def test_loops_give_what_they_say(dtype, shape):
    rng = np.random.default_rng(1)
    rows, weight, bias, shift = rng.normal(size=shape).astype(dtype), *rng.normal(size=(3, shape[1])).astype("f4")
    y = unit(rows.astype(np.float64))
    z = unit(weight * y + bias)
    norms, total = loops.unit_sum(rows)
    np.testing.assert_allclose(norms, np.linalg.norm(rows.astype(np.float64), axis=1), rtol=1e-6)
    np.testing.assert_allclose(total, y.sum(axis=0), atol=1e-6 * len(rows))
    again, total = loops.mapped_sum(rows, weight, bias)
    np.testing.assert_array_equal(again, norms)
    np.testing.assert_allclose(total, z.sum(axis=0), atol=2e-6 * len(rows))
    for out, error in ((np.empty(shape, "f4"), 1e-5), (np.empty(shape, "f2"), 1e-3)):
        np.testing.assert_array_equal(loops.mapped(rows, weight, bias, shift, out), norms)
        np.testing.assert_allclose(out, unit(z + shift), atol=error)


@pytest.mark.parametrize("dtype", STORED)
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (100, 64), (131, 77)])
def test_loops_around_a_product_give_what_they_say(dtype, shape):
    rng = np.random.default_rng(2)
    rows, bias, shift = rng.normal(size=shape).astype(dtype), *rng.normal(size=(2, shape[1])).astype("f4")
    y, z = unit(rows.astype(np.float64)), rng.normal(size=shape).astype("f4")
    norms, total = loops.unit_sum(rows)
    out = np.empty(shape, "f4")
    np.testing.assert_array_equal(loops.units(rows, out), norms)
    np.testing.assert_allclose(out, y, atol=1e-6)
    again, same = loops.centred(rows, out)
    np.testing.assert_array_equal(again, norms)
    np.testing.assert_array_equal(same, total)
    np.testing.assert_allclose(out, y - y.mean(axis=0), atol=1e-6)
    first = unit(z.astype(np.float64) + bias)
    np.testing.assert_allclose(loops.landed_sum(z.copy(), bias), first.sum(axis=0), atol=2e-6 * len(z))
    for out, error in ((np.empty(shape, "f4"), 1e-5), (np.empty(shape, "f2"), 1e-3)):
        loops.landed(z.copy(), bias, shift, out)
        np.testing.assert_allclose(out, unit(first + shift), atol=error)


def test_halves_are_rounded_as_everywhere():
    row = np.linspace(-1, 1, 4096, dtype=np.float32)[None]
    out, row = np.empty(row.shape, np.float16), row / np.linalg.norm(row)
    exact = np.empty_like(row)
    arguments = (row, np.ones(4096, "f4"), np.zeros(4096, "f4"), np.zeros(4096, "f4"))
    loops.mapped(*arguments, out)
    loops.mapped(*arguments, exact)
    np.testing.assert_array_equal(out, exact.astype(np.float16))


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 65504, -0.0, 6e-8])
def test_finite_is_told_of_every_value(value):
    rows = np.ones((3, 50), np.float16)
    rows[1, 37] = value
    assert loops.finite(rows) == np.isfinite(value)


@pytest.mark.parametrize("dtype", STORED)
def test_a_mean_is_the_same(always, dtype):
    rows, _ = sides(dtype)
    before = rows.copy()
    (tile, *_) = open_embeddings(rows).tiles(sweep=loops.unit_sum)
    assert tile.swept is not None
    assert tile.values.dtype == dtype
    found = measure(rows, "mean", dtype="float32")
    np.testing.assert_allclose(found.mean, unit(rows.astype(np.float64)).mean(axis=0), atol=1e-6)
    np.testing.assert_array_equal(rows, before)


@pytest.mark.parametrize("dtype", STORED)
def test_second_moments_are_the_same(always, dtype):
    rows, _ = sides(dtype)
    (tile, *_) = open_embeddings(rows).tiles(sweep=OwnMoments("full").sweep)
    assert tile.swept.order == "full"
    before, y = rows.copy(), unit(rows.astype(np.float64))
    found = measure(rows, "full", dtype="float32")
    np.testing.assert_allclose(found.covariance, np.cov(y.T, bias=True), atol=1e-6)
    np.testing.assert_array_equal(rows, before)


@pytest.mark.parametrize("name", TAKEN)
@pytest.mark.parametrize("dtype", STORED)
def test_models_are_the_same_to_single_precision(monkeypatch, tmp_path, name, dtype):
    source, target = sides(dtype)
    before = source.copy()
    slow = make(name).fit(source, target, dtype="float32")
    expected = slow.transform(source, dtype="float32")
    monkeypatch.setattr(compiled, "FEWEST_VALUES", 0)
    fast = make(name).fit(source, target, dtype="float32")
    np.testing.assert_allclose(fast.transform(source, dtype="float32"), expected, atol=3e-6)
    for kept in ("float16", "float32", "float64"):
        fast.transform(source, tmp_path / kept, dtype="float32", out_dtype=kept)
        written = open_embeddings(tmp_path / kept)
        assert written.dtype == kept
        np.testing.assert_allclose(written.read(), expected, atol=1e-3 if kept == "float16" else 1e-5)
    np.testing.assert_array_equal(source, before)


def test_odd_rows_are_left_to_the_careful_path(always):
    rows, _ = sides("float32")
    rows[5], rows[9] = 1e25 * unit(rows[5:6].astype(float)), 0
    with pytest.raises(InputError, match="row 9 is zero"):
        measure(rows, "mean", dtype="float32")
    found = measure(open_embeddings(rows, bad_rows="drop"), "mean", dtype="float32")
    assert found.n == 999
    np.testing.assert_allclose(found.mean, unit(np.delete(rows, 9, axis=0).astype(float)).mean(axis=0), atol=1e-6)


def test_what_has_no_loop_is_not_taken(always):
    assert not compiled.takes(np.ones((2, 3)))
    assert not compiled.takes(np.asfortranarray(np.ones((2, 3), np.float32)))
    assert not compiled.takes(np.ones((2, 3), ">f4"))
    (tile,) = open_embeddings(np.ones((2, 3))).tiles(np.float32, sweep=loops.unit_sum)
    assert tile.swept is None


def test_small_sets_load_no_compiler():
    code = (
        "import sys, numpy as np, anisoalign as aa\n"
        "rows = np.random.default_rng(0).normal(size=(50, 4)).astype('f4')\n"
        "aa.ReAlign().fit(rows, rows + 1, dtype='float32').transform(rows, dtype='float32')\n"
        "assert 'numba' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_numba_all_goes_on(always, monkeypatch):
    monkeypatch.setattr(compiled, "installed", lambda: False)
    rows, target = sides("float16")
    model = make("realign").fit(rows, target, dtype="float32")
    assert torch.isfinite(torch.from_numpy(model.transform(rows, dtype="float32"))).all()


def test_a_numba_that_does_not_load_is_told_of_and_done_without(monkeypatch):
    def broken():
        raise ImportError("Numba needs NumPy 2.2 or less")

    monkeypatch.setattr(compiled, "sweeps", broken)
    compiled.installed.cache_clear()
    try:
        with pytest.warns(UserWarning, match=r"numba is installed but does not load.*NumPy 2\.2"):
            assert not compiled.takes(np.ones((2, 3), np.float32))
        assert not compiled.takes(np.ones((2, 3), np.float32))  # told once
    finally:
        compiled.installed.cache_clear()
