"""Names and texts that are not Unicode are written in words that are, and end no run."""

import json
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_items import PNG, write_tar
from test_running import columns, run
from tiny_encoders import picture

from anisoalign.encoders.encoding import columns_of
from anisoalign.encoders.finding import find_items
from anisoalign.encoders.preparing import read_text
from anisoalign.encoders.running import REPORT
from anisoalign.encoders.unreadable import UnreadableError

LATIN = os.fsdecode(b"caf\xe9")


@pytest.fixture
def broken(tmp_path):
    """A list whose second text has half of a pair of surrogates."""
    lines = [{"caption": "a cat", "n\ud83d": 1}, {"caption": "broken \ud83d emoji", "tag": {"x": "\udc00"}}]
    (tmp_path / "list.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path / "list.jsonl"


@pytest.mark.integration
def test_a_text_that_is_no_unicode_is_listed(encoder, broken, tmp_path):
    outcome = run(encoder, tmp_path / "out", {"texts": broken})
    assert outcome.rows == {"text": 1}
    assert [item["reason"] for item in outcome.unreadable] == ["text: the text is not Unicode (character 7)"]
    assert columns(tmp_path / "out", "caption") == ["a cat"]


def test_a_text_that_goes_along_is_escaped(broken):
    items = find_items(broken, ("text",))
    table = columns_of(list(items.read(0, 2)), items.columns)
    assert table.column("caption").to_pylist() == ["a cat", "broken \\ud83d emoji"]
    assert table.column("tag").to_pylist() == [None, '{"x": "\\udc00"}']
    assert table.column_names == ["id", "caption", "n\\ud83d", "tag"]
    assert table.column("n\\ud83d").to_pylist() == [1, None]


@pytest.mark.integration
@pytest.mark.parametrize("workers", [0, 1])
def test_pictures_of_any_name(encoder, tmp_path, workers):
    folder = tmp_path / os.fsdecode(b"ph\xf6tos")
    folder.mkdir()
    picture(1).save(folder / f"{LATIN}.png")
    (folder / f"{LATIN}.txt").write_text("a cat")
    (folder / f"{LATIN}2.png").write_bytes(b"no picture")
    outcome = run(encoder, tmp_path / "out", {"images": folder}, workers=workers)
    assert outcome.rows == {"image": 1}
    assert columns(tmp_path / "out", "id") == ["caf\\xe9"]
    assert columns(tmp_path / "out", "path") == ["caf\\xe9.png"]
    assert columns(tmp_path / "out", "caption") == ["a cat"]
    (line,) = (tmp_path / "out" / REPORT).read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["where"].endswith("ph\\xf6tos/caf\\xe92.png")


def test_sounds_of_any_name(tmp_path):
    import soundfile

    from anisoalign.encoders.sounds import decode_sound

    soundfile.write(tmp_path / "a.wav", np.zeros(80, np.float32), 8000)
    (tmp_path / "a.wav").rename(tmp_path / f"{LATIN}.wav")
    assert len(decode_sound(tmp_path / f"{LATIN}.wav", 8000)) == 80


def test_members_of_a_tar_of_any_name(tmp_path):
    write_tar(tmp_path / f"{LATIN}.tar", [(f"{LATIN}.png", PNG), (f"{LATIN}.txt", b"a cat")])
    items = find_items(tmp_path / f"{LATIN}.tar", ("image", "text"))
    (item,) = items.read(0, 1)
    assert (item.id, item.content["image"]) == ("caf\\xe9", PNG)
    assert item.where.endswith("caf\\xe9.tar, caf\\xe9")
    json.dumps(items.state(), ensure_ascii=False).encode()


def test_texts_of_parquet_that_are_no_utf8(tmp_path):
    raw = pa.array([b"a cat", b"caf\xe9", None])
    text = pa.StringArray.from_buffers(3, raw.buffers()[1], raw.buffers()[2], raw.buffers()[0], raw.null_count)
    pq.write_table(pa.table({"caption": text, "title": text, "n": [1, 2, 3]}), tmp_path / "a.parquet")
    items = find_items(tmp_path / "a.parquet", ("text",))
    first, second, third = items.read(0, 3)
    assert (first.content["text"], first.columns["title"], first.columns["n"]) == ("a cat", "a cat", 1)
    assert second.columns == {"caption": "caf\\xe9", "title": "caf\\xe9", "n": 2}
    with pytest.raises(UnreadableError, match="not Unicode"):
        read_text(second.content["text"])
    assert third.columns["title"] is None
    assert [item.columns["caption"] for item in items.read(1, 2)] == ["caf\\xe9"]
    columns_of([first, second, third], items.columns).validate(full=True)


@pytest.mark.integration
def test_a_text_that_cannot_be_opened_is_listed(encoder, tmp_path):
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "a.txt").write_text("a cat")
    (folder / "b.txt").symlink_to(tmp_path / "nowhere")
    outcome = run(encoder, tmp_path / "out", {"texts": folder})
    assert [(item["id"], item["reason"]) for item in outcome.unreadable] == [("b", "text: there is no such file")]
    with pytest.raises(UnreadableError, match=r"the file cannot be read: .*Is a directory"):
        read_text(folder)
