import contextlib
import itertools
import json
import os
import pickle
import re
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file

from anisoalign.embeddings import EmbeddingWriter, InputError, convert, engine_used, open_embeddings, write_tiles
from anisoalign.embeddings.errors import by_system
from anisoalign.embeddings.notes import Dropped

FORMATS = ("npy", "parquet", "safetensors", "arrow", "hf")
SIZES = (5, 3, 4)


def values_of(index: int) -> np.ndarray:
    return np.random.default_rng(index).normal(size=(SIZES[index], 6)).astype(np.float32)


def write(
    out: Path, format: str = "npy", upto: int = 3, overwrite: bool = False, plan: dict | None = None
) -> list[int]:
    """Write three shards; with `upto` below 3 fail while writing that one. Return what was skipped."""
    skipped = []
    with EmbeddingWriter(out, 6, "float16", format, plan or {"seed": 1}, overwrite) as writer:
        for index, rows in enumerate(SIZES):
            if writer.done(index):
                skipped.append(index)
                continue
            with writer.shard(index, rows, f"x-{index}", ids=[f"id{index}{i}" for i in range(rows)]) as shard:
                shard.write(values_of(index)[:2])
                if index == upto:
                    raise KeyboardInterrupt
                shard.write(values_of(index)[2:])
    return skipped


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("format", FORMATS)
def test_written_shards_read_back(tmp_path, format):
    write(tmp_path / "out", format)
    es = open_embeddings(tmp_path / "out")
    assert es.format == format
    assert es.dtype == np.float16
    assert [shard.rows for shard in es.shards] == list(SIZES)
    assert es.ids().to_pylist() == [f"id{i}{j}" for i, n in enumerate(SIZES) for j in range(n)]
    raw = np.concatenate([tile.values for tile in es.tiles(np.float16, raw=True)])
    np.testing.assert_array_equal(raw, np.concatenate([values_of(i) for i in range(3)]).astype(np.float16))
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert (manifest["rows"], manifest["dim"], manifest["dtype"]) == (12, 6, "float16")
    assert manifest["plan"] == {"seed": 1}
    for item in manifest["shards"]:
        data = (tmp_path / "out" / item["file"]).read_bytes()
        assert (item["bytes"], item["crc32"]) == (len(data), f"{zlib.crc32(data):08x}")


def test_other_libraries_read_what_is_written(tmp_path):
    for format in FORMATS:
        write(tmp_path / format, format)
    truth = values_of(1).astype(np.float16)
    np.testing.assert_array_equal(np.load(tmp_path / "npy" / "x-001.npy"), truth)
    np.testing.assert_array_equal(load_file(tmp_path / "safetensors" / "x-001.safetensors")["embeddings"], truth)
    table = pq.read_table(tmp_path / "parquet" / "x-001.parquet")
    assert table.schema.field("embedding").type == pa.list_(pa.float16(), 6)
    assert table.column("id").to_pylist() == ["id10", "id11", "id12"]
    np.testing.assert_array_equal(np.stack(table.column("embedding").to_numpy()), truth)
    assert pa.ipc.open_file(tmp_path / "arrow" / "x-001.arrow").read_all().num_rows == 3
    beside = pq.read_table(tmp_path / "npy" / "metadata" / "metadata_001.parquet")
    assert beside.column("id").to_pylist() == ["id10", "id11", "id12"]


@pytest.mark.filterwarnings("default")
def test_datasets_loads_the_hf_folder(tmp_path):
    datasets = pytest.importorskip("datasets", reason="the library that reads these folders is optional")
    write(tmp_path / "out", "hf")
    data = datasets.load_from_disk(str(tmp_path / "out"))
    assert data.column_names == ["id", "embedding"]
    assert data["id"][5] == "id10"
    np.testing.assert_array_equal(np.array(data[5]["embedding"], np.float16), values_of(1)[0].astype(np.float16))


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("upto", [0, 1, 2])
def test_interrupted_runs_continue_to_the_same_bytes(tmp_path, format, upto):
    assert write(tmp_path / "whole", format) == []
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "out", format, upto)
    assert not (tmp_path / "out").exists()
    assert (tmp_path / "out.partial").exists() == (upto > 0)
    assert write(tmp_path / "out", format) == list(range(upto))
    assert not (tmp_path / "out.partial").exists()
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")
    assert len(tree(tmp_path / "out")) >= 4


