"""Digits that tell data from other data."""

import numpy as np
import pytest

from anisoalign.embeddings import checksum, convert, open_embeddings

ROWS = np.random.default_rng(0).normal(size=(5000, 300)).astype(np.float32)


@pytest.fixture
def whole(tmp_path) -> str:
    np.save(tmp_path / "rows.npy", ROWS)
    return checksum(open_embeddings(tmp_path / "rows.npy"))


@pytest.mark.parametrize("format", ["npy", "parquet", "safetensors", "arrow", "hf"])
def test_the_same_values_have_one_checksum_in_whatever_file(tmp_path, whole, format):
    assert checksum(convert(tmp_path / "rows.npy", tmp_path / "out", format)) == whole


@pytest.mark.parametrize("stored", [ROWS, np.asfortranarray(ROWS), ROWS.astype(">f4")])
def test_shards_order_in_memory_and_byte_order_do_not_matter(tmp_path, whole, stored):
    (tmp_path / "parts").mkdir()
    for index, part in enumerate((stored[:17], stored[17:3000], stored[3000:])):
        order = "F" if stored.flags.f_contiguous else "C"
        np.save(tmp_path / "parts" / f"part_{index}.npy", np.array(part, order=order))
    assert checksum(open_embeddings(tmp_path / "parts")) == whole


@pytest.mark.parametrize("row", [0, 16, 2500, 4999])
def test_any_value_matters(whole, row):
    other = ROWS.copy()
    other[row, -1] += 1e-6
    assert checksum(open_embeddings(other)) != whole


def test_the_shape_matters(whole):
    assert checksum(open_embeddings(ROWS.reshape(10000, 150))) != whole
