"""Runs of several stages: what is finished, what goes on, and what is left out."""

import json
import re
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from training_runs import Killed, kill_at, losses, write_settings

from anisoalign.aligners import AnisoAlign, ReAlign
from anisoalign.mllm import load_mllm
from anisoalign.mllm.adapters import quiet_peft

pytestmark = pytest.mark.integration


def test_a_finished_run_is_left_as_it_is(trained, world, run):
    assert losses(trained / "pretrain")[-1] < losses(trained / "pretrain")[0]
    again = run("train", world.folder / "run.toml", "--out", trained, "--set", "stages.pretrain.lr=2e-2")
    assert again.err.count("finished already") == 2
    other = run("train", world.folder / "run.toml", "--out", trained)
    assert other.code == 2
    assert "was trained with other settings (lr: 0.02 then, 0.01 now; projector_lr" in other.err


def test_the_settings_that_a_run_keeps_train_the_same_again(world, saved_lm, run, monkeypatch):
    write_settings(world, saved_lm("llama"))
    monkeypatch.chdir(world.folder)
    uri = (world.folder / "image.npy").as_uri()
    assert run("train", "run.toml", "--out", "run", "--set", f"stages.tune.embeddings={uri}").code == 0
    kept = world.folder / "run" / "settings.toml"
    assert f'embeddings = "{uri}"' in kept.read_text()
    monkeypatch.chdir("/")
    ended = run("train", kept, "--out", world.folder / "again")
    assert ended.code == 0, ended.err
    for stage in ("pretrain", "tune"):
        assert losses(world.folder / "again" / stage) == losses(world.folder / "run" / stage)
    assert run("train", kept, "--out", world.folder / "run").err.count("finished already") == 2
    assert kept.read_text() == (world.folder / "again" / "settings.toml").read_text()


def test_a_command_that_is_refused_leaves_the_settings_of_the_run(world, saved_lm, run, monkeypatch):
    call = ["train", write_settings(world, saved_lm("llama")), "--out", world.folder / "run"]
    with monkeypatch.context() as patched:
        patched.setattr(
            "anisoalign.mllm.stage_run.StageRun._show", lambda run, record: kill_at(3)(record["step"], 0, 0, 0)
        )
        with pytest.raises(Killed):
            run(*call)
    kept = world.folder / "run" / "settings.toml"
    before = kept.read_text()
    ended = run(*call, "--set", "stages.pretrain.lr=9")
    assert (ended.code, "lr: 0.01 then, 9.0 now" in ended.err) == (2, True)
    assert kept.read_text() == before
    assert run(*call, "--set", "stages.pretrain.micro_batch=8").code == 0
    assert "micro_batch = 8" in kept.read_text()


def test_the_users_own_settings_are_not_replaced(world, saved_lm, run, monkeypatch):
    own = write_settings(world, saved_lm("llama")).rename(world.folder / "settings.toml")
    before = own.read_text()
    monkeypatch.chdir(world.folder)
    ended = run("train", "settings.toml", "--out", ".")
    assert (ended.code, "settings.toml was not written by a run" in ended.err) == (2, True)
    assert own.read_text() == before
    assert not list(world.folder.glob("pretrain*"))


