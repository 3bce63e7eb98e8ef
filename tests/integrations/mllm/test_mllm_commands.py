"""`train`, `ask` and `score` on small models in the Hugging Face format; kills, several processes, bad input."""

import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file
from training_runs import COMMAND, anisoalign, losses, write_settings

from anisoalign.aligners import MeanShift, ReAlign
from anisoalign.embeddings import InputError
from anisoalign.mllm import (
    Conversation,
    Conversing,
    EmbeddingStore,
    Turn,
    answers,
    ask,
    load_mllm,
    saving,
    score,
    scoring,
)
from anisoalign.mllm.asking import prepare
from anisoalign.mllm.language_models import lm_config, load_lm, load_tokenizer
from anisoalign.mllm.model import pad
from anisoalign.mllm.pictures import open_model_encoder
from anisoalign.mllm.scoring import likelihoods

pytestmark = pytest.mark.integration


def test_a_gpu_is_taken_where_there_is_one(trained, monkeypatch):
    asked = []
    monkeypatch.setattr(saving, "find_device", lambda name: asked.append(name) or torch.device("cpu"))
    load_mllm(trained)
    assert asked == ["auto"]
    load_mllm(trained, device="cpu")
    assert asked == ["auto"]


def test_an_embedding_may_be_any_tensor(trained, world):
    model = load_mllm(trained, device="cpu")
    rounded = torch.from_numpy(world.image[3]).bfloat16()
    expected = ask(model, "Which?", rounded.float().numpy())
    for row in (rounded, rounded.clone().requires_grad_()):
        assert ask(model, "Which?", row) == expected
        assert Conversing(model, row).say("Which?") == expected


def test_asking_moves_texts_and_not_images(trained, world, run):
    model = load_mllm(trained, device="cpu")
    aligner = ReAlign().fit(world.text, world.image)
    moved = torch.from_numpy(aligner.transform(world.text))
    np.testing.assert_allclose(prepare(model, world.text, "text"), moved, atol=1e-6)
    np.testing.assert_allclose(prepare(model, moved, "substitute"), moved, atol=1e-6)
    images = world.image / np.linalg.norm(world.image, axis=1, keepdims=True)
    np.testing.assert_allclose(prepare(model, 3 * world.image, "image"), images, atol=1e-6)
    for side in ("image", "text"):
        rows = getattr(world, side)
        row = f"{world.folder / f'{side}.npy'}:3"
        said = run("ask", trained, "Which?", "--embedding", row, "--side", side, "--device", "cpu")
        assert said.out.strip() == ask(model, "Which?", rows[3], side=side)
        assert said.code == 0


def test_a_batch_is_answered_as_its_questions_are_alone(trained, world):
    model = load_mllm(trained, device="cpu")
    with torch.no_grad():
        model.lm.get_base_model().lm_head.weight[model.stop_ids] = 0  # random weights end their answers at once
    questions = ["Which?", "What colour is the shape that is there?", "red"]
    together = answers(model, questions, world.image[:3], max_new_tokens=5)
    assert together == [ask(model, q, row, max_new_tokens=5) for q, row in zip(questions, world.image, strict=False)]
    assert all(together)


def test_a_conversation_remembers_what_was_said(trained, world):
    model = load_mllm(trained, device="cpu")
    talk = Conversing(model, world.image[0])
    talk.say("What colour?", max_new_tokens=4)
    talk.say("And which shape?", max_new_tokens=4)
    assert [turn.role for turn in talk.turns] == ["user", "assistant"] * 2
    assert "".join(turn.text for turn in talk.turns).count("<image>") == 1


