"""Training: what learns and what does not, by which rows, and losses that do not see how a batch is cut."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from tiny_models import make_falcon, make_opt, make_tokenizer
from training_runs import STAGE, same, weights

from anisoalign.aligners import AnisoAlign, MeanShift, ReAlign
from anisoalign.embeddings import InputError
from anisoalign.mllm import (
    Conversations,
    EmbeddingLanguageModel,
    EmbeddingStore,
    StageSettings,
    train,
)
from anisoalign.mllm.joined import Joined

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("learns", ["projector", "lora", "full"])
def test_what_learns_changes_and_nothing_else(world, make_model, learns):
    model = make_model("qwen")
    lm, projector = weights(model.lm), weights(model.projector)
    log = train(model, *world.data, StageSettings(learns=learns, **STAGE))
    assert not same(projector, weights(model.projector))
    base = model.lm.get_base_model() if learns == "lora" else model.lm
    kept = {k.replace(".base_layer.", "."): v for k, v in weights(base).items() if "lora_" not in k}
    assert same(lm, kept) == (learns != "full")
    assert not any(value.requires_grad for value in model.parameters())
    assert not any(module.training for module in model.modules() if not module._get_name().endswith("Layer"))
    assert np.mean(log.losses[-2:]) < log.losses[0]


def test_the_division_of_a_batch_does_not_change_the_loss(world, make_model):
    logs = [train(make_model(), *world.data, StageSettings(**{**STAGE, "micro_batch": size})) for size in (1, 3, 8)]
    for log in logs[1:]:
        np.testing.assert_allclose(log.losses, logs[0].losses, rtol=1e-4)


def test_the_loss_is_the_mean_over_answer_tokens(world, make_model):
    model = make_model()
    data = Joined(Conversations(world.talks), EmbeddingStore(world.text, ids=world.ids), model.chat, 512)
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
    log = train(model, *world.data, StageSettings(batch_size=40, micro_batch=7))
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
    data = Joined(Conversations(world.talks), EmbeddingStore(world.text, ids=world.ids), model.chat, 512)
    together = data.batch(np.arange(6))
    with torch.no_grad():
        total = model(together.input_ids, together.attention_mask, together.labels, together.embeddings).loss_sum
        alone = 0.0
        for number in range(6):
            one = data.batch(np.array([number]))
            alone += float(model(one.input_ids, one.attention_mask, one.labels, one.embeddings).loss_sum)
    assert float(total) == pytest.approx(alone, rel=1e-5)


def test_recomputed_activations_give_the_same_training(world, make_model):
    for learns in ("projector", "lora"):
        logs = [
            train(
                make_model(),
                *world.data,
                StageSettings(learns=learns, gradient_checkpointing=wanted, **STAGE),
            )
            for wanted in (False, True)
        ]
        np.testing.assert_allclose(logs[1].losses, logs[0].losses, rtol=1e-5)


@pytest.mark.parametrize("make", [make_opt, make_falcon])
def test_a_frozen_model_drops_nothing_where_its_activations_are_recomputed(world, make):
    data = world.data
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
    data, losses = world.data, []
    for seed in (1, 2):
        model = make_model()
        model.lm.model.norm.register_forward_hook(lambda layer, given, made: torch.dropout(made, 0.3, train=True))
        torch.manual_seed(seed)
        losses.append(train(model, *data, StageSettings(**STAGE)).losses)
    assert losses[0] == losses[1]


def test_stored_substitutes_and_an_aligner_on_the_fly_train_alike(world, make_model):
    model = ReAlign().fit(world.text, world.image)
    moved = EmbeddingStore(model.transform(world.text), ids=world.ids, side="substitute")
    logs = [
        train(make_model(), world.talks, moved, StageSettings(side="substitute", **STAGE)),
        train(make_model(), *world.data, StageSettings(**STAGE), aligner=model),
    ]
    np.testing.assert_allclose(logs[1].losses, logs[0].losses, rtol=1e-4)


def test_the_aligner_of_a_call_goes_before_that_of_a_store(world, make_model):
    ids, shift = world.ids, MeanShift().fit(world.text, world.image)
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
    pq.write_table(pa.table({"id": world.ids, **vectors}), table)
    named = train(make_model(), world.talks, table, StageSettings(column="text", **STAGE))
    assert named.losses == train(make_model(), world.talks, world.folder / "text.npy", StageSettings(**STAGE)).losses


def noise_seen(world, model, **settings):
    """What was added to each text's embedding, epoch by epoch; shape (epochs, texts, width)."""
    clean = torch.from_numpy(world.text / np.linalg.norm(world.text, axis=1, keepdims=True))
    seen = []
    model.projector.register_forward_pre_hook(lambda module, given: seen.append(given[0].detach().clone()))
    whole = {"batch_size": 40, "micro_batch": 40, "epochs": 3, "noise": 0.05}
    train(model, *world.data, StageSettings(**{**whole, **settings}))
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
    data = world.data
    by_settings = train(make_model(), *data, StageSettings(noise=0.2, **STAGE))
    assert train(make_model(), *data, StageSettings(**STAGE), noise=0.2).losses == by_settings.losses


