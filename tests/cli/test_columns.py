"""Files with several columns of vectors: each command has a flag to name one, and its messages say which."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from anisoalign.embeddings import open_embeddings


@pytest.fixture
def table(sides, tmp_path):
    """Both sets of `sides` and an alignment of the text, each a column of one parquet file."""
    text, image = np.load(sides.text), np.load(sides.image)
    aligned = text - text.mean(axis=0) + image.mean(axis=0)
    columns = {"text": text, "image": image, "aligned": aligned}
    width = text.shape[1]
    made = {name: pa.FixedSizeListArray.from_arrays(rows.reshape(-1), width) for name, rows in columns.items()}
    pq.write_table(pa.table(made), tmp_path / "all.parquet")
    return tmp_path / "all.parquet"


@pytest.mark.parametrize(
    ("arguments", "flag"),
    [
        (("diagnose", "--target", "T"), "--source-column"),
        (("diagnose", "--target", "T", "--source-column", "text"), "--target-column"),
        (("fit", "realign", "--target", "T", "--out", "M"), "--source-column"),
        (("plan", "realign", "--target", "T"), "--source-column"),
        (("compare", "--target", "T", "--source-column", "text"), "--target-column"),
        (
            ("evaluate", "--target", "T", "--aligned", "T", "--source-column", "text", "--target-column", "image"),
            "--aligned-column",
        ),
        (
            ("diagnose", "--target", "T", "--also", "x=T", "--source-column", "text", "--target-column", "image"),
            "anisoalign convert --column",
        ),
    ],
)
def test_a_message_names_the_flag_that_helps(run, table, tmp_path, arguments, flag):
    places = {"T": table, "x=T": f"x={table}", "M": tmp_path / "m"}
    ended = run(*(places.get(part, part) for part in arguments), "--source", table)
    assert ended.code == 2
    assert f"has several columns of vectors, say which with `{flag}`: text, image, aligned" in ended.err


def test_convert_names_its_flag_and_takes_a_column_out(run, table, sides, tmp_path):
    ended = run("convert", table, tmp_path / "text2.npy")
    assert (ended.code, "say which with `--column`: text, image" in ended.err) == (2, True)
    assert run("convert", table, tmp_path / "image2.npy", "--column", "image").code == 0
    np.testing.assert_array_equal(np.load(tmp_path / "image2.npy"), np.load(sides.image))


def test_convert_refuses_a_column_of_ids_that_is_none(run, table, tmp_path):
    ended = run("convert", table, tmp_path / "text2.npy", "--column", "text", "--id-column", "uid")
    assert (ended.code, ended.out) == (2, "")
    assert "has no column 'uid'" in ended.err
    assert not list(tmp_path.glob("text2*"))


def test_columns_that_do_not_go_along_are_named(run, table, sides, tmp_path):
    read = pq.read_table(table)
    box = pa.array(np.zeros((150, 4)).tolist(), pa.list_(pa.float32()))
    pq.write_table(read.append_column("box", box).append_column("page", pa.array(range(150))), table)
    assert run("fit", "mean-shift", "--source", sides.text, "--target", sides.image, "--out", tmp_path / "m").code == 0
    for command, out in (
        (("convert", table, tmp_path / "a.parquet", "--column", "text"), "a.parquet"),
        (("transform", tmp_path / "m", "--source", table, "--source-column", "text", "--out", tmp_path / "b"), "b"),
    ):
        ended = run(*command)
        assert ended.code == 0, ended.err
        assert "source: left out, as they could be taken for its vectors: aligned, box, image\n" in ended.err
        opened = open_embeddings(tmp_path / out)
        assert opened.metadata(0).column_names == ["page"]
        assert opened.left_out == []
    assert "left out" not in run("convert", sides.text, tmp_path / "c.npy").err


def test_evaluate_takes_all_three_from_one_file(run, table):
    columns = ("--source-column", "text", "--target-column", "image", "--aligned-column", "aligned")
    ended = run("evaluate", "--source", table, "--target", table, "--aligned", table, *columns, "--paired", "--json")
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["instance_consistency"] < 0.9
    assert json.loads(ended.out)["centroid_gap"] < 0.5
