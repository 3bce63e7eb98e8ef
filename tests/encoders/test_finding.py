"""What folders and patterns stand for: each item once, and all of them."""

import json
import re
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_items import PNG, write_tar

from anisoalign.embeddings import InputError
from anisoalign.encoders.finding import check_there, find_items


@pytest.fixture
def img2dataset(tmp_path):
    """Shards as img2dataset leaves them: a tar, its table and its statistics."""
    folder = tmp_path / "laion"
    folder.mkdir()
    for shard in range(2):
        samples, rows = [], []
        for i in range(3):
            key, text = f"{shard:05d}{i:04d}", f"text {shard} {i}"
            samples += [(f"{key}.jpg", PNG), (f"{key}.json", b"{}"), (f"{key}.txt", text.encode())]
            rows.append({"key": key, "caption": text, "url": "http://x", "status": "success"})
        write_tar(folder / f"{shard:05d}.tar", samples)
        pq.write_table(pa.Table.from_pylist(rows), folder / f"{shard:05d}.parquet")
        (folder / f"{shard:05d}_stats.json").write_text("{}")
    return folder


@pytest.mark.parametrize("kinds", [("text",), ("image", "text")])
def test_a_folder_of_img2dataset_is_its_tars(img2dataset, kinds):
    items = find_items(img2dataset, kinds)
    assert items.rows == 6
    assert [item.columns["caption"] for item in items.read(2, 4)] == ["text 0 2", "text 1 0"]
    (note,) = items.notes()
    assert note == (
        f"{img2dataset}: the tars are taken (2), the .parquet files of the same names are not; "
        f"'{img2dataset}/*.parquet' names those"
    )


def test_tars_beside_other_tables_are_not_guessed_about(img2dataset):
    shutil.copy(img2dataset / "00000.parquet", img2dataset / "00002.parquet")
    with pytest.raises(InputError, match=r"holds tars and .parquet files.*laion/\*\.tar.*laion/\*\.parquet"):
        find_items(img2dataset, ("text",))
    assert find_items(f"{img2dataset}/*.parquet", ("text",)).rows == 9
    assert find_items(f"{img2dataset}/*.tar", ("text",)).rows == 6


@pytest.mark.parametrize("other", ["old.tar", "train.parquet", "old.TAR.GZ"])
def test_files_beside_a_tar_or_a_table_are_not_guessed_about(tmp_path, other):
    (tmp_path / "1.jpg").write_bytes(PNG)
    (tmp_path / "1.txt").write_text("a cat")
    if other.endswith("parquet"):
        pq.write_table(pa.table({"file_name": ["1.jpg"], "text": ["a cat"]}), tmp_path / other)
    else:
        write_tar(tmp_path / other, [("2.jpg", PNG), ("2.txt", b"a dog")])
    pattern = f"{tmp_path}/*{other[other.index('.') :]}"
    for kinds, kind in ((("image",), "image"), (("text",), "text"), (("image", "text"), "image")):
        with pytest.raises(
            InputError, match=rf"holds 1 {kind} files .* and {re.escape(other)}: '{re.escape(pattern)}'"
        ):
            find_items(tmp_path, kinds)
        assert find_items(pattern, kinds).rows == 1
    (tmp_path / "1.jpg").rename(tmp_path / ".1.jpg")
    assert find_items(tmp_path, ("image",)).notes() == []


def test_folders_beside_a_table_are_not_searched_and_that_is_said(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "1.jpg").write_bytes(PNG)
    pq.write_table(pa.table({"file_name": ["images/1.jpg"]}), tmp_path / "train.parquet")
    (note,) = find_items(tmp_path, ("image",)).notes()
    assert note == f"{tmp_path}: the folders in it are not searched, since it holds train.parquet"
    (tmp_path / "train.jsonl").write_text('{"file_name": "images/1.jpg"}\n')
    _, note = find_items(tmp_path, ("image",)).notes()
    assert note == f"{tmp_path}: train.jsonl not taken for a list, since it holds train.parquet"


def test_a_text_without_a_picture_is_told(tmp_path):
    for name in ("1.jpg", "1.txt", "2.txt", "3.TXT"):
        (tmp_path / name).write_bytes(PNG)
    for kinds in (("image", "text"), ("image",)):
        items = find_items(tmp_path, kinds)
        assert items.rows == 1
        assert items.notes() == [f"{tmp_path}: other files, not taken for image files: 1 x .TXT, 1 x .txt"]


def test_two_stars_reach_all_folders(tmp_path):
    for place in ("", "a/", "a/b/", "a/b/c/"):
        (tmp_path / "lists" / place).mkdir(parents=True, exist_ok=True)
        (tmp_path / "lists" / place / "x.txt").write_text(f"text {place}\n")
    items = find_items(f"{tmp_path}/lists/**/*.txt", ("text",))
    assert sorted(item.columns["caption"] for item in items.read(0, items.rows)) == [
        "text ",
        "text a/",
        "text a/b/",
        "text a/b/c/",
    ]


