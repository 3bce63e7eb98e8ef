"""Training that was interrupted, or met a step that is not finite, goes on: to the last bit where nothing was lost."""

import json

import numpy as np
import pytest
import torch
from training_runs import STAGE, Killed, kill_at, poisoned, same, weights

from anisoalign.embeddings import InputError
from anisoalign.mllm import (
    StageSettings,
    load_mllm,
    train,
)

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("kind", ["llama", "qwen"])
@pytest.mark.parametrize("learns", ["projector", "lora", "full"])
def test_a_killed_run_goes_on_to_the_same_losses_and_weights(world, make_model, tmp_path, kind, learns):
    settings = StageSettings(learns=learns, noise=0.05, lora_dropout=0.2, checkpoint_every=3, **STAGE)
    data = world.folder / "talks.json", world.folder / "text.npy"
    aligner = world.folder / "aligner"
    whole = make_model(kind)
    straight = train(whole, *data, settings, out=tmp_path / "straight", aligner=aligner)
    with pytest.raises(Killed):
        train(make_model(kind), *data, settings, out=tmp_path / "broken", aligner=aligner, progress=kill_at(5))
    assert not (tmp_path / "broken").exists()
    resumed = make_model(kind)
    log = train(resumed, *data, settings, out=tmp_path / "broken", aligner=aligner)
    assert log.resumed_at == 3
    assert log.losses == straight.losses
    assert same(weights(whole), weights(resumed))
    assert not (tmp_path / "broken.partial").exists()
    lines = [json.loads(line) for line in (tmp_path / "broken" / "log.jsonl").read_text().splitlines()]
    assert [line["loss"] for line in lines] == straight.losses
    assert same(weights(load_mllm(tmp_path / "broken", device="cpu")), weights(whole))


@pytest.mark.parametrize(("end", "kept"), [("torn", 3), ("zeros", 3), ("again", 4), ("gone", 0)])
def test_a_run_whose_log_a_power_cut_tore_goes_on_to_the_same_weights(world, make_model, tmp_path, end, kept):
    settings = StageSettings(checkpoint_every=2, **STAGE)
    data = world.folder / "talks.json", world.folder / "text.npy"
    whole, resumed = make_model(), make_model()
    straight = train(whole, *data, settings, out=tmp_path / "straight")
    with pytest.raises(Killed):
        train(make_model(), *data, settings, out=tmp_path / "broken", progress=kill_at(7))
    path = tmp_path / "broken.partial" / "log.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    torn = {
        "torn": [*lines[:3], lines[3][:20]],
        "zeros": [*lines[:3], bytes(len(lines[3])) + b"\n", *lines[4:]],
        "again": [*lines[:4], lines[2], *lines[4:]],
        "gone": [],
    }[end]
    path.write_bytes(b"".join(torn))
    with pytest.warns(UserWarning, match=f"log.jsonl had {kept} records of the 6 steps done"):
        log = train(resumed, *data, settings, out=tmp_path / "broken")
    steps = [*range(1, kept + 1), *range(7, 11)]
    lines = [json.loads(line) for line in (tmp_path / "broken" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [record["step"] for record in log.records] == steps
    assert log.losses == [straight.losses[step - 1] for step in steps]
    assert same(weights(whole), weights(resumed))


def test_the_log_is_synced_before_each_state(world, make_model, tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr("anisoalign.mllm.unfinished.sync_file", lambda path: done.append(path.name))
    monkeypatch.setattr("anisoalign.mllm.checkpoint.save_state", lambda folder, step, *state: done.append(step))
    data = world.folder / "talks.json", world.folder / "text.npy"
    train(make_model(), *data, StageSettings(checkpoint_every=4, **STAGE), out=tmp_path / "out")
    assert done == ["log.jsonl", 4, "log.jsonl", 8, "log.jsonl"]


def test_single_steps_that_are_not_finite_are_skipped(world, make_model, tmp_path):
    settings = StageSettings(checkpoint_every=4, **{**STAGE, "micro_batch": 8})
    data = world.folder / "talks.json", world.folder / "text.npy"
    whole, resumed, shown = make_model(), make_model(), []
    log = train(
        poisoned(whole, 3, 4, 5, 6), *data, settings, out=tmp_path / "o", progress=lambda *now: shown.append(now[2])
    )
    lines = [json.loads(line) for line in (tmp_path / "o" / "log.jsonl").read_text().splitlines()]
    assert lines == log.records
    assert [line["step"] for line in lines if line.get("skipped")] == [3, 4, 5, 6]
    assert (lines[2]["loss"], lines[2]["gradient_norm"], log.skipped, len(log.losses)) == (None, None, 4, 6)
    assert [np.isnan(loss) for loss in shown] == [line.get("skipped", False) for line in lines]
    assert all(torch.isfinite(value).all() for value in weights(whole).values())
    with pytest.raises(Killed):
        train(poisoned(make_model(), 3, 4, 5, 6), *data, settings, out=tmp_path / "b", progress=kill_at(5))
    again = train(poisoned(resumed, 1, 2), *data, settings, out=tmp_path / "b")  # from step 5
    assert (again.resumed_at, again.losses) == (4, log.losses)
    assert same(weights(whole), weights(resumed))


def test_steps_skipped_before_an_interruption_count(world, make_model, tmp_path):
    settings = StageSettings(checkpoint_every=1, **{**STAGE, "micro_batch": 8})
    data = world.folder / "talks.json", world.folder / "text.npy"
    with pytest.raises(Killed):
        train(poisoned(make_model(), 3, 4, 5, 6), *data, settings, out=tmp_path / "b", progress=kill_at(7))
    with pytest.raises(InputError, match=r"the loss of 5 step\(s\) one after the other, up to step 7, is not finite"):
        train(poisoned(make_model(), 1), *data, settings, out=tmp_path / "b")
