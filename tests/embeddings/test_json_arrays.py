"""One JSON array read an element at a time: what is an array, whatever its size, and what is none."""

import io
import json
from pathlib import Path

import pytest

from anisoalign.embeddings import InputError, json_arrays
from anisoalign.embeddings.json_arrays import at_array, elements


def read(content: bytes):
    file = io.BytesIO(content)
    assert at_array(file)
    return list(elements(file, Path("talks.json")))


@pytest.mark.parametrize("piece", [1, 3, 1 << 22])
@pytest.mark.parametrize("indent", [None, 2])
def test_an_array_is_read_as_it_was_written_and_from_any_element_on(monkeypatch, piece, indent):
    monkeypatch.setattr(json_arrays, "_READ", piece)
    written = [{"id": number, "text": "né " * number, "more": [1, [2, {}]]} for number in range(7)] + [[], 5, "x", None]
    content = json.dumps(written, indent=indent, ensure_ascii=False).encode()
    found = read(content)
    assert [value for _, value, _ in found] == written
    assert [json.loads(content[start:stop]) for *_, (start, stop) in found] == written
    file = io.BytesIO(content)
    file.seek(found[4][2][0])
    assert list(elements(file, Path("talks.json"), 4)) == found[4:]


@pytest.mark.parametrize("content", [b"[]", b" [ ] \n"])
def test_an_array_may_be_empty(content):
    assert read(content) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'[{"a":1} {"b":2}]', r"no comma at byte 9, after 1 element"),
        (b'[{"a":1},,{"b":2}]', r"not JSON at byte 9, after 1 element"),
        (b'[{"a":1},]', r"not JSON at byte 9, after 1 element"),
        (b'[,{"a":1}]', r"not JSON at byte 1, after 0 element"),
        (b'[{"a":1},{"b', r"truncated or not JSON at byte 10, after 1 element"),
        (b'[{"a":1}', r"truncated or not JSON at byte 8, after 1 element"),
        (b'[{"a":1}] [2]', r"goes on after the end of its array, at byte 8"),
        (b"[" * 100_000, r"truncated or not JSON at byte 1, after 0 element"),
    ],
    ids=["no comma", "two", "last", "first", "cut", "open", "more", "deep"],
)
def test_what_is_no_array_is_told_by_its_byte(content, message):
    with pytest.raises(InputError, match=r"talks\.json .*" + message):
        read(content)
