"""Labels and captions out of tables: which column, how quoted, and what is told where it is not clear."""

import csv
import json
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from anisoalign.embeddings import InputError, read_labels

KINDS = ["cat, asleep", 'a "large"\ndog', "ünd", "cat, asleep"]
TABLES = ["csv", "tsv", "parquet", "jsonl", "ndjson", "CSV"]


def write(path, **columns):
    """A table in the format that the ending says."""
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    if path.suffix == ".parquet":
        pq.write_table(pa.table(columns), path)
    elif path.suffix in (".jsonl", ".ndjson"):
        path.write_text("".join(json.dumps(row) + "\n" for row in rows) + "\n", encoding="utf-8-sig")
    else:
        with path.open("w", newline="", encoding="utf-8-sig") as file:
            out = csv.DictWriter(file, columns, delimiter="\t" if path.suffix == ".tsv" else ",")
            out.writeheader()
            out.writerows(rows)
    return path


@pytest.mark.parametrize("ending", TABLES)
def test_labels_are_a_column_of_a_table(tmp_path, ending):
    path = write(tmp_path / f"a.{ending}", id=[1, 2, 3, 4], label=KINDS, kind=["w", "x", "y", "z"])
    assert read_labels(path, 4) == KINDS
    assert read_labels(f"{path}:kind", 4) == ["w", "x", "y", "z"]
    assert read_labels(f"{path}:id") == ["1", "2", "3", "4"]
    with pytest.raises(InputError, match=r"has no column 'caption'; its columns: id, label, kind; say which holds the"):
        read_labels(path, column="caption")
    with pytest.raises(InputError, match=rf"a\.{ending} has no column 'class'; its columns: id, label, kind$"):
        read_labels(f"{path}:class")
    with pytest.raises(InputError, match=rf"a\.{ending} holds 4 labels for 5 rows"):
        read_labels(path, 5)


@pytest.mark.parametrize("ending", TABLES)
def test_a_single_column_needs_no_name(tmp_path, ending):
    assert read_labels(write(tmp_path / f"a.{ending}", breed=["pug", "tabby"])) == ["pug", "tabby"]


@pytest.mark.parametrize("ending", TABLES)
def test_a_label_that_is_missing_is_named_by_its_row(tmp_path, ending):
    path = write(tmp_path / f"a.{ending}", id=[1, 2, 3], label=["cat", None, "dog"])
    with pytest.raises(InputError, match=rf"{re.escape(str(path))}, row 1: the label is empty$"):
        read_labels(path)


def test_a_list_without_a_header_is_told_what_its_first_line_is(tmp_path):
    (tmp_path / "a.csv").write_text("cat\ndog\ncat\n")
    with pytest.raises(InputError, match="holds 2 labels for 3 rows; the first line names the columns"):
        read_labels(tmp_path / "a.csv", 3)