def test_a_damaged_note_of_a_finished_shard_is_named(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "out", "npy", 1)
    note = tmp_path / "out.partial" / ".run" / "shard-0.json"
    note.write_text(note.read_text()[:-9])
    with pytest.raises(InputError, match=rf"^{re.escape(str(note))} cannot be read: "):
        write(tmp_path / "out", "npy")


KILLED = """
import os, signal, sys
import numpy as np
from anisoalign.embeddings import EmbeddingWriter, open_embeddings, write_tiles
source, out, kill_at = sys.argv[1], sys.argv[2], int(sys.argv[3])
es = open_embeddings(source)
seen = 0
def change(tile):
    global seen
    seen += 1
    if seen == kill_at:
        os.kill(os.getpid(), signal.SIGKILL)
    return -tile.values
with EmbeddingWriter(out, es.dim, "float16", plan={"minus": True}) as writer:
    write_tiles(es, writer, lambda: change)
"""


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_killed_runs_continue_to_the_same_bytes(make_set, tmp_path):
    rng = np.random.default_rng(0)
    # Tiles of 64 Ki rows at width 2, so that the first shard has two and a kill at 2 lies within it.
    folder = make_set([rng.normal(size=(n, 2)).astype(np.float32) for n in (70_000, 3, 10)])

    def run(kill_at: int) -> int:
        arguments = [sys.executable, "-c", KILLED, str(folder), str(tmp_path / "out"), str(kill_at)]
        return subprocess.run(arguments, check=False).returncode

    # Shards are written side by side, so what is finished when the process dies is up to the threads.
    for kill_at in (1, 2, 1):
        if run(kill_at) == 0:
            break
        assert not (tmp_path / "out").exists()
        assert (tmp_path / "out.partial").is_dir()
    es = open_embeddings(folder)
    assert not (tmp_path / "out").exists(), "no run was killed before its end"
    for out in ("out", "whole"):
        with EmbeddingWriter(tmp_path / out, es.dim, "float16", plan={"minus": True}) as writer:
            write_tiles(es, writer, lambda: lambda tile: -tile.values)
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")
    assert len(tree(tmp_path / "out")) == 4


def test_a_run_cut_off_between_its_manifest_and_the_last_rename_is_finished(tmp_path, monkeypatch):
    write(tmp_path / "whole")

    def cut(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("anisoalign.embeddings.writer.replace_folder", cut)
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert (tmp_path / "out.partial" / "manifest.json").exists()
    assert write(tmp_path / "out") == [0, 1, 2]
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")


def test_damaged_shards_of_an_unfinished_run_are_written_again(tmp_path):
    write(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "out", upto=2)
    first = tmp_path / "out.partial" / "x-000.npy"
    data = bytearray(first.read_bytes())
    data[-1] ^= 1
    first.write_bytes(data)
    (tmp_path / "out.partial" / "metadata" / "metadata_001.parquet").unlink()
    assert write(tmp_path / "out") == []
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")


def test_another_plan_never_continues_an_unfinished_run(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "out", upto=2)
    before = tree(tmp_path / "out.partial")
    with pytest.raises(
        InputError, match=r"out\.partial holds an unfinished run .*\(seed: .* then, 2 now\); repeat .* delete"
    ):
        write(tmp_path / "out", plan={"seed": 2})
    with pytest.raises(InputError, match="format: npy then, parquet now"):
        write(tmp_path / "out", "parquet")
    assert tree(tmp_path / "out.partial") == before
    assert write(tmp_path / "out") == [0, 1]


def test_what_exists_is_not_written_over_unasked(tmp_path):
    write(tmp_path / "out")
    with pytest.raises(InputError, match="out already exists"):
        write(tmp_path / "out")
    write(tmp_path / "out", "parquet", overwrite=True)
    assert open_embeddings(tmp_path / "out").format == "parquet"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out"]
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "out", upto=1, overwrite=True)
    assert open_embeddings(tmp_path / "out").format == "parquet"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    with pytest.raises(InputError, match="not written by this library"):
        write(tmp_path / "mine", overwrite=True)
    (tmp_path / "empty").mkdir()
    write(tmp_path / "empty")
    assert open_embeddings(tmp_path / "empty").rows == 12


def test_a_folder_never_takes_the_place_of_a_file_nor_a_file_that_of_a_folder(tmp_path):
    pytest.importorskip("lance", reason="the library that writes Lance is optional")
    (tmp_path / "notes").write_text("mine")
    (tmp_path / "x.lance").write_text("mine")
    (tmp_path / "x.npy").mkdir()
    before = tree(tmp_path)
    for name, message in (
        ("notes", "is a file and the result would be a folder"),
        ("x.lance", "is a file and the result would be a folder"),
        ("x.npy", "is a folder and the result would be a file"),
    ):
        told: list[int] = []
        with pytest.raises(InputError, match=message):
            convert(np.eye(3), tmp_path / name, overwrite=True, progress=told.append)
        assert not told
    assert tree(tmp_path) == before