@pytest.mark.parametrize(("lr", "projector_lr"), [(1e-3, 1e-12), (1e-12, 1e-3)])
def test_the_projector_and_the_rest_learn_at_their_own_rates(world, make_model, lr, projector_lr):
    model = make_model()
    lm, projector = weights(model.lm), weights(model.projector)
    settings = StageSettings(learns="full", projector_lr=projector_lr, **{**STAGE, "lr": lr})
    train(model, *world.data, settings)

    def moved(before, module):
        return max(float((before[name] - value).abs().max()) for name, value in weights(module).items())

    for rate, distance in ((lr, moved(lm, model.lm)), (projector_lr, moved(projector, model.projector))):
        assert (distance > 1e-4) == (rate > 1e-4)
        assert (distance < 1e-8) == (rate < 1e-8)


def test_gradients_are_bounded_as_the_settings_say(world, make_model):
    """AdamW divides a gradient by its own size and 1e-8: one that is far smaller moves nothing."""
    data = world.data
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


def test_a_conversation_that_lost_its_end_is_counted_once(world, make_model):
    model = make_model()
    lengths = [len(model.chat.tokens(talk)) for talk in Conversations(world.talks)]
    limit = int(np.median(lengths))
    log = train(model, *world.data, StageSettings(max_length=limit, on_bad="skip", **STAGE))
    kept = len(lengths) - log.left_out.count
    assert kept > log.truncated == sum(length > limit for length in lengths) - log.left_out.count > 0
    assert model.stages[-1]["truncated"] == log.truncated
    assert sum(record["truncated"] for record in log.records) == 2 * log.truncated


def test_training_leaves_the_global_generators_alone(world, make_model):
    model = make_model()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(model, *world.data, StageSettings(learns="lora", lora_dropout=0.3, **STAGE))
    assert torch.equal(torch.rand(3), expected)


def test_in_memory_training_writes_nothing(world, make_model, monkeypatch, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    train(make_model(), *world.data, StageSettings(**STAGE))
    assert not list(empty.iterdir())


def _left_open(world):
    """An aligner whose strength is "auto", between sets that share their leading directions."""
    stretched = world.text * np.linspace(1.5, 0.5, world.text.shape[1], dtype=np.float32) + 0.5
    return AnisoAlign().fit(world.text, stretched)


def test_texts_are_trained_on_at_full_strength_where_the_strength_was_left_open(make_model, world):
    model, fitted = make_model(), _left_open(world)
    assert fitted.strength_ < 1.0
    first = train(model, *world.data, StageSettings(**STAGE), aligner=fitted)
    assert model.aligner.strength_ == 1.0
    moved = fitted.at_strength(1.0).transform(world.text)
    second = train(make_model(), world.talks, (moved, world.ids), StageSettings(side="substitute", **STAGE))
    np.testing.assert_allclose(first.losses, second.losses, rtol=1e-5)
    for again in (fitted, None):  # the next stage names the same aligner, or none
        train(model, *world.data, StageSettings(**STAGE), aligner=again)
        assert model.aligner.strength_ == 1.0
    given = make_model()
    train(given, *world.data, StageSettings(**STAGE), aligner=fitted.at_strength(0.2))
    assert given.aligner.strength_ == 0.2


def test_an_aligner_that_moved_the_rows_of_an_earlier_stage_stays_as_it_is(make_model, world):
    model, fitted = make_model(), _left_open(world)
    moved = fitted.transform(world.text)
    train(model, world.talks, (moved, world.ids), StageSettings(side="substitute", **STAGE), aligner=fitted)
    train(model, *world.data, StageSettings(**STAGE), aligner=fitted)
    assert model.aligner.strength_ == fitted.strength_
