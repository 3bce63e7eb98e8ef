"""Conversations that cannot be trained on are refused before anything is trained, or left out where that is asked."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from training_runs import STAGE, kill_at, long

from anisoalign.embeddings import InputError, open_embeddings
from anisoalign.mllm import (
    EmbeddingStore,
    ModelSettings,
    StageSettings,
    TrainSettings,
    train,
)
from anisoalign.mllm.planning import plan_training

pytestmark = pytest.mark.integration


def test_conversations_whose_answer_is_cut_off_are_left_out_where_asked(world, make_model):
    settings = StageSettings(max_length=100, on_bad="skip", **STAGE)
    empty = {"id": "000", "caption": " "}
    model = make_model()
    log = train(model, [*map(long, range(12)), *world.talks, empty], (world.text, world.ids), settings)
    assert log.left_out.count == 13
    assert len(log.left_out.first) == 10
    assert (model.stages[-1]["left_out"], model.stages[-1]["conversations"]) == (13, 40)
    assert log.losses == train(make_model(), *world.data, settings).losses


def test_conversations_without_an_embedding_are_left_out_where_asked(world, make_model):
    settings = StageSettings(on_bad="skip", **STAGE)
    model = make_model()
    log = train(model, world.talks, (world.text[:39], world.ids[:39]), settings)
    assert log.left_out.first == ("id '039': it has no embedding in embeddings",)
    assert (model.stages[-1]["left_out"], model.stages[-1]["conversations"]) == (1, 39)
    assert log.losses == train(make_model(), world.talks[:39], (world.text, world.ids), settings).losses
    with pytest.raises(InputError, match="21 of 40 ids have no embedding, the first ten: '019'"):
        train(make_model(), world.talks, (world.text[:19], world.ids[:19]), settings)


class TestRowsWithoutDirection:
    """Rows that are NaN, infinite or zero are found before anything is trained, where they are joined."""

    @pytest.fixture(params=["npy", "parquet"])
    def spoilt(self, request, world):
        """Embeddings of which two rows are bad, one of which no conversation is joined with."""
        rows = np.concatenate([world.text, world.text[:1]])
        rows[37, 3], rows[40] = np.nan, 0
        ids = [*world.ids, "nobody's"]
        if request.param == "npy":
            np.save(world.folder / "spoilt.npy", rows)
            pq.write_table(pa.table({"id": ids}), world.folder / "spoilt.ids.parquet")
        else:
            vectors = pa.array(rows.tolist(), pa.list_(pa.float32(), rows.shape[1]))
            pq.write_table(pa.table({"id": ids, "embedding": vectors}), world.folder / "spoilt.parquet")
        return world.folder / f"spoilt.{request.param}"

    def test_they_are_refused_before_anything_is_written(self, spoilt, world, make_model, tmp_path):
        message = (
            r"1 conversation\(s\) cannot be used, these:\n  id '037': its embedding, .*spoilt.*, row 37, .*NaN.*\n"
            r'correct the rows, or have such conversations left out by on_bad = "skip"$'
        )
        with pytest.raises(InputError, match=message):
            train(make_model(), world.talks, spoilt, StageSettings(**STAGE), out=tmp_path / "out")
        assert not list(tmp_path.glob("out*"))

    def test_they_are_left_out_where_asked(self, spoilt, world, make_model):
        settings = StageSettings(on_bad="skip", **STAGE)
        model = make_model()
        log = train(model, world.talks, spoilt, settings)
        assert (log.left_out.count, model.stages[-1]["conversations"]) == (1, 39)
        others = [talk for talk in world.talks if talk["id"] != "037"]
        data = (world.text, world.ids)
        assert log.losses == train(make_model(), others, data, settings).losses
        with pytest.raises(InputError, match=r"no conversation that can be used: 1 .*\n  id '037': its embedding"):
            train(make_model(), [world.talks[37]], spoilt, settings)

    def test_one_that_is_joined_with_nothing_is_no_matter(self, spoilt, world, make_model):
        others = [talk for talk in world.talks if talk["id"] != "037"]
        assert train(make_model(), others, spoilt, StageSettings(**STAGE)).left_out.count == 0

    def test_they_are_given_to_nobody(self, spoilt):
        with pytest.raises(InputError, match=r"spoilt.*, shard 0, row 40 .*zero; correct it$"):
            EmbeddingStore(spoilt).take(np.array([3, 40]))
        dropping = open_embeddings(spoilt, bad_rows="drop")
        with pytest.raises(InputError, match=r"spoilt.*, shard 0, row 37 .*NaN.*; correct it$"):
            EmbeddingStore(dropping).take(np.array([3, 37]))
        whole = np.concatenate([EmbeddingStore(dropping).take(np.array([row])) for row in (3, 38)])
        assert np.isfinite(whole).all()


class TestRefusedByTheTemplate:
    """Conversations that a chat template does not take are found before anything is trained."""

    @pytest.fixture
    def data(self, world):
        """Conversations of which three begin with a system message, and their embeddings."""
        system = {"from": "system", "value": "be brief"}
        some = [{**t, "conversations": [system, *t["conversations"]]} for t in world.talks[:3]]
        return [*some, *world.talks[3:]], (world.text, world.ids)

    @pytest.fixture
    def model(self, make_model):
        """A model whose template takes no system message, as Gemma's, and drops thoughts, as Qwen's."""
        from tiny_models import CHATML

        model = make_model("qwen")
        refusing = "{%- if messages[0].role == 'system' %}{{ raise_exception('no system') }}{%- endif %}"
        said = "message.content.split('</think>')[-1]"
        model.tokenizer.chat_template = refusing + CHATML.replace("message.content", said)
        return model

    def test_they_are_listed_before_training(self, model, data):
        message = r"3 conversation\(s\) cannot be used, these:\n  id '000': the chat template refuses .*: no system"
        with pytest.raises(InputError, match=message):
            train(model, *data, StageSettings(**STAGE), progress=kill_at(1))

    def test_they_are_left_out_where_asked(self, model, data):
        log = train(model, *data, StageSettings(on_bad="skip", **STAGE))
        assert log.left_out.count == 3
        assert model.stages[-1]["conversations"] == 37

    def test_a_plan_leaves_out_what_training_leaves_out(self, model, data, world):
        for name in ("lm", "tokenizer"):
            getattr(model, name).save_pretrained(world.folder / "qwen")
        (world.folder / "some.json").write_text(json.dumps(data[0]))
        lm, some = ModelSettings(lm=str(world.folder / "qwen")), str(world.folder / "some.json")
        (planned,) = plan_training(TrainSettings(lm, {"a": StageSettings(conversations=some, on_bad="skip")}), 16)
        assert planned["mean_tokens"] > 0
        with pytest.raises(InputError, match=r"id '00.': the chat template refuses"):
            plan_training(TrainSettings(lm, {"a": StageSettings(conversations=some)}), 16)

    def test_what_is_said_may_be_refused_too(self, model, world):
        turns = [{"from": "human", "value": "<image>"}, {"from": "gpt", "value": "<think>red</think>ring"}]
        talks = [*world.talks[:2], {"id": "002", "conversations": turns}]
        with pytest.raises(
            InputError, match=r"1 conversation\(s\) .*\n  id '002': .* does not show where the answer of"
        ):
            train(model, talks, (world.text, world.ids), StageSettings(**STAGE))
