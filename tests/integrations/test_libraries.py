"""What we write is read by the libraries whose formats they are, and the other way round."""

import numpy as np
import pytest

from anisoalign.embeddings import convert, open_embeddings
from anisoalign.geometry import normalize

pytestmark = pytest.mark.integration


@pytest.fixture
def rows() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(60, 6)).astype(np.float32)


def test_datasets_reads_what_we_write(rows, tmp_path):
    import datasets

    np.save(tmp_path / "rows.npy", rows)
    convert(tmp_path / "rows.npy", tmp_path / "hf", format="hf")
    found = datasets.load_from_disk(str(tmp_path / "hf")).with_format("numpy")["embedding"][:]
    np.testing.assert_array_equal(np.stack(found), rows)


def test_we_read_what_datasets_writes(rows, tmp_path):
    import datasets

    datasets.Dataset.from_dict({"id": list(range(60)), "embedding": rows.tolist()}).save_to_disk(str(tmp_path / "hf"))
    opened = open_embeddings(tmp_path / "hf")
    assert opened.ids().to_pylist() == list(range(60))
    np.testing.assert_allclose(opened.read(), rows / np.linalg.norm(rows, axis=1, keepdims=True), rtol=1e-6)


def test_faiss_finds_the_neighbours_that_torch_finds(monkeypatch):

    from anisoalign.diagnostics import neighbours
    from anisoalign.diagnostics import neighbours as function

    module = __import__(function.__module__, fromlist=["FAISS_ROWS"])
    rows = normalize(np.random.default_rng(1).normal(size=(3_000, 16))).astype(np.float32)
    exact = neighbours(rows, rows, 5, exclude=np.arange(3_000))
    monkeypatch.setattr(module, "FAISS_ROWS", 10)
    np.testing.assert_array_equal(np.sort(neighbours(rows, rows, 5, exclude=np.arange(3_000))), np.sort(exact))
