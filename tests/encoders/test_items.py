"""Sources of every kind list the same items whichever stretch is read."""

import csv
import io
import json
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from anisoalign.embeddings import InputError
from anisoalign.encoders.columns import ColumnNames
from anisoalign.encoders.finding import find_items

PNG = b"\x89PNG"


def write_tar(path, samples):
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as tar:
        for name, data in samples:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


@pytest.fixture
def sources(tmp_path):
    """The same 30 pairs in each kind of source."""
    folder = tmp_path / "folder"
    folder.mkdir()
    rows = [{"key": f"k{i:03d}", "image": f"folder/{i}.png", "caption": f"text {i}", "size": i} for i in range(30)]
    for i, row in enumerate(rows):
        (folder / f"{i}.png").write_bytes(PNG + bytes([i]))
        (folder / f"{i}.txt").write_text(row["caption"])
    (tmp_path / "list.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "list.json").write_text(json.dumps(rows, indent=1))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "list.parquet", row_group_size=7)
    for ending, mark in (("csv", ","), ("tsv", "\t")):
        with (tmp_path / f"list.{ending}").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter=mark)
            writer.writeheader()
            writer.writerows(rows)
    hf = [{**row, "image": {"bytes": PNG + bytes([i]), "path": None}} for i, row in enumerate(rows)]
    pq.write_table(pa.Table.from_pylist(hf), tmp_path / "hf.parquet", row_group_size=4)
    for part in range(3):
        samples = [
            member
            for i in range(part * 10, part * 10 + 10)
            for member in ((f"k{i:03d}.txt", f"text {i}".encode()), (f"k{i:03d}.png", PNG + bytes([i])))
        ]
        write_tar(tmp_path / f"{part:02d}.tar", samples)
    return {
        "folder": folder,
        "jsonl": tmp_path / "list.jsonl",
        "json": tmp_path / "list.json",
        "parquet": tmp_path / "list.parquet",
        "hf": tmp_path / "hf.parquet",
        "csv": tmp_path / "list.csv",
        "tsv": tmp_path / "list.tsv",
        "tars": f"{tmp_path}/{{00..02}}.tar",
    }


def seen(items, start, stop):
    def bytes_of(content):
        return content if isinstance(content, bytes) else content.read_bytes()

    found = []
    for item in items.read(start, stop):
        text = item.content["text"]
        text = text if isinstance(text, str) else bytes_of(text).decode()
        found.append((item.row, bytes_of(item.content["image"])[-1], text, item.columns["caption"]))
    return found


@pytest.mark.parametrize("kind", ["folder", "jsonl", "json", "parquet", "hf", "csv", "tsv", "tars"])
def test_every_kind_of_source_gives_the_same_pairs(sources, kind):
    items = find_items(sources[kind], ("image", "text"))
    expected = [(i, i, f"text {i}", f"text {i}") for i in range(30)]
    assert items.rows == 30
    assert seen(items, 0, 30) == expected
    for start, stop in ((0, 1), (6, 8), (9, 21), (29, 30), (12, 12)):
        assert seen(items, start, stop) == expected[start:stop]


def test_ids_are_keys_columns_or_paths(sources):
    def ids(kind, columns=None):
        return [item.id for item in find_items(sources[kind], ("image",), columns).read(10, 12)]

    assert ids("tars") == ids("jsonl") == ids("json") == ids("parquet") == ids("csv") == ["k010", "k011"]
    assert ids("folder") == ["10", "11"]
    assert ids("jsonl", ColumnNames(id="size")) == ["10", "11"]


def test_other_columns_go_along_with_their_types(sources):
    for kind in ("jsonl", "json", "parquet", "hf"):
        items = find_items(sources[kind], ("image",))
        assert items.columns.field("size").type == pa.int64()
        assert next(items.read(7, 8)).columns["size"] == 7
    assert "image" not in find_items(sources["hf"], ("image",)).columns.names


