import itertools
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_sets import FORMATS, unit, write_shard

import anisoalign
from anisoalign.embeddings import InputError, open_embeddings
from anisoalign.embeddings.tiles import tile_rows_for

SIZES = st.lists(st.integers(0, 9), min_size=1, max_size=12).filter(any)


@settings(deadline=None, max_examples=60)
@given(
    sizes=SIZES,
    dim=st.integers(1, 5),
    format=st.sampled_from(FORMATS),
    dtype=st.sampled_from(["float16", "float32", "float64"]),
    tile_rows=st.integers(1, 7),
    seed=st.integers(0, 99),
)
def test_ragged_shards_of_every_format_read_as_their_concatenation(sizes, dim, format, dtype, tile_rows, seed):
    rng = np.random.default_rng(seed)
    # Far from norm 0, which is bad, and from norm 1, which would make a short shard unit among others.
    parts = [(rng.uniform(3, 9, (n, dim)) * rng.choice([-1, 1], (n, dim))).astype(dtype) for n in sizes]
    truth = np.concatenate(parts)
    with tempfile.TemporaryDirectory() as folder:
        for i, part in enumerate(parts):
            if len(part) or not format.startswith(("parquet list", "parquet large", "arrow stream")):
                write_shard(Path(folder) / f"s{i}", part, format)
        es = open_embeddings(folder)
        assert (es.rows, es.dim, es.dtype) == (len(truth), dim, np.dtype(dtype))
        assert [shard.first_row for shard in es.shards] == [
            0,
            *itertools.accumulate([s.rows for s in es.shards][:-1]),
        ]

        raw = list(es.tiles(dtype, tile_rows=tile_rows, raw=True))
        np.testing.assert_array_equal(np.concatenate([tile.values for tile in raw]), truth)
        np.testing.assert_array_equal(np.concatenate([tile.rows for tile in raw]), np.arange(len(truth)))
        for tile in raw:
            shard = es.shards[tile.shard]
            assert tile.start % tile_rows == 0
            assert len(tile) == min(tile_rows, shard.rows - tile.start)
            assert tile.rows[0] == shard.first_row + tile.start
            assert tile.values.flags.c_contiguous

        np.testing.assert_allclose(es.read(), unit(truth), rtol=4e-16 * dim, atol=0)
        np.testing.assert_allclose(es.read(np.float32), unit(truth), rtol=3e-7 * dim, atol=0)


@settings(deadline=None, max_examples=40)
@given(sizes=SIZES, batch=st.integers(1, 40))
def test_batches_are_exact_and_have_the_bits_of_tiles(sizes, batch):
    rng = np.random.default_rng(sum(sizes))
    parts = [rng.uniform(3, 9, (n, 3)).astype(np.float32) for n in sizes]
    with tempfile.TemporaryDirectory() as folder:
        for i, part in enumerate(parts):
            write_shard(Path(folder) / f"s{i}", part, "npy")
        es = open_embeddings(folder)
        batches = list(es.batches(batch))
        assert all(len(part) == batch for part in batches[:-1])
        assert 1 <= len(batches[-1]) <= batch
        np.testing.assert_array_equal(np.concatenate(batches), es.read(np.float32))


def test_batches_stay_valid_after_the_next_one():
    es = open_embeddings(np.random.default_rng(0).normal(size=(100, 4)))
    for kind in (es.batches(7), (tile.values for tile in es.tiles(tile_rows=7))):
        np.testing.assert_array_equal(np.concatenate(list(kind)), es.read(np.float32))


def test_shards_sort_by_number(tmp_path):
    for number in (10, 9, 1):
        np.save(tmp_path / f"s{number}.npy", np.full((1, 2), number, np.float32))
    raw = [tile.values[0, 0] for tile in open_embeddings(tmp_path).tiles(raw=True)]
    assert raw == [1, 9, 10]


def test_tile_boundaries_depend_on_width_alone(tmp_path):
    size = tile_rows_for(4096)
    rng = np.random.default_rng(0)
    parts = [rng.normal(size=(n, 4096)).astype(np.float16) for n in (2 * size + 3, 5, size)]
    for i, part in enumerate(parts):
        np.save(tmp_path / f"{i}.npy", part)
    truth = [(0, 0, size), (0, size, size), (0, 2 * size, 3), (1, 0, 5), (2, 0, size)]
    for memory in (None, "1GB", 2 * size * 4096 * 10):
        es = open_embeddings(tmp_path, memory=memory)
        assert [(t.shard, t.start, len(t)) for t in es.tiles()] == truth
        assert [(t.shard, t.start, len(t)) for t in es.tiles(shards=[2, 0])] == [truth[4], *truth[:3]]


