"""Sets named by where one stands: `.` and `..` are the folders that they stand for."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from anisoalign.embeddings import InputError, convert, open_embeddings
from anisoalign.embeddings.model_folder import check_model_place

ROWS = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)


@pytest.mark.parametrize("dots", [".", ".."])
def test_a_folder_is_read_from_within(tmp_path, monkeypatch, dots):
    whole = convert(ROWS, tmp_path / "set")
    (tmp_path / "set" / "within").mkdir()
    monkeypatch.chdir(tmp_path / "set" / ("" if dots == "." else "within"))
    np.testing.assert_array_equal(open_embeddings(dots).read(), whole.read())
    assert convert(dots, tmp_path / "again.parquet").rows == 5


def test_a_lance_dataset_is_read_from_within(tmp_path, monkeypatch):
    pytest.importorskip("lance", reason="the library that writes Lance is optional")
    convert(ROWS, tmp_path / "x.lance")
    (tmp_path / "x.provenance.json").write_text('{"encoder": "hf:a"}')
    monkeypatch.chdir(tmp_path / "x.lance")
    assert open_embeddings(".").provenance == {"encoder": "hf:a"}


def test_from_within_manifests_and_unfinished_runs_count_as_from_without(tmp_path, monkeypatch):
    convert(ROWS, tmp_path / "set")
    np.save(tmp_path / "set" / "more_001.npy", ROWS)
    monkeypatch.chdir(tmp_path / "set")
    with pytest.raises(InputError, match=r"more_001\.npy is not listed in manifest\.json"):
        open_embeddings(".")
    (tmp_path / "set").rename(tmp_path / "set.partial")
    with pytest.raises(InputError, match="unfinished run"):
        open_embeddings(".")


@pytest.mark.parametrize("name", [".", "img_emb_0.npy"])
def test_from_within_the_metadata_of_clip_retrieval_are_found(tmp_path, monkeypatch, name):
    (tmp_path / "img_emb").mkdir()
    (tmp_path / "metadata").mkdir()
    np.save(tmp_path / "img_emb" / "img_emb_0.npy", ROWS)
    pq.write_table(pa.table({"id": list("abcde")}), tmp_path / "metadata" / "metadata_0.parquet")
    monkeypatch.chdir(tmp_path / "img_emb")
    assert open_embeddings(name).ids().to_pylist() == list("abcde")


def test_no_model_takes_the_place_where_one_stands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"\. is no name for a model"):
        check_model_place(tmp_path.__class__("."), lambda path: True)
