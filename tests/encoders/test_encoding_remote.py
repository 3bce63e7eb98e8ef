"""Encoding from and to what lies behind a URI: the items and bytes of a disk, and nothing half done taken for done."""

import io
import json
import tarfile

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow.fs import FSSpecHandler, PyFileSystem
from test_encoding_away import Elsewhere
from test_running import bytes_below, run
from tiny_encoders import caption, picture

from anisoalign.cli import main
from anisoalign.embeddings import InputError, RemotePath, engine_used, open_embeddings
from anisoalign.encoders import encoding, running
from anisoalign.encoders.finding import find_items

pytestmark = pytest.mark.integration
SETTINGS = {"shard_rows": 9, "batch_size": 4}


@pytest.fixture(autouse=True)
def one_date(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1790000000")


@pytest.fixture
def store(tmp_path) -> RemotePath:
    """A folder in fsspec's memory, as pyarrow sees it: a store that is no disk."""
    memory = fsspec.filesystem("memory", use_listings_cache=False)
    return RemotePath(f"memory://{tmp_path.name}", PyFileSystem(FSSpecHandler(memory)))


def put(folder, place):
    for path in folder.rglob("*"):
        if path.is_file():
            (place / path.relative_to(folder).as_posix()).upload(path)
    return place


def fetched(place, folder):
    for name, _ in place.below():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        with (place / name).open() as file:
            (folder / name).write_bytes(file.read())
    return folder


@pytest.mark.parametrize("kind", ["images", "pairs"])
@pytest.mark.parametrize("away", [False, True])
def test_a_store_holds_what_a_disk_would(encoder, photos, store, tmp_path, kind, away):
    (photos / "cats" / "3.png").write_bytes(b"no picture")
    here = run(encoder, tmp_path / "here", {kind: photos}, **SETTINGS)
    if away:
        with engine_used(Elsewhere()):
            there = run(encoder, store / "out", {kind: photos}, **SETTINGS)
    else:
        there = run(encoder, store / "out", {kind: photos}, **SETTINGS)
    assert (there.rows, there.unreadable) == (here.rows, here.unreadable)
    assert str(there.out).startswith("memory://")
    assert bytes_below(fetched(store / "out", tmp_path / "there")) == bytes_below(tmp_path / "here")
    with pytest.raises(InputError, match=r"not empty|already exists"):
        run(encoder, store / "out", {kind: photos}, **SETTINGS)
    with pytest.raises(InputError, match="not replaced"):
        run(encoder, store / "out", {kind: photos}, overwrite=True, **SETTINGS)


@pytest.mark.parametrize("kind", ["images", "pairs"])
@pytest.mark.parametrize("after", [1, 5])
def test_an_interrupted_run_is_refused_by_readers_and_goes_on(
    encoder, photos, store, tmp_path, monkeypatch, kind, after
):
    (photos / "cats" / "3.png").write_bytes(b"no picture")
    run(encoder, tmp_path / "whole", {kind: photos}, **SETTINGS)
    plain, seen = running.put if after == 5 else encoding.encode_rows, []

    def stop(*given):
        if after == 5 or len(seen) == after:  # before the list of the unreadable, or within the second shard
            raise KeyboardInterrupt
        seen.append(given)
        return plain(*given)

    with monkeypatch.context() as patch:
        if after == 5:
            patch.setattr(running, "put", stop)
        else:
            from anisoalign.encoders import shard_task

            patch.setattr(shard_task, "encode_rows", stop)
        with pytest.raises(KeyboardInterrupt):
            run(encoder, store / "out", {kind: photos}, **SETTINGS)
    with pytest.raises(InputError, match="unfinished run"):
        open_embeddings(store / "out", column="image" if kind == "pairs" else None)
    other = {"images": "pairs", "pairs": "images"}[kind]
    with pytest.raises(InputError, match="unfinished run"):
        run(encoder, store / "out", {other: photos}, **SETTINGS)
    with pytest.raises(InputError, match="batch_size: 4 then, 5 now"):
        run(encoder, store / "out", {kind: photos}, shard_rows=9, batch_size=5)
    run(encoder, store / "out", {kind: photos}, **SETTINGS)
    assert bytes_below(fetched(store / "out", tmp_path / "there")) == bytes_below(tmp_path / "whole")


def test_a_run_that_fails_at_once_leaves_nothing(encoder, store, tmp_path):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.png").write_bytes(b"no picture")
    (tmp_path / "bad" / "a.txt").write_text("a cat")
    for kind in ("images", "pairs"):
        with pytest.raises(InputError):
            run(encoder, store / kind, {kind: tmp_path / "bad"}, on_unreadable="error")
        assert not (store / kind).exists()


@pytest.fixture
def sources(photos, tmp_path):
    """The photos as each kind of source, below one folder."""
    names = [f"{folder}/{path.stem}" for folder in ("cats", "dogs") for path in (photos / folder).glob("*.png")]
    records = [{"key": name, "image": f"{name}.png", "caption": caption(i)} for i, name in enumerate(names)]
    records.append({"key": "gone", "image": "gone.png", "caption": "gone"})
    (photos / "list.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    pq.write_table(pa.Table.from_pylist(records), photos / "list.parquet", row_group_size=7)
    (photos / "list.txt").write_text("".join(f"{record['image']}\n" for record in records))
    (tmp_path / "tars").mkdir()
    for part, ending in enumerate(("tar", "tar.gz")):
        with tarfile.open(tmp_path / "tars" / f"{part}.{ending}", "w:gz" if part else "w") as tar:
            for seed in range(part * 6, part * 6 + 6):
                content = io.BytesIO()
                picture(seed).save(content, "PNG")
                info = tarfile.TarInfo(f"{seed}.png")
                info.size = len(content.getvalue())
                tar.addfile(info, io.BytesIO(content.getvalue()))
    return photos, tmp_path / "tars"


def test_every_kind_of_source_behind_a_uri_gives_the_rows_of_a_disk(encoder, sources, store, tmp_path):
    photos, tars = sources
    put(photos, store / "photos")
    put(tars, store / "tars")
    for number, (kind, here, there) in enumerate(
        (
            ("images", photos, store / "photos"),
            ("images", photos / "list.jsonl", store / "photos" / "list.jsonl"),
            ("images", photos / "list.parquet", store / "photos" / "list.parquet"),
            ("images", photos / "list.txt", store / "photos" / "list.txt"),
            ("pairs", photos / "cats", store / "photos" / "cats"),
            ("texts", photos / "list.jsonl", store / "photos" / "list.jsonl"),
            ("images", tars, store / "tars"),
        )
    ):
        if kind == "images" and here == photos:
            (photos / "list.parquet").rename(tmp_path / "list.parquet")  # a folder of parquet files is no folder
            (store / "photos" / "list.parquet").unlink()
        outcomes = [
            run(encoder, tmp_path / f"{number}-{place}", {kind: source}, **SETTINGS)
            for place, source in (("here", here), ("there", there))
        ]
        if kind == "images" and here == photos:
            (tmp_path / "list.parquet").rename(photos / "list.parquet")
            (store / "photos" / "list.parquet").upload(photos / "list.parquet")
        files = [bytes_below(tmp_path / f"{number}-{place}") for place in ("here", "there")]
        for found in files:
            found.pop("unreadable.jsonl", None)  # which names the places, as the notes of a shard do
            found.pop("manifest.json", None)
        assert files[0] == files[1], here
        reasons = [[(item["row"], item["id"], item["reason"]) for item in outcome.unreadable] for outcome in outcomes]
        assert reasons[0] == reasons[1]


def test_patterns_and_what_is_not_there(sources, store):
    put(sources[1], store / "tars")
    uri = f"file://{sources[1]}"
    assert find_items(f"{uri}/{{0.tar,1.tar.gz}}", ("image",)).rows == 12
    assert find_items(f"{uri}/*.tar*", ("image",)).rows == 12
    assert find_items(store / "tars" / "*.gz", ("image",)).rows == 6
    with pytest.raises(InputError, match=r"file://.*/none does not exist"):
        find_items(f"{uri}/none", ("image",))
    with pytest.raises(InputError, match="no file is called as"):
        find_items(f"{uri}/*.zip", ("image",))
    with pytest.raises(InputError, match="stars stand in the last part"):
        find_items(f"{uri}/*/a.tar", ("image",))
    with pytest.raises(InputError, match="nosuch://a cannot be opened"):
        find_items("nosuch://a", ("image",))


def test_a_list_may_name_uris(encoder, photos, tmp_path):
    lines = [f"file://{photos}/cats/1.png", f"{photos}/cats/3.png", "nosuch://bucket/a.png"]
    (tmp_path / "list.txt").write_text("".join(f"{line}\n" for line in lines))
    outcome = run(encoder, tmp_path / "out", {"images": tmp_path / "list.txt"})
    assert outcome.rows == {"image": 2}
    assert "nosuch://bucket cannot be opened" in outcome.unreadable[0]["reason"]
    alone = encoder.encode([photos / "cats" / "1.png", photos / "cats" / "3.png"], "image")
    np.testing.assert_allclose(np.load(tmp_path / "out" / "img_emb_000.npy"), alone, atol=1e-5)


def test_a_store_that_fails_ends_the_run_and_loses_no_item(encoder, photos, tmp_path, monkeypatch):
    plain = RemotePath.open

    def refuse(self, *given):
        if self.name == "5.png":
            raise OSError("the network is down")
        return plain(self, *given)

    monkeypatch.setattr(RemotePath, "open", refuse)
    with pytest.raises(InputError, match=r"5\.png cannot be read: the network is down"):
        run(encoder, tmp_path / "out", {"images": f"file://{photos}"}, shard_rows=2)
    assert (tmp_path / "out.partial" / "img_emb_000.npy").exists()


def test_the_command_takes_uris(encoder, photos, model_folder, tmp_path, monkeypatch, capsys):
    def command(*words):
        monkeypatch.setattr("sys.argv", ["anisoalign", "encode", str(model_folder("clip")), *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code or 0, capsys.readouterr().err

    monkeypatch.chdir(tmp_path)
    code, told = command("--images", f"file://{photos}", "--out", f"file://{tmp_path}/out")
    assert (code, (tmp_path / "out" / "manifest.json").is_file()) == (0, True), told
    assert f"file://{tmp_path}/out" in told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "photos"]
    code, told = command("--images", photos, "--out", "memory://out")
    assert (code, "memory://out cannot be opened" in told) == (2, True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "photos"]
