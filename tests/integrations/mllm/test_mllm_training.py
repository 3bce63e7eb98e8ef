"""Training: what learns and what does not, resumption to the last bit, losses that do not see how a batch is cut."""

import json
import shutil
import warnings
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from tiny_models import make_falcon, make_opt, make_tokenizer
from training_runs import STAGE, Killed, kill_at, long, same, weights

from anisoalign.aligners import C3, AnisoAlign, MeanShift, ReAlign
from anisoalign.embeddings import InputError
from anisoalign.mllm import (
    Conversations,
    EmbeddingLanguageModel,
    EmbeddingStore,
    ModelSettings,
    StageSettings,
    TrainSettings,
    train,
)
from anisoalign.mllm.joined import Joined
from anisoalign.mllm.planning import plan_training
from anisoalign.mllm.stage_run import StageRun

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("learns", ["projector", "lora", "full"])
def test_what_learns_changes_and_nothing_else(world, make_model, learns):
    model = make_model("qwen")
    lm, projector = weights(model.lm), weights(model.projector)
    log = train(model, world.talks, (world.text, [t["id"] for t in world.talks]), StageSettings(learns=learns, **STAGE))
    assert not same(projector, weights(model.projector))
    base = model.lm.get_base_model() if learns == "lora" else model.lm
    kept = {k.replace(".base_layer.", "."): v for k, v in weights(base).items() if "lora_" not in k}
    assert same(lm, kept) == (learns != "full")
    assert not any(value.requires_grad for value in model.parameters())
    assert not any(module.training for module in model.modules() if not module._get_name().endswith("Layer"))
    assert np.mean(log.losses[-2:]) < log.losses[0]


def test_the_division_of_a_batch_does_not_change_the_loss(world, make_model):
    ids = [t["id"] for t in world.talks]
    logs = [
        train(make_model(), world.talks, (world.text, ids), StageSettings(**{**STAGE, "micro_batch": size}))
        for size in (1, 3, 8)
    ]
    for log in logs[1:]:
        np.testing.assert_allclose(log.losses, logs[0].losses, rtol=1e-4)


def shares(world, model, settings, processes, monkeypatch):
    """Conversations that each of several processes has in the first step, and what the main one warns of."""
    talks, store = Conversations(world.talks), EmbeddingStore(world.text, ids=[t["id"] for t in world.talks])
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


def test_the_loss_is_the_mean_over_answer_tokens(world, make_model):
    model = make_model()
    ids = [t["id"] for t in world.talks]
    data = Joined(Conversations(world.talks), EmbeddingStore(world.text, ids=ids), model.chat, 512)
    expected, count = 0.0, 0
    for number in range(40):
        batch = data.batch(np.array([number]))
        with torch.no_grad():
            logits = model(batch.input_ids, embeddings=batch.embeddings).logits[0]
        foretold = torch.log_softmax(logits, -1)
        for place, label in enumerate(batch.labels[0].tolist()):
            if label >= 0:
                expected -= float(foretold[place - 1, label])
                count += 1
    log = train(model, world.talks, (world.text, ids), StageSettings(batch_size=40, micro_batch=7))
    assert log.records[0]["answer_tokens"] == count
    assert log.losses[0] == pytest.approx(expected / count, rel=1e-5)


def told(talk):
    """A conversation whose first question is about no picture."""
    first, *others = talk["conversations"]
    return {**talk, "conversations": [{**first, "value": first["value"].replace("<image>\n", "")}, *others]}


def test_parts_without_a_picture_count_and_teach_a_frozen_model_nothing(world, make_model):
    talks = [told(talk) if number % 2 else talk for number, talk in enumerate(world.talks)]
    data = talks, (world.text, [t["id"] for t in talks])
    logs = [
        train(make_model(), *data, StageSettings(text_only=True, **{**STAGE, "micro_batch": size})) for size in (1, 8)
    ]
    np.testing.assert_allclose(logs[0].losses, logs[1].losses, rtol=1e-4)
    assert [r["answer_tokens"] for r in logs[0].records] == [r["answer_tokens"] for r in logs[1].records]
    alone = train(make_model(), *data, StageSettings(text_only=True, batch_size=1))
    assert sum(record["gradient_norm"] == 0 for record in alone.records) == 20
    assert all(record["loss"] > 0 for record in alone.records)