@pytest.mark.parametrize("ending", ["npy", "parquet", "safetensors", "arrow"])
def test_single_files_appear_whole_or_not_at_all(make_set, ragged, tmp_path, ending):
    ids = list(range(17))
    folder = make_set(ragged, "parquet fixed", ids=ids)
    out = tmp_path / "results" / f"all.{ending}"
    convert(folder, out)
    es = open_embeddings(out)
    np.testing.assert_array_equal(es.read(), open_embeddings(np.concatenate(ragged)).read())
    assert es.ids().to_pylist() == ids
    before = tree(tmp_path / "results")
    with pytest.raises(InputError, match="already exists"):
        convert(folder, out)

    def fail(tile):
        raise RuntimeError

    for kept in (True, False):
        if not kept:
            for file in out.parent.iterdir():
                file.unlink()
            before = {}
        with pytest.raises(RuntimeError), EmbeddingWriter(out, 6, overwrite=True) as writer:
            write_tiles(open_embeddings(folder), writer, lambda: fail)
        assert tree(tmp_path / "results") == before


def test_ids_of_a_replaced_file_do_not_outlive_it(tmp_path, make_set, ragged):
    folder = make_set(ragged, "parquet fixed", ids=list(range(17)))
    convert(folder, tmp_path / "x.npy")
    assert convert(np.eye(17, 6) + 1, tmp_path / "x.npy", overwrite=True).ids() is None


def test_endings_and_formats_must_agree(tmp_path):
    with pytest.raises(InputError, match=r"x\.npy is named as npy, but parquet"):
        EmbeddingWriter(tmp_path / "x.npy", 2, format="parquet")
    with pytest.raises(InputError, match="one of npy, parquet"):
        EmbeddingWriter(tmp_path / "x", 2, format="csv")
    with pytest.raises(InputError, match="float16, float32 or float64"):
        EmbeddingWriter(tmp_path / "x", 2, dtype="int8")


def test_promises_are_kept(tmp_path):
    def attempt(rows, *parts, **shard):
        with EmbeddingWriter(tmp_path / "out", 2) as writer, writer.shard(0, rows, **shard) as out:
            for part in parts:
                out.write(part)

    with pytest.raises(ValueError, match="promised 3 rows and given 2"):
        attempt(3, np.ones((2, 2)))
    with pytest.raises(ValueError, match=r"rows of shape \(m, 2\)"):
        attempt(1, np.ones((1, 3)))
    with pytest.raises(ValueError, match="not finite in float32"):
        attempt(2, np.array([[1.0, 2.0], [np.nan, 1.0]]))
    with pytest.raises(ValueError, match="not finite in float32"):
        attempt(1, np.array([[1e300, 0.0]]))
    with (
        pytest.raises(ValueError, match="never written"),
        EmbeddingWriter(tmp_path / "out", 2) as writer,
        writer.shard(1, 1) as out,
    ):
        out.write(np.ones((1, 2)))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("format", FORMATS)
def test_bytes_do_not_depend_on_how_rows_arrive(tmp_path, format):
    values = np.random.default_rng(0).normal(size=(1500, 4096)).astype(np.float32)
    for name, cuts in (("a", [0, 1500]), ("b", [0, 1, 500, 1030, 1499, 1500])):
        with (
            EmbeddingWriter(tmp_path / name, 4096, "float32", format) as writer,
            writer.shard(0, 1500, ids=np.arange(1500)) as shard,
        ):
            buffer = np.empty_like(values)
            for start, stop in itertools.pairwise(cuts):
                buffer[: stop - start] = values[start:stop]
                shard.write(buffer[: stop - start])
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