def test_scoring(trained, world, run):
    bench = [
        {"id": "003", "question": "Is it red?", "answer": "yes", "group": "a"},
        {"id": "004", "question": "Which shape?", "choices": ["ring", "star"], "answer": 0, "group": "b"},
        {"id": "005", "question": "What colour?", "answer": "red", "group": "b"},
        {"id": "006", "question": "Describe it.", "answers": ["a red ring"], "kind": "caption", "group": "a"},
        {"id": "007", "question": "What is it?", "answers": ["ring", "ring", "star"], "kind": "vqa"},
    ]
    (world.folder / "bench.jsonl").write_text("".join(json.dumps(one) + "\n" for one in bench))
    said = world.folder / "said.jsonl"
    call = ["score", trained, world.folder / "bench.jsonl", "--embeddings", world.folder / "image.npy"]
    ended = run(*call, "--json", "--predictions", said)
    found = json.loads(ended.out)
    assert found["kinds"].keys() == {"choice", "yes/no", "exact", "vqa", "caption"}
    assert found["groups"]["b"]["choice"]["rows"] == 1
    assert [json.loads(line)["id"] for line in said.read_text().splitlines()] == ["003", "004", "005", "006", "007"]
    assert run(*call, "--predictions", said).code == 2  # is not written over
    table = {"key": world.ids, "image": list(world.image), "text": list(world.text)}
    pq.write_table(pa.table(table), world.folder / "both.parquet")
    both = ["score", trained, world.folder / "bench.jsonl", "--embeddings", world.folder / "both.parquet", "--json"]
    ended = run(*both)
    assert (ended.code, "--column" in ended.err) == (2, True)
    ended = run(*both, "--column", "image", "--id-column", "key")
    assert json.loads(ended.out) == found
    blind = run("score", trained, world.folder / "bench.jsonl")
    assert "asked blindly" in blind.err
    assert "accuracy" in blind.out


@pytest.mark.parametrize(("kind", "least"), [("exact", 32), ("vqa", 32), ("caption", 64)])
def test_an_answer_may_be_as_long_as_the_longest_right_one(make_model, monkeypatch, kind, least):
    model = make_model()
    long = " ".join(["red ring on a blue star"] * 20)
    ids = np.array(model.tokenizer(long)["input_ids"])
    assert len(ids) > 64
    lengths = []

    def generate(prompts, mask, rows, length):
        lengths.append(length)
        return pad([ids[:length]] * len(prompts), 0)

    monkeypatch.setattr(model, "generate", generate)
    short = [{"id": number, "question": "q", "answers": ["red", "ring"], "kind": kind} for number in range(3)]
    found = score(model, [*short, {**short[0], "answers": [long] * 4}], batch_size=1)
    assert found.predictions[-1] == long
    assert set(lengths) == {len(ids) + 4}
    lengths.clear()
    score(model, short)
    assert lengths == [least]


def test_the_length_of_answers_may_be_said(trained, world, run, monkeypatch):
    bench, lengths = world.folder / "bench.jsonl", []
    bench.write_text(json.dumps({"id": "003", "question": "Which?", "answer": "a red ring"}) + "\n")
    monkeypatch.setattr(scoring, "reply", lambda model, talks, rows, length: lengths.append(length) or ["red"])
    for said in ([], ["--max-new-tokens", 5]):
        assert run("score", trained, bench, *said).code == 0
    assert lengths == [32, 5]


def test_the_likeliest_choice_is_that_of_the_plain_sum(trained, world):
    model = load_mllm(trained, device="cpu")
    choices = ["red ring", "blue", "a green star on a white ground"]
    talks = [
        Conversation("0", (Turn("user", "<image>\nWhich?"), Turn("assistant", choice)), True) for choice in choices
    ]
    rows = prepare(model, world.image[[0, 0, 0]])
    expected = []
    for talk in talks:
        tokens = model.chat.tokens(talk)
        with torch.no_grad():
            logits = model(torch.from_numpy(tokens.ids)[None], embeddings=rows[:1]).logits[0]
        places = [place for place, label in enumerate(tokens.labels) if label >= 0]
        foretold = torch.log_softmax(logits, -1)
        expected.append(np.mean([float(foretold[place - 1, tokens.ids[place]]) for place in places]))
    np.testing.assert_allclose(likelihoods(model, talks, rows), expected, rtol=1e-5)
    question = {"id": 0, "question": "Which?", "choices": choices, "answer": 0}
    found = score(model, [question], (world.image, range(40)))
    assert found.predictions == [choices[int(np.argmax(expected))]]


def test_a_likelihood_that_is_nan_chooses_nothing(world, make_model):
    model = make_model()
    with torch.no_grad():
        model.projector.second.weight[0, 0] = float("nan")
    question = {"id": 7, "question": "Which?", "choices": ["red", "blue"], "answer": 0}
    with pytest.raises(InputError, match="id '7': the likelihood of a choice is NaN; the model's weights"):
        score(model, [question], (world.image, range(40)))


def test_an_encoder_that_lies_elsewhere_is_asked_for(make_model, tmp_path):
    model = make_model()
    model.encoder = {"encoder": "hf:clip"}
    with pytest.raises(
        InputError, match=r"its encoder as hf:clip, .* say where it is \(encoder=…, --encoder\): clip cannot"
    ):
        open_model_encoder(model)
    with pytest.raises(InputError, match=str(tmp_path)) as error:
        open_model_encoder(model, f"hf:{tmp_path}")
    assert "remembers" not in str(error.value)


