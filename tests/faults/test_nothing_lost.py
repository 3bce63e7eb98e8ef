"""What is not ours is never deleted, no input is written over, no result is thrown away."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import anisoalign as aa
from anisoalign.embeddings import EmbeddingWriter, InputError, workers
from anisoalign.embeddings.shard_files import Sink

pytestmark = pytest.mark.filterwarnings("ignore:source and target are the same rows")


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).normal(size=(120, 6)).astype(np.float32))
    return tmp_path / "rows.npy"


def test_a_model_of_another_library_is_left_alone(rows, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text('{"model_type": "llama"}')
    (other / "weights.bin").write_text("precious")
    with pytest.raises(InputError, match="left alone"):
        aa.ReAlign().fit(np.load(rows), np.load(rows)).save(other)
    assert (other / "weights.bin").read_text() == "precious"


def test_a_model_with_other_files_beside_it_is_left_alone(rows, tmp_path):
    model = aa.ReAlign().fit(np.load(rows), np.load(rows))
    model.save(tmp_path / "m")
    (tmp_path / "m" / "notes.txt").write_text("precious")
    with pytest.raises(InputError, match="left alone"):
        model.save(tmp_path / "m")
    assert (tmp_path / "m" / "notes.txt").is_file()


def test_saving_leaves_an_unfinished_run_of_the_same_name_alone(rows, tmp_path):
    (tmp_path / "m.partial").mkdir()
    (tmp_path / "m.partial" / "shard.npy").write_text("precious")
    aa.ReAlign().fit(np.load(rows), np.load(rows)).save(tmp_path / "m")
    assert (tmp_path / "m.partial" / "shard.npy").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m", "m.partial", "rows.npy"]


def test_a_result_is_never_written_over_its_own_source(rows, tmp_path):
    before = rows.read_bytes()
    model = aa.ReAlign().fit(rows, rows)
    with pytest.raises(InputError, match="where the rows come from"):
        model.transform(rows, rows, overwrite=True)
    with pytest.raises(InputError, match="where the rows come from"):
        aa.embeddings.convert(rows, rows, dtype="float16", overwrite=True)
    assert rows.read_bytes() == before


def test_an_unfinished_run_is_not_continued_on_changed_input(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for i in range(3):
        np.save(folder / f"s_{i}.npy", np.random.default_rng(i).normal(size=(300, 4)).astype(np.float32))
    model = aa.ReAlign().fit(folder, folder)
    done = 0

    def interrupt(count: int) -> None:
        nonlocal done
        done += count
        if done >= 600:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.transform(folder, tmp_path / "out", progress=interrupt)
    assert (tmp_path / "out.partial").is_dir()
    changed = np.load(folder / "s_0.npy")
    changed[5] += 1
    np.save(folder / "s_0.npy", changed)
    os.utime(folder / "s_0.npy", ns=(1, 1))
    with pytest.raises(InputError, match=r"other settings .*the input has changed since"):
        model.transform(folder, tmp_path / "out")


def test_a_report_that_cannot_be_written_is_refused_before_any_work(run, rows, tmp_path):
    for command in (["diagnose"], ["compare", "--repeats", 1], ["evaluate", "--aligned", rows]):
        page = tmp_path / "nowhere" / "page.html"
        ended = run(*command, "--source", rows, "--target", rows, "--report", page)
        assert ended.code == 2
        assert "page.html cannot be written" in ended.err
        assert ended.out == ""


def test_labels_that_cannot_be_used_are_refused(run, rows, tmp_path):
    (tmp_path / "one.txt").write_text("cat\n" * 120)
    (tmp_path / "two.txt").write_text("cat\ndog\n" * 60)
    both = ("--source", rows, "--target", rows)
    ended = run("compare", *both, "--labels", tmp_path / "one.txt", "--method", "realign", "--repeats", 1)
    assert (ended.code, "two different labels" in ended.err) == (2, True)
    ended = run("evaluate", *both, "--aligned", rows, "--source-labels", tmp_path / "two.txt")
    assert (ended.code, "labels for both sides" in ended.err) == (2, True)
    labels = ("--source-labels", tmp_path / "one.txt", "--target-labels", tmp_path / "two.txt")
    ended = run("evaluate", *both, "--aligned", rows, "--paired", *labels)
    assert (ended.code, "row 1 is 'cat' in the source, 'dog' in the target" in ended.err) == (2, True)


# Ctrl-C comes while a shard is being written and another is finished, however fast the machine is.
INTERRUPTED = """
import signal, sys, threading, time
from pathlib import Path
from anisoalign.cli import main
from anisoalign.embeddings.shard_files import Sink
written, done = Sink.__init__, Path(sys.argv[-1] + ".partial")
def begun(self, path):
    if path.name.endswith("7.npy"):
        while not list(done.glob("[!.]*.npy")):
            time.sleep(0.01)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
    written(self, path)
