"""Shards encoded by other processes: by an engine that pickles everything, and by Ray; the same bytes as here."""

import os
import pickle
import signal
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from test_running import bytes_below, run

from anisoalign.cli.encode import encode as command
from anisoalign.embeddings import InputError, engine_used
from anisoalign.encoders import open_encoder, opening, shard_task
from anisoalign.encoders.running import Settings, encode_files, find_jobs

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


class Elsewhere:
    """An engine whose one worker gets all it knows as bytes."""

    hands = 1

    def __init__(self):
        self.done = []

    def map(self, job, parts):
        work = pickle.loads(pickle.dumps(job)).begin()
        for part in parts:
            self.done.append(part)
            yield work(part)


SETTINGS = {"shard_rows": 9, "batch_size": 4}


def test_the_same_bytes_as_here_and_only_missing_shards(encoder, photos, tmp_path):
    (photos / "cats" / "3.png").write_bytes(b"no picture")
    here = run(encoder, tmp_path / "here", {"pairs": photos}, **SETTINGS)
    engine = Elsewhere()
    told = []
    with engine_used(engine):
        jobs = find_jobs(encoder, pairs=photos)
        there = encode_files(encoder, jobs, tmp_path / "there", Settings(workers=0, **SETTINGS), told.append)
    # Manifests hold the date.
    files = [
        {name: digits for name, digits in bytes_below(tmp_path / place).items() if "manifest" not in name}
        for place in ("here", "there")
    ]
    assert files[0] == files[1]
    assert len(files[0]) == 10
    assert (there.rows, there.unreadable) == (here.rows, here.unreadable)
    assert engine.done == [(number, ("image", "text")) for number in range(3)]
    assert sum(told) == 23


def test_a_shard_that_fails_ends_the_run_and_keeps_the_others(encoder, photos, tmp_path):
    (photos / "dogs" / "20.png").write_bytes(b"no picture")
    engine = Elsewhere()
    with engine_used(engine), pytest.raises(InputError, match=r"20\.png cannot be encoded"):
        run(encoder, tmp_path / "out", {"images": photos}, on_unreadable="error", **SETTINGS)
    engine.done.clear()
    with engine_used(engine):
        outcome = run(encoder, tmp_path / "out", {"images": photos}, **SETTINGS)
    assert outcome.rows == {"image": 22}
    assert [number for number, _ in engine.done] == [2]


def test_other_weights_elsewhere_are_refused(encoder, photos, model_folder, tmp_path):
    encoder.reopen = partial(open_encoder, str(model_folder("siglip")))
    with engine_used(Elsewhere()), pytest.raises(InputError, match="other weights"):
        run(encoder, tmp_path / "out", {"images": photos})
    encoder.reopen = None
    with engine_used(Elsewhere()), pytest.raises(InputError, match="not opened by name"):
        run(encoder, tmp_path / "out", {"images": photos})


class Shared(Elsewhere):
    """The same with GPUs to give away."""

    gpus = 2


def test_an_engine_s_workers_decode_in_as_many_processes_as_asked(encoder, photos, tmp_path, monkeypatch):
    started, plain = [], shard_task.Workers

    def note(preparations, count=0):
        started.append(count)
        return plain(preparations, count)

    monkeypatch.setattr(shard_task, "Workers", note)
    for workers, there in ((2, 2), (None, 0)):
        with engine_used(Elsewhere()):
            run(encoder, tmp_path / str(workers), {"images": photos}, workers=workers, **SETTINGS)
        assert started.pop() == there
    names = sorted(path.name for path in (tmp_path / "2").glob("*.npy"))
    assert len(names) == 3
    for name in names:
        assert (tmp_path / "2" / name).read_bytes() == (tmp_path / "None" / name).read_bytes()


def test_what_another_process_opens(model_folder, monkeypatch):
    monkeypatch.setattr(opening, "_device", lambda device: torch.device("cpu"))
    for asked, elsewhere in (("cuda:1", "cuda"), ("auto", "auto"), ("cpu", "cpu")):
        found = open_encoder(str(model_folder("clip")), asked)
        assert found.reopen.args[1:] == (elsewhere, "float32")
        # A worker may have a GPU where this process has none; the precision is the one that the set says.
        assert shard_task.device_kind(found, Shared()) == ("cuda" if asked == "auto" else "cpu")
        assert shard_task.device_kind(found, Elsewhere()) == "cpu"


def test_a_worker_on_another_device_than_planned_is_refused(encoder, photos, tmp_path):
    with engine_used(Shared()), pytest.raises(InputError, match="computes on cpu, where this run is planned for cuda"):
        run(encoder, tmp_path / "out", {"images": photos})


class LethalReopen:
    """Opens an encoder that kills, once, the process that it computes in."""

    def __init__(self, folder: str, marker: str):
        self.folder, self.marker = folder, marker

    def __call__(self):
        encoder = open_encoder(self.folder)
        plain, calls = encoder.forward, []

        def forward(modality, prepared):
            calls.append(modality)
            if len(calls) == 2:  # a batch of the shard is done
                try:
                    Path(self.marker).touch(exist_ok=False)
                except FileExistsError:
                    pass
                else:
                    os.kill(os.getpid(), signal.SIGKILL)
            return plain(modality, prepared)

        encoder.forward = forward
        return encoder


def test_a_ray_worker_killed_while_it_encodes_changes_nothing(encoder, photos, model_folder, tmp_path):
    from ray import cloudpickle

    from anisoalign.scale import on_ray

    # Workers cannot import a test: what it defines travels with what is sent.
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    (photos / "cats" / "3.png").write_bytes(b"no picture")
    here = run(encoder, tmp_path / "here", {"pairs": photos}, **SETTINGS)
    encoder.reopen = LethalReopen(str(model_folder("clip")), str(tmp_path / "killed"))
    with on_ray(num_cpus=2, object_store_memory=100_000_000):
        there = run(encoder, tmp_path / "there", {"pairs": photos}, **SETTINGS)
    assert (tmp_path / "killed").exists()
    assert (there.rows, there.unreadable) == (here.rows, here.unreadable)
    files = [bytes_below(tmp_path / place) for place in ("here", "there")]
    assert list(files[0]) == list(files[1])
    for name in files[0]:
        a, b = (tmp_path / place / name for place in ("here", "there"))
        if name.endswith(".npy"):
            np.testing.assert_allclose(np.load(a), np.load(b), atol=1e-6)
        elif "manifest" not in name:
            assert a.read_bytes() == b.read_bytes(), name


def test_ray_encodes_by_the_command(encoder, photos, model_folder, tmp_path, monkeypatch):
    import typer
    from typer.testing import CliRunner

    from anisoalign.scale import on_ray

    run(encoder, tmp_path / "here", {"images": photos}, **SETTINGS)
    app = typer.Typer()
    app.command()(command)
    words = [str(model_folder("clip")), "--images", str(photos), "--out", f"file://{tmp_path}/there"]
    words += ["--shard-rows", "9", "--batch-size", "4", "--engine", "ray"]
    with on_ray(num_cpus=2, object_store_memory=100_000_000):
        ended = CliRunner().invoke(app, words, catch_exceptions=False)
    assert ended.exit_code == 0
    here, there = bytes_below(tmp_path / "here"), bytes_below(tmp_path / "there")
    assert list(here) == list(there)
    vectors = [name for name in here if name.endswith(".npy")]
    assert len(vectors) == 3
    for name in vectors:
        np.testing.assert_allclose(np.load(tmp_path / "here" / name), np.load(tmp_path / "there" / name), atol=1e-6)