def test_choices_take_logits_of_their_own_positions_alone(world, make_model, monkeypatch):
    model, kept = make_model("qwen"), []
    whole = model.lm.forward

    def forward(**options):
        found = whole(**options)
        kept.append((found.logits.shape[1], options["inputs_embeds"].shape[1]))
        return found

    # The signature tells which logits can be kept.
    monkeypatch.setattr(model.lm, "forward", functools.wraps(whole)(forward))
    question = "<image>\n" + "Which shape is it? " * 20
    talks = [Conversation("0", (Turn("user", question), Turn("assistant", choice)), True) for choice in ("red", "blue")]
    likelihoods(model, talks, prepare(model, world.image[:2]))
    ((logits, positions),) = kept
    assert logits < 10 < 100 < positions


def test_a_store_is_scored_as_what_it_is_made_of(trained, world, monkeypatch):
    model, read = load_mllm(trained, device="cpu"), []
    monkeypatch.setattr(scoring, "prepare_rows", lambda model, rows: read.append(rows) or torch.from_numpy(rows))
    asked = [{"id": talk["id"], "question": "Which?", "answer": "red"} for talk in world.talks]
    store = EmbeddingStore(world.text, ids=world.ids, side="text")
    for given, side in (((world.text, world.ids), "text"), (store, "text"), (store, None)):
        score(model, asked, given, side=side, batch_size=40)
    aligned = ReAlign().fit(world.text, world.image).transform(world.text)
    for rows in read:
        np.testing.assert_allclose(rows, aligned, atol=1e-6)
    for side in ("image", "substitute"):
        with pytest.raises(InputError, match=f"embeddings: the store is of side 'text', not '{side}'"):
            score(model, asked, store, side=side)
    with pytest.raises(InputError, match="a store has its columns already"):
        score(model, asked, store, column="image")
    other = EmbeddingStore(world.text, ids=world.ids, aligner=MeanShift().fit(world.text, world.image))
    with pytest.raises(InputError, match="another one is given: MeanShift"):
        score(model, asked, other)


def test_a_language_model_that_moved_or_changed(trained, world, run):
    call = ["ask", trained, "Which shape?", "--embedding", f"{world.folder / 'image.npy'}:3"]
    before = run(*call)
    (world.folder / "qwen").rename(world.folder / "elsewhere")
    gone = run(*call)
    assert gone.code == 2
    assert "which is gone" in gone.err
    assert run(*call, "--lm", world.folder / "elsewhere").out == before.out
    weights = load_file(world.folder / "elsewhere" / "model.safetensors")
    weights["model.norm.weight"] += 1
    save_file(weights, world.folder / "elsewhere" / "model.safetensors", {"format": "pt"})
    changed = run(*call, "--lm", world.folder / "elsewhere")
    assert changed.code == 2
    assert "its weights differ" in changed.err


@pytest.mark.parametrize(("kind", "learns"), [("llama", "lora"), ("qwen", "full")])
def test_two_processes_agree_with_one(world, saved_lm, run, kind, learns):
    settings = write_settings(world, saved_lm(kind), learns)
    run("train", settings, "--out", world.folder / "one")
    anisoalign("train", settings, "--out", world.folder / "two", processes=2)
    for stage in ("pretrain", "tune"):
        one, two = losses(world.folder / "one" / stage), losses(world.folder / "two" / stage)
        assert len(one) == 5
        np.testing.assert_allclose(two, one, rtol=1e-4)


def test_two_processes_skip_the_step_that_one_skips(world, saved_lm):
    settings = write_settings(world, saved_lm("llama"))
    np.save(world.folder / "row.npy", world.image[7])
    changes = ("side=image", f"embeddings={world.folder / 'image.npy'}", "aligner=", "noise=0")
    call = [part for change in changes for part in ("--set", f"stages.pretrain.{change}")]
    call = [world.folder / "row.npy", "train", settings, "--stage", "pretrain", *call, "--out"]
    found = []
    for processes in (1, 2):
        out = world.folder / str(processes)
        program = COMMAND.with_name("poisoned_processes.py")
        ended = anisoalign(*call, out, processes=processes, program=program)
        assert "1 step(s) skipped, whose loss was not finite" in ended.stderr
        lines = [json.loads(line) for line in (out / "pretrain" / "log.jsonl").read_text().splitlines()]
        found.append([line["loss"] or 0.0 for line in lines])
        assert [line["loss"] is None for line in lines] == [line.get("skipped", False) for line in lines]
    assert found[0].count(0.0) == found[1].count(0.0) == 1
    np.testing.assert_allclose(found[1], found[0], rtol=1e-4)