def test_peft_finds_the_language_model_from_any_folder(world, saved_lm, run, monkeypatch):
    from peft import AutoPeftModelForCausalLM

    folder = saved_lm("qwen")
    write_settings(world, folder)
    monkeypatch.chdir(world.folder)
    lm = f"model.lm={folder.name}"  # relative, as a call may name it
    assert run("train", "run.toml", "--out", "run", "--set", lm).code == 0
    adapter = world.folder / "run" / "tune" / "adapter"
    monkeypatch.chdir("/")
    assert json.loads((adapter / "adapter_config.json").read_text())["base_model_name_or_path"] == str(folder)
    with quiet_peft():
        found = AutoPeftModelForCausalLM.from_pretrained(adapter)
    ids = torch.arange(20, 30)[None]
    torch.testing.assert_close(found(ids).logits, load_mllm(world.folder / "run", device="cpu").lm(ids).logits)


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
        late = world.text.copy()
        late[-1, -1] += 1
        np.save(world.folder / "text.npy", late)
        self.refused(run, pretrained, message=r"embeddings: [0-9a-f]{8} then, [0-9a-f]{8} now in .*text.npy")
        np.save(world.folder / "text.npy", world.text)
        with (world.folder / "captions.jsonl").open("a") as file:
            file.write(json.dumps({"id": "001", "caption": "a blue ring"}) + "\n")
        self.refused(run, pretrained, message=r"conversations: {'rows': 40, .* then, {'rows': 41, .*captions.jsonl")

    def test_a_word_of_the_same_length(self, pretrained, world, run):
        path = world.folder / "captions.jsonl"
        path.write_text(path.read_text().replace("blue", "grey", 1))
        self.refused(run, pretrained, message=r"conversations: .*'said_sha256': .* then, .* now in .*captions.jsonl")

    def test_another_column(self, pretrained, run):
        self.refused(run, pretrained, "stages.pretrain.column=text", message=r"\(column: '' then, 'text' now\)")

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
        assert load_mllm(pretrained, device="cpu").settings.lm == str(world.folder / "moved_llama")

    def test_what_does_not_matter_to_what_was_learned(self, pretrained, run):
        changes = ("micro_batch=8", "checkpoint_every=50", "gradient_checkpointing=true", "log_to=trackio")
        ended = run(*self.call, "--stage", "pretrain", *(p for c in changes for p in ("--set", f"stages.pretrain.{c}")))
        assert (ended.code, "finished already" in ended.err) == (0, True), ended.err

    def test_data_that_are_gone_are_said_to_be(self, pretrained, world, run):
        (world.folder / "captions.jsonl").unlink()
        ended = run(*self.call, "--stage", "pretrain")
        assert (ended.code, "captions.jsonl is gone, and was not compared" in ended.err) == (0, True)

    def test_older_models_that_did_not_note_their_data(self, pretrained, world, run):
        path = pretrained / "pretrain" / "config.json"
        config = json.loads(path.read_text())
        (stage,) = config["stages"]
        del stage["settings"]["column"], stage["settings"]["on_bad"]
        del stage["trained_on"]["conversations"]["said_sha256"]
        stage["trained_on"]["embeddings"] = stage["trained_on"]["embeddings"][-8:]
        path.write_text(json.dumps(config))
        ended = run(*self.call, "--stage", "pretrain")
        assert (ended.code, "finished already" in ended.err) == (0, True)
        del stage["trained_on"]
        path.write_text(json.dumps(config))
        np.save(world.folder / "text.npy", world.text + 1)
        ended = run(*self.call, "--stage", "pretrain")
        assert (ended.code, "finished already" in ended.err) == (0, True)


def test_a_model_trained_in_full_goes_on_in_the_precision_it_was_trained_in(world, saved_lm, run):
    # On a GPU this is the default: weights that do not learn are bfloat16.
    settings = write_settings(world, saved_lm("llama"))
    changes = ["--set", "model.dtype=bfloat16", "--set", "stages.pretrain.learns=full"]
    call = ["train", settings, *changes, "--out"]
    assert run(*call, world.folder / "straight").code == 0
    assert run(*call, world.folder / "parted", "--stage", "pretrain").code == 0
    assert run(*call, world.folder / "parted").code == 0
    assert losses(world.folder / "parted" / "tune") == losses(world.folder / "straight" / "tune")
    trained = world.folder / "parted" / "pretrain"
    assert load_mllm(trained, device="cpu", exact=True).lm.dtype == torch.float32
    assert load_mllm(trained, device="cpu").lm.dtype == torch.bfloat16  # to be asked


