"""`convert --like`: rows in step by their ids, from the command line."""

import json
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest


@pytest.fixture
def apart(sides):
    """Texts by number, and pictures in another order that lack three of them, by a column of another name."""
    order = np.random.default_rng(0).permutation(150)[3:]
    np.save(sides.image, np.load(sides.image)[order])
    pq.write_table(pa.table({"id": np.arange(150)}), sides.text.with_name("text.npy.ids.parquet"))
    pq.write_table(pa.table({"number": order}), sides.image.with_name("image.npy.ids.parquet"))
    return order


def test_sets_in_other_orders_become_pairs(run, sides, tmp_path, apart):
    lacking = sorted(set(range(150)) - set(apart.tolist()))
    image, text = tmp_path / "image-in-step.npy", tmp_path / "text-in-step.npy"
    to_text = ("convert", sides.image, image, "--id-column", "number", "--like", sides.text)
    refused = run(*to_text)
    assert refused.code == 2
    assert "3 of 150 rows of like have no row of their id in source, the first of them like: " in refused.err
    assert f"row {lacking[0]}, '{lacking[0]}'; leave such rows out with `--bad-rows drop`" in refused.err
    ended = run(*to_text, "--bad-rows", "drop")
    assert ended.code == 0, ended.err
    assert "plan: 150 rows from among 147, gathered in 1 stretch(es)" in ended.err
    assert "source: 3 bad row(s) dropped" in ended.err
    assert f"row {lacking[0]}: has no vector of its id" in ended.err
    assert [
        item["row"] for item in json.loads((tmp_path / f"{image.name}.dropped.json").read_text())["dropped"]
    ] == lacking
    assert run("convert", sides.text, text, "--like", image, "--like-id-column", "number").code == 0
    np.testing.assert_array_equal(np.load(text), np.delete(np.load(sides.text), lacking, axis=0))
    ended = run("diagnose", "--source", text, "--target", image, "--paired", "--json")
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["paired_cosine"] > json.loads(ended.out)["centroid_cosine"]


def test_the_plan_counts_columns(run, sides, tmp_path, apart):
    table = pa.table({"number": apart, "text": ["x" * 100_000] * len(apart)})
    pq.write_table(table, sides.image.with_name("image.npy.ids.parquet"))
    options = ("--id-column", "number", "--like", sides.text, "--bad-rows", "drop")
    ended = run("convert", sides.image, tmp_path / "out.npy", *options)
    assert ended.code == 0, ended.err
    assert 14.7 < float(re.search(r"about ([\d.]+) MB of memory", ended.err)[1]) < 16


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--like-id-column", "id"), "--like-id-column speaks of the set that --like names"),
        (("--like-column", "x"), "--like-column speaks of the set that --like names"),
        (("--like", "text.npy", "--engine", "ray"), "--engine carries out passes over files"),
        (("--like", "none.npy"), "none.npy does not exist"),
        (("--like", "two.parquet"), "--like-column"),
    ],
)
def test_options_of_another_set_are_refused_where_there_is_none(
    run, sides, tmp_path, monkeypatch, apart, more, message
):
    monkeypatch.chdir(tmp_path)
    pq.write_table(pa.table({"id": [1], "a": [[1.0]], "b": [[1.0]]}), "two.parquet")
    ended = run("convert", sides.image, tmp_path / "out.npy", *more)
    assert (ended.code, message in ended.err) == (2, True), ended.err
    assert not (tmp_path / "out.npy").exists()
