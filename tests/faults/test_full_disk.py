"""A disk that takes no more: exit code 1, the file named, nothing half written, and what is done goes on.

The system's limit on the size of a file stands for the disk's end: it refuses what is written beyond in the same way.
"""

import errno
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

import anisoalign as aa
from anisoalign.embeddings import InputError
from anisoalign.embeddings.atomic import write_synced
from anisoalign.embeddings.engines import Outcome
from anisoalign.embeddings.errors import has_failed

pytestmark = pytest.mark.filterwarnings("ignore:source and target are the same rows")

LIMIT = 4_000
"""Bytes of a file, at most."""
FULL = "File too large"


@contextmanager
def full() -> Iterator[None]:
    """A disk on which no file grows beyond the limit."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def rows(tmp_path):
    values = np.random.default_rng(0).normal(size=(200, 32)).astype(np.float32)
    np.save(tmp_path / "rows.npy", values)
    return tmp_path / "rows.npy"


@pytest.fixture
def model(rows, tmp_path):
    aa.WhitenColor().fit(rows, rows).save(tmp_path / "model")
    return tmp_path / "model"


def check_told(ended, *named):
    assert ended.code == 1, ended.err
    said = [line for line in ended.err.splitlines() if FULL in line]
    assert len(said) == 1
    assert all(str(name) in said[0] for name in named)
    assert "Errno" not in said[0]
    assert "Traceback" not in ended.err


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("format", ["npy", "parquet", "safetensors"])
def test_a_transform_that_finds_no_room_names_its_file(model, rows, tmp_path, run, format):
    before = names(tmp_path)
    with full():
        check_told(
            run("transform", model, "--source", rows, "--out", tmp_path / f"z.{format}"), tmp_path / f"z.{format}"
        )
        check_told(run("transform", model, "--source", rows, "--out", tmp_path / "z", "--format", format), "z.partial")
    assert names(tmp_path) == before


def test_what_is_done_stays_and_the_message_says_so(model, rows, tmp_path, run):
    folder = tmp_path / "set"
    folder.mkdir()
    np.save(folder / "part_0.npy", np.load(rows)[:8])
    np.save(folder / "part_1.npy", np.load(rows))
    command = ("transform", model, "--source", folder, "--out", tmp_path / "z")
    with full():
        ended = run(*command)
    check_told(ended, "z.partial/part_001.npy", "z.partial holds what is done; the same command goes on from there")
    kept = (tmp_path / "z.partial" / "part_000.npy").stat().st_mtime_ns
    assert run(*command).code == 0
    assert (tmp_path / "z" / "part_000.npy").stat().st_mtime_ns == kept


def test_columns_beside_vectors_that_find_no_room_are_named(model, rows, tmp_path, run):
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = tmp_path / "set"
    (folder / "metadata").mkdir(parents=True)
    np.save(folder / "part_0.npy", np.load(rows)[:8])
    captions = ["".join(map(chr, np.random.default_rng(i).integers(33, 120, 2_000))) for i in range(8)]
    pq.write_table(pa.table({"caption": captions}), folder / "metadata" / "metadata_0.parquet")
    with full():
        check_told(run("transform", model, "--source", folder, "--out", tmp_path / "z"), "z.partial")


def test_a_model_that_finds_no_room_is_no_bad_input(rows, tmp_path, run):
    before = names(tmp_path)
    with full():
        ended = run("fit", "whiten-color", "--source", rows, "--target", rows, "--out", tmp_path / "m")
    check_told(ended, tmp_path / "m")
    assert names(tmp_path) == before


def test_results_that_find_no_room_are_no_bad_input(rows, tmp_path, run):
    before = names(tmp_path)
    with full():
        ended = run("diagnose", "--source", rows, "--target", rows, "--results", tmp_path / "results.json")
    check_told(ended, tmp_path / "results.json")
    assert names(tmp_path) == before


@pytest.mark.parametrize("to", ["torch-export", pytest.param("onnx", marks=pytest.mark.integration)])
def test_an_export_that_finds_no_room_ends_in_one_line(model, tmp_path, to):
    before = names(tmp_path)
    out = tmp_path / "model.pt2"
    within = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({LIMIT}, {LIMIT}))"
    code = f"{within}; from anisoalign.cli import main; main()"
    command = [sys.executable, "-c", code, "export", str(model), "--to", to, "--out", str(out)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (1, f"anisoalign: {out}: {FULL}\n")
    assert names(tmp_path) == before


def test_a_small_file_that_finds_no_room_leaves_no_other_behind(tmp_path):
    (tmp_path / "note.json").write_text("before")
    with full(), pytest.raises(OSError, match=FULL) as told:
        write_synced(tmp_path / "note.json", "x" * 2 * LIMIT)
    assert told.value.filename == str(tmp_path / "note.json")
    assert names(tmp_path) == ["note.json"]
    assert (tmp_path / "note.json").read_text() == "before"


def test_what_ended_a_worker_is_told_apart_when_it_comes_back():
    for problem, failed in ((errno.ENOSPC, True), (errno.EACCES, False)):
        fault = InputError("cannot be written")
        fault.__cause__ = OSError(problem, "refused")
        with pytest.raises(InputError) as told:
            Outcome.failed(fault).check()
        assert has_failed(told.value) == failed