def test_two_stars_take_nothing_twice(tmp_path):
    for place in ("a", "a/b"):
        (tmp_path / "lists" / place).mkdir(parents=True)
        (tmp_path / "lists" / place / "x.txt").write_text("text\n")
    assert find_items(f"{tmp_path}/lists/**", ("text",)).rows == 2


def test_braces_that_count_down_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"\{5\.\.2\} stands for nothing: write \{2\.\.5\}"):
        find_items(f"{tmp_path}/x-{{5..2}}.tar", ("image",))


def test_many_notes_are_cut(tmp_path):
    table = pa.table({"text": ["a"], "box": pa.array([[0.5, 1.0]])})
    for part in range(9):
        pq.write_table(table, tmp_path / f"{part}.parquet")
    notes = find_items(tmp_path, ("text",)).notes()
    assert len(notes) == 6
    assert notes[-1] == "and 4 more notes like these"


def test_a_text_beside_a_picture_is_opened_by_its_own_name(tmp_path):
    (tmp_path / "a.JPG").write_bytes(PNG)
    (tmp_path / "a.TXT").write_text("a cat")
    (tmp_path / "b.jpg").write_bytes(PNG)
    (tmp_path / "b.TXT").write_text("other")
    (tmp_path / "b.txt").write_text("a dog")
    (item, other) = find_items(tmp_path, ("image", "text")).read(0, 2)
    assert (item.content["text"].name, item.columns["caption"]) == ("a.TXT", "a cat")
    assert (other.content["text"].name, other.columns["caption"]) == ("b.txt", "a dog")


def test_an_empty_list_has_nothing_to_read(tmp_path):
    from anisoalign.encoders.columns import ColumnNames
    from anisoalign.encoders.json_lists import JsonListing
    from anisoalign.encoders.lines import TextListing

    (tmp_path / "a.txt").write_bytes(b"")
    (tmp_path / "a.jsonl").write_bytes(b"")
    assert list(TextListing(tmp_path / "a.txt", "text").read(0, 0)) == []
    assert list(JsonListing(tmp_path / "a.jsonl", ("text",), ColumnNames()).read(0, 0)) == []


def test_a_list_of_floats_in_json_is_a_text(tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "t", "box": [0.5, 1.5]}) + "\n")
    items = find_items(tmp_path / "a.jsonl", ("text",))
    assert items.columns.field("box").type == pa.string()
    assert items.notes() == []


def test_a_tilde_is_the_home_of_the_user(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text("a cat\n")
    for source, rows in (("~/a.txt", 1), ("~/*.txt", 2), ("~/{a,b}.txt", 2)):
        check_there(source)
        assert find_items(source, ("text",)).rows == rows


def test_a_folder_that_the_datasets_library_saved_is_its_arrow_files(tmp_path):
    datasets = pytest.importorskip("datasets")
    rows = {
        "image": [{"bytes": PNG, "path": None}] * 150,
        "text": [f"text {i}" for i in range(150)],
        "number": [2**60 + i for i in range(150)],
    }
    made = datasets.Dataset.from_dict(rows).cast_column("image", datasets.Image())
    made.save_to_disk(tmp_path / "saved", num_shards=2)
    items = find_items(tmp_path / "saved", ("image", "text"))
    assert items.rows == 150
    (item,) = items.read(100, 101)
    assert item.content == {"image": PNG, "text": "text 100"}
    assert item.columns == {"caption": "text 100", "number": 2**60 + 100}
    assert [item.row for item in items.read(10, 149)] == list(range(10, 149))
    assert items.parts[0].long_integers == {"number"}
    datasets.DatasetDict(train=made).save_to_disk(tmp_path / "splits")
    with pytest.raises(InputError, match=r"is a dataset of several splits, open one of them: .*train"):
        find_items(tmp_path / "splits", ("image",))


def test_a_list_in_a_folder_without_files_of_the_kind_is_named(tmp_path):
    data = tmp_path / "hub" / "data"
    data.mkdir(parents=True)
    (tmp_path / "hub" / "README.md").write_text("")
    pq.write_table(pa.table({"image": [PNG]}), data / "train-00000.parquet")
    pattern = f"{data}/*.parquet"
    with pytest.raises(InputError, match=rf"holds no image files .*; {data} holds Parquet files: give '(.*)'$") as said:
        find_items(tmp_path / "hub", ("image",))
    assert f"give '{pattern}'" in str(said.value)
    assert find_items(pattern, ("image",)).rows == 1


def test_a_list_with_the_texts_of_a_folder_is_named(tmp_path):
    (tmp_path / "1.png").write_bytes(PNG)
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "1.png", "text": "a cat"}\n')
    path = tmp_path / "metadata.jsonl"
    with pytest.raises(InputError, match=f"holds no texts beside its image files; {path} is a list: give that file$"):
        find_items(tmp_path, ("image", "text"))
    assert find_items(path, ("image", "text")).rows == 1
    assert find_items(tmp_path, ("image",)).rows == 1
