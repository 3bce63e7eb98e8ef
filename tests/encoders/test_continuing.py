"""A run is continued by the same run alone, and by one at a time."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_other_libraries import llm2clip  # noqa: F401 - a fixture
from test_running import bytes_below, run
from tiny_encoders import caption, picture

from anisoalign.embeddings import InputError
from anisoalign.embeddings.provenance import same_encoder
from anisoalign.encoders import containers, open_encoder, shard_task
from anisoalign.encoders.columns import ColumnNames
from anisoalign.encoders.running import Settings, encode_files, find_jobs

pytestmark = pytest.mark.integration


class Killed(BaseException):
    """The end of a run as nothing in it sees it coming."""


def dies_after(monkeypatch, shards: int):
    """Let a run end before the shard after these."""
    plain, seen = shard_task.encode_rows, []

    def stop(*given):
        if len(seen) == shards:
            raise Killed
        seen.append(given)
        return plain(*given)

    monkeypatch.setattr(shard_task, "encode_rows", stop)


def test_another_column_is_another_run(encoder, tmp_path, monkeypatch):
    for i in range(4):
        picture(i).save(tmp_path / f"{i}.png")
        picture(i + 9).save(tmp_path / f"thumb-{i}.png")
    rows = [{"image_path": f"{i}.png", "thumb_path": f"thumb-{i}.png", "n": i} for i in range(4)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "list.parquet")

    def encode(columns):
        jobs = find_jobs(encoder, images=tmp_path / "list.parquet", columns=columns)
        return encode_files(encoder, jobs, tmp_path / "out", Settings(shard_rows=2, workers=0))

    with monkeypatch.context() as patch:
        dies_after(patch, 1)
        with pytest.raises(Killed):
            encode(None)
    with pytest.raises(InputError, match="image_column: image_path then, thumb_path now"):
        encode(ColumnNames({"image": "thumb_path"}))
    with pytest.raises(InputError, match="id_column: image_path then, n now"):
        encode(ColumnNames({}, "n"))
    assert encode(ColumnNames({"image": "image_path"})).rows == {"image": 4}


@pytest.mark.parametrize("kind", ["folder", "list"])
def test_the_same_source_by_another_spelling_is_the_same_run(encoder, photos, tmp_path, monkeypatch, kind):
    rows = [{"image_path": f"{photos}/dogs/{i}.png"} for i in range(0, 8, 2)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "list.parquet")
    source = photos if kind == "folder" else tmp_path / "list.parquet"
    with monkeypatch.context() as patch:
        dies_after(patch, 1)
        with pytest.raises(Killed):
            run(encoder, tmp_path / "out", {"images": source}, shard_rows=2)
    (tmp_path / "link").symlink_to(source.parent)
    monkeypatch.chdir(tmp_path / "link")
    begun = (tmp_path / "out.partial").stat().st_ino
    run(encoder, tmp_path / "out", {"images": source.name}, shard_rows=2)
    assert (tmp_path / "out").stat().st_ino == begun


@pytest.mark.parametrize("kind", ["images", "pairs"])
def test_a_strict_run_keeps_no_shard_that_lacks_rows(encoder, photos, tmp_path, monkeypatch, kind):
    (photos / "cats" / "3.png").write_bytes(b"no picture")
    with monkeypatch.context() as patch:
        dies_after(patch, 1)
        with pytest.raises(Killed):
            run(encoder, tmp_path / "out", {kind: photos}, shard_rows=5)
    with pytest.raises(InputError, match=r"3\.png cannot be encoded: image: this is no picture.*--on-unreadable list"):
        run(encoder, tmp_path / "out", {kind: photos}, shard_rows=5, on_unreadable="error")
    outcome = run(encoder, tmp_path / "out", {kind: photos}, shard_rows=5)
    assert (outcome.rows["image"], [item["id"] for item in outcome.unreadable]) == (22, ["cats/3"])


def test_columns_of_many_lists(tmp_path, encoder):
    for name, column in (("0", "text"), ("1", "caption")):
        (tmp_path / f"{name}.jsonl").write_text(f'{{"{column}": "a cat", "n": {name}}}\n')
    (job,) = find_jobs(encoder, texts=f"{tmp_path}/*.jsonl")
    assert job.items.chosen == {"text_column": ["text", "caption"]}
    (job,) = find_jobs(encoder, texts=f"{tmp_path}/0.jsonl", columns=ColumnNames({}, "n"))
    assert job.items.chosen == {"text_column": "text", "id_column": "n"}


@pytest.fixture
def two_language_models(llm2clip):  # noqa: F811
    """The same pictures' side with two language models."""
    import shutil

    import torch
    from transformers import LlamaModel

    shutil.copytree(llm2clip / "llama", llm2clip / "other")
    torch.manual_seed(5)
    LlamaModel(LlamaModel.from_pretrained(llm2clip / "llama").config).save_pretrained(llm2clip / "other")
    specs = [f"llm2clip:{llm2clip / 'vision'}+{llm2clip / name}" for name in ("llama", "other")]
    return [open_encoder(spec, trust_remote_code=True) for spec in specs]


