"""What an engine carries out elsewhere is what this process would have done, to the last bit."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scale_files import same_files

import anisoalign as aa
from anisoalign.aligners import METHODS
from anisoalign.embeddings import InputError, engine_used, open_embeddings
from anisoalign.statistics import Moments, measure
from anisoalign.statistics.tree import FAN_IN, TreeSum, grouped, level_for

FITTED = [name for name in METHODS if name not in ("identity",)]


def sums(parts, level):
    total = TreeSum(partial(Moments.empty, 3))
    for group in grouped(parts, level):
        node = TreeSum(partial(Moments.empty, 3))
        for part in group:
            node.add(part)
        total.add(node.total(), level)
    return total.total()


@given(st.integers(0, 3 * FAN_IN**2), st.integers(0, 4), st.integers(0, 100))
def test_the_bits_of_a_sum_do_not_depend_on_the_level_at_which_nodes_are_made(count, level, seed):
    rows = np.random.default_rng(seed).normal(size=(count, 4, 3))
    parts = [Moments.empty(3).update(part.copy()) for part in rows]
    one, other = sums(parts, 0), sums(parts, level)
    assert one.n == other.n == 4 * count
    np.testing.assert_array_equal(one.mean, other.mean)
    np.testing.assert_array_equal(one.m2, other.m2)
    if count:
        np.testing.assert_allclose(one.covariance, np.cov(rows.reshape(-1, 3).T, bias=True), atol=1e-12)


@given(st.integers(1, 5000), st.integers(1, 300))
def test_nodes_are_as_large_as_still_keeps_all_hands_busy(parts, groups):
    level = level_for(parts, groups)
    assert len(grouped(range(parts), level)) >= min(groups, parts)
    assert len(grouped(range(parts), level + 1)) < max(groups, 2)


@pytest.mark.parametrize("order", ["mean", "diagonal", "full"])
def test_statistics_elsewhere_have_the_same_bits(sharded, elsewhere, order):
    here = measure(open_embeddings(sharded.source), order)
    told = []
    with engine_used(elsewhere):
        there = measure(open_embeddings(sharded.source), order, progress=told.append)
    assert elsewhere.parts > 1
    assert sum(told) == here.n == there.n == 660
    np.testing.assert_array_equal(here.mean, there.mean)
    np.testing.assert_array_equal(here.m2, there.m2)


@pytest.mark.parametrize("name", FITTED)
def test_every_method_is_fitted_and_applied_elsewhere_to_the_same_bytes(sharded, elsewhere, tmp_path, name):
    params = {"strength": 0.5} if name == "aniso-align" else {}
    here = METHODS[name](**params).fit(sharded.source, sharded.target)
    here.transform(sharded.source, tmp_path / "here")
    with engine_used(elsewhere):
        there = METHODS[name](**params).fit(sharded.source, sharded.target)
        there.transform(sharded.source, tmp_path / "there")
    here.save(tmp_path / "a")
    there.save(tmp_path / "b")
    same_files(tmp_path / "a", tmp_path / "b")
    same_files(tmp_path / "here", tmp_path / "there")
    assert elsewhere.parts > 11
    assert aa.open_embeddings(tmp_path / "there").ids().to_pylist() == [f"row {i}" for i in range(660)]


def test_radii_and_phases_of_all_rows_are_summed_elsewhere_to_the_same_bytes(sharded, elsewhere, tmp_path):
    model = partial(aa.AnisoAlign.paper, rank=4, fit_rows=100, prior_steps=10, refine_steps=5, force=True)
    told = []
    here = model().fit(sharded.source, sharded.target, progress=told.append)
    with engine_used(elsewhere):
        there = model().fit(sharded.source, sharded.target)
    here.save(tmp_path / "a")
    there.save(tmp_path / "b")
    same_files(tmp_path / "a", tmp_path / "b")
    y, x = aa.open_embeddings(sharded.source).rows, aa.open_embeddings(sharded.target).rows
    of_source, of_target = here.passes(y, x)
    assert (of_source, of_target) == (3, 2)
    assert sum(told) == of_source * y + of_target * x


@pytest.mark.parametrize("name", METHODS)
def test_a_fit_reads_as_often_as_it_says(sharded, name):
    told = []
    params = {"strength": 0.5} if name == "aniso-align" else {}
    model = METHODS[name](**params).fit(sharded.source, sharded.target, progress=told.append)
    y, x = (aa.open_embeddings(path).rows for path in (sharded.source, sharded.target))
    of_source, of_target = model.passes(y, x)
    assert sum(told) == of_source * y + of_target * x


def test_bad_rows_found_elsewhere_are_known_here(sharded, elsewhere, tmp_path):
    shard = np.load(sharded.source / "part-007.npy")
    shard[[3, 9]] = np.nan
    np.save(sharded.source / "part-007.npy", shard)
    with engine_used(elsewhere), pytest.raises(InputError, match=r"part-007.npy, shard 7, row 3 .*holds NaN"):
        measure(open_embeddings(sharded.source))
    here = open_embeddings(sharded.source, bad_rows="drop")
    model = aa.ReAlign().fit(here, sharded.target)
    model.transform(here, tmp_path / "here")
    with engine_used(elsewhere):
        there = open_embeddings(sharded.source, bad_rows="drop")
        np.testing.assert_array_equal(there.kept(), here.kept())
        again = open_embeddings(sharded.source, bad_rows="drop")
        model.transform(again, tmp_path / "there")
    assert there.dropped == again.dropped == here.dropped
    assert [row.row for row in there.dropped] == [3, 9]
    same_files(tmp_path / "here", tmp_path / "there")


def test_mixed_norms_that_only_a_pass_elsewhere_sees_are_refused(tmp_path, elsewhere, write_shards):
    rows = np.random.default_rng(0).normal(size=(1000, 4))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    rows[1] *= 3  # a row that the first look, at every eighth, does not see
    folder = write_shards(tmp_path / "set", rows, [500, 500])
    with engine_used(elsewhere), pytest.raises(InputError, match="norms are mixed"):
        measure(open_embeddings(folder))


def test_a_transform_interrupted_here_is_continued_elsewhere(sharded, elsewhere, tmp_path):
    model = aa.ReAlign().fit(sharded.source, sharded.target)
    del model.source_energy_  # nothing to hold the rows against, so that no part but those transformed is asked for
    model.transform(sharded.source, tmp_path / "whole")

    def stop(rows):
        stop.seen += rows
        if stop.seen > 300:
            raise KeyboardInterrupt

    stop.seen = 0
    with pytest.raises(KeyboardInterrupt):
        model.transform(sharded.source, tmp_path / "out", progress=stop)
    done = len(list((tmp_path / "out.partial").glob("*.npy")))
    assert 0 < done < 11
    with engine_used(elsewhere):
        model.transform(sharded.source, tmp_path / "out")
    assert elsewhere.parts == 11 - done
    same_files(tmp_path / "whole", tmp_path / "out")


def test_evaluation_elsewhere_reads_the_same_rows(sharded, elsewhere, tmp_path):
    model = aa.ReAlign().fit(sharded.source, sharded.target)
    model.transform(sharded.source, tmp_path / "z")
    here = aa.evaluate(sharded.source, sharded.target, tmp_path / "z", paired=True)
    with engine_used(elsewhere):
        assert aa.evaluate(sharded.source, sharded.target, tmp_path / "z", paired=True) == here
    assert elsewhere.parts == 11 + 5 + 11


def test_rows_in_memory_are_done_here(sharded, elsewhere):
    with engine_used(elsewhere):
        measure(np.eye(4))
    assert elsewhere.parts == 0


def test_one_file_is_written_by_one_process(sharded, elsewhere, tmp_path):
    model = aa.ReAlign().fit(sharded.source, sharded.target)
    with engine_used(elsewhere), pytest.raises(InputError, match="single file"):
        model.transform(sharded.source, tmp_path / "z.npy")
    assert not list(tmp_path.glob("*z.npy*"))