@pytest.mark.parametrize("format", FORMATS)
def test_dropped_rows_are_left_out_of_values_ids_and_counts(make_set, ragged, tmp_path, format):
    parts = [part.copy() for part in ragged]
    parts[0][3] = np.nan
    parts[2][[0, 10]] = 0
    folder = make_set(parts, "parquet fixed", ids=[f"n{i}" for i in range(17)])
    out = convert(folder, tmp_path / "out", format, bad_rows="drop")
    kept = np.delete(np.arange(17), [3, 5, 15])
    assert out.ids().to_pylist() == [f"n{i}" for i in kept]
    raw = np.concatenate([tile.values for tile in out.tiles(raw=True)])
    np.testing.assert_array_equal(raw, np.concatenate(ragged)[kept])
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert (manifest["rows"], manifest["dropped"]) == (14, 3)
    assert manifest["shards"][0]["dropped"] == [{"row": 3, "reason": "holds NaN"}]
    assert [item["row"] for item in manifest["shards"][2]["dropped"]] == [0, 10]
    for item in manifest["shards"]:
        data = (tmp_path / "out" / item["file"]).read_bytes()
        assert item["crc32"] == f"{zlib.crc32(data):08x}"


@pytest.mark.parametrize("name", ["out.npy", "out.parquet", "out.safetensors", "out.arrow", "out.lance"])
def test_a_file_says_which_rows_of_its_source_it_has_not(make_set, ragged, tmp_path, name):
    if name.endswith("lance"):
        pytest.importorskip("lance", reason="the library that writes Lance is optional")
    parts = [part.copy() for part in ragged]
    parts[0][3] = np.nan
    parts[2][[0, 10]] = 0
    folder = make_set(parts)
    convert(folder, tmp_path / name, bad_rows="drop")
    said = json.loads((tmp_path / f"{name}.dropped.json").read_text())
    reasons = {3: "holds NaN", 5: "is zero", 15: "is zero"}
    assert said == {"rows": 14, "dropped": [{"row": row, "reason": reason} for row, reason in reasons.items()]}
    kept = np.delete(np.concatenate(ragged), [item["row"] for item in said["dropped"]], axis=0)
    raw = np.concatenate([tile.values for tile in open_embeddings(tmp_path / name, norms="normalize").tiles(raw=True)])
    np.testing.assert_array_equal(raw, kept)
    convert(np.concatenate(ragged), tmp_path / name, overwrite=True)
    assert not (tmp_path / f"{name}.dropped.json").exists()


@pytest.mark.parametrize("name", ["out", "out.npy"])
def test_each_dropped_row_is_looked_at_a_few_times_however_many_shards_there_are(make_set, tmp_path, monkeypatch, name):
    parts, looks = [np.eye(3, 4) for _ in range(40)], []
    for part in parts:
        part[1] = 0

    def look(row):
        looks.append(row)
        return vars(row)["global_row"]

    counted = property(look, lambda row, value: vars(row).update(global_row=value))
    monkeypatch.setattr(Dropped, "global_row", counted, raising=False)
    out = convert(make_set(parts), tmp_path / name, bad_rows="drop")
    assert out.rows == 80
    assert len(looks) <= 5 * len(parts)


def test_a_continued_run_knows_the_rows_that_the_run_before_it_dropped(make_set, tmp_path):
    parts = [np.random.default_rng(i).normal(size=(6, 4)).astype(np.float32) for i in range(3)]
    parts[0][2], parts[2][5] = 0, np.nan
    folder = make_set(parts)

    def run(fail_at: int | None = None) -> list[tuple]:
        def change(tile):
            if tile.shard == fail_at:
                raise KeyboardInterrupt
            return tile.values

        es = open_embeddings(folder, bad_rows="drop")
        with EmbeddingWriter(tmp_path / "out", 4) as writer:
            write_tiles(es, writer, lambda: change)
        return [(Path(row.file).name, row.row, row.global_row, row.reason) for row in es.dropped]

    with pytest.raises(KeyboardInterrupt):
        run(fail_at=2)
    assert (tmp_path / "out.partial" / "part-000.npy").is_file()
    assert run() == [("part-0.npy", 2, 2, "is zero"), ("part-2.npy", 5, 17, "holds NaN")]


def test_stems_and_boundaries_of_the_input_are_kept(tmp_path, ragged):
    for names, stems in (
        (["img_emb_7", "img_emb_8"], ["img_emb_007", "img_emb_008"]),
        (["train", "val"], ["train_000", "val_001"]),
        (["a_0", "b_0"], ["a_000", "b_001"]),
        (["s999", "s1000"], ["s0999", "s1000"]),
    ):
        folder = tmp_path / names[0]
        folder.mkdir()
        for name, part in zip(names, (ragged[0], ragged[2]), strict=True):
            np.save(folder / f"{name}.npy", part)
        es = convert(folder, tmp_path / f"{names[0]}-out")
        assert [shard.path.stem for shard in es.shards] == stems
        assert [shard.rows for shard in es.shards] == [5, 11]


