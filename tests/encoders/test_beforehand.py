"""Faults that can be told without a model are told before one is loaded."""

import numpy as np
import pytest

from anisoalign.embeddings import EmbeddingWriter


@pytest.fixture
def encode(run, monkeypatch):
    def loaded(*_, **__):
        raise RuntimeError("the model was loaded")

    monkeypatch.setattr("anisoalign.encoders.open_encoder", loaded)
    return lambda *arguments: run("encode", "hf:some/model", *arguments)


@pytest.fixture
def texts(tmp_path):
    (tmp_path / "texts.txt").write_text("a cat\n")
    return tmp_path / "texts.txt"


def made(out):
    with EmbeddingWriter(out, 3) as writer, writer.shard(0, rows=3) as shard:
        shard.write(np.eye(3))


def test_what_is_absent_or_in_the_way_is_told_first(encode, texts, tmp_path):
    made(tmp_path / "made")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("...")
    given = ("--texts", texts)
    for arguments, said in (
        (("--texts", tmp_path / "none.txt", "--out", tmp_path / "out"), "none.txt does not exist"),
        (("--pairs", str(tmp_path / "{0..1}.tar"), "--out", tmp_path / "out"), "0.tar does not exist"),
        (("--images", str(tmp_path / "*.tar"), "--out", tmp_path / "out"), "no file is called as"),
        (("--out", tmp_path / "out"), "name what to encode"),
        ((*given, "--images", texts, "--out", tmp_path / "out"), "name it by --pairs"),
        ((*given, "--out", tmp_path / "made"), "made already exists"),
        (("--pairs", texts, "--out", tmp_path / "made"), "made already exists"),
        ((*given, "--out", tmp_path / "mine", "--overwrite"), "not written by this library"),
        ((*given, "--out", tmp_path / "out.parquet"), "encode writes a folder of shards"),
    ):
        ended = encode(*arguments)
        assert ended.code == 2
        assert said in ended.err
        assert not (tmp_path / "out").exists()


def test_what_may_be_replaced_and_what_is_continued_is_no_fault(encode, texts, tmp_path):
    made(tmp_path / "made")
    (tmp_path / "new.partial").mkdir()
    for arguments in (("--out", tmp_path / "made", "--overwrite"), ("--out", tmp_path / "new")):
        with pytest.raises(RuntimeError, match="was loaded"):
            encode("--texts", texts, *arguments)