def test_stages_name_columns_of_one_table(world, saved_lm, run):
    settings = write_settings(world, saved_lm("llama"))
    assert run("train", settings, "--out", world.folder / "apart").code == 0
    vectors = {name: pa.array(getattr(world, name).tolist(), pa.list_(pa.float32(), 16)) for name in ("text", "image")}
    table = world.folder / "both.parquet"
    pq.write_table(pa.table({"id": world.ids, **vectors}), table)
    call = ["train", settings, "--out", world.folder / "run"]
    for stage, column in (("pretrain", "text"), ("tune", "image")):
        call += ["--set", f"stages.{stage}.embeddings={table}", "--set", f"stages.{stage}.column={column}"]
    ended = run(*call)
    assert ended.code == 0, ended.err
    for stage in ("pretrain", "tune"):
        assert losses(world.folder / "run" / stage) == losses(world.folder / "apart" / stage)
    assert run(*call).err.count("finished already") == 2


def test_a_stage_of_texts_that_names_no_aligner_takes_that_of_the_stage_before(world, saved_lm, run):
    settings = write_settings(world, saved_lm("llama"))
    changes = ["side=text", f"embeddings={world.folder / 'text.npy'}"]
    call = ["train", settings, *(part for change in changes for part in ("--set", f"stages.tune.{change}")), "--out"]
    named = ["--set", f"stages.tune.aligner={world.folder / 'aligner'}"]
    assert run(*call, world.folder / "named", *named).code == 0
    ended = run(*call, world.folder / "run")
    assert re.search(r"tune: 40 conversations, .* \(text, moved by realign\)", ended.err), ended.err
    assert losses(world.folder / "run" / "tune") == losses(world.folder / "named" / "tune")
    again = run(*call, world.folder / "run")
    assert (again.code, again.err.count("finished already")) == (0, 2), again.err
    assert run(*call, world.folder / "parted", "--stage", "pretrain").code == 0
    assert "moved by realign" in run(*call, world.folder / "parted").err
    assert losses(world.folder / "parted" / "tune") == losses(world.folder / "named" / "tune")


def test_conversations_that_cannot_be_used_are_left_out_where_asked(world, saved_lm, run):
    settings = write_settings(world, saved_lm("llama"))
    question = {"from": "human", "value": "<image>\n" + "what colour is it? " * 60}
    bad = [{"id": "001", "caption": " "}, {"id": "002", "conversations": [question, {"from": "gpt", "value": "red"}]}]
    absent = {**world.talks[0], "id": "absent"}
    (world.folder / "talks.json").write_text(json.dumps([*bad, *world.talks, absent]))
    call = ["train", settings, "--out", world.folder / "run", "--set", "stages.tune.max_length=200"]
    refused = run(*call)
    assert (refused.code, "1 conversation(s) cannot be used, these:" in refused.err) == (2, True)
    assert not (world.folder / "run").exists()
    call += ["--set", "stages.tune.on_bad=skip"]
    ended = run(*call)
    assert ended.code == 0, ended.err
    told = (
        r"tune: .*talks.json: 3 conversation\(s\) left out, these:\n  element 0: .*\n"
        r"  id 'absent': it has no embedding in .*image.npy\n  id '002'"
    )
    assert re.search(told, ended.err)
    assert "tune: 40 conversations" in ended.err
    config = json.loads((world.folder / "run" / "tune" / "config.json").read_text())
    assert [stage["left_out"] for stage in config["stages"]] == [0, 3]
    assert run(*call).err.count("finished already") == 2


def test_a_bad_row_of_the_last_stage_is_found_before_the_first_is_trained(world, saved_lm, run):
    settings = write_settings(world, saved_lm("llama"))
    spoilt = world.image.copy()
    spoilt[5] = 0
    np.save(world.folder / "image.npy", spoilt)
    call = ["train", settings, "--out", world.folder / "run"]
    refused = run(*call)
    assert (refused.code, "id '005': its embedding" in refused.err) == (2, True)
    assert not (world.folder / "run").exists()
    ended = run(*call, "--set", "stages.tune.on_bad=skip")
    assert (ended.code, "tune: 39 conversations" in ended.err) == (0, True), ended.err