def test_two_processes_agree_with_one_where_parts_have_no_picture(world, saved_lm, run):
    settings = write_settings(world, saved_lm("llama"))
    talks = [
        {"id": talk["id"], "messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": "red"}]}
        for talk, asked in zip(world.talks, ["<image> Which?", "Which one?"] * 20, strict=True)
    ]
    (world.folder / "captions.jsonl").write_text("".join(json.dumps(one) + "\n" for one in talks))
    changes = [f"stages.pretrain.{change}" for change in ("text_only=true", "micro_batch=1")]
    call = ["--stage", "pretrain", *(part for change in changes for part in ("--set", change))]
    assert run("train", settings, "--out", world.folder / "one", *call).code == 0
    anisoalign("train", settings, "--out", world.folder / "two", *call, processes=2)
    one, two = losses(world.folder / "one" / "pretrain"), losses(world.folder / "two" / "pretrain")
    np.testing.assert_allclose(two, one, rtol=1e-4)


def test_a_process_that_is_killed_goes_on_to_the_same_losses(world, saved_lm, run):
    settings = write_settings(world, saved_lm("llama"), epochs=60)
    run("train", settings, "--out", world.folder / "straight", "--stage", "pretrain")
    command = [sys.executable, str(COMMAND), "train", str(settings), "--out", str(world.folder / "broken")]
    process = subprocess.Popen([*command, "--stage", "pretrain"], stderr=subprocess.DEVNULL)
    state = world.folder / "broken" / "pretrain.partial" / "state.json"
    deadline = time.monotonic() + 120
    while not state.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (world.folder / "broken" / "pretrain").exists(), "it was done before it could be killed"
    ended = run("train", settings, "--out", world.folder / "broken", "--stage", "pretrain")
    assert re.search(r"gone on from step [1-9]", ended.err)
    assert losses(world.folder / "broken" / "pretrain") == losses(world.folder / "straight" / "pretrain")


