"""Ids and provenance beside single files: what belongs to one file is neither removed nor changed by another."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from anisoalign.embeddings import EmbeddingWriter, InputError, convert, open_embeddings

ROWS = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
IDS = ["a", "b", "c", "d", "e"]
MADE_BY = {"encoder": "hf:a", "fingerprint": "0a"}


@pytest.fixture
def text(tmp_path):
    """A file with its ids beside it."""
    np.save(tmp_path / "text.npy", ROWS)
    pq.write_table(pa.table({"id": IDS}), tmp_path / "text.ids.parquet")
    return tmp_path / "text.npy"


def tree(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def write(out, rows=ROWS, ids=None, **settings):
    with EmbeddingWriter(out, rows.shape[1], **settings) as writer, writer.shard(0, len(rows), ids=ids) as shard:
        shard.write(rows)
    return out


@pytest.mark.parametrize("ending", ["parquet", "arrow"])
def test_a_table_beside_its_source_leaves_the_ids_of_the_source_alone(text, ending):
    before = tree(text.parent)
    assert convert(text, text.with_suffix(f".{ending}")).ids().to_pylist() == IDS
    assert open_embeddings(text).ids().to_pylist() == IDS
    assert tree(text.parent).items() >= before.items()


def test_ids_of_two_files_never_share_a_place(text):
    before = tree(text.parent)
    for out, bad_rows in (("text.safetensors", "error"), ("text.safetensors", "drop")):
        with pytest.raises(InputError, match=r"share text\.ids\.parquet with text\.npy.*another name or folder"):
            convert(text, text.with_name(out), bad_rows=bad_rows)
    assert tree(text.parent) == before
    (text.parent / "text.ids.parquet").unlink()
    convert(text, text.with_suffix(".safetensors"))  # without ids there is nothing to share
    with pytest.raises(InputError, match=r"share text\.ids\.parquet with text\.npy"):
        write(text.with_suffix(".safetensors"), ids=IDS, overwrite=True)
    assert open_embeddings(text).ids() is None


def test_ids_without_their_vectors_are_not_taken_nor_lost(text):
    text.unlink()
    before = tree(text.parent)
    for ids in (None, IDS[::-1]):
        with pytest.raises(InputError, match=r"text\.ids\.parquet is there already"):
            write(text, ids=ids)
    assert tree(text.parent) == before
    assert open_embeddings(write(text, ids=IDS[::-1], overwrite=True)).ids().to_pylist() == IDS[::-1]
    assert open_embeddings(write(text, overwrite=True)).ids() is None


def test_the_ids_read_are_never_written_over(text):
    before = tree(text.parent)
    for out in ("text.ids.parquet", "other.ids.parquet"):
        with pytest.raises(InputError, match=r"where the rows come from|named as the ids"):
            convert(text, text.with_name(out), overwrite=True)
    assert tree(text.parent) == before


def test_what_is_said_of_one_file_is_not_said_of_another(tmp_path):
    text = write(tmp_path / "text.npy", provenance=MADE_BY)
    before = tree(tmp_path)
    for provenance in (None, {"encoder": "hf:b"}):
        with pytest.raises(InputError, match=r"share text\.provenance\.json with text\.npy"):
            write(tmp_path / "text.safetensors", provenance=provenance)
    assert tree(tmp_path) == before
    convert(text, tmp_path / "text.parquet")  # the same is said of both
    assert open_embeddings(tmp_path / "text.parquet").provenance == MADE_BY
    write(tmp_path / "plain.npy")
    with pytest.raises(InputError, match=r"share plain\.provenance\.json with plain\.npy"):
        write(tmp_path / "plain.parquet", provenance=MADE_BY)
    assert open_embeddings(tmp_path / "plain.npy").provenance is None


def test_a_lance_dataset_says_nothing_of_a_file_of_its_name(tmp_path):
    pytest.importorskip("lance", reason="the library that writes Lance is optional")
    write(tmp_path / "text.npy", provenance=MADE_BY)
    with pytest.raises(InputError, match=r"share text\.provenance\.json with text\.npy"):
        convert(ROWS, tmp_path / "text.lance")
    assert convert(tmp_path / "text.npy", tmp_path / "text.lance").provenance == MADE_BY
    with pytest.raises(InputError, match=r"share text\.provenance\.json with text\.lance"):
        write(tmp_path / "text.npy", provenance={"encoder": "hf:b"}, overwrite=True)


def test_what_is_said_of_a_file_is_not_said_of_the_folder_of_its_name(tmp_path):
    (tmp_path / "text").mkdir()
    np.save(tmp_path / "text" / "part_0.npy", ROWS)
    write(tmp_path / "text.npy", provenance=MADE_BY)
    assert open_embeddings(tmp_path / "text").provenance is None
    write(tmp_path / "set", provenance={"encoder": "hf:b"})
    (tmp_path / "set.provenance.json").write_text(json.dumps(MADE_BY))
    assert open_embeddings(tmp_path / "set").provenance == {"encoder": "hf:b"}
