"""`train`, `ask` and `score` on small models in the Hugging Face format; kills, several processes, bad input."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from anisoalign.aligners import AnisoAlign, ReAlign
from anisoalign.mllm import Conversation, Conversing, Turn, answers, ask, load_mllm, score
from anisoalign.mllm.asking import prepare
from anisoalign.mllm.scoring import likelihoods

pytestmark = pytest.mark.integration

COMMAND = Path(__file__).with_name("two_processes.py")

SETTINGS = """
[model]
lm = "{lm}"
visual_tokens = 2

[stages.pretrain]
conversations = "captions.jsonl"
embeddings = "text.npy"
aligner = "aligner"
noise = 0.02
epochs = {epochs}
batch_size = 8
micro_batch = 3
lr = 1e-2
checkpoint_every = 2

[stages.tune]
learns = "{learns}"
conversations = "talks.json"
embeddings = "image.npy"
side = "image"
batch_size = 8
micro_batch = 3
lr = 1e-3
lora_rank = 4
lora_dropout = 0.1
checkpoint_every = 2
gradient_checkpointing = true
"""


def write_settings(world, lm, learns="lora", epochs=1):
    captions = [{"id": talk["id"], "caption": talk["conversations"][1]["value"]} for talk in world.talks]
    (world.folder / "captions.jsonl").write_text("".join(json.dumps(one) + "\n" for one in captions))
    (world.folder / "run.toml").write_text(SETTINGS.format(lm=lm.name, learns=learns, epochs=epochs))
    return world.folder / "run.toml"


def anisoalign(*arguments, processes=1, expect=0):
    launcher = ["-m", "torch.distributed.run", f"--nproc_per_node={processes}", "--standalone"] if processes > 1 else []
    command = [sys.executable, *launcher, str(COMMAND), *map(str, arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=170)
    assert ended.returncode == expect, ended.stderr[-3000:]
    return ended


def losses(folder):
    return [json.loads(line)["loss"] for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.fixture
def trained(world, saved_lm, run):
    """A run of both stages: Qwen with adapters."""
    settings = write_settings(world, saved_lm("qwen"))
    ended = run("train", settings, "--out", world.folder / "run", "--set", "stages.pretrain.lr=2e-2")
    assert ended.code == 0, ended.err
    assert "lr = 0.02" in ended.err  # printed
    assert "lr = 0.02" in (world.folder / "run" / "settings.toml").read_text()  # and saved
    return world.folder / "run"


def test_a_finished_run_is_left_as_it_is(trained, world, run):
    assert losses(trained / "pretrain")[-1] < losses(trained / "pretrain")[0]
    again = run("train", world.folder / "run.toml", "--out", trained, "--set", "stages.pretrain.lr=2e-2")
    assert again.err.count("finished already") == 2
    other = run("train", world.folder / "run.toml", "--out", trained)
    assert other.code == 2
    assert "was trained with other settings (lr: 0.02 then, 0.01 now; projector_lr" in other.err


class TestFinishedStages:
    """A finished stage is taken only where model, data and aligner are those it was trained with."""

    @pytest.fixture
    def pretrained(self, world, saved_lm, run):
        """A run whose first stage is done, with an aligner whose strength was left open."""
        settings = write_settings(world, saved_lm("llama"))
        shutil.rmtree(world.folder / "aligner")
        AnisoAlign().fit(world.text, world.text - 1).save(world.folder / "aligner")
        self.call = ["train", settings, "--out", world.folder / "run"]
        assert run(*self.call, "--stage", "pretrain").code == 0
        return world.folder / "run"

    def refused(self, run, out, *changes, message, stage="pretrain"):
        before = {file: file.read_bytes() for file in out.rglob("*") if file.is_file()}
        for wanted in ((), ("--stage", stage)):
            ended = run(*self.call, *wanted, *(part for change in changes for part in ("--set", change)))
            assert ended.code == 2
            assert re.search(message, ended.err), ended.err
            assert "choose another --out, or remove it" in ended.err
        assert {file: file.read_bytes() for file in out.rglob("*") if file.is_file()} == before

    def test_another_aligner(self, pretrained, world, run):
        ReAlign().fit(world.text, world.image).save(world.folder / "other")
        other = f"stages.pretrain.aligner={world.folder / 'other'}"
        message = r"another aligner \(aligner: [0-9a-f]{8} then, [0-9a-f]{8} now in .*other\)"
        self.refused(run, pretrained, other, message=message)
        self.refused(run, pretrained, "stages.pretrain.aligner=", message=r"\(aligner: [0-9a-f]{8} then, none now\)")

    def test_other_embeddings_and_conversations(self, pretrained, world, run):
        np.save(world.folder / "text.npy", world.text + 1)
        self.refused(run, pretrained, message=r"embeddings: [0-9a-f]{8} then, [0-9a-f]{8} now in .*text.npy")
        np.save(world.folder / "text.npy", world.text)
        with (world.folder / "captions.jsonl").open("a") as file:
            file.write(json.dumps({"id": "001", "caption": "a blue ring"}) + "\n")
        self.refused(run, pretrained, message=r"conversations: {'rows': 40, .* then, {'rows': 41, .*captions.jsonl")

    def test_another_model(self, pretrained, run):
        self.refused(run, pretrained, "model.visual_tokens=1", message=r"another \[model\] \(visual_tokens: 2 then, 1")
        # neither is the model of the stage before taken for what [model] says now
        self.refused(run, pretrained, "model.system=Be brief.", message="system: '' then, 'Be brief.'", stage="tune")

    def test_another_language_model(self, pretrained, saved_lm, run):
        other = saved_lm("qwen")
        self.refused(run, pretrained, f"model.lm={other}", message="lm: '.*llama' then, '.*qwen' now", stage="tune")

    def test_a_stage_before_that_is_to_be_trained_anew(self, pretrained, world, run):
        assert run(*self.call).code == 0
        shutil.rmtree(pretrained / "pretrain")
        change = "stages.pretrain.lr=0.5"
        self.refused(run, pretrained, change, message=r"tune was .*\(stages.pretrain.lr: 0.01 then, 0.5", stage="tune")

    def test_files_that_moved(self, pretrained, world, run):
        for name in ("aligner", "text.npy", "text.ids.parquet", "captions.jsonl", "llama"):
            (world.folder / name).rename(world.folder / f"moved_{name}")
        moved = {"aligner": "aligner", "embeddings": "text.npy", "conversations": "captions.jsonl"}
        changes = [f"stages.pretrain.{key}={world.folder / f'moved_{name}'}" for key, name in moved.items()]
        changes.append(f"model.lm={world.folder / 'moved_llama'}")
        ended = run(*self.call, *(part for change in changes for part in ("--set", change)))
        assert ended.code == 0, ended.err
        assert ended.err.count("finished already") == 1
        assert load_mllm(pretrained).settings.lm == str(world.folder / "moved_llama")

    def test_data_that_are_gone_are_said_to_be(self, pretrained, world, run):
        (world.folder / "captions.jsonl").unlink()
        ended = run(*self.call, "--stage", "pretrain")
        assert (ended.code, "captions.jsonl is gone, and was not compared" in ended.err) == (0, True)

    def test_older_models_that_did_not_note_their_data(self, pretrained, world, run):
        path = pretrained / "pretrain" / "config.json"
        config = json.loads(path.read_text())
        del config["stages"][0]["trained_on"]
        path.write_text(json.dumps(config))
        np.save(world.folder / "text.npy", world.text + 1)
        ended = run(*self.call, "--stage", "pretrain")
        assert (ended.code, "finished already" in ended.err) == (0, True)


def test_asking_moves_texts_and_not_images(trained, world, run):
    model = load_mllm(trained)
    aligner = ReAlign().fit(world.text, world.image)
    moved = torch.from_numpy(aligner.transform(world.text))
    np.testing.assert_allclose(prepare(model, world.text, "text"), moved, atol=1e-6)
    np.testing.assert_allclose(prepare(model, moved, "substitute"), moved, atol=1e-6)
    images = world.image / np.linalg.norm(world.image, axis=1, keepdims=True)
    np.testing.assert_allclose(prepare(model, 3 * world.image, "image"), images, atol=1e-6)
    for side in ("image", "text"):
        rows = getattr(world, side)
        said = run("ask", trained, "Which?", "--embedding", f"{world.folder / f'{side}.npy'}:3", "--side", side)
        assert said.out.strip() == ask(model, "Which?", rows[3], side=side)
        assert said.code == 0


def test_a_batch_is_answered_as_its_questions_are_alone(trained, world):
    model = load_mllm(trained)
    with torch.no_grad():
        model.lm.get_base_model().lm_head.weight[model.stop_ids] = 0  # random weights end their answers at once
    questions = ["Which?", "What colour is the shape that is there?", "red"]
    together = answers(model, questions, world.image[:3], max_new_tokens=5)
    assert together == [ask(model, q, row, max_new_tokens=5) for q, row in zip(questions, world.image, strict=False)]
    assert all(together)


def test_a_conversation_remembers_what_was_said(trained, world):
    model = load_mllm(trained)
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
    ]
    (world.folder / "bench.jsonl").write_text("".join(json.dumps(one) + "\n" for one in bench))
    said = world.folder / "said.jsonl"
    call = ["score", trained, world.folder / "bench.jsonl", "--embeddings", world.folder / "image.npy"]
    ended = run(*call, "--json", "--predictions", said)
    found = json.loads(ended.out)
    assert found["kinds"].keys() == {"choice", "yes/no", "exact", "caption"}
    assert found["groups"]["b"]["choice"]["rows"] == 1
    assert [json.loads(line)["id"] for line in said.read_text().splitlines()] == ["003", "004", "005", "006"]
    assert run(*call, "--predictions", said).code == 2  # is not written over
    blind = run("score", trained, world.folder / "bench.jsonl")
    assert "asked blindly" in blind.err
    assert "accuracy" in blind.out


def test_the_likeliest_choice_is_that_of_the_plain_sum(trained, world):
    model = load_mllm(trained)
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
    def refused(self, world, saved_lm, run, monkeypatch):
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
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
        refused("--set", "model.lm=nowhere/at-all", message="no (tokenizer|language model) can be loaded")
        refused("--stage", "polish", message="there is no stage 'polish'; the stages: pretrain, tune")
        refused("--stage", "tune", message="begins with the model of stage 'pretrain'")

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
