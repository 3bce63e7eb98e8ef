"""Conversations held out: never learned from, and their loss the same however a run is cut or shared."""

import json
import re
from contextlib import nullcontext

import numpy as np
import pytest
from training_runs import STAGE, Killed, anisoalign, kill_at, weights, write_settings

from anisoalign.embeddings import InputError
from anisoalign.mllm import Conversations, EmbeddingStore, StageSettings, TrainSettings, load_mllm, train
from anisoalign.mllm.held_out import mean_loss, parted
from anisoalign.mllm.joined import Joined
from anisoalign.mllm.planning import plan_training
from anisoalign.mllm.processes import Processes
from anisoalign.mllm.settings import ModelSettings

pytestmark = pytest.mark.integration

HELD = {**STAGE, "held_out": 0.2, "checkpoint_every": 3}


def measured(records):
    return {record["step"]: record["held_out_loss"] for record in records if "held_out_loss" in record}


def test_those_held_out_are_measured_with_states_epochs_and_at_the_end(world, make_model):
    shown, model = [], make_model()
    settings = StageSettings(noise=0.05, **HELD)
    log = train(model, *world.data, settings, progress=lambda *now: shown.append(now[3]))
    assert list(measured(log.records)) == [3, 4, 6, 8]
    assert shown[:2] == [None, None]
    assert shown[2:] == [log.held_out_losses[number] for number in (0, 1, 1, 2, 2, 3)]
    stage = model.stages[-1]
    assert (stage["conversations"], stage["held_out"], stage["held_out_loss"]) == (32, 8, log.held_out_losses[-1])
    talks = Conversations(world.talks)
    _, held = parted(talks, settings)
    total = tokens = 0.0
    for number in np.flatnonzero(np.isin(talks.ids.to_pylist(), held.ids.to_pylist())):
        data = Joined(talks, EmbeddingStore(world.text, ids=world.ids), model.chat, 512)
        batch = data.batch(np.array([number]))  # without noise
        found = model(batch.input_ids, None, batch.labels, batch.embeddings)
        total, tokens = total + float(found.loss_sum), tokens + found.answer_tokens
    assert log.held_out_losses[-1] == pytest.approx(total / tokens, rel=1e-5)


def test_nothing_is_learned_from_those_held_out(world, make_model):
    settings, ids = StageSettings(**HELD), world.ids
    learned, held = parted(Conversations(world.talks), settings)
    one, other = make_model(), make_model()
    train(one, world.talks, (world.text, ids), settings)
    rows = np.where(np.isin(ids, held.ids.to_pylist())[:, None], world.image, world.text)
    train(other, world.talks, (rows, ids), settings)
    assert all((value == weights(other)[name]).all() for name, value in weights(one).items())
    alone = make_model()
    kept = [talk for talk in world.talks if talk["id"] in set(learned.ids.to_pylist())]
    train(alone, kept, (world.text, ids), StageSettings(**STAGE))
    assert all((value == weights(alone)[name]).all() for name, value in weights(one).items())


@pytest.mark.parametrize("learns", ["lora", "full"])
def test_a_run_that_goes_on_measures_the_same(world, make_model, tmp_path, learns):
    settings = StageSettings(learns=learns, lora_dropout=0.2, gradient_checkpointing=learns == "lora", **HELD)
    data = world.folder / "talks.json", world.folder / "text.npy"
    straight = train(make_model("qwen"), *data, settings, out=tmp_path / "straight")
    with pytest.raises(Killed):
        train(make_model("qwen"), *data, settings, out=tmp_path / "broken", progress=kill_at(5))
    log = train(make_model("qwen"), *data, settings, out=tmp_path / "broken")
    assert log.resumed_at == 3
    assert measured(log.records) == measured(straight.records)
    assert log.losses == straight.losses
    unwatched = train(make_model("qwen"), *data, StageSettings(**{**HELD, "learns": learns, "lora_dropout": 0.2}))
    np.testing.assert_allclose(unwatched.losses, straight.losses, rtol=1e-5)
    lines = (tmp_path / "broken" / "log.jsonl").read_text().splitlines()
    assert measured(map(json.loads, lines)) == measured(straight.records)


