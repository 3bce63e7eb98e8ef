"""Columns of many lists have one type each, whatever each of the lists holds; none is taken for the vectors."""

import datetime
import json
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from anisoalign.encoders.encoding import columns_of
from anisoalign.encoders.finding import find_items

LONG = 2**53 + 1


def as_table(items) -> pa.Table:
    return columns_of(list(items.read(0, items.rows)), items.columns)


def of_lines(folder, *shards) -> pa.Table:
    """Column `x` of JSON Lists with these values."""
    for number, values in enumerate(shards):
        lines = [json.dumps({"text": "t", "x": value}) for value in values]
        (folder / f"{number}.jsonl").write_text("\n".join(lines) + "\n")
    return as_table(find_items(f"{folder}/*.jsonl", ("text",)))


def of_parquet(folder, *shards, **options) -> pa.Table:
    """The same of Parquet files."""
    for number, values in enumerate(shards):
        table = pa.table({"text": ["t"] * len(values), "x": values})
        pq.write_table(table, folder / f"{number}.parquet", **options)
    return as_table(find_items(f"{folder}/*.parquet", ("text",)))


@pytest.mark.parametrize(
    ("shards", "kind", "values"),
    [
        ([[None], [0.5]], pa.float64(), [None, 0.5]),
        ([[None], [3]], pa.int64(), [None, 3]),
        ([[None], [None]], pa.string(), [None, None]),
        ([[1], ["a"], [None, True]], pa.string(), ["1", "a", None, "true"]),
        ([[1], [0.5]], pa.float64(), [1.0, 0.5]),
        ([[LONG], [0.5]], pa.string(), [str(LONG), "0.5"]),
        ([[LONG], [3]], pa.int64(), [LONG, 3]),
        ([[0.5, LONG]], pa.string(), ["0.5", str(LONG)]),
        ([[LONG, 0.5]], pa.string(), [str(LONG), "0.5"]),
        ([[LONG, None, 1]], pa.int64(), [LONG, None, 1]),
        ([[1, 2**53, 0.5]], pa.float64(), [1.0, 2.0**53, 0.5]),
    ],
)
def test_lists_of_json(tmp_path, shards, kind, values):
    table = of_lines(tmp_path, *shards)
    assert table.schema.field("x").type == kind
    assert table.column("x").to_pylist() == values


DAY, MOMENT = datetime.date(2024, 1, 2), datetime.datetime(2024, 1, 2, 3)


@pytest.mark.parametrize(
    ("shards", "kind", "values"),
    [
        ([pa.array([1]), pa.array(["a"])], pa.string(), ["1", "a"]),
        ([pa.nulls(1), pa.array([1])], pa.int64(), [None, 1]),
        ([pa.nulls(1), pa.nulls(1)], pa.string(), [None, None]),
        ([pa.array([1], pa.int8()), pa.array([1000], pa.int32())], pa.int32(), [1, 1000]),
        ([pa.array([-1]), pa.array([2**64 - 1], pa.uint64())], pa.string(), ["-1", str(2**64 - 1)]),
        ([pa.array([3]), pa.array([0.5])], pa.float64(), [3.0, 0.5]),
        ([pa.array([3]), pa.array([0.5], pa.float32())], pa.float64(), [3.0, 0.5]),
        ([pa.array([LONG]), pa.array([0.5])], pa.string(), [str(LONG), "0.5"]),
        ([pa.array([DAY]), pa.array([MOMENT])], pa.string(), ["2024-01-02", "2024-01-02 03:00:00"]),
        ([pa.array([MOMENT], pa.timestamp("us")), pa.array([MOMENT], pa.timestamp("s"))], pa.timestamp("us"), None),
        ([pa.array([Decimal("1.5")]), pa.array([0.5])], pa.string(), ["1.5", "0.5"]),
        ([pa.array([[]], pa.list_(pa.null())), pa.array([["a"]])], pa.list_(pa.string()), [[], ["a"]]),
        ([pa.array([{"a": 1}]), pa.array([{"a": 2, "b": "x"}])], None, [{"a": 1, "b": None}, {"a": 2, "b": "x"}]),
        ([pa.array([{"a": 1}]), pa.array([{"a": "x"}])], pa.string(), ['{"a": 1}', '{"a": "x"}']),
        ([pa.array([["a"]]), pa.array([DAY])], pa.string(), ['["a"]', "2024-01-02"]),
        ([pa.array(["a"]).dictionary_encode(), pa.array(["b"])], pa.string(), ["a", "b"]),
        ([pa.array(["a"], pa.large_string()), pa.array(["b"])], pa.large_string(), ["a", "b"]),
    ],
)
def test_parquet_files(tmp_path, shards, kind, values):
    table = of_parquet(tmp_path, *shards)
    assert kind is None or table.schema.field("x").type == kind
    assert table.column("x").to_pylist() == (values or [MOMENT, MOMENT])


def test_integers_of_unknown_size_beside_floats_are_kept_as_texts(tmp_path):
    table = of_parquet(tmp_path, pa.array([LONG]), pa.array([0.5]), write_statistics=False)
    assert table.column("x").to_pylist() == [str(LONG), "0.5"]


def test_integers_that_are_all_null_are_no_reason_for_text(tmp_path):
    table = of_parquet(tmp_path, pa.array([None, None], pa.int64()), pa.array([0.5]))
    assert table.column("x").to_pylist() == [None, None, 0.5]


def test_lists_of_both_kinds(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "t", "x": 1, "y": 2}\n')
    pq.write_table(pa.table({"text": ["t"], "x": ["a"]}), tmp_path / "b.parquet")
    table = as_table(find_items(f"{tmp_path}/{{a.jsonl,b.parquet}}", ("text",)))
    assert table.column("x").to_pylist() == ["1", "a"]
    assert table.column("y").to_pylist() == [2, None]


def test_vectors_beside_do_not_go_along(tmp_path):
    fixed = pa.FixedSizeListArray.from_arrays(pa.array(np.ones(8, np.float32)), 4)
    names = pa.array([["a"], ["b"]])
    table = pa.table({"text": ["a", "b"], "bbox": pa.array([[0.5], [1.5]]), "old": fixed, "names": names})
    pq.write_table(table, tmp_path / "a.parquet")
    items = find_items(tmp_path / "a.parquet", ("text",))
    assert items.columns.names == ["caption", "names"]
    assert as_table(items).column_names == ["id", "caption", "names"]
    (note,) = items.notes()
    assert note == f"{tmp_path / 'a.parquet'}: lists of floats do not go along, only one may be the vectors: bbox, old"


def test_rows_of_a_large_group_are_read_in_pieces(tmp_path):
    photos = pa.array([np.random.default_rng(i).bytes(1 << 18) for i in range(256)])
    # A page is read whole; a writer that looks at its size after each row makes small ones.
    options = {"compression": "none", "use_dictionary": False, "write_batch_size": 1}
    pq.write_table(pa.table({"image": photos}), tmp_path / "a.parquet", **options)
    del photos
    items = find_items(tmp_path / "a.parquet", ("image",))
    before = pa.total_allocated_bytes()
    held = [pa.total_allocated_bytes() - before for item in items.read(0, 2)]
    assert max(held) < 4 << 20
    held = [pa.total_allocated_bytes() - before for item in items.read(0, 256)]
    assert max(held) < 48 << 20  # of a group of 64 MiB