def test_bits_of_a_row_do_not_depend_on_its_neighbours():
    values = np.random.default_rng(0).normal(size=(3000, 300)).astype(np.float32)
    es = open_embeddings(values)
    whole = es.read(np.float32)
    np.testing.assert_array_equal(es.take(np.array([5, 1700])).values, whole[[5, 1700]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("stored", "scale"),
    [("float32", 1e30), ("float32", 1e-42), ("float64", 1e300), ("float64", 1e-310), ("float16", 6e-8)],
)
def test_norms_neither_overflow_nor_vanish(stored, scale, dtype):
    values = (np.array([[3.0, 4.0, 0.0], [0.0, -1.0, 1.0]]) * scale).astype(stored)
    truth = unit(values.astype(np.float64) / np.abs(values).max(axis=1, keepdims=True).astype(np.float64))
    found = open_embeddings(values).read(dtype)
    np.testing.assert_allclose(found, truth, rtol=2e-7, atol=0)


def test_mixed_tile_of_huge_and_usual_rows_keeps_the_usual_ones_exact():
    usual = np.random.default_rng(0).normal(size=(20, 8)).astype(np.float32)
    values = usual.copy()
    values[7] *= np.float32(1e30)
    found = open_embeddings(values).read(np.float32)
    expected = open_embeddings(usual).read(np.float32)
    np.testing.assert_array_equal(np.delete(found, 7, 0), np.delete(expected, 7, 0))
    np.testing.assert_allclose(found[7], expected[7], rtol=1e-6)


def test_arrays_and_tensors_of_any_layout_read_alike():
    values = np.random.default_rng(0).normal(size=(9, 5))
    truth = open_embeddings(values).read()
    frozen = values.copy()
    frozen.flags.writeable = False
    variants = [
        torch.from_numpy(values),
        torch.nn.Parameter(torch.from_numpy(values)),
        np.asfortranarray(values),
        values.astype(">f8"),
        np.repeat(values, 2, axis=0)[::2],
        frozen,
    ]
    for variant in variants:
        es = open_embeddings(variant)
        np.testing.assert_array_equal(es.read(), truth)
        assert es.dtype == np.float64
        assert es.path is None
    narrow = torch.from_numpy(values).to(torch.bfloat16)
    np.testing.assert_array_equal(open_embeddings(narrow).read(), open_embeddings(narrow.double().numpy()).read())


def test_reading_never_changes_the_array_it_was_given():
    values = np.random.default_rng(0).normal(size=(9, 5)).astype(np.float32)
    before = values.copy()
    for raw in (False, True):
        for tile in open_embeddings(values).tiles(raw=raw):
            tile.values[:] = 0
    np.testing.assert_array_equal(values, before)


@pytest.mark.parametrize("layout", ["fortran", "big-endian", "version 2"])
def test_npy_files_of_unusual_layout(tmp_path, layout):
    values = np.random.default_rng(0).normal(size=(9, 5))
    path = tmp_path / "x.npy"
    if layout == "version 2":
        with path.open("wb") as file:
            np.lib.format.write_array(file, values, version=(2, 0))
    else:
        np.save(path, np.asfortranarray(values) if layout == "fortran" else values.astype(">f8"))
    np.testing.assert_array_equal(open_embeddings(path).read(), open_embeddings(values).read())


def test_a_set_is_returned_as_it_is():
    es = open_embeddings(np.eye(2))
    assert open_embeddings(es) is es


def test_norms_are_judged_and_stated(make_set, ragged):
    rng = np.random.default_rng(0)
    ones = [unit(part).astype(np.float16) for part in ragged]
    es = open_embeddings(make_set(ones, name="unit"))
    assert es.norms == "unit"
    assert es.describe()["norms"].startswith("unit (")
    es = open_embeddings(make_set(ragged, name="raw"))
    assert es.norms == "not unit"
    assert "normalised when read" in es.describe()["norms"]
    edge = unit(rng.normal(size=(4, 3))) * np.array([[1.009], [0.991], [1], [1]])
    assert open_embeddings(edge).norms == "unit"
    edge[0] *= 1.002
    assert open_embeddings(edge).norms == "not unit"


def test_mixed_norms_are_refused_with_a_choice(make_set, ragged):
    parts = [ragged[0], unit(ragged[2]).astype(np.float32)]
    folder = make_set(parts)
    with pytest.raises(InputError, match=r"mixed.*part-1.*part-0.*--norms normalize.*norms='normalize'"):
        open_embeddings(folder)
    es = open_embeddings(folder, norms="normalize")
    assert es.norms == "mixed"
    np.testing.assert_allclose(es.read(), unit(np.concatenate(parts)), rtol=1e-14)


def test_mixed_norms_that_the_first_look_misses_are_refused_in_the_pass(make_set):
    rng = np.random.default_rng(0)
    parts = [unit(rng.normal(size=(1000, 4))) for _ in range(2)]
    parts[1][501] *= 3  # among 1000 evenly spaced looks at 64, 16 apart, row 501 is none
    es = open_embeddings(make_set(parts))
    assert es.norms == "unit"
    for _ in range(2):  # a second pass is refused as the first was
        with pytest.raises(InputError, match="mixed"):
            es.read()
    es = open_embeddings(make_set(parts, name="again"), norms="normalize")
    np.testing.assert_allclose(es.read(), unit(np.concatenate(parts)), rtol=1e-14)
    assert es.norms == "mixed"


def test_memory_budget_bounds_batches_and_reads_but_not_results():
    values = np.random.default_rng(0).normal(size=(5000, 64)).astype(np.float32)
    least = 2 * 5000 * 64 * 12
    with pytest.raises(InputError, match=r"source: a tile needs 7\.7 MB, the memory budget is 7\.7 MB"):
        open_embeddings(values, memory=least - 1)
    es = open_embeddings(values, memory=least + 100 * 64 * 4)
    np.testing.assert_array_equal(np.concatenate(list(es.batches(100))), open_embeddings(values).read(np.float32))
    with pytest.raises(InputError, match="a batch of 101 rows needs"):
        next(es.batches(101))
    with pytest.raises(InputError, match="all 5000 rows needs"):
        es.read(np.float32)
    for words in ("2 elephants", "-1", "0"):
        with pytest.raises(InputError, match="2GB"):
            open_embeddings(values, memory=words)


def test_sample_is_keyed_by_seed_and_spread_over_the_set(make_set, ragged):
    es = open_embeddings(make_set(ragged))
    rows = es.sample_rows(5, seed=1)
    np.testing.assert_array_equal(rows, open_embeddings(np.concatenate(ragged)).sample_rows(5, seed=1))
    np.testing.assert_array_equal(es.sample(5, seed=1), es.read(np.float32)[rows])
    draws = np.array([open_embeddings(np.eye(10)).sample_rows(4, seed) for seed in range(400)])
    assert (np.diff(draws, axis=1) > 0).all()
    counts = np.bincount(draws.ravel(), minlength=10)
    # Each row is drawn 160 times in expectation; stretches of 2 and 3 rows give 133 and 200.
    assert counts.min() > 90
    assert counts.max() < 260
    with pytest.raises(InputError, match="ascend"):
        es.take(np.array([3, 3]))


def test_sets_travel_to_other_processes(make_set, ragged):
    import pickle

    es = open_embeddings(make_set(ragged))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(es)).read(), es.read())