def test_padding_and_neighbours_in_a_batch_change_nothing(world, make_model):
    model = make_model("qwen")
    ids = [t["id"] for t in world.talks]
    data = Joined(Conversations(world.talks), EmbeddingStore(world.text, ids=ids), model.chat, 512)
    together = data.batch(np.arange(6))
    with torch.no_grad():
        total = model(together.input_ids, together.attention_mask, together.labels, together.embeddings).loss_sum
        alone = 0.0
        for number in range(6):
            one = data.batch(np.array([number]))
            alone += float(model(one.input_ids, one.attention_mask, one.labels, one.embeddings).loss_sum)
    assert float(total) == pytest.approx(alone, rel=1e-5)


def test_recomputed_activations_give_the_same_training(world, make_model):
    ids = [t["id"] for t in world.talks]
    for learns in ("projector", "lora"):
        logs = [
            train(
                make_model(),
                world.talks,
                (world.text, ids),
                StageSettings(learns=learns, gradient_checkpointing=wanted, **STAGE),
            )
            for wanted in (False, True)
        ]
        np.testing.assert_allclose(logs[1].losses, logs[0].losses, rtol=1e-5)


@pytest.mark.parametrize("make", [make_opt, make_falcon])
def test_a_frozen_model_drops_nothing_where_its_activations_are_recomputed(world, make):
    data = world.talks, (world.text, [t["id"] for t in world.talks])
    logs, passes = [], {}
    for wanted in (False, True):
        tokenizer = make_tokenizer()
        model = EmbeddingLanguageModel.from_parts(make(tokenizer), tokenizer, 16)
        layer = model.lm.get_decoder().get_submodule("layers.0" if make is make_opt else "h.0")
        next(layer.children()).register_forward_pre_hook(
            lambda *given, key=wanted: passes.update({key: passes.get(key, 0) + 1})
        )
        logs.append(train(model, *data, StageSettings(gradient_checkpointing=wanted, **STAGE)))
    np.testing.assert_allclose(logs[1].losses, logs[0].losses, rtol=1e-5)
    assert passes[True] == 2 * passes[False]  # they were recomputed


def test_whatever_a_frozen_model_draws_is_drawn_by_the_seed(world, make_model):
    data, losses = (world.talks, (world.text, [t["id"] for t in world.talks])), []
    for seed in (1, 2):
        model = make_model()
        model.lm.model.norm.register_forward_hook(lambda layer, given, made: torch.dropout(made, 0.3, train=True))
        torch.manual_seed(seed)
        losses.append(train(model, *data, StageSettings(**STAGE)).losses)
    assert losses[0] == losses[1]


def test_stored_substitutes_and_an_aligner_on_the_fly_train_alike(world, make_model):
    ids = [t["id"] for t in world.talks]
    model = ReAlign().fit(world.text, world.image)
    moved = EmbeddingStore(model.transform(world.text), ids=ids, side="substitute")
    logs = [
        train(make_model(), world.talks, moved, StageSettings(side="substitute", **STAGE)),
        train(make_model(), world.talks, (world.text, ids), StageSettings(**STAGE), aligner=model),
    ]
    np.testing.assert_allclose(logs[1].losses, logs[0].losses, rtol=1e-4)