class TestRefused:
    """Each in one message and exit code 2, before anything is written."""

    @pytest.fixture
    def refused(self, world, saved_lm, run):
        settings = write_settings(world, saved_lm("llama"))

        def check(*arguments, message):
            ended = run("train", settings, "--out", world.folder / "run", *arguments)
            assert ended.code == 2
            assert re.search(message, ended.err), ended.err
            assert not (world.folder / "run").exists()

        return check

    def test_settings(self, refused):
        refused("--set", "stages.tune.lrr=1", message="no key 'lrr'")
        refused("--set", "model.lm=", message="no language model is named")
        refused("--set", "model.lm=nowhere/at-all", message="no configuration can be loaded")
        refused("--set", "model.lm=nowhere/at-all", "--stage", "pretrain", message="no tokenizer can be loaded")
        refused("--stage", "polish", message="there is no stage 'polish'; the stages: pretrain, tune")
        refused("--stage", "tune", message="begins with the model of stage 'pretrain'")

    def test_adapters_of_a_later_stage(self, refused, world):
        lacking = r"\[stages.tune\] lora_targets = .*: the language model has no layer 'c_attn'; its linear ones: down_"
        refused("--set", "stages.tune.lora_targets=q_proj,c_attn", message=lacking)
        refused("--set", "stages.tune.lora_targets=input_layernorm", message=r"lora_targets = .* is not supported")
        more = "\n[stages.more]\nlearns = 'lora'\nlora_rank = 2\n"
        path = world.folder / "run.toml"
        path.write_text(path.read_text() + more)
        refused(message=r"\[stages.more\] the model has adapters of lora_rank = 4; lora_rank = 2 cannot go on")

    def test_adapters_are_held_against_the_model_a_stage_begins_with(self, trained, world, run):
        shutil.rmtree(trained / "tune")
        call = ["train", world.folder / "run.toml", "--out", trained, "--set", "stages.pretrain.lr=2e-2"]
        ended = run(*call, "--set", "stages.tune.lora_targets=c_attn")
        assert (ended.code, "has no layer 'c_attn'" in ended.err) == (2, True), ended.err
        assert not list(trained.glob("tune*"))

    @pytest.mark.parametrize(
        ("load", "file", "changes"),
        [
            (load_lm, "config.json", {"model_type": "own"}),
            (lm_config, "config.json", {"model_type": "own"}),
            (load_tokenizer, "tokenizer_config.json", {"tokenizer_class": "Own"}),
        ],
    )
    def test_code_that_comes_with_a_language_model(self, saved_lm, monkeypatch, load, file, changes):
        monkeypatch.setattr("builtins.input", lambda *asked: "y")  # to whom asks whether it may run
        folder = saved_lm("llama")
        (folder / "own.py").write_text(f"open({str(folder / 'ran')!r}, 'w').close()")
        own = {"AutoConfig": "own.Own", "AutoModelForCausalLM": "own.Own", "AutoTokenizer": [None, "own.Own"]}
        settings = json.loads((folder / file).read_text())
        (folder / file).write_text(json.dumps({**settings, **changes, "auto_map": own}))
        with pytest.raises(
            InputError, match=r"the folder .*llama: it brings code of its own, which is not run"
        ) as error:
            load(folder)
        assert "trust" not in str(error.value)
        assert "\n" not in str(error.value)
        assert not (folder / "ran").exists()

    def test_data(self, refused, world):
        refused("--set", "stages.tune.embeddings=", message="names no embeddings")
        np.save(world.folder / "narrow.npy", world.text[:, :8])
        (world.folder / "narrow.ids.parquet").write_bytes((world.folder / "text.ids.parquet").read_bytes())
        narrow = f"stages.pretrain.embeddings={world.folder / 'narrow.npy'}"
        refused("--set", narrow, message="has width 8, the aligner was fitted on width 16")
        talks = [{**talk, "id": f"x{talk['id']}"} for talk in world.talks]
        (world.folder / "other.json").write_text(json.dumps(talks))
        other = f"stages.tune.conversations={world.folder / 'other.json'}"
        refused("--set", other, message="40 of 40 ids have no embedding, the first ten: 'x000'")
        # of the second stage, before the first is trained
        message = r"talks.json: 40 conversation\(s\) cannot be used, the first ten:\n  id '000': the first 8 of its"
        refused("--set", "stages.tune.max_length=8", message=message)

    def test_questions(self, trained, world, run):
        embedding = world.folder / "image.npy"
        for arguments, message in (
            (["ask", trained, "Q?", "--embedding", embedding], "holds 40 rows; say which"),
            (["ask", trained, "Q?", "--embedding", f"{embedding}:40"], "there is no row 40"),
            (["ask", trained, "Q?"], "one of them"),
            (["ask", trained, " ", "--embedding", f"{embedding}:0"], "the question is empty"),
            (["ask", trained, "<image> <image>", "--embedding", f"{embedding}:0"], "2 times"),
            (["ask", world.folder, "Q?", "--embedding", f"{embedding}:0"], "is not a trained multimodal model"),
        ):
            ended = run(*arguments)
            assert ended.code == 2
            assert message in ended.err

    def test_rows_without_direction_are_refused_with_advice_that_can_be_followed(self, trained, world, run):
        spoilt = world.image.copy()
        spoilt[5] = 0
        np.save(world.folder / "image.npy", spoilt)
        (world.folder / "bench.jsonl").write_text('{"id": "005", "question": "Is it red?", "answer": "yes"}\n')
        for call in (
            ["score", trained, world.folder / "bench.jsonl", "--embeddings", world.folder / "image.npy"],
            ["ask", trained, "Q?", "--embedding", f"{world.folder / 'image.npy'}:5"],
        ):
            ended = run(*call)
            assert ended.code == 2
            assert re.search(r"image.npy, shard 0, row 5 is .*zero.*; correct it$", ended.err.strip()), ended.err
        model = load_mllm(trained, device="cpu")
        with pytest.raises(InputError, match=r"embedding: .*row 0 is .*zero.*; correct it$"):
            ask(model, "Q?", spoilt[5])

    @pytest.mark.parametrize(
        ("file", "message"),
        [
            ("projector.safetensors", "projector.safetensors is damaged"),
            ("adapter/adapter_model.safetensors", "adapter is damaged"),
            ("config.json", "config.json cannot be read"),
            ("aligner/model.safetensors", "damaged"),
        ],
    )
    def test_truncated_models(self, trained, world, run, file, message):
        path = trained / "tune" / file
        path.write_bytes(path.read_bytes()[:-40])
        ended = run("ask", trained / "tune", "Q?", "--embedding", f"{world.folder / 'image.npy'}:0")
        assert ended.code == 2
        assert message in ended.err