def test_another_language_model_is_another_run(two_language_models, tmp_path, monkeypatch):
    first, other = two_language_models
    (tmp_path / "texts.txt").write_text("".join(f"{caption(i)}\n" for i in range(4)))
    with monkeypatch.context() as patch:
        dies_after(patch, 1)
        with pytest.raises(Killed):
            run(first, tmp_path / "out", {"texts": tmp_path / "texts.txt"}, shard_rows=2)
    with pytest.raises(InputError, match="name: llama then, other now"):
        run(other, tmp_path / "out", {"texts": tmp_path / "texts.txt"}, shard_rows=2)
    assert run(first, tmp_path / "out", {"texts": tmp_path / "texts.txt"}, shard_rows=2).rows == {"text": 4}


def test_sets_of_two_language_models_share_no_space(two_language_models):
    a, b = (encoder.provenance("text") for encoder in two_language_models)
    of_pictures = two_language_models[1].provenance("image")
    assert a["fingerprint"] == b["fingerprint"]
    assert not same_encoder(a, b)
    assert same_encoder(a, a)
    assert same_encoder(a, of_pictures)
    named = {**b, "text_encoder": {"name": "other"}}
    assert not same_encoder({**a, "text_encoder": {"name": "llama"}}, named)
    assert same_encoder({**a, "text_encoder": {"name": "other"}}, named)


def test_another_language_model_on_a_worker_is_refused(two_language_models, tmp_path):
    from test_encoding_away import Elsewhere

    from anisoalign.embeddings import engine_used

    first, other = two_language_models
    first.reopen = other.reopen
    (tmp_path / "texts.txt").write_text("a cat\n")
    picture(1).save(tmp_path / "1.png")
    with engine_used(Elsewhere()), pytest.raises(InputError, match="other weights on a worker"):
        run(first, tmp_path / "out", {"texts": tmp_path / "texts.txt"})
    (tmp_path / "list.txt").write_text("1.png\n")
    with engine_used(Elsewhere()):  # pictures do not ask for the language model
        assert run(first, tmp_path / "images", {"images": tmp_path / "list.txt"}).rows == {"image": 1}


def test_a_second_run_leaves_the_first_s_finished_set_alone(encoder, photos, tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1790000000")
    (tmp_path / "texts.txt").write_text("".join(f"{caption(i)}\n" for i in range(5)))
    sources = {"images": photos, "texts": tmp_path / "texts.txt"}
    run(encoder, tmp_path / "whole", sources)
    plain, told = shard_task.encode_rows, []

    def begin_another(encoder, items, *given):
        if items.columns.names == ["caption"] and not told:
            told.append(bytes_below(tmp_path / "out.partial" / "img_emb"))
            with pytest.raises(InputError, match=r"out\.partial is being written by another run"):
                run(encoder, tmp_path / "out", sources)
            told.append(bytes_below(tmp_path / "out.partial" / "img_emb"))
        return plain(encoder, items, *given)

    with monkeypatch.context() as patch:
        patch.setattr(shard_task, "encode_rows", begin_another)
        run(encoder, tmp_path / "out", sources)
    assert told[0] == told[1]
    assert "manifest.json" in told[0]
    assert bytes_below(tmp_path / "out") == bytes_below(tmp_path / "whole")
    assert not (tmp_path / "out.partial").exists()


def test_what_the_lock_leaves_is_in_nobody_s_way(encoder, photos, tmp_path, monkeypatch):
    run(encoder, tmp_path / "out", {"pairs": photos})
    (tmp_path / "out" / containers.LOCK).touch()  # ended between the last rename and the end
    run(encoder, tmp_path / "out", {"pairs": photos}, overwrite=True)
    assert not (tmp_path / "out" / containers.LOCK).exists()
    with monkeypatch.context() as patch:
        dies_after(patch, 1)
        with pytest.raises(Killed):
            run(encoder, tmp_path / "more", {"pairs": photos}, shard_rows=9)
    with pytest.raises(InputError, match="unfinished run of other kinds"):
        run(encoder, tmp_path / "more", {"images": photos}, shard_rows=9)
    run(encoder, tmp_path / "more", {"pairs": photos}, shard_rows=9)
    (tmp_path / "new.partial").mkdir()
    (tmp_path / "new.partial" / containers.LOCK).touch()  # ended before anything was written
    with pytest.raises(InputError, match="unfinished run of other kinds"):
        run(encoder, tmp_path / "new", {"images": photos})


def test_a_result_that_appeared_meanwhile_is_not_replaced(encoder, photos, tmp_path, monkeypatch):
    plain = containers.locked

    def late(folder, name):
        (tmp_path / "out").mkdir(exist_ok=True)
        (tmp_path / "out" / "mine.txt").write_text("x")
        return plain(folder, name)

    monkeypatch.setattr(containers, "locked", late)
    with pytest.raises(InputError, match="already exists"):
        run(encoder, tmp_path / "out", {"pairs": photos})
    assert (tmp_path / "out" / "mine.txt").exists()
    assert not (tmp_path / "out.partial").exists()