def test_the_aligner_of_a_call_goes_before_that_of_a_store(world, make_model):
    ids, shift = [t["id"] for t in world.talks], MeanShift().fit(world.text, world.image)
    expected = train(make_model(), world.talks, (world.text, ids), StageSettings(**STAGE), aligner=shift).losses
    folder = world.folder / "aligner"  # of another method
    asked = (
        (EmbeddingStore(world.text, ids=ids, aligner=folder), shift, StageSettings(**STAGE)),
        (EmbeddingStore(world.text, ids=ids), shift, StageSettings(aligner=str(folder), **STAGE)),
        (EmbeddingStore(world.text, ids=ids, aligner=shift), None, StageSettings(aligner=str(folder), **STAGE)),
    )
    for store, aligner, settings in asked:
        model = make_model()
        assert train(model, world.talks, store, settings, aligner=aligner).losses == expected
        assert isinstance(model.aligner, MeanShift)
    image = EmbeddingStore(world.image, ids=ids, side="image")
    with pytest.raises(InputError, match="these are called 'image'"):
        train(make_model(), world.talks, image, StageSettings(side="image", **STAGE), aligner=shift)
    with pytest.raises(InputError, match="these are called 'image'"):
        train(make_model(), world.talks, image, StageSettings(aligner=str(folder), **STAGE))
    model = make_model()
    model.aligner = shift  # of a stage before: images are not moved by it, and it is kept
    assert train(model, world.talks, image, StageSettings(**STAGE)).losses
    assert model.aligner is shift


def test_the_settings_name_the_column_of_the_vectors(world, make_model):
    vectors = {name: pa.array(getattr(world, name).tolist(), pa.list_(pa.float32(), 16)) for name in ("text", "image")}
    table = world.folder / "both.parquet"
    pq.write_table(pa.table({"id": [talk["id"] for talk in world.talks], **vectors}), table)
    named = train(make_model(), world.talks, table, StageSettings(column="text", **STAGE))
    assert named.losses == train(make_model(), world.talks, world.folder / "text.npy", StageSettings(**STAGE)).losses


def noise_seen(world, model, **settings):
    """What was added to each text's embedding, epoch by epoch; shape (epochs, texts, width)."""
    clean = torch.from_numpy(world.text / np.linalg.norm(world.text, axis=1, keepdims=True))
    seen = []
    model.projector.register_forward_pre_hook(lambda module, given: seen.append(given[0].detach().clone()))
    whole = {"batch_size": 40, "micro_batch": 40, "epochs": 3, "noise": 0.05}
    train(model, world.talks, (world.text, [t["id"] for t in world.talks]), StageSettings(**{**whole, **settings}))
    found = torch.zeros(len(seen), *clean.shape)
    for epoch, rows in enumerate(seen):
        own = (rows @ clean.T).argmax(dim=1)  # noise is short beside the way to another text
        assert sorted(own.tolist()) == list(range(40))
        found[epoch, own] = rows - clean[own]
    return found.numpy()


def test_noise_is_drawn_afresh_every_epoch_and_by_the_seed(world, make_model):
    one, other = noise_seen(world, make_model()), noise_seen(world, make_model(), seed=1)
    drawn = np.concatenate([one, other]).reshape(6, -1)
    assert drawn.std(axis=1) == pytest.approx(0.05, rel=0.1)
    alike = np.corrcoef(drawn) - np.eye(6)
    assert np.abs(alike).max() < 0.25  # of 640 numbers, which are alike by chance to 0.04
    np.testing.assert_array_equal(noise_seen(world, make_model()), one)
    assert np.abs(noise_seen(world, make_model(), noise=0.0)).max() < 1e-6


def test_noise_of_a_call_is_that_of_the_settings(world, make_model):
    data = world.talks, (world.text, [t["id"] for t in world.talks])
    by_settings = train(make_model(), *data, StageSettings(noise=0.2, **STAGE))
    assert train(make_model(), *data, StageSettings(**STAGE), noise=0.2).losses == by_settings.losses


