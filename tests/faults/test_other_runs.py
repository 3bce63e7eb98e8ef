"""What other runs, and people, do while a run works: nothing of theirs is lost, nothing of ours is mixed with it."""

import errno
import os
import shutil
from threading import Lock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from anisoalign.embeddings import EmbeddingWriter, InputError, convert, open_embeddings, verify
from anisoalign.embeddings import writer as writing
from anisoalign.embeddings.manifest import MANIFEST, RUN


def write(writer, rows=3):
    with writer.shard(0, rows=rows) as shard:
        shard.write(np.eye(rows, 4))


def test_a_folder_that_appeared_meanwhile_is_kept_and_so_is_the_work(tmp_path):
    out = tmp_path / "out"

    def run():
        with EmbeddingWriter(out, 4) as w:
            write(w)
            out.mkdir()
            (out / "precious.txt").write_text("years of work")

    with pytest.raises(InputError, match=r"already exists.*not there when this run began"):
        run()
    assert (out / "precious.txt").read_text() == "years of work"
    shutil.move(out, tmp_path / "theirs")
    with EmbeddingWriter(out, 4) as w:
        assert w.done(0)
    assert open_embeddings(out).rows == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "theirs"]


def test_a_file_that_appeared_meanwhile_is_kept(tmp_path):
    out = tmp_path / "out.npy"

    def run():
        with EmbeddingWriter(out, 4) as w, w.shard(0, rows=3) as shard:
            shard.write(np.eye(3, 4))
            out.write_text("years of work")

    with pytest.raises(InputError, match="already exists"):
        run()
    assert out.read_text() == "years of work"
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("name", ["out", "out.npy"])
def test_of_two_runs_at_once_the_second_is_refused(tmp_path, name):
    with EmbeddingWriter(tmp_path / name, 4) as first:
        with pytest.raises(InputError, match="being written by another run"), EmbeddingWriter(tmp_path / name, 4):
            pass
        write(first)
    assert open_embeddings(tmp_path / name).rows == 3
    assert [path.name for path in tmp_path.iterdir()] == [name]  # no lock is left


