"""What goes in comes out: containers, single rows, types, shards; and errors that say what to do."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError

import anisoalign as aa
from anisoalign.aligners import METHODS
from anisoalign.statistics import measure

EXACT = {"dtype": "float64", "out_dtype": "float64"}
DRAWING = ("c3", "random-target")


def test_rows_are_unit_and_float32_unless_asked(fitted, planted):
    z = fitted.transform(planted.source)
    assert z.dtype == np.float32
    assert z.shape == planted.source.shape
    np.testing.assert_allclose(np.linalg.norm(z, axis=1), 1.0, atol=1e-6)
    exact = fitted.transform(planted.source, **EXACT)
    assert exact.dtype == np.float64
    np.testing.assert_allclose(z, exact, atol=1e-6)
    np.testing.assert_allclose(fitted.transform(planted.source, dtype="float32"), exact, atol=1e-5)


def test_the_input_is_left_as_it_was(fitted, planted):
    for dtype in (np.float32, np.float64):
        rows = planted.source.astype(dtype)
        before = rows.copy()
        fitted.transform(rows)
        np.testing.assert_array_equal(rows, before)
        tensor = torch.from_numpy(rows)
        fitted.transform(tensor)
        np.testing.assert_array_equal(tensor.numpy(), before)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_one_row_alone_is_the_row_of_the_batch(fitted, planted, dtype):
    batch = fitted.transform(planted.source, dtype=dtype)
    for row in (0, 7, 299):
        alone = fitted.transform(planted.source[row : row + 1], dtype=dtype, first_row=row)
        np.testing.assert_allclose(alone[0], batch[row], rtol=0, atol=1e-6)
        one = fitted.transform(planted.source[row], dtype=dtype, first_row=row)
        assert one.shape == (16,)
        np.testing.assert_allclose(one, batch[row], rtol=0, atol=1e-6)


def test_tensors_come_back_as_tensors(fitted, planted):
    expected = fitted.transform(planted.source)
    for tensor in (torch.from_numpy(planted.source), torch.from_numpy(planted.source).requires_grad_()):
        z = fitted.transform(tensor)
        assert isinstance(z, torch.Tensor)
        assert z.dtype == torch.float32
        np.testing.assert_array_equal(z.numpy(), expected)
    one = fitted.transform(torch.from_numpy(planted.source[0]))
    assert isinstance(one, torch.Tensor)
    assert one.shape == (16,)


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "transposed", "read-only", "big-endian"])
def test_other_layouts_and_types_are_read(fitted, planted, kind):
    rows = planted.source
    given = {
        "float16": lambda: rows.astype(np.float16),
        "bfloat16": lambda: torch.from_numpy(rows).bfloat16(),
        "transposed": lambda: np.asfortranarray(rows),
        "read-only": lambda: rows.copy(),
        "big-endian": lambda: rows.astype(">f8"),
    }[kind]()
    if kind == "read-only":
        given.flags.writeable = False
    widened = given.double().numpy() if kind == "bfloat16" else given.astype(np.float64)
    expected = fitted.transform(widened)
    np.testing.assert_allclose(np.asarray(fitted.transform(given)), expected, atol=2e-6)


def test_tiles_side_by_side_are_in_their_places(fitted, planted, monkeypatch):
    expected = fitted.transform(planted.source)
    monkeypatch.setattr("anisoalign.embeddings.tiles.TILE_VALUES", 40 * 16)  # eight tiles
    np.testing.assert_allclose(fitted.transform(planted.source), expected, rtol=0, atol=1e-6)
    if fitted.name in DRAWING:
        return
    rows, bad = planted.source.copy(), [0, 41, 77, 78, 299]
    rows[bad] = 0
    rows[80:120] = np.nan  # a whole tile
    kept = fitted.transform(aa.open_embeddings(rows, bad_rows="drop"))
    good = np.isfinite(rows).all(axis=1) & rows.any(axis=1)
    np.testing.assert_allclose(kept, expected[good], rtol=0, atol=1e-6)


def test_shards_draws_and_rows_are_those_of_the_array(fitted, planted, tmp_path, write_shards):
    sizes = [100, 0, 1, 150, 49]
    folder = write_shards(tmp_path / "source", planted.source, sizes)
    out = fitted.transform(folder, out=tmp_path / "aligned")
    assert out == tmp_path / "aligned"
    together = aa.open_embeddings(out)
    assert [shard.rows for shard in together.shards] == sizes
    parts = np.concatenate([np.load(file) for file in sorted(out.glob("*.npy"))])
    expected = fitted.transform(planted.source)
    np.testing.assert_allclose(parts, expected, rtol=0, atol=1e-6)
    if fitted.name in DRAWING:  # draws belong to the row, so to the last bit
        assert parts.tobytes() == expected.tobytes()


@pytest.mark.parametrize("name", DRAWING)
def test_draws_depend_on_the_row_number_and_the_seed_only(name, planted):
    y, x, _ = planted
    model = METHODS[name](seed=3).fit(y, x)
    whole = model.transform(y)
    cuts = [0, 1, 17, 170, 300]
    parts = [model.transform(y[a:b], first_row=a) for a, b in pairwise(cuts)]
    assert np.concatenate(parts).tobytes() == whole.tobytes()
    assert METHODS[name](seed=4).fit(y, x).transform(y).tobytes() != whole.tobytes()
    assert model.transform(y[:50], first_row=100).tobytes() != whole[:50].tobytes()


def test_random_targets_are_targets(planted):
    y, x, _ = planted
    z = aa.RandomTarget().fit(y, x).transform(y)
    assert (z @ x.T).max(axis=1).min() > 1 - 1e-6
    drawn = (z @ x.T).argmax(axis=1)
    assert len(set(drawn)) > 150  # with replacement, from all of them: 1 − 1/e of 300 are expected
    kept = aa.RandomTarget(memory=7).fit(y, x)
    assert kept.rows_.shape == (7, 16)
    assert len(np.unique(kept.transform(y), axis=0)) == 7


def test_paths_need_somewhere_to_go(fitted, planted, tmp_path):
    np.save(tmp_path / "y.npy", planted.source)
    with pytest.raises(aa.InputError, match="out=PATH"):
        fitted.transform(tmp_path / "y.npy")
    fitted.transform(tmp_path / "y.npy", out=tmp_path / "z.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "z.npy"), fitted.transform(planted.source))
    fitted.transform(planted.source, out=tmp_path / "array")
    assert aa.open_embeddings(tmp_path / "array").rows == 300


def test_fitting_on_files_is_fitting_on_arrays(method, planted, tmp_path, write_shards):
    y, x, _ = planted
    source = write_shards(tmp_path / "y", y, [100, 200])
    target = write_shards(tmp_path / "x", x, [7, 0, 293])
    expected = type(method)(**method.get_params()).fit(y, x).transform(y)
    np.testing.assert_allclose(method.fit(source, target).transform(y), expected, rtol=0, atol=1e-6)


def test_the_wrong_width_is_refused(fitted, method, planted):
    with pytest.raises(aa.InputError, match=r"width 5.* width 16"):
        fitted.transform(planted.source[:, :5])
    with pytest.raises(aa.InputError, match=r"width 5.* width 16"):
        fitted.transform(planted.source[0, :5])
    with pytest.raises(aa.InputError, match=r"source has width 16, target has width 5"):
        method.fit(planted.source, planted.target[:, :5])


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0])
def test_rows_without_a_direction_are_refused_by_number(fitted, planted, bad):
    rows = planted.source.copy()
    rows[41] = bad
    with pytest.raises(aa.InputError, match="row 41"):
        fitted.transform(rows)


def test_an_unfitted_model_says_so(method, planted, tmp_path):
    for act in (lambda: method.transform(planted.source), lambda: method.save(tmp_path / "model")):
        with pytest.raises(NotFittedError, match=r"not fitted; call fit\(source, target\)"):
            act()
    assert not list(tmp_path.iterdir())


def test_statistics_alone_do_not_calibrate(method, planted):
    y, x, _ = planted
    if not method.from_statistics:
        with pytest.raises(TypeError, match="moments do not determine it"):
            method.fit_from_statistics(measure(y), measure(x))
        return
    method.fit_from_statistics(measure(y, method.order), measure(x, method.order))
    if method.calibrated:
        with pytest.raises(NotFittedError, match=r"call calibrate\(source\) first"):
            method.transform(y)
        method.calibrate(y)
    expected = type(method)(**method.get_params()).fit(y, x).transform(y, **EXACT)
    assert method.transform(y, **EXACT).tobytes() == expected.tobytes()


def test_statistics_that_do_not_fit_together_are_refused(method, planted):
    y, x, _ = planted
    if not method.from_statistics:
        return
    with pytest.raises(ValueError, match="width"):
        method.fit_from_statistics(measure(y, method.order), measure(x[:, :5], method.order))


@pytest.mark.parametrize("oracle", [aa.oracle.Procrustes, aa.oracle.Ridge])
def test_oracles_need_pairs(oracle, planted):
    y, x, _ = planted
    with pytest.raises(NotFittedError, match="not fitted"):
        oracle().transform(y)
    with pytest.raises(aa.InputError, match="pairs need equal numbers of rows: source has 300, target 200"):
        oracle().fit(y, x[:200])
    with pytest.raises(aa.InputError, match="width"):
        oracle().fit(y, x[:, :5])


def test_progress_counts_every_row_read(method, planted):
    rows = []
    method.fit(planted.source, planted.target, progress=rows.append)
    read = 300 if method.keeps_rows else 900 if method.calibrated else 600  # kept rows are all that is looked at
    assert sum(rows) == read


def test_arguments_that_would_be_ignored_are_refused(planted, tmp_path):
    model = aa.C3().fit(planted.source, planted.target)
    with pytest.raises(aa.InputError, match="first_row numbers rows in memory"):
        model.transform(planted.source, tmp_path / "z.npy", first_row=1000)
    with pytest.raises(TypeError, match="frist_row"):
        model.transform(planted.source, frist_row=3)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("params", "message"), [({"energy": 5.0}, "energy"), ({"alpha": np.nan}, "alpha")])
def test_a_path_that_is_none_is_refused(planted, params, message):
    with pytest.raises(ValueError, match=message):
        aa.oracle.ResidualPath(**params).fit_transform(planted.source, planted.target)
