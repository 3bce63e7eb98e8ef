"""Language models read as many tokens as they have positions for: longer texts are cut or refused, by both numbers."""

import json

import pytest
from tiny_models import make_gpt2, make_tokenizer
from training_runs import STAGE, long, write_settings
from transformers import Gemma3Config, GPT2Config

from anisoalign.embeddings import InputError
from anisoalign.mllm import EmbeddingLanguageModel, StageSettings, answers, ask, score, train
from anisoalign.mllm.language_models import positions

pytestmark = pytest.mark.integration

LONG = "Which shape is it? " * 40


@pytest.fixture
def model():
    """A GPT-2, which has learned its 96 positions one by one and cannot read more tokens."""
    tokenizer = make_tokenizer()
    return EmbeddingLanguageModel.from_parts(make_gpt2(tokenizer, positions=96), tokenizer, 16)


def test_positions_of_a_model_in_parts_are_those_of_its_language_model():
    assert positions(Gemma3Config(text_config={"max_position_embeddings": 77})) == 77
    assert positions(GPT2Config(n_positions=96)) == 96


def test_conversations_are_cut_where_positions_end(model, world):
    talks = [*world.talks[:20], {"id": "020", "caption": "red ring " * 100}]
    log = train(model, talks, (world.text, world.ids), StageSettings(learns="full", **STAGE))
    assert log.truncated == 1


def test_a_conversation_whose_answer_has_no_positions_is_refused(model, world):
    message = r"id '000': the first 96 of its .* tokens \(the language model's positions\) hold no whole picture and"
    with pytest.raises(InputError, match=message):
        train(model, [*world.talks[1:], long(0)], (world.text, world.ids))


def test_a_run_refuses_it_before_training(world, saved_lm, run):
    lm = saved_lm("qwen")
    config = json.loads((lm / "config.json").read_text())
    (lm / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 96}))
    settings = write_settings(world, lm)
    (world.folder / "talks.json").write_text(json.dumps([*world.talks[1:], long(0)]))
    ended = run("train", settings, "--out", world.folder / "run")
    assert ended.code == 2
    assert "id '000': the first 96 of its" in ended.err
    assert not (world.folder / "run").exists()


def test_a_question_that_leaves_no_position_for_an_answer_is_refused(model, world):
    message = r"a question and one token of its answer takes \d+ tokens; the language model has positions for 96"
    with pytest.raises(InputError, match=message):
        ask(model, LONG, world.image[0])
    choice = {"id": "003", "question": LONG, "choices": ["red", "blue"], "answer": 0}
    with pytest.raises(InputError, match=r"a question with one of its choices takes .* has positions for 96"):
        score(model, [choice], (world.image, world.ids))


def test_an_answer_ends_where_positions_do(model, world, monkeypatch):
    lengths, generate = [], model.generate

    def watched(ids, mask, rows, length):
        lengths.append(ids.shape[1] + length)
        return generate(ids, mask, rows, length)

    monkeypatch.setattr(model, "generate", watched)
    answers(model, ["Which?", "Which shape is it?"], world.image[:2], max_new_tokens=500)
    ask(model, "Which?", world.image[0], max_new_tokens=5)
    assert lengths[:2] == [96, 96]
    assert lengths[2] < 96


def test_an_answer_is_as_long_beside_a_long_question_as_alone(model, world):
    questions = ["Which?", LONG[: len(LONG) // 4]]
    together = answers(model, questions, world.image[:2], max_new_tokens=60)
    alone = [ask(model, one, row, max_new_tokens=60) for one, row in zip(questions, world.image, strict=False)]
    assert together == alone
