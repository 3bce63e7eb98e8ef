"""Sets behind a URI are read and written as on a disk, and an unfinished result is never taken for one."""

import json

import numpy as np
import pytest
from scale_files import same_files

import anisoalign as aa
from anisoalign.cli import main
from anisoalign.embeddings import InputError, RemotePath, convert, engine_used, open_embeddings


def copied(folder, store):
    """Put a folder of this machine into the store."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            place = store
            for part in path.relative_to(folder.parent).parts:
                place = place / part
            place.upload(path)
    return store / folder.name


def fetched(place, folder):
    """The files of a folder in the store, on this machine."""
    folder.mkdir()
    for path in place.iterdir():
        if path.is_dir():
            fetched(path, folder / path.name)
        else:
            with path.open("rb") as file:
                (folder / path.name).write_bytes(file.read())
    return folder


@pytest.mark.parametrize("format", ["npy", "parquet", "arrow"])
def test_a_file_in_a_store_is_opened_once_for_its_header_and_once_for_its_first_rows(store, monkeypatch, format):
    convert(np.eye(3, dtype=np.float32), store / f"z.{format}")
    opened, usual = [], RemotePath.open
    monkeypatch.setattr(RemotePath, "open", lambda path, *mode: opened.append(path.name) or usual(path, *mode))
    assert open_embeddings(store / f"z.{format}").rows == 3
    assert opened == [f"z.{format}"] * 2


@pytest.mark.parametrize("format", ["npy", "parquet", "arrow", "hf"])
def test_a_set_in_a_store_is_the_set_on_disk(sharded, store, tmp_path, format):
    convert(sharded.source, tmp_path / "set", format=format)
    here, there = open_embeddings(tmp_path / "set"), open_embeddings(copied(tmp_path / "set", store))
    assert (there.format, there.rows, there.dim, there.dtype) == (here.format, here.rows, here.dim, here.dtype)
    np.testing.assert_array_equal(here.read(), there.read())
    rows = np.array([0, 1, 2, 100, 101, 650])
    np.testing.assert_array_equal(here.take(rows).values, there.take(rows).values)
    assert here.ids().to_pylist() == there.ids().to_pylist()
    # The parts that statistics read, of which .npy has several a shard.
    for span in there.spans(tile_rows=2):
        parts = [np.concatenate([t.values for t in es.tiles(tile_rows=2, span=span)]) for es in (here, there)]
        np.testing.assert_array_equal(*parts)


@pytest.mark.parametrize("order", ["C", "F"])
def test_rows_of_one_npy_file_are_had_by_few_requests(store, tmp_path, order):
    rows = np.asarray(np.random.default_rng(0).normal(size=(40_000, 8)).astype(np.float32), order=order)
    np.save(tmp_path / "rows.npy", rows)
    (store / "rows.npy").upload(tmp_path / "rows.npy")
    there = open_embeddings(store / "rows.npy")
    wanted = np.array([0, 5, 39_999])
    found = there.take(wanted).values
    np.testing.assert_allclose(found, rows[wanted] / np.linalg.norm(rows[wanted], axis=1, keepdims=True), rtol=1e-6)
    np.testing.assert_array_equal(there.read(), open_embeddings(tmp_path / "rows.npy").read())


@pytest.mark.parametrize("format", ["npy", "safetensors", "parquet", "arrow", "hf"])
@pytest.mark.parametrize("bad_rows", ["error", "drop"])
def test_what_is_written_to_a_store_is_what_a_disk_would_hold(sharded, store, tmp_path, format, bad_rows):
    if bad_rows == "drop":
        shard = np.load(sharded.source / "part-004.npy")
        shard[2] = 0
        np.save(sharded.source / "part-004.npy", shard)
    source = open_embeddings(sharded.source, bad_rows=bad_rows)
    model = aa.ReAlign().fit(source, sharded.target)
    model.transform(source, tmp_path / "here", format=format)
    out = model.transform(source, store / "there", format=format)
    assert out == store / "there"
    same_files(tmp_path / "here", fetched(store / "there", tmp_path / "there"))


def test_a_file_uri_is_read_and_written_by_an_engine(sharded, elsewhere, tmp_path):
    model = aa.ReAlign().fit(sharded.source, sharded.target)
    model.transform(sharded.source, tmp_path / "here")
    with engine_used(elsewhere):
        again = aa.ReAlign().fit(f"file://{sharded.source}", f"file://{sharded.target}")
        again.transform(f"file://{sharded.source}", f"file://{tmp_path}/there")
    np.testing.assert_array_equal(again.calibration_mean_, model.calibration_mean_)
    same_files(tmp_path / "here", tmp_path / "there")


def test_the_command_line_takes_uris(sharded, capsys, monkeypatch, tmp_path):
    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["anisoalign", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code or 0

    source, target = f"file://{sharded.source}", f"file://{sharded.target}"
    assert run("fit", "realign", "--source", source, "--target", target, "--out", tmp_path / "m") == 0
    assert run("transform", tmp_path / "m", "--source", source, "--out", f"file://{tmp_path}/z") == 0
    assert run("evaluate", "--source", source, "--target", target, "--aligned", f"file://{tmp_path}/z") == 0
    aa.load(tmp_path / "m").transform(sharded.source, tmp_path / "here")
    same_files(tmp_path / "here", tmp_path / "z")


def interrupted(model, source, out, after):
    def stop(rows):
        stop.seen += rows
        if stop.seen > after:
            raise KeyboardInterrupt

    stop.seen = 0
    with pytest.raises(KeyboardInterrupt):
        model.transform(source, out, progress=stop)


def test_an_unfinished_result_is_refused_and_continued_to_the_same_bytes(sharded, store, tmp_path):
    model = aa.ReAlign().fit(sharded.source, sharded.target)
    interrupted(model, sharded.source, store / "out", 300)
    names = {path.name for path in (store / "out").iterdir()}
    assert ".run" in names
    assert "manifest.json" not in names
    with pytest.raises(InputError, match="unfinished run"):
        open_embeddings(store / "out")
    with pytest.raises(InputError, match="dtype: float32 then, float16 now"):
        model.transform(sharded.source, store / "out", out_dtype="float16")
    model.transform(sharded.source, tmp_path / "whole")
    model.transform(sharded.source, store / "out")
    same_files(tmp_path / "whole", fetched(store / "out", tmp_path / "out"))


def test_a_shard_whose_upload_was_cut_short_is_written_again(sharded, store, tmp_path):
    model = aa.ReAlign().fit(sharded.source, sharded.target)
    interrupted(model, sharded.source, store / "out", 300)
    (store / "out" / "part-000.npy").write_text("half")
    model.transform(sharded.source, store / "out")
    model.transform(sharded.source, tmp_path / "whole")
    same_files(tmp_path / "whole", fetched(store / "out", tmp_path / "out"))


@pytest.mark.filterwarnings("ignore:these rows have drifted")
def test_nothing_in_a_store_is_written_over(sharded, store, tmp_path):
    model = aa.ReAlign().fit(sharded.source, sharded.target)
    model.transform(sharded.source, store / "out")
    with pytest.raises(InputError, match="already exists"):
        model.transform(sharded.source, store / "out")
    with pytest.raises(InputError, match="not replaced"):
        model.transform(sharded.source, store / "out", overwrite=True)
    (store / "other" / "note.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty"):
        model.transform(sharded.source, store / "other")
    with (
        pytest.warns(UserWarning, match="was aligned before"),
        pytest.raises(InputError, match="where the rows come from"),
    ):
        model.transform(store / "out", store / "out")
    assert (store / "other" / "note.txt").read_text() == "mine"


def test_bad_input_leaves_nothing_in_a_store(sharded, store):
    shard = np.load(sharded.source / "part-004.npy")
    shard[2] = 0
    np.save(sharded.source / "part-004.npy", shard)
    model = aa.MeanShift().fit(open_embeddings(sharded.source, bad_rows="drop"), sharded.target)
    with pytest.raises(InputError, match="part-004"):
        model.transform(sharded.source, store / "out")
    assert not (store / "out").exists()


def test_a_missing_shard_is_named(sharded, store):
    model = aa.ReAlign().fit(sharded.source, sharded.target)
    model.transform(sharded.source, store / "out")
    (store / "out" / "part-002.npy").unlink()
    with pytest.raises(InputError, match=r"memory://.*/out/part-002.npy is listed in manifest.json but missing"):
        open_embeddings(store / "out")


def test_what_cannot_be_read_behind_a_uri_says_so(sharded, store, tmp_path):
    convert(sharded.source, tmp_path / "set", format="safetensors")
    with pytest.raises(InputError, match="safetensors is read from a disk of this machine alone"):
        open_embeddings(copied(tmp_path / "set", store))
    with pytest.raises(InputError, match="does not exist"):
        open_embeddings(store / "nothing")
    with pytest.raises(InputError, match="cannot be opened"):
        open_embeddings("nosuch://bucket/set")
    with pytest.raises(InputError, match="Lance"):
        convert(sharded.source, store / "set", format="lance")


def test_a_single_file_in_a_store(sharded, store, tmp_path):
    model = aa.ReAlign().fit(sharded.source, sharded.target)
    model.transform(sharded.source, store / "z.parquet")
    model.transform(sharded.source, tmp_path / "z.parquet")
    with (store / "z.parquet").open() as file:
        assert file.read() == (tmp_path / "z.parquet").read_bytes()
    said = open_embeddings(store / "z.parquet").provenance
    assert said == open_embeddings(tmp_path / "z.parquet").provenance
    assert set(said) == {"aligned_by"}


def test_a_file_in_a_store_leaves_its_neighbour_what_is_said_of_it(sharded, store):
    model = aa.ReAlign().fit(sharded.source, sharded.target)
    model.transform(sharded.source, store / "z.npy")
    said = open_embeddings(store / "z.npy").provenance
    (store / "z.provenance.json").write_text((store / "z.npy.provenance.json").read_text())
    (store / "z.npy.provenance.json").unlink()
    with pytest.warns(UserWarning, match=r"z\.provenance\.json is called z\.npy\.provenance\.json now"):
        convert(np.eye(3), store / "z.parquet")
    assert not (store / "z.provenance.json").is_file()
    assert open_embeddings(store / "z.npy").provenance == said is not None
    assert open_embeddings(store / "z.parquet").provenance is None


def test_paths_within_a_store():
    path = RemotePath("file:///a/b/c-01.npy")
    assert (path.name, path.stem, path.suffix, str(path.parent)) == ("c-01.npy", "c-01", ".npy", "file:///a/b")
    assert path.with_name("d") == RemotePath("file:///a/b/d")
    assert path.parent / "c-01.npy" == path
    assert len({path, path.parent / "c-01.npy"}) == 1
    assert json.dumps(str(path)) == '"file:///a/b/c-01.npy"'
    with pytest.raises(ValueError, match="reading"):
        path.open("wb")
