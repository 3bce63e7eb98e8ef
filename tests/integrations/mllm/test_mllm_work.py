"""How the work of training is shared among processes, and what a plan says of it."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from anisoalign.embeddings import InputError
from anisoalign.mllm import (
    Conversations,
    EmbeddingLanguageModel,
    EmbeddingStore,
    ModelSettings,
    StageSettings,
    TrainSettings,
)
from anisoalign.mllm.planning import plan_training
from anisoalign.mllm.stage_run import StageRun

pytestmark = pytest.mark.integration


def shares(world, model, settings, processes, monkeypatch):
    """Conversations that each of several processes has in the first step, and what the main one warns of."""
    talks, store = Conversations(world.talks), EmbeddingStore(world.text, ids=world.ids)
    found = []
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for index in range(processes):
            one = SimpleNamespace(device=torch.device("cpu"), index=index, count=processes, main=index == 0)
            monkeypatch.setattr("anisoalign.mllm.stage_run.Processes", lambda one=one: one)
            batches = StageRun(model, talks, store, settings, None, "tune", None)._batches(0)
            found.append(sum(len(batch.input_ids) for _, batch in batches))
    return found, [str(one.message) for one in told]


def test_processes_share_a_batch_evenly_where_nothing_is_dropped(world, make_model, monkeypatch):
    sizes = {"batch_size": 8, "micro_batch": 4}
    for settings in (StageSettings(**sizes), StageSettings(learns="lora", **sizes)):
        assert shares(world, make_model(), settings, 8, monkeypatch) == ([1] * 8, [])
        assert shares(world, make_model(), settings, 3, monkeypatch) == ([3, 3, 2], [])
    assert shares(world, make_model(), StageSettings(batch_size=8, micro_batch=3), 2, monkeypatch) == ([4, 4], [])


def test_processes_without_work_are_told_of(world, make_model, monkeypatch):
    sizes = {"batch_size": 8, "micro_batch": 4}
    message = "tune: 6 of 8 processes have nothing to do, as 8 conversations a step make 2 part(s); micro_batch = 1 "
    for settings in (StageSettings(learns="full", **sizes), StageSettings(learns="lora", lora_dropout=0.1, **sizes)):
        found, (told,) = shares(world, make_model(), settings, 8, monkeypatch)
        assert found == [4, 4, 0, 0, 0, 0, 0, 0]
        assert told.startswith(message)
    found, (told,) = shares(world, make_model(), StageSettings(batch_size=2), 3, monkeypatch)
    assert (found, "1 of 3 processes" in told, "fewer would do" in told) == ([1, 1, 0], True, True)


@pytest.mark.parametrize(("changes", "busy"), [({}, 8), ({"learns": "lora", "lora_dropout": 0.1}, 2)])
def test_a_plan_counts_the_processes_that_have_work(saved_lm, changes, busy):
    stage = StageSettings(**{"batch_size": 8, "micro_batch": 4, **changes})
    settings = TrainSettings(ModelSettings(lm=str(saved_lm("qwen"))), {"a": stage})
    hours = [
        plan_training(settings, 16, processes=processes, tflops=1e-8, conversations=1000, tokens=60)[0]["hours"]
        for processes in (1, 8)
    ]
    assert hours[0] / hours[1] == pytest.approx(busy, rel=1e-3)


@pytest.mark.parametrize("kind", ["llama", "qwen"])
@pytest.mark.parametrize("learns", ["projector", "lora", "full"])
def test_plan_counts_what_training_trains(world, saved_lm, kind, learns):
    folder = saved_lm(kind)
    stage = StageSettings(learns=learns, conversations=str(world.folder / "talks.json"), lora_rank=3, batch_size=8)
    settings = TrainSettings(ModelSettings(lm=str(folder), visual_tokens=2), {"one": stage})
    (planned,) = plan_training(settings, 16)
    model = EmbeddingLanguageModel.from_settings(settings.model, 16)
    assert planned["lm_parameters"] == model.lm.num_parameters()
    model.begin(stage)
    assert planned["learned_parameters"] == sum(value.numel() for value in model.trainable().values())
    tokens = [len(model.chat.tokens(Conversations(world.talks)[number])) for number in range(40)]
    assert planned["mean_tokens"] == pytest.approx(np.mean(tokens), abs=0.05)
    assert (planned["conversations"], planned["steps"]) == (40, 5)


def test_plan_counts_adapters_and_refuses_those_that_fit_no_layer(world, saved_lm):
    def planned(**changes):
        stage = StageSettings(learns="lora", conversations=str(world.folder / "talks.json"), lora_rank=3, **changes)
        settings = TrainSettings(ModelSettings(lm=str(saved_lm("qwen"))), {"one": stage})
        return plan_training(settings, 16)[0]["learned_parameters"], settings

    named, settings = planned(lora_targets="self_attn.q_proj, v_proj")
    model = EmbeddingLanguageModel.from_settings(settings.model, 16)
    model.begin(settings.stages["one"])
    assert named == sum(value.numel() for value in model.trainable().values())
    with pytest.raises(InputError, match=r"\[stages.one\] lora_targets = 'c_attn': the language model has no layer"):
        planned(lora_targets="c_attn")