def test_what_exists_is_a_file_whatever_it_is_called(tmp_path):
    (tmp_path / "x.csv:kind").write_text("cat\n")
    write(tmp_path / "x.csv", kind=["dog"], label=["pug"])
    assert read_labels(tmp_path / "x.csv:kind") == ["cat"]
    assert read_labels(tmp_path / "x.csv") == ["pug"]
    (tmp_path / "a:b").mkdir()
    write(tmp_path / "a:b" / "x.csv", **{"of:it": ["dog"], "label": ["pug"]})
    assert read_labels(f"{tmp_path}/a:b/x.csv:of:it") == ["dog"]
    for absent, named in (("a:b/y.csv:kind", "y.csv"), ("labels.txt:kind", "labels.txt:kind"), ("x.csv:", "x.csv:")):
        with pytest.raises(InputError, match=rf"{re.escape(named)} does not exist"):
            read_labels(tmp_path / absent)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"label,n\ncat,1\ndog, big,2\n", "line 3 has 3 values, the first line names 2 columns"),
        ("a.csv", b"n,label\n1,caf\xe9\n", r"line 2: the label is no UTF-8"),
        ("a.csv", "label\ncat\n".encode("utf-16"), "UTF-16"),
        ("a.csv", b"", "has no column 'label'; its columns: none$"),
        ("a.jsonl", b'{"label": "cat"}\nnonsense\n', "line 2 is no JSON"),
        ("a.jsonl", b'{"label": "cat"}\n\n{"label": "dog"}\n', "line 2 is no JSON"),
        ("a.jsonl", b"[1]\n", "line 1 is no JSON object"),
    ],
)
def test_a_fault_of_a_table_names_its_line(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        read_labels(tmp_path / name)
    assert str(tmp_path / name) in str(error.value)


def test_commands_read_a_column_and_replace_no_table(planted, tmp_path, run, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = len(planted.source)
    for name in ("source", "target"):
        np.save(tmp_path / f"{name}.npy", getattr(planted, name).astype(np.float32))
    write(tmp_path / "rows.csv", kind=[str(i % 3) for i in range(rows)], caption=[f"text {i}" for i in range(rows)])
    words = ["compare", "--source", "source.npy", "--target", "target.npy", "--paired", "--labels", "rows.csv:kind"]
    words += ["--method", "realign", "--repeats", "1"]
    before = (tmp_path / "rows.csv").read_bytes()
    done = run(*words, "--source-captions", "rows.csv:caption", "--results", "rows.csv")
    assert done.code == 2
    assert "rows.csv is named twice" in done.err
    assert (tmp_path / "rows.csv").read_bytes() == before
    done = run(*words, "--source-captions", "rows.csv:caption", "--results", "r.json", "--json")
    assert done.code == 0, done.err
    assert 0 <= json.loads(done.out)[0]["label_transfer"] <= 1


def test_whole_numbers_are_one_class_whatever_kind_of_file_holds_them(tmp_path):
    """A gap makes floats of a column; missing values are refused by their row."""
    pq.write_table(pa.table({"label": [1.0, 2.0, 1.0]}), tmp_path / "a.parquet")
    (tmp_path / "b.jsonl").write_text('{"label": 1}\n{"label": 2.0}\n{"label": "1"}\n')
    (tmp_path / "c.csv").write_text("label\n1\n2\n1\n")
    assert read_labels(tmp_path / "a.parquet") == read_labels(tmp_path / "b.jsonl") == read_labels(tmp_path / "c.csv")
    pq.write_table(pa.table({"label": [1.0, float("nan")]}), tmp_path / "gap.parquet")
    with pytest.raises(InputError, match="row 1: the label is empty"):
        read_labels(tmp_path / "gap.parquet")


@pytest.mark.parametrize("content", ['["cat", "dog", 3]', '[{"label": "cat"}, {"label": "dog"}, {"label": 3.0}]'])
def test_an_array_of_json_holds_labels_or_objects(tmp_path, content):
    (tmp_path / "x.json").write_text(content)
    assert read_labels(tmp_path / "x.json") == ["cat", "dog", "3"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('["cat", {"label": "dog"}]', "element 0 is no JSON object"),
        ('{"label": "cat"}', "holds no JSON array; one object a line is to end in .jsonl"),
        ('["cat", null]', "row 1: the label is empty"),
    ],
    ids=["mixed", "lines", "missing"],
)
def test_a_fault_of_an_array_is_named(tmp_path, content, message):
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(InputError, match=rf"x\.json.*{message}"):
        read_labels(tmp_path / "x.json")


def test_captions_of_a_table_that_are_empty_belong_to_no_row(tmp_path):
    """As `encode` leaves them out, of a list of lines and of a table."""
    (tmp_path / "x.csv").write_text("id,caption\n1,a cat\n2,\n3,a dog\n")
    (tmp_path / "x.txt").write_text("a cat\n\na dog\n")
    expected = ["a cat", "a dog"]
    assert read_labels(tmp_path / "x.csv", expect_rows=2, column="caption") == expected
    assert read_labels(tmp_path / "x.txt", expect_rows=2, column="caption") == expected