Sink.__init__ = begun
main()
"""


def test_ctrl_c_says_so_and_the_same_command_goes_on(run, tmp_path):
    folder, script, out = tmp_path / "in", tmp_path / "interrupted.py", tmp_path / "out"
    folder.mkdir()
    for i in range(12):
        np.save(folder / f"s_{i}.npy", np.random.default_rng(i).normal(size=(400, 16)).astype(np.float16))
    aa.GaussianTransport().fit(np.load(folder / "s_0.npy"), np.load(folder / "s_1.npy")).save(tmp_path / "m")
    script.write_text(INTERRUPTED)
    arguments = ["transform", tmp_path / "m", "--source", folder, "--out", out]
    ended = subprocess.run(
        [sys.executable, *map(str, [script, *arguments])], capture_output=True, text=True, check=False, timeout=120
    )
    assert ended.returncode == 130, ended.stderr
    assert "interrupted" in ended.stderr
    assert not out.exists()
    kept = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "out.partial").glob("s_*.npy")}
    assert 0 < len(kept) < 12
    assert run(*arguments).code == 0
    assert len(list(out.glob("*.npy"))) == 12
    assert {name: (out / name).stat().st_mtime_ns for name in kept} == kept


def finish(writer: EmbeddingWriter, index: int) -> None:
    with writer.shard(index, 2) as shard:
        shard.write(np.roll(np.eye(2, 3), index, axis=1))


def begun(out: Path, error: BaseException) -> None:
    """A run of two shards that ends with an error after its first."""

    def run() -> None:
        with EmbeddingWriter(out, 3) as writer:
            finish(writer, 0)
            raise error

    with pytest.raises(type(error)):
        run()


def refused_by_the_system(problem: int) -> InputError:
    error = InputError("cannot be written")
    error.__cause__ = OSError(problem, os.strerror(problem))
    return error


@pytest.mark.parametrize("problem", [errno.ENOSPC, errno.EMFILE, errno.EIO, errno.ECONNRESET])
def test_what_the_system_refuses_once_loses_no_finished_shard(tmp_path, problem):
    begun(tmp_path / "out", refused_by_the_system(problem))
    with EmbeddingWriter(tmp_path / "out", 3) as writer:
        assert writer.done(0)
        finish(writer, 1)
    assert aa.embeddings.open_embeddings(tmp_path / "out").rows == 4


def test_input_that_must_be_corrected_leaves_nothing_half_written(tmp_path):
    begun(tmp_path / "out", InputError("row 3 is zero"))
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_in_the_middle_of_a_transform_loses_no_finished_shard(tmp_path, monkeypatch):
    folder = tmp_path / "in"
    folder.mkdir()
    for i in range(4):
        np.save(folder / f"s_{i}.npy", np.random.default_rng(i).normal(size=(30, 4)).astype(np.float32))
    model = aa.ReAlign().fit(folder, folder)
    whole = Sink.__init__

    def full(self: Sink, path: Path) -> None:
        if path.name.endswith("3.npy"):
            raise OSError(errno.ENOSPC, "No space left on device")
        whole(self, path)

    monkeypatch.setattr(workers, "cores", lambda: 1)
    monkeypatch.setattr(Sink, "__init__", full)
    with pytest.raises(InputError, match="No space left"):
        model.transform(folder, tmp_path / "out")
    kept = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "out.partial").glob("s_*.npy")}
    assert kept
    monkeypatch.undo()
    model.transform(folder, tmp_path / "out")
    assert {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in kept} == kept


def test_a_second_interruption_before_any_shard_is_checked_loses_none(tmp_path):
    begun(tmp_path / "out", KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):  # noqa: SIM117 - one statement in the block
        with EmbeddingWriter(tmp_path / "out", 3):
            raise KeyboardInterrupt
    with EmbeddingWriter(tmp_path / "out", 3) as writer:
        assert writer.done(0)
        finish(writer, 1)


def test_links_in_the_place_of_a_result_are_refused_before_any_work(rows, tmp_path):
    model = aa.ReAlign().fit(rows, rows)
    model.save(tmp_path / "v1")
    (tmp_path / "m").symlink_to(tmp_path / "v1")
    with pytest.raises(InputError, match=r"m is a symbolic link; name the folder itself \(.*v1\)"):
        model.save(tmp_path / "m")
    (tmp_path / "empty").mkdir()
    for target in ("empty", "nowhere"):
        (tmp_path / "out").symlink_to(tmp_path / target)
        with pytest.raises(InputError, match="symbolic link"):
            model.transform(rows, tmp_path / "out", format="parquet")
        (tmp_path / "out").unlink()
    assert aa.load(tmp_path / "v1").scale_ == model.scale_


def test_a_file_beside_the_shards_it_is_made_from_is_refused(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    np.save(folder / "a.npy", np.eye(3))
    with pytest.raises(InputError, match=r"all.npy would be one more shard of .*in"):
        aa.embeddings.convert(folder, folder / "all.npy")
    with pytest.raises(InputError, match="one more shard"):
        aa.ReAlign().fit(folder, folder).transform(folder, folder / "all.parquet")
    assert [file.name for file in folder.iterdir()] == ["a.npy"]
    aa.embeddings.convert(folder / "a.npy", folder / "b.npy")  # a file is no folder


def test_models_are_saved_whatever_the_locale(rows, tmp_path):
    plain = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-m", "anisoalign", "fit", "realign", "--source", rows, "--target", rows]
    ended = subprocess.run(
        [*map(str, command), "--out", str(tmp_path / "m")], env=plain, capture_output=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert aa.load(tmp_path / "m").name == "realign"
