"""Statistics do not depend on how the rows were cut, in which order parts met, or a stop in between."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anisoalign.embeddings import open_embeddings
from anisoalign.statistics import Moments, keyed_normal, keyed_uniform, measure

SEEDS = st.integers(0, 2**32 - 1)
EXACT = 1e-12


@st.composite
def cut_sets(draw):
    """Unit rows of a narrow cone, cut into parts (some empty), each part into batches, and an order of parts."""
    rng = np.random.default_rng(draw(SEEDS))
    n, d = draw(st.integers(1, 60)), draw(st.integers(1, 7))
    rows = rng.normal(size=(n, d)) + draw(st.sampled_from([0.0, 3.0, 30.0]))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    cuts = sorted(draw(st.lists(st.integers(0, n), max_size=5)))
    parts = np.split(rows, cuts)
    batches = [np.array_split(part, draw(st.integers(1, 4))) for part in parts]
    return rows, batches, draw(st.permutations(range(len(parts))))


def accumulate(batches, dim, order="full"):
    moments = Moments.empty(dim, order)
    for batch in batches:
        moments.update(batch)
    return moments


def assert_same(a: Moments, b: Moments, tolerance: float = EXACT) -> None:
    assert a.n == b.n
    np.testing.assert_allclose(a.mean, b.mean, rtol=0, atol=tolerance)
    if a.order != "mean":
        np.testing.assert_allclose(a.m2 / a.n, b.m2 / b.n, rtol=0, atol=tolerance)


@given(cut_sets(), st.sampled_from(["mean", "diagonal", "full"]))
def test_any_cut_and_merge_order_gives_the_same_moments(case, order):
    rows, batches, permutation = case
    whole = accumulate([rows], rows.shape[1], order)
    parts = [accumulate(part, rows.shape[1], order) for part in batches]
    merged = Moments.empty(rows.shape[1], order)
    for number in permutation:
        merged.merge(parts[number])
    assert_same(whole, merged)


@given(cut_sets())
def test_merging_as_a_tree_gives_the_same_moments(case):
    rows, batches, _ = case
    parts = [accumulate(part, rows.shape[1]) for part in batches]
    while len(parts) > 1:
        parts = [a.merge(b) for a, b in zip(parts[::2], parts[1::2], strict=False)] + parts[len(parts) // 2 * 2 :]
    assert_same(accumulate([rows], rows.shape[1]), parts[0])


@given(cut_sets())
def test_saving_in_between_changes_no_bit(tmp_path_factory, case):
    rows, batches, _ = case
    file = tmp_path_factory.mktemp("moments") / "half.safetensors"
    straight, stopped = Moments.empty(rows.shape[1]), Moments.empty(rows.shape[1])
    for part in batches:
        for batch in part:
            straight.update(batch)
            stopped.update(batch).save(file)
            stopped = Moments.load(file)
    assert straight.n == stopped.n
    assert straight.mean.tobytes() == stopped.mean.tobytes()
    assert straight.m2.tobytes() == stopped.m2.tobytes()


@given(cut_sets())
def test_lower_orders_agree_with_the_full_one(case):
    rows, _, _ = case
    full = accumulate([rows], rows.shape[1])
    for order in ("mean", "diagonal", "full"):
        less = accumulate([rows], rows.shape[1], order)
        assert (less.order, less.n) == (order, full.n)
        np.testing.assert_allclose(less.mean, full.mean, rtol=EXACT, atol=EXACT)
        # Unit rows: the trace needs no second moment.
        assert less.trace == pytest.approx(full.trace, abs=EXACT)
        if order != "mean":
            np.testing.assert_allclose(less.variance, full.variance, rtol=EXACT, atol=EXACT)


@given(st.lists(st.integers(0, 40), min_size=1, max_size=5).filter(sum), SEEDS)
def test_a_folder_of_shards_measures_like_the_array(tmp_path_factory, write_shards, sizes, seed):
    rows = np.random.default_rng(seed).normal(size=(sum(sizes), 5)) + 1.0
    folder = write_shards(tmp_path_factory.mktemp("set") / "shards", rows, sizes)
    assert_same(measure(rows), measure(open_embeddings(folder)))


def test_a_large_mean_costs_no_digits():
    rows = np.random.default_rng(0).normal(size=(5000, 4)) @ np.diag([1.0, 2.0, 3.0, 4.0])
    near, far = accumulate(np.array_split(rows, 7), 4), accumulate(np.array_split(rows + 1e6, 7), 4)
    np.testing.assert_allclose(far.covariance, near.covariance, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("offset", [0.0, 0.3, 2.0])
def test_float32_moments_agree_with_float64_to_1e_6(offset):
    rows = (np.random.default_rng(1).normal(size=(20_000, 48)) * 0.9 ** np.arange(48) + offset).astype(np.float32)
    exact, quick = measure(rows, dtype="float64"), measure(rows, dtype="float32")
    assert quick.mean.dtype == quick.m2.dtype == np.float64
    assert np.linalg.norm(quick.mean - exact.mean) < 1e-6 * np.linalg.norm(exact.mean)
    assert np.linalg.norm(quick.covariance - exact.covariance) < 1e-6 * np.linalg.norm(exact.covariance)


def test_updating_leaves_the_rows_alone_and_returns_self():
    rows = np.random.default_rng(0).normal(size=(10, 3))
    before, moments = rows.copy(), Moments.empty(3)
    assert moments.update(rows) is moments
    assert moments.merge(Moments.empty(3)) is moments
    np.testing.assert_array_equal(rows, before)


def test_moments_that_cannot_meet_say_why():
    with pytest.raises(ValueError, match=r"width 3, order 'full' cannot take in moments of width 4, order 'full'"):
        Moments.empty(3).merge(Moments.empty(4))
    with pytest.raises(ValueError, match="order 'mean'"):
        Moments.empty(3).merge(Moments.empty(3, "mean"))
    with pytest.raises(ValueError, match="hold no covariance"):
        _ = Moments.empty(3, "diagonal").covariance
    with pytest.raises(ValueError, match="hold no variances"):
        _ = Moments.empty(3, "mean").variance


@given(
    st.lists(st.integers(0, 10**12), min_size=1, max_size=30),
    st.integers(1, 9),
    st.integers(0, 2**63),
    st.data(),
)
def test_keyed_numbers_belong_to_the_row(rows, width, seed, data):
    rows = np.array(rows)
    together = keyed_uniform(seed, rows, width)
    order = np.array(data.draw(st.permutations(range(len(rows)))))
    np.testing.assert_array_equal(keyed_uniform(seed, rows[order], width), together[order])
    cut = data.draw(st.integers(0, len(rows)))
    apart = np.concatenate([keyed_uniform(seed, part, width) for part in np.split(rows, [cut])])
    np.testing.assert_array_equal(apart, together)


@given(st.integers(1, 9), st.integers(0, 100), st.integers(1, 40), st.integers(0, 40))
def test_keyed_numbers_of_a_run_are_those_of_its_rows(width, first, count, cut):
    rows = np.arange(first, first + count)
    alone = np.concatenate([keyed_normal(7, rows[i : i + 1], width) for i in range(count)])
    np.testing.assert_array_equal(keyed_normal(7, rows, width), alone)
    parts = [keyed_normal(7, part, width) for part in np.split(rows, [min(cut, count)])]
    np.testing.assert_array_equal(np.concatenate(parts), alone)


@pytest.mark.parametrize("width", [1, 3, 4, 7])
def test_keyed_numbers_repeat_neither_between_rows_nor_between_seeds(width):
    draws = np.concatenate([keyed_uniform(seed, np.arange(500), width).ravel() for seed in (0, 1)])
    assert len(np.unique(draws)) == draws.size


def test_keyed_normals_are_standard_normal():
    from scipy.stats import kstest

    draws = keyed_normal(3, np.arange(4000), 5)
    assert kstest(draws.ravel(), "norm").pvalue > 0.01
    np.testing.assert_allclose(np.corrcoef(draws.T), np.eye(5), atol=0.06)  # coordinates do not go together
    assert abs(np.corrcoef(draws[:-1, 0], draws[1:, 0])[0, 1]) < 0.06  # nor do neighbouring rows


def test_moments_load_reads_a_path_given_as_text(tmp_path: Path):
    moments = Moments.empty(2, "diagonal").update(np.eye(2))
    moments.save(str(tmp_path / "m.safetensors"))
    assert Moments.load(str(tmp_path / "m.safetensors")).order == "diagonal"


def test_what_is_no_file_of_moments_is_told(tmp_path):
    (tmp_path / "x.safetensors").write_bytes(b"no such thing")
    with pytest.raises(ValueError, match="no safetensors file"):
        Moments.load(tmp_path / "x.safetensors")
