"""Columns beside vectors are read by name and in order, and are never held whole."""

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from anisoalign.embeddings import InputError, convert, open_embeddings
from anisoalign.embeddings.beside import Columns, ColumnsFile, Cursor, joined, rows_of_group


def streamed(table: pa.Table, size: int, seen: list[int]) -> Columns:
    """Columns that note how many rows were read."""

    def stream(names):
        for batch in table.select(names).to_batches(max_chunksize=size):
            seen.append(batch.num_rows)
            yield batch

    return Columns(table.schema, table.num_rows, stream)


@pytest.mark.parametrize("size", [1, 7, 64, 1000])
def test_a_cursor_gives_what_taking_from_the_whole_table_gives(size):
    table = pa.table({"id": np.arange(1000), "word": [f"w{i}" for i in range(1000)]})
    generator, cursor, start = np.random.default_rng(0), Cursor(streamed(table, size, [])), 0
    while start < 1000:
        rows = np.arange(start, min(start + int(generator.integers(1, 90)), 1000))
        kept = rows[generator.random(len(rows)) < 0.8] if generator.random() < 0.5 else rows
        assert cursor.take(kept).to_pydict() == table.take(pa.array(kept)).to_pydict()
        start = int(rows[-1]) + 1


def test_a_cursor_reads_no_further_than_asked_and_lets_go_of_what_lies_behind():
    seen: list[int] = []
    before = pa.total_allocated_bytes()
    table = pa.table({"x": pa.array([bytes(1000)] * 1000)})
    cursor = Cursor(streamed(table, 10, seen))
    for start in range(0, 500, 10):
        cursor.take(np.arange(start, start + 10))
        assert sum(seen) == start + 10
    del table
    assert pa.total_allocated_bytes() > before
    assert not cursor._held


def test_a_cursor_says_where_columns_end_too_early():
    with pytest.raises(InputError, match="end at row 3, row 4 was asked for"):
        Cursor(Columns.held(pa.table({"id": [1, 2, 3]}))).take(np.array([0, 4]))


def test_a_cursor_holds_no_row_that_it_passes_over():
    table = pa.table({"x": pa.array([bytes(1000)] * 5000)})
    cursor = Cursor(streamed(table, 10, []))
    cursor.take(np.array([3]))
    cursor.take(np.array([4990]))
    assert sum(batch.num_rows for batch in cursor._held) <= 10


@pytest.mark.parametrize("rows", [[0, 2, 1], [5, 5]])
def test_a_cursor_refuses_rows_out_of_order(rows):
    with pytest.raises(ValueError, match="ascending order"):
        Cursor(Columns.held(pa.table({"id": np.arange(9)}))).take(np.array(rows))


def test_groups_with_other_dictionaries_go_into_one_arrow_file(tmp_path):
    """As pandas' categories in several row groups; a file of Arrow's own has room for one dictionary a column."""
    words = [f"{i // 10_000}-{i % 7}" for i in range(40_000)]
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.ones(40_000 * 512, np.float16)), 512)
    table = pa.table({"c": pa.array(words).dictionary_encode(), "v": vectors})
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=10_000)
    found = convert(tmp_path / "x.parquet", tmp_path / "o.arrow").metadata(0)
    assert found.column("c").to_pylist() == words


def test_ids_of_bytes_are_no_pictures():
    assert rows_of_group(pa.schema({"id": pa.binary()}), 8192) == 8192


def test_a_file_of_columns_is_gone_even_where_its_end_finds_no_room(tmp_path, monkeypatch):
    file = ColumnsFile(tmp_path / "x.parquet", pa.schema({"id": pa.int64()}))
    end = file._out.close

    def full():
        end()
        raise OSError("No space left on device")

    monkeypatch.setattr(file._out, "close", full)
    file.abandon()
    assert not (tmp_path / "x.parquet").exists()


def test_columns_that_parquet_does_not_know_are_refused_and_leave_no_file(tmp_path):
    with pytest.raises(InputError, match="cannot be kept in Parquet"):
        ColumnsFile(tmp_path / "x.parquet", pa.schema({"span": pa.month_day_nano_interval()}))
    assert not list(tmp_path.iterdir())


def test_shards_that_lack_a_column_have_nulls_there():
    parts = [pa.table({"id": [1, 2]}), pa.table({"url": ["c"], "id": pa.array([3], pa.int32())})]
    both = joined([Columns.held(part) for part in parts])
    assert both.read().to_pydict() == {"id": [1, 2, 3], "url": [None, None, "c"]}
    assert both.read(["id"]).schema == pa.schema([("id", pa.int64())])


def test_ids_are_read_without_the_columns_beside_them(tmp_path):
    """Other columns may be far larger: here one that cannot be read at all."""
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.ones(40 * 4, np.float32)), 4)
    words = [f"unreadable {i}" for i in range(40)]
    file = tmp_path / "x.parquet"
    pq.write_table(
        pa.table({"id": np.arange(40), "word": words, "v": vectors}), file, compression="none", use_dictionary=False
    )
    place = pq.ParquetFile(file).metadata.row_group(0).column(1)
    assert place.path_in_schema == "word"
    data = bytearray(file.read_bytes())
    data[place.data_page_offset : place.data_page_offset + 40] = b"\xff" * 40
    file.write_bytes(data)
    es = open_embeddings(file)
    assert es.ids().to_pylist() == list(range(40))
    with pytest.raises(InputError, match=r"x\.parquet is damaged"):
        es.metadata(0)


PICTURE, PICTURES = 1 << 14, 4000


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A table as `datasets` writes it: 64 MB of pictures beside vectors of 128 kB."""
    file = tmp_path_factory.mktemp("pictures") / "train.parquet"
    generator = np.random.default_rng(0)
    image = pa.StructArray.from_arrays(
        [
            pa.array([generator.bytes(PICTURE) for _ in range(PICTURES)]),
            pa.array([f"{i}.jpg" for i in range(PICTURES)]),
        ],
        names=["bytes", "path"],
    )
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(generator.random(8 * PICTURES, np.float32)), 8)
    pq.write_table(pa.table({"image": image, "embedding": vectors}), file, row_group_size=100)
    return file


@pytest.mark.parametrize("out", ["out", "out.npy", "out.parquet"])
def test_pictures_beside_vectors_go_along_and_are_never_held_whole(pictures, tmp_path, out):
    script = (
        "import sys, pyarrow as pa; from anisoalign.embeddings import convert; convert(*sys.argv[1:]);"
        "print(pa.default_memory_pool().max_memory())"
    )
    found = subprocess.run(
        [sys.executable, "-c", script, pictures, tmp_path / out], check=True, stdout=subprocess.PIPE
    ).stdout
    assert int(found) < PICTURE * PICTURES / 4
    before, after = pq.read_table(pictures).column("image"), open_embeddings(tmp_path / out).metadata(0)
    assert after.column("image").to_pylist() == before.to_pylist()


def test_tables_with_pictures_are_written_in_small_groups(pictures, tmp_path):
    convert(pictures, tmp_path / "out.parquet")
    found = pq.ParquetFile(tmp_path / "out.parquet").metadata
    assert max(found.row_group(i).num_rows for i in range(found.num_row_groups)) == 100