@pytest.mark.parametrize(("lr", "projector_lr"), [(1e-3, 1e-12), (1e-12, 1e-3)])
def test_the_projector_and_the_rest_learn_at_their_own_rates(world, make_model, lr, projector_lr):
    model = make_model()
    lm, projector = weights(model.lm), weights(model.projector)
    settings = StageSettings(learns="full", projector_lr=projector_lr, **{**STAGE, "lr": lr})
    train(model, world.talks, (world.text, [t["id"] for t in world.talks]), settings)

    def moved(before, module):
        return max(float((before[name] - value).abs().max()) for name, value in weights(module).items())

    for rate, distance in ((lr, moved(lm, model.lm)), (projector_lr, moved(projector, model.projector))):
        assert (distance > 1e-4) == (rate > 1e-4)
        assert (distance < 1e-8) == (rate < 1e-8)


def test_gradients_are_bounded_as_the_settings_say(world, make_model):
    """AdamW divides a gradient by its own size and 1e-8: one that is far smaller moves nothing."""
    data = world.talks, (world.text, [t["id"] for t in world.talks])
    still = weights(make_model().projector)
    moved, norms, losses = {}, {}, {}
    for clip in (0.0, 1e9, 1e-12):
        model = make_model()
        log = train(model, *data, StageSettings(clip=clip, **{**STAGE, "epochs": 1}))
        after = weights(model.projector)
        moved[clip] = max(float((after[name] - still[name]).abs().max()) for name in still)
        norms[clip], losses[clip] = log.records[0]["gradient_norm"], log.losses
    assert losses[0.0] == losses[1e9]  # none, and one that is never reached
    assert norms[0.0] == norms[1e-12] > 1e-6  # told as it was
    assert moved[1e-12] < 1e-3 * moved[0.0]


def test_training_leaves_the_global_generators_alone(world, make_model):
    ids = [t["id"] for t in world.talks]
    model = make_model()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(model, world.talks, (world.text, ids), StageSettings(learns="lora", lora_dropout=0.3, **STAGE))
    assert torch.equal(torch.rand(3), expected)