def test_another_share_makes_another_run(world, make_model, tmp_path):
    data = world.folder / "talks.json", world.folder / "text.npy"
    with pytest.raises(Killed):
        train(make_model(), *data, StageSettings(**HELD), out=tmp_path / "out", progress=kill_at(5))
    with pytest.raises(InputError, match=r"held_out: 0\.2 then, 0\.3 now"):
        train(make_model(), *data, StageSettings(**{**HELD, "held_out": 0.3}), out=tmp_path / "out")


def test_nothing_is_dropped_where_they_are_measured(world, make_model):
    model = make_model("qwen")
    data = Joined(Conversations(world.talks), EmbeddingStore(world.text, ids=world.ids), model.chat, 512)
    model.begin(StageSettings(learns="lora", lora_dropout=0.5, gradient_checkpointing=True, lora_rank=4))
    for value in model.trainable().values():
        value.data += 0.1
    before = [module.training for module in model.modules()]
    losses = {mean_loss(model, data, size, Processes(), nullcontext) for size in (40, 40)}
    assert len(losses) == 1
    assert mean_loss(model, data, 7, Processes(), nullcontext) == pytest.approx(losses.pop(), rel=1e-5)
    assert [module.training for module in model.modules()] == before
    assert all(value.grad is None for value in model.parameters())


def test_two_processes_measure_what_one_measures(world, saved_lm, run):
    settings = write_settings(world, saved_lm("qwen"))
    call = [part for name in ("pretrain", "tune") for part in ("--set", f"stages.{name}.held_out=0.2")]
    one = run("train", settings, "--out", world.folder / "one", *call)
    assert "tune: 40 conversations, 8 of them held out, 40 embeddings" in one.err
    assert re.search(r"tune: 4 steps, last loss [\d.]+, held-out loss [\d.]+: ", one.err), one.err
    anisoalign("train", settings, "--out", world.folder / "two", *call, processes=2)
    for stage in ("pretrain", "tune"):
        found = []
        for folder in ("one", "two"):
            lines = (world.folder / folder / stage / "log.jsonl").read_text().splitlines()
            found.append(measured(map(json.loads, lines)))
        assert list(found[0]) == list(found[1]) == [2, 4]
        np.testing.assert_allclose(list(found[1].values()), list(found[0].values()), rtol=1e-4)
    model = load_mllm(world.folder / "two", device="cpu")
    assert [stage["held_out"] for stage in model.stages] == [8, 8]


def test_too_few_ids_of_the_last_stage_are_refused_before_the_first_is_trained(world, saved_lm, run):
    settings = write_settings(world, saved_lm("llama"))
    (world.folder / "one.json").write_text(json.dumps(world.talks[:1]))
    changes = ("held_out=0.5", f"conversations={world.folder / 'one.json'}")
    call = [part for change in changes for part in ("--set", f"stages.tune.{change}")]
    ended = run("train", settings, "--out", world.folder / "run", *call)
    assert (ended.code, "held_out = 0.5 needs two ids at least, not 1" in ended.err) == (2, True), ended.err
    assert not (world.folder / "run").exists()


def test_a_loss_that_is_not_finite_is_null(world, make_model):
    model = make_model()
    model.lm.lm_head.weight.data[0, 0] = float("inf")
    talks = Conversations(world.talks)
    data = Joined(talks, EmbeddingStore(world.text, ids=world.ids), model.chat, 512)
    assert mean_loss(model, data, 8, Processes(), nullcontext) is None


def test_a_plan_counts_what_is_learned_from_and_what_is_measured(saved_lm):
    model = ModelSettings(lm=str(saved_lm("qwen")))
    found = [
        plan_training(
            TrainSettings(model, {"a": StageSettings(held_out=share, batch_size=8, checkpoint_every=every)}),
            16,
            conversations=1000,
            tokens=60,
        )[0]
        for share, every in ((0.0, 200), (0.5, 200), (0.5, 1))
    ]
    assert [one["steps"] for one in found] == [125, 63, 63]
    assert found[1]["operations"] < found[0]["operations"] < found[2]["operations"]