def test_progress_counts_every_row_once(make_set, ragged, tmp_path):
    ragged[2][4] = 0
    told = []
    convert(make_set(ragged), tmp_path / "out", bad_rows="drop", progress=told.append)
    assert sum(told) == 17


class Elsewhere:
    """An engine that does its parts with a copy, and hands copies back."""

    hands = 1

    def map(self, job, parts):
        run = pickle.loads(pickle.dumps(job)).begin()
        for part in parts:
            yield pickle.loads(pickle.dumps(run(part)))


class Failing:
    """A change of tiles that ends at the third shard."""

    def __init__(self, cause: Exception | None):
        self.cause = cause

    def __call__(self):
        return self.change

    def change(self, tile):
        if tile.shard == 2:
            raise InputError("the third shard cannot be had") from self.cause
        return tile.values


@pytest.mark.parametrize("engine", [True, False])
def test_shards_written_before_the_system_refused_are_kept_wherever_it_did(make_set, ragged, tmp_path, engine):
    es = open_embeddings(make_set(ragged))
    for name, cause, kept in (("full", OSError("no space left"), 2), ("bad", None, 0)):
        with contextlib.ExitStack() as stack:
            if engine:
                stack.enter_context(engine_used(Elsewhere()))
            told = stack.enter_context(pytest.raises(InputError, match="the third shard cannot be had"))
            writer = stack.enter_context(EmbeddingWriter(tmp_path / name, 6))
            write_tiles(es, writer, Failing(cause))
        assert by_system(told.value) == (cause is not None)
        found = list((tmp_path / f"{name}.partial").glob("*.npy"))
        assert len(found) >= kept  # threads may have come to the last one too
        assert kept or not (tmp_path / f"{name}.partial").exists()


@pytest.fixture(scope="module")
def long_shards(tmp_path_factory):
    """Two shards of Parquet, one of more tiles than a thread is given at once: 80 MB."""
    folder = tmp_path_factory.mktemp("long")
    for number, rows in enumerate((20_000, 500)):
        values = np.random.default_rng(number).random((rows, 1024), np.float32)
        values[7] = np.nan
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), 1024)
        table = pa.table({"id": np.arange(rows), "embedding": vectors})
        pq.write_table(table, folder / f"{number}.parquet", use_dictionary=False)
    return folder


def test_one_file_of_long_shards_is_written_tile_by_tile(long_shards, tmp_path):
    if not Path("/proc/self/status").exists():
        pytest.skip("needs /proc to tell anonymous memory from mapped files")
    script = (
        "import sys; from anisoalign.embeddings import convert\n"
        "held = lambda: next(int(line.split()[1]) for line in open('/proc/self/status') if 'RssAnon' in line)\n"
        "source, out = sys.argv[1:]; convert(source + '/1.parquet', out + '/short.npy', bad_rows='drop')\n"
        "before, seen = held(), []\n"
        "convert(source, out + '/all.npy', bad_rows='drop', progress=lambda rows: seen.append(held()))\n"
        "print(max(seen) - before)"
    )
    command = [sys.executable, "-c", script, long_shards, tmp_path]
    grown = int(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    assert grown < 80_000  # the long shard alone has 80 MB, which was held besides


@pytest.mark.parametrize("ending", ["npy", "parquet"])
def test_one_file_has_the_same_bytes_whether_shards_are_held_or_not(long_shards, tmp_path, ending):
    for name, memory in (("held", "64GB"), ("not", None), ("scarce", "60MB")):
        es = open_embeddings(long_shards, bad_rows="drop", memory=memory)
        with EmbeddingWriter(tmp_path / name / f"x.{ending}", 1024) as writer:
            write_tiles(es, writer)
        assert len(es.dropped) == 2
    trees = [tree(tmp_path / name) for name in ("held", "not", "scarce")]
    assert trees[0] == trees[1] == trees[2]


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("format", ["npy", "parquet"])
def test_tiles_that_share_memory_are_written_apart(tmp_path, format, dtype):
    # 256 rows a tile at this width: several tiles a shard pass through the memory of one worker.
    es = open_embeddings(np.random.default_rng(0).normal(size=(1000, 4096)).astype(np.float32))
    with EmbeddingWriter(tmp_path / "out", 4096, dtype, format) as writer:
        write_tiles(es, writer)
    out = open_embeddings(tmp_path / "out")
    raw = np.concatenate([tile.values for tile in out.tiles(dtype, raw=True)])
    np.testing.assert_array_equal(raw, es.read(np.float32).astype(dtype))
