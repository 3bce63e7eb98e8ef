"""A list has as many lines for labels and questions as `encode` makes items of it."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_items import write_tar

from anisoalign.embeddings import InputError, read_labels
from anisoalign.embeddings.text_lines import read_lines
from anisoalign.encoders.finding import find_items
from anisoalign.encoders.lines import TextListing
from anisoalign.encoders.preparing import read_text
from anisoalign.encoders.unreadable import UnreadableError
from anisoalign.mllm.questions import read_questions

ODD = "a\u2028b\u2029c\x85d\x0ce\x0bf\x1cg"
"""What `str.splitlines` takes for seven lines."""


def read_by_encode(path) -> list[str]:
    listing = TextListing(path, "text")
    return [item.content["text"].decode() for item in listing.read(0, listing.rows)]


@given(st.text("ab \u2028\u2029\x85\x0c\x0b\x1c\r\n\ufeff", min_size=1, max_size=30))
def test_lines_are_those_of_encode(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("lines") / "list.txt"
    path.write_bytes(text.encode())
    assert read_lines(path) == read_by_encode(path)


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_text_in_a_file_of_its_own_is_that_of_a_list(tmp_path, mark, end):
    text = " the rain\nand a dog "
    raw, folder = f"{mark}{text}{end}".encode(), tmp_path / "folder"
    folder.mkdir()
    (folder / "1.jpg").write_bytes(b"")
    (folder / "1.txt").write_bytes(raw)
    write_tar(tmp_path / "1.tar", [("1.txt", raw), ("1.jpg", b"")])
    for source in (folder, tmp_path / "1.tar"):
        (item,) = find_items(source, ("image", "text")).read(0, 1)
        assert (read_text(item.content["text"]), item.columns["caption"]) == (text, text)
        (item,) = find_items(source, ("image",)).read(0, 1)
        assert item.columns["caption"] == text
    with pytest.raises(UnreadableError, match="the text is empty"):
        read_text(f"{mark}{end}".encode())
    assert read_text("a dog\n") == "a dog\n"  # a text in memory is what it is


@pytest.mark.parametrize("end", ["\n", "\n\n", "\r\n\r\n", "\n \n\n", "\n\t"])
@pytest.mark.parametrize("count", [3, 1024])
def test_blank_lines_at_the_end_hold_nothing(tmp_path, end, count):
    lists, labels = tmp_path / "list.jsonl", tmp_path / "labels.txt"
    lists.write_bytes(("\n".join(f'{{"caption": "cat {i}"}}' for i in range(count)) + end).encode())
    items = find_items(tmp_path / "list.jsonl", ("text",))
    assert items.rows == len(list(items.read(0, count + 1))) == count
    labels.write_bytes(("\n".join("cat" for _ in range(count)) + end).encode())
    for column in ("label", "caption"):
        assert read_labels(labels, column=column) == read_labels(labels, count, column) == ["cat"] * count


def test_a_blank_line_between_others_is_named(tmp_path):
    lists, labels = tmp_path / "list.jsonl", tmp_path / "labels.txt"
    lists.write_text('{"caption": "a"}\n\n \n{"caption": "b"}\n')
    with pytest.raises(InputError, match=r"list\.jsonl, line 2 is blank, and line 4 is not"):
        find_items(lists, ("text",))
    labels.write_text("a\n\nb\n\n")
    for column in ("label", "caption"):
        with pytest.raises(InputError, match=rf"row 1: the {column} is empty \(line 2\)"):
            read_labels(labels, 3, column)


def test_captions_of_the_page_have_the_rows_of_encode(tmp_path):
    path = tmp_path / "captions.txt"
    path.write_bytes(f"{ODD}\r\na dog\r\n".encode())
    assert read_labels(path, expect_rows=2, column="caption") == [ODD, "a dog"]
    path.write_text("a cat\n\n \na dog\n")
    assert read_labels(path, expect_rows=2, column="caption") == ["a cat", "a dog"]  # empty lines are not encoded
    with pytest.raises(InputError, match="row 1: the caption is empty"):
        read_labels(path, expect_rows=4, column="caption")
    with pytest.raises(InputError, match="holds 2 captions for 3 rows"):
        read_labels(path, expect_rows=3, column="caption")
    with pytest.raises(InputError, match="row 1: the label is empty"):
        read_labels(path, expect_rows=2)


def test_questions_may_hold_any_character(tmp_path):
    records = [{"id": 1, "question": f"{ODD}?", "answer": "yes"}, {"id": 2, "question": "q", "answer": "no"}]
    path = tmp_path / "bench.jsonl"
    lines = [json.dumps(record, ensure_ascii=False) for record in records]
    path.write_bytes("\r\n\r\n".join(lines).encode("utf-8-sig"))
    assert [question.text for question in read_questions(path)] == [records[0]["question"], "q"]
    path.write_bytes(f"{lines[0]}\nno JSON\n".encode())
    with pytest.raises(InputError, match="line 2 is not JSON"):
        read_questions(path)


@pytest.mark.parametrize("name", ["texts.txt", "texts.jsonl", "TEXTS.NDJSON", "texts.json"])
@pytest.mark.parametrize("order", ["utf-16-le", "utf-16-be"])
def test_lists_in_utf_16_are_refused(tmp_path, name, order):
    path = tmp_path / name
    path.write_bytes('\ufeff{"text": "a cat"}\r\n{"text": "a dog"}\r\n'.encode(order))
    for read in (lambda: find_items(path, ("text",)), lambda: read_labels(path)):
        with pytest.raises(InputError, match=f"^{re.escape(str(path))} is UTF-16, as Windows writes it; save it as"):
            read()


@pytest.mark.parametrize("content", ["a cat".encode("utf-16-le"), "a\0cat"])
def test_a_text_with_nul_is_listed_as_unreadable(content):
    with pytest.raises(UnreadableError, match="the text holds the character NUL"):
        read_text(content)
