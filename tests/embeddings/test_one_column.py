"""Shards that hold their vectors under different names are no set, unless a name is asked for that all have."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_sets import vector_column
from safetensors.numpy import save_file

from anisoalign.embeddings import InputError, open_embeddings

ROWS = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)


def parquet(folder, *names, rows=ROWS):
    folder.mkdir(exist_ok=True)
    for name in names:
        column = vector_column(rows, "fixed")
        pq.write_table(pa.table({name: column}), folder / f"part-{len(list(folder.iterdir()))}.parquet")
    return folder


def safetensors(folder, **keys):
    folder.mkdir()
    for stem, key in keys.items():
        save_file({key: ROWS}, folder / f"{stem}.safetensors")
    return folder


def test_a_shard_whose_vectors_go_by_another_name_is_refused_with_both(tmp_path, run):
    folder = parquet(tmp_path / "set", *["text_embedding"] * 3, "image_embedding")
    ended = run("diagnose", "--source", folder, "--target", folder)
    assert ended.code == 2
    for named in ("part-0.parquet", "'text_embedding'", "part-3.parquet", "'image_embedding'"):
        assert named in ended.err
    assert ended.err.count("anisoalign: ") == 1


def test_a_column_that_is_asked_for_is_one(tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    for number, other in enumerate("ab"):
        columns = {"text": vector_column(ROWS, "fixed"), other: vector_column(-ROWS, "fixed")}
        pq.write_table(pa.table(columns), folder / f"part-{number}.parquet")
    unit = ROWS / np.linalg.norm(ROWS, axis=1, keepdims=True)
    np.testing.assert_allclose(open_embeddings(folder, column="text").read(), [*unit, *unit], rtol=1e-6)


def test_a_shard_without_rows_has_no_say(tmp_path):
    folder = parquet(tmp_path / "set", "text")
    parquet(folder, "nothing", rows=ROWS[:0])
    assert open_embeddings(folder).rows == 4


@pytest.mark.parametrize(
    "keys",
    [
        {"part_0": "0", "part_1": "1"},
        {"part_0": "emb_000", "part_1": "emb_001"},
        {"first": "first", "second": "second"},
        {"first": "embeddings", "second": "embeddings"},
    ],
)
def test_keys_that_are_called_as_their_files_are_go_together(tmp_path, keys):
    assert open_embeddings(safetensors(tmp_path / "set", **keys)).rows == 8


@pytest.mark.parametrize(
    "keys",
    [
        {"part_0": "text", "part_1": "image"},
        {"part_0": "layer_11", "part_1": "layer_11", "part_2": "layer_12"},
    ],
)
def test_keys_of_other_names_are_refused(tmp_path, keys):
    with pytest.raises(InputError, match=r"different names.*part_0.*part_"):
        open_embeddings(safetensors(tmp_path / "set", **keys))


def test_a_column_for_each_coordinate_is_told_in_short_and_with_a_way(tmp_path):
    wide = pa.table({f"dim_{i}": pa.array([0.5, 1.0]) for i in range(512)})
    pq.write_table(wide, tmp_path / "wide.parquet")
    with pytest.raises(InputError, match=r"dim_7 .* and 504 more; 512 of them hold one number a row: make one") as told:
        open_embeddings(tmp_path / "wide.parquet")
    assert len(str(told.value)) < 400 + len(str(tmp_path))