def test_a_run_that_begins_while_another_ends_is_refused(tmp_path, monkeypatch):
    out, replace = tmp_path / "out", writing.replace_folder

    def interfere(partial, place, check):
        with pytest.raises(InputError, match="being written by another run"), EmbeddingWriter(out, 4):
            pass
        replace(partial, place, check)

    monkeypatch.setattr(writing, "replace_folder", interfere)
    with EmbeddingWriter(out, 4) as w:
        write(w)
    assert sorted(path.name for path in out.iterdir()) == ["emb_000.npy", MANIFEST]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_run_that_waited_at_the_door_sees_what_the_other_made(tmp_path, monkeypatch):
    out, take = tmp_path / "out", writing.take_lock

    def late(path, place):
        monkeypatch.setattr(writing, "take_lock", take)
        with EmbeddingWriter(tmp_path / "made", 4) as w:
            write(w)
        shutil.move(tmp_path / "made", out)
        return take(path, place)

    monkeypatch.setattr(writing, "take_lock", late)
    with pytest.raises(InputError, match="already exists"), EmbeddingWriter(out, 4):
        pass
    assert open_embeddings(out).rows == 3
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_where_the_file_system_knows_no_locks_work_is_done_without(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    for name in ("out", "out.npy"):
        with EmbeddingWriter(tmp_path / name, 4) as w:
            write(w)
        assert open_embeddings(tmp_path / name).rows == 3


def test_a_run_that_cannot_begin_gives_the_lock_back(tmp_path, monkeypatch):
    with monkeypatch.context() as full:
        full.setattr(writing, "write_synced", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(InputError, match="No space left"), EmbeddingWriter(tmp_path / "out", 4):
            pass
    with EmbeddingWriter(tmp_path / "out", 4) as w:
        write(w)


def test_what_was_moved_aside_by_a_run_that_was_killed_is_in_nobodys_way(tmp_path, monkeypatch):
    for _ in range(2):
        with monkeypatch.context() as killed:
            killed.setattr(shutil, "rmtree", lambda *_, **__: None)  # the process ends before the earlier result goes
            with EmbeddingWriter(tmp_path / "out", 4, overwrite=True) as w:
                write(w)
        assert open_embeddings(tmp_path / "out").rows == 3


def test_an_unfinished_run_behind_a_uri_is_one_in_its_copy_too(tmp_path):
    out = tmp_path / "far"
    (out / RUN).mkdir(parents=True)
    (out / RUN / "plan.json").write_text("{}")
    np.save(out / "emb_000.npy", np.eye(3))
    with pytest.raises(InputError, match="is an unfinished run"):
        open_embeddings(out)


def with_columns(folder, first):
    (folder / "metadata").mkdir(parents=True, exist_ok=True)
    for number in range(2):
        file = folder / f"img_emb_{number}.npy"
        np.save(file, np.eye(5, dtype=np.float32) + number)
        os.utime(file, ns=(1, 1))  # the vectors do not change
        ids = [f"{first}{number}{row}" for row in range(5)]
        pq.write_table(pa.table({"id": ids}), folder / "metadata" / f"metadata_{number}.parquet")


@pytest.fixture
def interrupted(monkeypatch):
    """Begin a conversion that is stopped when one of its shards is done."""

    def begin(folder, out):
        complete, done, one = EmbeddingWriter._complete, [], Lock()

        def stop(self, *arguments):
            with one:
                if done:
                    raise KeyboardInterrupt
                complete(self, *arguments)
                done.append(1)

        with monkeypatch.context() as stopped:
            stopped.setattr(EmbeddingWriter, "_complete", stop)
            with pytest.raises(KeyboardInterrupt):
                convert(folder, out)

    return begin


def test_a_run_is_not_continued_with_other_columns(interrupted, tmp_path):
    with_columns(tmp_path / "in", "old")
    interrupted(tmp_path / "in", tmp_path / "out")
    with_columns(tmp_path / "in", "new")
    with pytest.raises(InputError, match="the input has changed since"):
        convert(tmp_path / "in", tmp_path / "out")


@pytest.mark.parametrize("spelled", ["in", "../work/in", "link"])
def test_a_run_goes_on_however_its_input_is_spelled(interrupted, tmp_path, monkeypatch, spelled):
    work = tmp_path / "work"
    with_columns(work / "in", "a")
    (work / "link").symlink_to(work / "in")
    interrupted(work / "in", work / "out")
    monkeypatch.chdir(work)
    begun = (work / "out.partial").stat().st_ino
    convert(spelled, "out")
    assert (work / "out").stat().st_ino == begun  # what was begun, not written anew
    assert verify("out") == 2


def test_input_that_was_moved_is_not_called_changed(interrupted, tmp_path):
    with_columns(tmp_path / "in", "a")
    interrupted(tmp_path / "in", tmp_path / "out")
    (tmp_path / "in").rename(tmp_path / "moved")
    with pytest.raises(InputError, match=r"the input was .*/in/img_emb_0\.npy then, is .*/moved/img_emb_0\.npy now\)"):
        convert(tmp_path / "moved", tmp_path / "out")
    os.utime(tmp_path / "moved" / "img_emb_1.npy", ns=(2, 2))
    with pytest.raises(InputError, match="the input has changed since"):
        convert(tmp_path / "moved", tmp_path / "out")


@pytest.mark.parametrize("damage", ["changed", "gone"])
def test_columns_beside_the_vectors_are_verified(tmp_path, damage):
    with_columns(tmp_path / "in", "a")
    convert(tmp_path / "in", tmp_path / "out")
    assert verify(tmp_path / "out") == verify((tmp_path / "out").as_uri()) == 2
    file = tmp_path / "out" / "metadata" / "metadata_001.parquet"
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-9] + b"something")
    with pytest.raises(InputError, match=r"metadata_001\.parquet (is listed|has changed)"):
        verify(tmp_path / "out")


def test_a_shard_whose_columns_were_damaged_is_written_again(interrupted, tmp_path):
    with_columns(tmp_path / "in", "a")
    convert(tmp_path / "in", tmp_path / "whole")
    interrupted(tmp_path / "in", tmp_path / "out")
    (file,) = (tmp_path / "out.partial" / "metadata").glob("metadata_*.parquet")
    file.write_bytes(b"half a file")
    convert(tmp_path / "in", tmp_path / "out")
    for whole in (tmp_path / "whole").rglob("*.*"):
        assert whole.read_bytes() == (tmp_path / "out" / whole.relative_to(tmp_path / "whole")).read_bytes()