def test_a_column_of_mixed_types_keeps_what_was_written(tmp_path):
    values = [1, 2.5, "x", {"a": [1]}, None, 2**70]
    lines = [json.dumps({"text": "t", "value": value, "number": i if i else 0.5}) for i, value in enumerate(values)]
    (tmp_path / "a.jsonl").write_text("\n".join(lines) + "\n")
    items = find_items(tmp_path / "a.jsonl", ("text",))
    assert [item.columns["value"] for item in items.read(0, 6)] == ["1", "2.5", "x", '{"a": [1]}', None, str(2**70)]
    assert items.columns.field("number").type == pa.float64()


def test_many_lines_are_read_from_anywhere(tmp_path):
    (tmp_path / "a.txt").write_text("".join(f"line {i}\r\n" for i in range(5000)), newline="")
    items = find_items(tmp_path / "a.txt", ("text",))
    for start in (0, 1023, 1024, 1025, 4999):
        (item,) = items.read(start, start + 1)
        assert (item.content["text"], item.id) == (f"line {start}".encode(), str(start))


def test_many_elements_are_read_from_anywhere(tmp_path):
    records = [{"text": f"Stück {i}"} for i in range(5000)]
    (tmp_path / "a.json").write_bytes(json.dumps(records, ensure_ascii=False, indent=1).encode("utf-8-sig"))
    items = find_items(tmp_path / "a.json", ("text",))
    assert items.rows == 5000
    for start in (0, 1023, 1024, 1025, 4999):
        (item,) = items.read(start, start + 1)
        assert (item.content["text"], item.id, item.where) == (
            f"Stück {start}",
            str(start),
            f"{tmp_path / 'a.json'}, element {start}",
        )


def test_conversations_about_pictures_are_a_list_of_them(tmp_path):
    said = [{"from": "human", "value": "<image>\nWhat is it?"}, {"from": "gpt", "value": "a ring"}]
    records = [{"id": "7", "image": "coco/7.jpg", "conversations": said}, {"id": "8", "conversations": said[1:]}]
    (tmp_path / "llava.json").write_text(json.dumps(records))
    shown, told = find_items(tmp_path / "llava.json", ("image",)).read(0, 2)
    assert (shown.id, shown.content) == ("7", {"image": tmp_path / "coco" / "7.jpg"})
    assert (told.id, told.content) == ("8", {})  # listed as unreadable
    assert json.loads(shown.columns["conversations"]) == said


def test_an_empty_line_keeps_its_number(tmp_path):
    (tmp_path / "a.txt").write_text("\ufefffirst\n\nthird", encoding="utf-8")
    items = find_items(tmp_path / "a.txt", ("text",))
    assert [item.content["text"] for item in items.read(0, 3)] == [b"first", b"", b"third"]


def test_lists_without_ids_are_counted_through(tmp_path):
    for part in range(2):
        (tmp_path / f"{part}.txt").write_text("a\nb\n")
    items = find_items(f"{tmp_path}/*.txt", ("text",))
    assert [item.id for item in items.read(0, 4)] == ["0", "1", "2", "3"]


def test_a_sample_that_lacks_a_part_is_an_item_all_the_same(tmp_path):
    write_tar(tmp_path / "a.tar", [("./d/a.png", PNG), ("./d/b.txt", b"text"), ("./d/c.png", PNG), ("./d/c.txt", b"x")])
    items = list(find_items(tmp_path / "a.tar", ("image", "text")).read(0, 3))
    assert [(item.id, set(item.content)) for item in items] == [
        ("d/a", {"image"}),
        ("d/b", {"text"}),
        ("d/c", {"image", "text"}),
    ]


def test_dots_endings_and_packing_of_a_tar(tmp_path):
    write_tar(tmp_path / "a.tar.gz", [("x.seg.png", b"no"), ("x.JPG", PNG), ("x.cls", b"1"), ("y.jpeg", PNG)])
    items = list(find_items(tmp_path / "a.tar.gz", ("image",)).read(0, 2))
    assert [(item.id, item.content["image"]) for item in items] == [("x", PNG), ("y", PNG)]


