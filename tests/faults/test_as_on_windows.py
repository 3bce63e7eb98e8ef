"""What Windows refuses: to move or remove what is open, and to sync what was opened to be read. Played here."""

import os
import pathlib
import shutil
import stat

import numpy as np
import pytest

from anisoalign.aligners import MeanShift
from anisoalign.embeddings import EmbeddingWriter, InputError, atomic, locks, open_embeddings
from anisoalign.encoders.containers import container


@pytest.fixture
def as_on_windows(monkeypatch):
    """A system on which `os.open` keeps a file from being moved and removed, and reading handles are not synced."""
    held, real = {}, {"open": os.open, "close": os.close, "fsync": os.fsync, "rmtree": shutil.rmtree}

    def opened(path, flags, *more, **options):
        handle = real["open"](path, flags, *more, **options)
        held[handle] = (str(path), flags)
        return handle

    def closed(handle):
        real["close"](handle)
        held.pop(handle, None)

    def synced(handle):
        if handle in held and not stat.S_ISDIR(os.fstat(handle).st_mode):  # folders are not synced there
            assert held[handle][1] & os.O_RDWR, "Bad file descriptor"
        real["fsync"](handle)

    def free(path):
        if any(pathlib.Path(other).is_relative_to(path) for other, _ in held.values()):
            raise PermissionError(13, "The process cannot access the file because it is being used", str(path))

    def guarded(act):
        def acted(path, *more, **options):
            free(path)
            return act(path, *more, **options)

        return acted

    for name in ("unlink", "rename", "replace"):
        monkeypatch.setattr(pathlib.Path, name, guarded(getattr(pathlib.Path, name)))
    monkeypatch.setattr(shutil, "rmtree", guarded(real["rmtree"]))
    for name, act in (("open", opened), ("close", closed), ("fsync", synced)):
        monkeypatch.setattr(os, name, act)
    monkeypatch.setattr(locks, "MOVES_OPEN", False)
    return held


def write(out, rows):
    with EmbeddingWriter(out, 4, overwrite=True) as writer, writer.shard(0, rows=len(rows)) as shard:
        shard.write(rows)


@pytest.mark.parametrize("name", ["out", "out.npy"])
def test_a_result_is_written_and_replaced(as_on_windows, tmp_path, name):
    for rows in (3, 2):
        write(tmp_path / name, np.eye(rows, 4))
        assert open_embeddings(tmp_path / name).rows == rows
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert not as_on_windows


@pytest.mark.parametrize("name", ["out", "out.npy"])
def test_a_run_that_fails_leaves_nothing(as_on_windows, tmp_path, name):
    with pytest.raises(InputError, match="row 3"), EmbeddingWriter(tmp_path / name, 4):
        raise InputError("row 3 is zero")
    assert not list(tmp_path.iterdir())
    assert not as_on_windows


def test_sets_in_one_folder(as_on_windows, tmp_path):
    with container(tmp_path / "out", ["text", "image"], overwrite=False) as places:
        for place in places.values():
            write(place, np.eye(3, 4))
    with pytest.raises(KeyboardInterrupt), container(tmp_path / "none", ["text"], overwrite=False):
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_lock_that_another_run_holds_by_now_is_left(as_on_windows, tmp_path):
    lock = locks.take_lock(tmp_path / "lock", tmp_path)
    lock.close()
    other = os.open(tmp_path / "lock", os.O_RDWR)
    lock.remove()
    os.close(other)
    assert (tmp_path / "lock").exists()


def test_files_of_a_model_are_synced(as_on_windows, tmp_path):
    MeanShift().fit(np.eye(3), -np.eye(3)).save(tmp_path / "model")
    atomic.sync_file(tmp_path / "model" / "config.json")
