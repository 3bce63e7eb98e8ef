"""Whole runs of `encode`: rows in step, bad items listed, killed and continued to the same bytes."""

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from tiny_encoders import caption, picture

from anisoalign.embeddings import InputError, format_bytes, open_embeddings
from anisoalign.encoders import open_encoder
from anisoalign.encoders.running import REPORT, Settings, encode_files, find_jobs

pytestmark = pytest.mark.integration


def run(encoder, out, sources, **settings):
    return encode_files(encoder, find_jobs(encoder, **sources), out, Settings(**{"workers": 0, **settings}))


def bytes_below(folder: Path) -> dict[str, str]:
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    return {file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def stored(folder: Path, column: str | None = None) -> np.ndarray:
    shards = open_embeddings(folder, column=column).shards
    return np.concatenate([np.load(shard.path) for shard in shards])


def columns(folder: Path, name: str) -> list:
    es = open_embeddings(folder, column="image" if (folder / "img_emb").is_dir() else None)
    return [value for shard in es.shards for value in es.metadata(shard.index).column(name).to_pylist()]


def test_a_folder_gives_rows_ids_and_captions_in_order(encoder, photos, tmp_path):
    outcome = run(encoder, tmp_path / "out", {"images": photos}, shard_rows=10, batch_size=4)
    assert (outcome.rows, outcome.unreadable) == ({"image": 23}, [])
    assert not (tmp_path / "out" / REPORT).exists()
    paths = columns(tmp_path / "out", "path")
    assert paths == [f"cats/{i}.png" for i in range(1, 23, 2)] + [f"dogs/{i}.png" for i in range(0, 23, 2)]
    assert columns(tmp_path / "out", "id") == [path.removesuffix(".png") for path in paths]
    assert columns(tmp_path / "out", "caption")[0] == caption(1)
    alone = encoder.encode([photos / path for path in paths], "image", batch_size=1)
    np.testing.assert_allclose(stored(tmp_path / "out"), alone, atol=1e-5)
    assert [shard.rows for shard in open_embeddings(tmp_path / "out").shards] == [10, 10, 3]


def test_pairs_lose_both_sides_and_stay_in_step(encoder, photos, tmp_path):
    (photos / "cats" / "3.png").write_bytes(b"no picture")
    (photos / "dogs" / "4.txt").write_text("  \n")
    (photos / "dogs" / "6.txt").unlink()
    (photos / "dogs" / "8.txt").write_bytes(b"\xff\xfe")
    outcome = run(encoder, tmp_path / "out", {"pairs": photos}, shard_rows=9, batch_size=4)
    assert outcome.rows == {"image": 19, "text": 19}
    report = [json.loads(line) for line in (tmp_path / "out" / REPORT).read_text().splitlines()]
    assert report == outcome.unreadable
    assert [(item["id"], item["reason"]) for item in report] == [
        ("cats/3", "image: this is no picture that Pillow knows"),
        ("dogs/4", "text: the text is empty"),
        ("dogs/6", "there is no text"),
        ("dogs/8", "text: the text is not UTF-8 (byte 0)"),
    ]
    paths, captions = columns(tmp_path / "out", "path"), columns(tmp_path / "out", "caption")
    for kind, items in (("image", [photos / path for path in paths]), ("text", captions)):
        np.testing.assert_allclose(stored(tmp_path / "out", kind), encoder.encode(items, kind), atol=1e-5)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["img_emb", "metadata", "text_emb", REPORT]
    text = open_embeddings(tmp_path / "out", column="text")
    assert text.ids().to_pylist() == columns(tmp_path / "out", "id")


@pytest.mark.parametrize("format", ["parquet", "arrow", "safetensors"])
def test_other_formats_hold_the_same(encoder, photos, tmp_path, format):
    run(encoder, tmp_path / "npy", {"pairs": photos}, shard_rows=10)
    run(encoder, tmp_path / format, {"pairs": photos}, shard_rows=10, format=format)
    for kind in ("image", "text"):
        a, b = (open_embeddings(tmp_path / name, column=kind) for name in ("npy", format))
        np.testing.assert_array_equal(a.read(), b.read())
        assert a.ids().to_pylist() == b.ids().to_pylist()
        assert b.provenance["modality"] == kind


def test_two_sources_have_rows_of_their_own(encoder, photos, tmp_path):
    (tmp_path / "texts.txt").write_text("".join(f"{caption(i)}\n" for i in range(31)))
    outcome = run(encoder, tmp_path / "out", {"images": photos, "texts": tmp_path / "texts.txt"}, shard_rows=10)
    assert outcome.rows == {"image": 23, "text": 31}
    assert open_embeddings(tmp_path / "out", column="text").ids().to_pylist() == [str(i) for i in range(31)]
    assert stored(tmp_path / "out", "image").shape == (23, 24)


def test_half_precision_is_written_when_asked(encoder, photos, tmp_path):
    run(encoder, tmp_path / "half", {"images": photos}, out_dtype="float16")
    run(encoder, tmp_path / "full", {"images": photos})
    assert stored(tmp_path / "half").dtype == np.float16
    np.testing.assert_array_equal(stored(tmp_path / "half"), stored(tmp_path / "full").astype(np.float16))


def test_tars_written_by_webdataset(encoder, tmp_path):
    import webdataset

    with webdataset.ShardWriter(f"{tmp_path}/set-%06d.tar", maxcount=8, verbose=0) as out:
        for seed in range(20):
            content = io.BytesIO()
            picture(seed).save(content, "PNG")
            sample = {"__key__": f"{seed:04d}", "png": content.getvalue(), "txt": caption(seed), "json": {"n": seed}}
            if seed in (5, 11):
                del sample["png" if seed == 5 else "txt"]
            out.write(sample)
    outcome = run(encoder, tmp_path / "out", {"pairs": f"{tmp_path}/set-{{000000..000002}}.tar"}, shard_rows=7)
    assert [(item["id"], item["reason"]) for item in outcome.unreadable] == [
        ("0005", "there is no image"),
        ("0011", "there is no text"),
    ]
    kept = [seed for seed in range(20) if seed not in (5, 11)]
    assert columns(tmp_path / "out", "id") == [f"{seed:04d}" for seed in kept]
    found = stored(tmp_path / "out", "text")
    np.testing.assert_allclose(found, encoder.encode([caption(seed) for seed in kept], "text"), atol=1e-5)
    found = stored(tmp_path / "out", "image")
    np.testing.assert_allclose(found, encoder.encode([picture(seed) for seed in kept], "image"), atol=1e-5)


def test_worker_processes_change_no_byte(encoder, photos, tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1790000000")
    (photos / "cats" / "3.png").write_bytes(b"no picture")
    for workers in (0, 2):
        run(encoder, tmp_path / str(workers), {"pairs": photos}, shard_rows=10, batch_size=4, workers=workers)
    assert bytes_below(tmp_path / "0") == bytes_below(tmp_path / "2")


def test_an_unreadable_item_stops_a_strict_run_which_goes_on_when_told(encoder, photos, tmp_path):
    (photos / "dogs" / "8.png").write_bytes(b"no picture")
    options = {"shard_rows": 10, "batch_size": 4}
    with pytest.raises(InputError, match=r"8\.png cannot be encoded: image: this is no picture.*--on-unreadable list"):
        run(encoder, tmp_path / "out", {"images": photos}, on_unreadable="error", **options)
    assert not (tmp_path / "out").exists()
    assert (tmp_path / "out.partial" / "img_emb_000.npy").exists()
    assert run(encoder, tmp_path / "out", {"images": photos}, **options).rows == {"image": 22}


def test_nothing_but_bad_items_is_an_error(encoder, tmp_path):
    (tmp_path / "photos").mkdir()
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / "photos" / name).write_bytes(b"text")
    with pytest.raises(InputError, match=r"nothing of .* could be encoded; the first of 2 items, .*a\.jpg"):
        run(encoder, tmp_path / "out", {"images": tmp_path / "photos"})
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_a_changed_source_or_batch_size_does_not_go_on(encoder, photos, tmp_path):
    (photos / "dogs" / "8.png").write_bytes(b"no picture")
    with pytest.raises(InputError):
        run(encoder, tmp_path / "out", {"images": photos}, on_unreadable="error", shard_rows=5)
    with pytest.raises(InputError, match="batch_size: 64 then, 3 now"):
        run(encoder, tmp_path / "out", {"images": photos}, shard_rows=5, batch_size=3)
    (photos / "dogs" / "new.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match="items: 23 then, 24 now; the input has changed since"):
        run(encoder, tmp_path / "out", {"images": photos}, shard_rows=5)
    with pytest.raises(InputError, match="unfinished run of other kinds"):
        run(encoder, tmp_path / "out", {"pairs": photos}, shard_rows=5)


def test_a_result_is_replaced_only_when_asked_and_only_if_ours(encoder, photos, tmp_path):
    for sources in ({"pairs": photos}, {"images": photos}):
        out = tmp_path / next(iter(sources))
        run(encoder, out, sources)
        with pytest.raises(InputError, match="already exists"):
            run(encoder, out, sources)
        run(encoder, out, sources, overwrite=True)
        (out / "mine.txt").write_text("x")
    with pytest.raises(InputError, match="not written by this library"):
        run(encoder, tmp_path / "pairs", {"pairs": photos}, overwrite=True)
    assert (tmp_path / "pairs" / "mine.txt").exists()


def test_usage_that_makes_no_sense_is_refused(encoder, photos, tmp_path):
    for sources, message in (
        ({}, "name what to encode"),
        ({"images": photos, "pairs": photos}, "--pairs names images and texts at once"),
        ({"images": photos, "texts": photos}, "a source of pairs"),
        ({"sounds": photos}, "embeds image and text, not audio"),
    ):
        with pytest.raises(InputError, match=message):
            find_jobs(encoder, **sources)
    with pytest.raises(InputError, match="a folder of shards"):
        run(encoder, tmp_path / "out.npy", {"images": photos})


SLOW = """
import sys, time
from anisoalign.encoders.encoder import Encoder
plain = Encoder.forward
def slow(self, *arguments):
    time.sleep(0.05)
    return plain(self, *arguments)
Encoder.forward = slow
from anisoalign.cli import main
sys.argv = ["anisoalign", *sys.argv[1:]]
main()
"""


def test_killed_in_the_middle_it_goes_on_to_the_same_bytes(model_folder, photos, tmp_path):
    (photos / "cats" / "3.png").write_bytes(b"no picture")
    (photos / "dogs" / "2.txt").write_text("a cat " * 100)
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1790000000"}
    options = ("--pairs", photos, "--shard-rows", "3", "--batch-size", "2", "--workers", "0")

    def command(out):
        return [sys.executable, "-c", SLOW, "encode", model_folder("clip"), *options, "--out", out]

    whole = subprocess.run(command(tmp_path / "whole"), env=environment, capture_output=True, text=True, check=True)
    started = subprocess.Popen(command(tmp_path / "out"), env=environment, stderr=subprocess.DEVNULL)
    while not list(tmp_path.glob("out.partial/text_emb.partial/.run/shard-1.json")) and started.poll() is None:
        time.sleep(0.01)
    started.send_signal(signal.SIGKILL)
    assert started.wait() == -signal.SIGKILL
    assert not (tmp_path / "out").exists()
    done = tmp_path.glob("out.partial/*/*_emb_000.npy")
    times = {path.name: path.stat().st_mtime_ns for path in done}
    again = subprocess.run(command(tmp_path / "out"), env=environment, capture_output=True, text=True, check=True)
    assert bytes_below(tmp_path / "whole") == bytes_below(tmp_path / "out")
    kept = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("out/*/*_emb_000.npy")}
    assert kept == times, "what was done is not done again"
    for stderr in (whole.stderr, again.stderr):
        assert "1 item(s) could not be encoded" in stderr
        assert "cats/3.png: image: this is no picture" in stderr
        assert "1 text item(s) were longer than the model reads" in stderr


def test_ended_between_the_two_sets_it_goes_on(encoder, photos, tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1790000000")
    from anisoalign.encoders import containers

    run(encoder, tmp_path / "whole", {"pairs": photos}, shard_rows=10)

    def end(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(containers, "replace_folder", end)
        with pytest.raises(KeyboardInterrupt):
            run(encoder, tmp_path / "out", {"pairs": photos}, shard_rows=10)
    assert not (tmp_path / "out").exists()
    run(encoder, tmp_path / "out", {"pairs": photos}, shard_rows=10)
    assert bytes_below(tmp_path / "whole") == bytes_below(tmp_path / "out")


def test_a_tar_damaged_in_the_middle_keeps_what_was_done(encoder, tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for seed in range(12):
            content = io.BytesIO()
            picture(seed).save(content, "PNG")
            info = tarfile.TarInfo(f"{seed}.png")
            info.size = len(content.getvalue())
            tar.addfile(info, io.BytesIO(content.getvalue()))
    jobs = find_jobs(encoder, images=tmp_path / "a.tar")
    os.truncate(tmp_path / "a.tar", (tmp_path / "a.tar").stat().st_size // 2)
    with pytest.raises(InputError, match=r"a\.tar"):
        encode_files(encoder, jobs, tmp_path / "out", Settings(shard_rows=2, workers=0))
    assert (tmp_path / "out.partial" / "img_emb_000.npy").exists()


def test_sounds_of_every_rate_and_kind(model_folder, tmp_path):
    import soundfile
    from scipy.signal import resample_poly

    encoder = open_encoder(str(model_folder("clap", fused=False)))
    folder = tmp_path / "sounds"
    folder.mkdir()
    wave = np.sin(np.arange(8000) * 0.3).astype(np.float32) * 0.5
    soundfile.write(folder / "mono.wav", wave, 8000, subtype="FLOAT")
    soundfile.write(folder / "stereo.wav", np.stack([wave, wave], axis=1), 8000, subtype="FLOAT")
    soundfile.write(folder / "fast.flac", resample_poly(wave, 2, 1), 16000)
    soundfile.write(folder / "long.ogg", np.tile(wave, 4), 8000)
    soundfile.write(folder / "none.wav", wave[:0], 8000)
    soundfile.write(folder / "nan.wav", np.full(800, np.nan, np.float32), 8000, subtype="FLOAT")
    (folder / "text.wav").write_text("not a sound")
    (folder / "empty.wav").write_bytes(b"")
    outcome = run(encoder, tmp_path / "out", {"sounds": folder})
    assert [(item["id"], item["reason"][:40]) for item in outcome.unreadable] == [
        ("empty", "audio: the file is empty"),
        ("nan", "audio: the sound has samples that are no"),
        ("none", "audio: the sound has no samples"),
        ("text", "audio: this is no sound that libsndfile "),
    ]
    assert outcome.truncated == {"audio": 1}
    names = [path.removesuffix(".wav") for path in columns(tmp_path / "out", "path")]
    rows = dict(zip(names, stored(tmp_path / "out"), strict=True))
    np.testing.assert_allclose(rows["mono"], encoder.encode([(wave, 8000)], "audio")[0], atol=1e-5)
    np.testing.assert_array_equal(rows["mono"], rows["stereo"])
    assert rows["mono"] @ rows["fast.flac"] > 0.99


def test_parquet_of_datasets_keeps_its_columns(encoder, tmp_path):
    import datasets

    records = {"label": list(range(6)), "text": [caption(i) for i in range(6)], "image": [picture(i) for i in range(6)]}
    features = datasets.Features(
        {"label": datasets.Value("int32"), "text": datasets.Value("string"), "image": datasets.Image()}
    )
    datasets.Dataset.from_dict(records, features=features).to_parquet(tmp_path / "set.parquet")
    run(encoder, tmp_path / "out", {"pairs": tmp_path / "set.parquet"})
    beside = pq.read_table(tmp_path / "out" / "metadata" / "metadata_000.parquet")
    assert beside.column_names == ["id", "label", "caption"]
    assert str(beside.schema.field("label").type) == "int32"
    np.testing.assert_allclose(stored(tmp_path / "out", "image"), encoder.encode(records["image"], "image"), atol=1e-5)


@pytest.mark.parametrize(("stored", "size"), [("float32", 4), ("float16", 2)])
def test_the_plan_says_what_will_be_written(run, encoder, model_folder, photos, tmp_path, stored, size):
    options = ("--pairs", photos, "--workers", 0, "--shard-rows", 10, "--out-dtype", stored)
    ended = run("encode", model_folder("clip"), *options, "--out", tmp_path / "out")
    (line,) = [line for line in ended.err.splitlines() if line.startswith("plan: ")]
    assert line.startswith("plan: 23 items (image+text) of ")
    assert line.endswith(f", 3 shard(s), write {format_bytes(2 * 23 * encoder.width * size)}")
    values = [np.load(path) for path in (tmp_path / "out").glob("*/*_emb_*.npy")]
    assert sum(array.nbytes for array in values) == 2 * 23 * encoder.width * size