def test_importing_the_room_loads_no_heavy_library():
    # The package's own __init__ loads more than this room, so it is stood in for.
    code = (
        "import sys, types\n"
        "package = sys.modules['anisoalign'] = types.ModuleType('anisoalign')\n"
        f"package.__path__ = [{str(Path(anisoalign.__file__).parent)!r}]\n"
        "import anisoalign.embeddings\n"
        "heavy = {'lance', 'datasets', 'pandas', 'sklearn', 'transformers', 'matplotlib', 'ray'}\n"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_anonymous_memory_does_not_grow_with_rows(tmp_path):
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("needs /proc to tell anonymous memory from mapped files")

    def anonymous() -> int:
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if "RssAnon" in line)

    for i in range(4):
        np.save(tmp_path / f"{i}.npy", np.ones((40_000, 512), np.float16))
    es = open_embeddings(tmp_path)
    grown, before = 0, anonymous()
    for tile in es.tiles():
        assert len(tile)
        grown = max(grown, anonymous() - before)
    # 160 MB are read as float32 tiles of 4 MB each; a few of them may be alive.
    assert grown < 40_000


def test_sets_read_in_turns_by_one_thread_do_not_share_memory(tmp_path):
    """Readers borrow the thread's memory; a second one that begins before the first has ended gets its own."""
    rows = np.random.default_rng(0).normal(size=(2, 300, 8)).astype(np.float32)
    for name, side in zip("ab", rows, strict=True):
        np.save(tmp_path / f"{name}.npy", side)
    first, second = (open_embeddings(tmp_path / f"{name}.npy") for name in "ab")
    assert len(first.read()) == 300  # leaves memory to be lent again
    readers = (es.shards[0].source.blocks(100) for es in (first, second))
    for at, ((one, _), (other, _)) in enumerate(zip(*readers, strict=True)):
        np.testing.assert_array_equal(one, rows[0, 100 * at : 100 * at + 100])
        np.testing.assert_array_equal(other, rows[1, 100 * at : 100 * at + 100])