def test_files_of_one_stem_keep_their_endings_as_ids(tmp_path):
    for name in ("a.png", "a.jpg", "b.png"):
        (tmp_path / name).write_bytes(PNG)
    (tmp_path / ".hidden.png").write_bytes(PNG)
    (tmp_path / "notes.md").write_text("x")
    items = find_items(tmp_path, ("image",))
    assert [item.id for item in items.read(0, 3)] == ["a.jpg", "a.png", "b"]
    assert "1 x .md" in items.notes()[0]


def test_linked_folders_are_followed_once(tmp_path):
    inside = tmp_path / "photos" / "a"
    inside.mkdir(parents=True)
    (inside / "1.png").write_bytes(PNG)
    (inside / "loop").symlink_to(tmp_path / "photos")
    (tmp_path / "photos" / "gone.png").symlink_to(tmp_path / "nowhere")
    items = find_items(tmp_path / "photos", ("image",))
    assert [item.id for item in items.read(0, 2)] == ["a/1", "gone"]


def test_the_state_tells_a_changed_source(tmp_path):
    (tmp_path / "1.png").write_bytes(PNG)
    before = find_items(tmp_path, ("image",)).state()
    assert find_items(tmp_path, ("image",)).state() == before
    (tmp_path / "1.png").write_bytes(PNG + b"1")
    assert find_items(tmp_path, ("image",)).state() != before


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"text": "x"}\nnonsense\n', "line 2 is no JSON"),
        ("a.jsonl", b"[1]\n", "line 1 is no JSON object"),
        ("a.jsonl", b'{"words": "x"}\n', "--text-column"),
        ("a.json", b'[{"text": "x"}, {"text": "y', r"truncated or not JSON at byte 25, after 1 element\(s\): Unterm"),
        ("a.json", b'[{"text": "x"}', r"at byte 14, after 1 element\(s\): the array is not closed"),
        ("a.json", b'[{"text": "\xff"}]', r"is not UTF-8 text after 0 element\(s\)"),
        ("a.json", b'[{"text": "x"}] 1', "goes on after the end of its array, at byte 14"),
        ("a.json", b'[{"text": "x"}, 2]', "a.json, element 1 is no JSON object"),
        ("a.json", b'{"images": []}', "holds no JSON array; a list of one object a line is to end in .jsonl"),
        ("a.json", b" []", "holds no items"),
        ("a.json", b'[{"n": ' + b"1" * 5000 + b"}]", "at byte 1, after 0 element.*digits"),
        ("a.parquet", b"nonsense", "cannot be read as Parquet"),
        ("a.tar", b"nonsense" * 100, "cannot be read as a tar"),
        ("a.txt", b"", "holds no items"),
        ("a.xls", b"x", "of no known kind"),
    ],
)
def test_a_source_that_cannot_be_read_is_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        find_items(tmp_path / name, ("text",))
    assert str(tmp_path / name) in str(error.value)


def test_a_tar_that_is_cut_short_is_an_error_before_any_work(tmp_path):
    write_tar(tmp_path / "a.tar", [(f"{i}.png", np.random.default_rng(i).bytes(3000)) for i in range(5)])
    whole = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "a.tar").write_bytes(whole[:7000])
    with pytest.raises(InputError, match=r"a\.tar"):
        list(find_items(tmp_path / "a.tar", ("image",)).read(0, 5))


def test_patterns_that_match_nothing_are_errors(tmp_path):
    for pattern in ("{0..2}.tar", "*.tar", "none"):
        with pytest.raises(InputError, match=r"does not exist|no file is called"):
            find_items(f"{tmp_path}/{pattern}", ("image",))
    with pytest.raises(InputError, match="holds no image files"):
        find_items(tmp_path, ("image",))