def test_in_memory_training_writes_nothing(world, make_model, monkeypatch, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    train(make_model(), world.talks, (world.text, [t["id"] for t in world.talks]), StageSettings(**STAGE))
    assert not list(empty.iterdir())


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


class TestRefused:
    """Bad input: a clear error each, nothing overwritten."""

    @pytest.fixture
    def begun(self, world, make_model, tmp_path):
        """A run that was killed after step 5, with its state of step 3."""
        self.data = world.folder / "talks.json", world.folder / "text.npy"
        self.settings = StageSettings(checkpoint_every=3, **STAGE)
        with pytest.raises(Killed):
            train(make_model(), *self.data, self.settings, out=tmp_path / "out", progress=kill_at(5))
        return tmp_path / "out.partial"

    @pytest.mark.parametrize("fault", ["state", "json", "settings", "data"])
    def test_unfinished_runs_that_cannot_go_on(self, begun, world, make_model, tmp_path, fault):
        settings = self.settings
        if fault == "state":
            path = next(begun.glob("state-*.safetensors"))
            path.write_bytes(path.read_bytes()[:-100])
            message = "state-00000003.safetensors is truncated or damaged"
        elif fault == "json":
            (begun / "state.json").write_text('{"step": ')
            message = "state.json is damaged"
        elif fault == "settings":
            settings, message = StageSettings(checkpoint_every=3, **{**STAGE, "lr": 0.5}), "lr: 0.01 then, 0.5 now"
        else:
            late = world.text.copy()
            late[-1, -1] += 1
            np.save(world.folder / "text.npy", late)
            message = "begun with other settings or data"
        before = {file.name: file.read_bytes() for file in begun.iterdir()}
        with pytest.raises(InputError, match=message):
            train(make_model(), *self.data, settings, out=tmp_path / "out")
        assert {file.name: file.read_bytes() for file in begun.iterdir()} == before
        assert not (tmp_path / "out").exists()

    def test_leaving_out_what_was_refused_before_is_another_run(self, begun, make_model, tmp_path):
        settings = StageSettings(checkpoint_every=3, on_bad="skip", **STAGE)
        with pytest.raises(InputError, match="on_bad: 'error' then, 'skip' now"):
            train(make_model(), *self.data, settings, out=tmp_path / "out")

    def test_ids_that_leave_out_other_conversations_make_another_run(self, world, make_model, tmp_path):
        settings = StageSettings(checkpoint_every=3, on_bad="skip", **STAGE)
        ids = [t["id"] for t in world.talks]
        data = world.talks, (world.text, [*ids[:39], "x"])
        with pytest.raises(Killed):
            train(make_model(), *data, settings, out=tmp_path / "out", progress=kill_at(4))
        with pytest.raises(InputError, match="learned_from: 39 then, 40 now"):
            train(make_model(), world.talks, (world.text, ids), settings, out=tmp_path / "out")

    @pytest.mark.parametrize("settings", [{"system": "be brief"}, {"thinking": True}])
    def test_another_model_goes_on_with_no_run(self, begun, make_model, tmp_path, settings):
        (key,) = settings
        with pytest.raises(InputError, match=rf"model.{key}: .* then, {settings[key]!r} now"):
            train(make_model(**settings), *self.data, self.settings, out=tmp_path / "out")

    def test_another_frozen_language_model_goes_on_with_no_run(self, begun, make_model, tmp_path):
        other = make_model()
        with torch.no_grad():
            other.lm.lm_head.weight[0, 0] += 1
        with pytest.raises(InputError, match=r"frozen_weights: '.*' then, '.*' now"):
            train(other, *self.data, self.settings, out=tmp_path / "out")

    def test_what_an_older_version_did_not_note_is_not_compared(self, begun, make_model, tmp_path):
        state = json.loads((begun / "state.json").read_text())
        kept = {key: value for key, value in state["plan"].items() if key != "frozen_weights" and "model." not in key}
        assert len(kept) < len(state["plan"])
        (begun / "state.json").write_text(json.dumps({**state, "plan": kept}))
        assert train(make_model(), *self.data, self.settings, out=tmp_path / "out").resumed_at == 3

    def test_what_does_not_matter_may_change(self, begun, make_model, tmp_path):
        settings = StageSettings(checkpoint_every=2, **{**STAGE, "micro_batch": 8})
        assert train(make_model(), *self.data, settings, out=tmp_path / "out").resumed_at == 3

    def test_a_folder_that_is_no_model_is_left_alone(self, world, make_model, tmp_path):
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "thesis.txt").write_text("all")
        with pytest.raises(InputError, match="is not a saved model; it is left alone"):
            train(make_model(), world.talks, (world.text, [t["id"] for t in world.talks]), out=tmp_path / "mine")
        assert (tmp_path / "mine" / "thesis.txt").read_text() == "all"
        assert not (tmp_path / "mine.partial").exists()

    def test_a_trained_model_is_not_trained_over(self, world, make_model, tmp_path):
        ids = [t["id"] for t in world.talks]
        train(make_model(), world.talks, (world.text, ids), StageSettings(batch_size=40), out=tmp_path / "out")
        before = {file: file.read_bytes() for file in (tmp_path / "out").rglob("*") if file.is_file()}
        with pytest.raises(InputError, match="holds a trained model already"):
            train(make_model(), world.talks, (world.text, ids), StageSettings(batch_size=8), out=tmp_path / "out")
        assert {file: file.read_bytes() for file in (tmp_path / "out").rglob("*") if file.is_file()} == before

    def test_ids_that_do_not_match(self, world, make_model, tmp_path):
        with pytest.raises(InputError, match="15 of 40 ids have no embedding, the first ten: '025'"):
            train(make_model(), world.talks, (world.text[:25], [t["id"] for t in world.talks[:25]]), out=tmp_path / "o")
        assert not list(tmp_path.glob("o*"))

    def test_embeddings_of_another_width(self, world, make_model):
        with pytest.raises(InputError, match="has width 12, the model was made for 16"):
            train(make_model(), world.talks, (world.text[:, :12], [t["id"] for t in world.talks]))

    def test_another_aligner_than_before(self, world, make_model):
        ids = [t["id"] for t in world.talks]
        model = make_model()
        train(model, world.talks, (world.text, ids), StageSettings(**STAGE), aligner=world.folder / "aligner")
        assert isinstance(model.aligner, ReAlign)
        with pytest.raises(InputError, match="was trained with the aligner ReAlign"):
            train(model, world.talks, (world.text, ids), aligner=C3().fit(world.text, world.image))
        # Without one, that of before is taken.
        again = train(model, world.talks, (world.text, ids), StageSettings(learns="lora", **STAGE))
        assert model.stages[-1]["steps"] == len(again.losses)

    def test_conversations_whose_answer_is_cut_off(self, world, make_model):
        talks = [*world.talks, *map(long, range(12))]
        message = r"12 conversation\(s\) cannot be used, the first ten:\n  id '000': the first 100 of its .* tokens"
        with pytest.raises(InputError, match=message) as error:
            train(make_model(), talks, (world.text, [t["id"] for t in world.talks]), StageSettings(max_length=100))
        assert str(error.value).count("the first 100 of its") == 10

    def test_a_conversation_that_only_the_template_makes_too_long(self, world, make_model):
        talks = [{"id": "000", "caption": "red"}]
        model = make_model(visual_tokens=50)
        with pytest.raises(InputError, match=r"1 conversation\(s\) cannot be used, these:\n  id '000': the first 40"):
            train(model, talks, (world.text, [t["id"] for t in world.talks]), StageSettings(max_length=40))

    def test_conversations_of_which_none_is_left(self, world, make_model):
        settings = StageSettings(max_length=100, on_bad="skip")
        with pytest.raises(InputError, match=r"no conversation that can be used: 1 .*\n  id '000': the first 100 of"):
            train(make_model(), [long(0)], (world.text, [t["id"] for t in world.talks]), settings)

    @pytest.mark.parametrize(("size", "steps"), [(8, 5), (40, 2)])  # of ten steps, and of two
    def test_losses_that_are_not_finite_one_after_the_other(self, world, make_model, tmp_path, size, steps):
        model = make_model()
        with torch.no_grad():
            model.lm.lm_head.weight[0, 0] = float("nan")
        data, settings = (world.talks, (world.text, [t["id"] for t in world.talks])), {**STAGE, "batch_size": size}
        message = rf"the loss of {steps} step\(s\) one after the other, up to step {steps}, is not finite"
        with pytest.raises(InputError, match=f"{message}; .* may help; .*o.partial keeps its settings, so remove it"):
            train(model, *data, StageSettings(**settings), out=tmp_path / "o")
        assert not (tmp_path / "o").exists()
        shutil.rmtree(tmp_path / "o.partial")  # what is advised is not refused
        settings = {**settings, "lr": 1e-3, "precision": "no"}
        assert train(make_model(), *data, StageSettings(**settings), out=tmp_path / "o").skipped == 0


