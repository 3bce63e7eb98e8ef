"""Lists of commas or tabs: quoting, places in a large file, and faults that would give a picture another caption."""

import csv

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anisoalign.embeddings import InputError
from anisoalign.encoders.columns import ColumnNames
from anisoalign.encoders.delimited import DelimitedListing
from anisoalign.encoders.finding import find_items
from anisoalign.encoders.preparing import read_text
from anisoalign.encoders.unreadable import UnreadableError

CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=12)


def captions(items, start=0, stop=None):
    return [item.columns["caption"] for item in items.read(start, items.rows if stop is None else stop)]


@given(rows=st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=8), ending=st.sampled_from(["csv", "tsv"]))
def test_what_was_written_is_read(tmp_path_factory, rows, ending):
    path = tmp_path_factory.mktemp("lists") / f"a.{ending}"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter="," if ending == "csv" else "\t").writerows([("key", "caption"), *rows])
    items = find_items(path, ("text",))
    assert [(item.id, item.columns["caption"]) for item in items.read(0, items.rows)] == rows


def test_records_of_several_lines_are_read_from_anywhere(tmp_path):
    texts = [f'a "large"\nänimal, {i}' if i % 3 else f"cat {i}" for i in range(5000)]
    with (tmp_path / "a.csv").open("w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file).writerows([("title",), *([text] for text in texts)])
    items = find_items(tmp_path / "a.csv", ("text",))
    assert items.rows == 5000
    for start in (0, 1023, 1024, 1025, 4999):
        assert captions(items, start, start + 1) == [texts[start]]
    item = next(items.read(1, 2))
    assert (item.id, item.where) == ("1", f"{tmp_path / 'a.csv'}, line 3")


def test_every_value_stays_the_text_that_it_is(tmp_path):
    (tmp_path / "a.csv").write_text(",text,code,none\n0,a cat,007,\n1,a dog,1e5,\n\n\n")  # as pandas writes its index
    items = find_items(tmp_path / "a.csv", ("text",))
    assert items.columns == pa.schema(dict.fromkeys(("column_1", "caption", "code", "none"), pa.string()))
    assert [list(item.columns.values()) for item in items.read(0, 9)] == [
        ["0", "a cat", "007", ""],
        ["1", "a dog", "1e5", ""],
    ]


def test_a_value_may_be_longer_than_the_csv_module_takes_by_itself(tmp_path):
    (tmp_path / "a.csv").write_text(f"caption,page\na cat,{'x' * 200_000}\n")
    assert captions(find_items(tmp_path / "a.csv", ("text",))) == ["a cat"]


def test_paths_start_at_the_list_and_an_empty_one_is_none(tmp_path):
    (tmp_path / "a.tsv").write_text("filepath\ttitle\nphotos/1.png\ta cat\n\ta dog\n")
    one, other = find_items(tmp_path / "a.tsv", ("image", "text")).read(0, 2)
    assert one.content == {"image": tmp_path / "photos" / "1.png", "text": "a cat"}
    assert other.content == {"text": "a dog"}


def test_a_text_that_is_no_unicode_is_unreadable_alone(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"text\ncaf\xe9\na dog\n")
    bad, good = find_items(tmp_path / "a.csv", ("text",)).read(0, 2)
    with pytest.raises(UnreadableError):
        read_text(bad.content["text"])
    assert read_text(good.content["text"]) == "a dog"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text,n\na cat,1\na dog, big,2\n", "line 3 has 3 values, the first line names 2 columns"),
        ("text,n\na cat,1\na dog\n", "line 3 has 1 values, the first line names 2 columns"),
        ('text,n\n"a cat,1\na dog,2\n', "line 2: unexpected end of data"),
        ('text,n\n"a" cat,1\n', "line 2: .*expected after"),
        ("text,n\na cat,1\n\na dog,2\n", "line 3 is blank, and line 4 is not"),
        ("text,text\na,b\n", "names 'text' twice"),
        ("a cat,1\na dog,2\n", "--text-column"),
        ("text\n", "holds no items"),
        ("", "holds no items"),
        ("text\na cat\n".encode("utf-16"), "UTF-16"),
    ],
)
def test_a_fault_names_its_line(tmp_path, content, message):
    path = tmp_path / "a.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=message) as error:
        find_items(path, ("text",))
    assert str(path) in str(error.value)


def test_columns_are_named_as_in_other_lists(tmp_path):
    (tmp_path / "a.csv").write_text("sentence,words,name\nx,a cat,n1\n")
    listing = DelimitedListing(tmp_path / "a.csv", ("text",), ColumnNames({"text": "words"}, "name"))
    (item,) = listing.read(0, 1)
    assert (item.id, item.content, listing.chosen) == (
        "n1",
        {"text": "a cat"},
        {"text_column": "words", "id_column": "name"},
    )