def _left_open(world):
    """An aligner whose strength is "auto", between sets that share their leading directions."""
    stretched = world.text * np.linspace(1.5, 0.5, world.text.shape[1], dtype=np.float32) + 0.5
    return AnisoAlign().fit(world.text, stretched)


class TestAdaptersOfAnEarlierStage:
    """They go on as they are; what a later stage asks of them is carried out or refused."""

    @pytest.fixture
    def adapted(self, world, make_model):
        """A model with adapters, and a function that trains it on with other settings."""
        model, data = make_model("qwen"), (world.talks, (world.text, [t["id"] for t in world.talks]))

        def more(**changes):
            return train(model, *data, StageSettings(learns="lora", **{**STAGE, "lora_alpha": 8, **changes}))

        more(lora_targets="q_proj,v_proj")
        return model, more

    @pytest.mark.parametrize("change", [{"lora_rank": 2}, {"lora_alpha": 16}, {"lora_targets": "all-linear"}])
    def test_another_shape_is_refused(self, adapted, change):
        _, more = adapted
        ((name, value),) = change.items()
        with pytest.raises(InputError, match=f"adapters of {name} = .*; {name} = {value!r} cannot go on from them"):
            more(**{"lora_targets": "q_proj,v_proj", **change})

    def test_the_same_layers_in_another_order_are_the_same(self, adapted):
        model, more = adapted
        more(lora_targets="v_proj, q_proj")
        assert len(model.stages) == 2

    def test_all_layers_go_on_as_all_layers(self, world, make_model):
        model, data = make_model(), (world.talks, (world.text, [t["id"] for t in world.talks]))
        for _ in range(2):
            train(model, *data, StageSettings(learns="lora", **STAGE))

    def test_another_dropout_is_taken(self, adapted, tmp_path):
        model, more = adapted
        for share, kind in ((0.5, torch.nn.Dropout), (0.0, torch.nn.Identity)):
            more(lora_targets="q_proj,v_proj", lora_dropout=share)
            layers = [
                module.lora_dropout["default"] for module in model.lm.modules() if hasattr(module, "lora_dropout")
            ]
            assert {type(layer) for layer in layers} == {kind}
            assert {getattr(layer, "p", 0.0) for layer in layers} == {share}
            assert model.lm.peft_config["default"].lora_dropout == share

    def test_adapters_are_taken_in_without_rounding(self, world, make_model):
        model = make_model("qwen")
        model.lm.bfloat16()
        data = world.talks, (world.text, [t["id"] for t in world.talks])
        train(model, *data, StageSettings(learns="lora", **STAGE))
        layer = model.lm.get_base_model().model.layers[0].self_attn.q_proj
        expected = layer.base_layer.weight.float() + layer.get_delta_weight("default")
        model.begin(StageSettings(learns="full"))
        merged = model.lm.model.layers[0].self_attn.q_proj.weight
        assert merged.dtype == torch.float32
        torch.testing.assert_close(merged, expected, rtol=0, atol=1e-7)
        assert not torch.equal(merged, merged.bfloat16().float())


def test_texts_are_trained_on_at_full_strength_where_the_strength_was_left_open(make_model, world):
    ids = [talk["id"] for talk in world.talks]
    model, fitted = make_model(), _left_open(world)
    assert fitted.strength_ < 1.0
    first = train(model, world.talks, (world.text, ids), StageSettings(**STAGE), aligner=fitted)
    assert model.aligner.strength_ == 1.0
    moved = fitted.at_strength(1.0).transform(world.text)
    second = train(make_model(), world.talks, (moved, ids), StageSettings(side="substitute", **STAGE))
    np.testing.assert_allclose(first.losses, second.losses, rtol=1e-5)
    for again in (fitted, None):  # the next stage names the same aligner, or none
        train(model, world.talks, (world.text, ids), StageSettings(**STAGE), aligner=again)
        assert model.aligner.strength_ == 1.0
    given = make_model()
    train(given, world.talks, (world.text, ids), StageSettings(**STAGE), aligner=fitted.at_strength(0.2))
    assert given.aligner.strength_ == 0.2


def test_an_aligner_that_moved_the_rows_of_an_earlier_stage_stays_as_it_is(make_model, world):
    ids = [talk["id"] for talk in world.talks]
    model, fitted = make_model(), _left_open(world)
    moved = fitted.transform(world.text)
    train(model, world.talks, (moved, ids), StageSettings(side="substitute", **STAGE), aligner=fitted)
    train(model, world.talks, (world.text, ids), StageSettings(**STAGE), aligner=fitted)
    assert model.aligner.strength_ == fitted.strength_
