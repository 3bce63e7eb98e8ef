"""Settings: what the file says is what they are, and what it cannot mean is refused."""

import numpy as np
import pytest

from anisoalign.embeddings import InputError
from anisoalign.mllm import EmbeddingStore, ModelSettings, StageSettings, TrainSettings

TEXT = """
[model]
lm = "tiny"
[stages.pretrain]
conversations = "talks.jsonl"
embeddings = "/data/text"
noise = 1
[stages.tune]
learns = "lora"
text_only = true
"""

NOT_FINITE = [("noise", "nan"), ("lr", "inf"), ("weight_decay", "inf"), ("epochs", "inf"), ("clip", "inf")]


def test_a_file_is_read_with_paths_beside_it(tmp_path):
    (tmp_path / "tiny").mkdir()
    (tmp_path / "run.toml").write_text(TEXT)
    read = TrainSettings.read(tmp_path / "run.toml", ["stages.tune.conversations=here.jsonl"])
    assert read.model.lm == str(tmp_path / "tiny")
    assert read.stages["pretrain"].conversations == str(tmp_path / "talks.jsonl")
    assert read.stages["pretrain"].embeddings == "/data/text"
    assert read.stages["tune"].conversations == "here.jsonl"
    assert TrainSettings.from_toml(read.to_toml()) == read


def test_a_uri_is_no_path_beside_the_file(tmp_path):
    np.save(tmp_path / "rows.npy", np.eye(3, dtype=np.float32))
    uri = (tmp_path / "rows.npy").as_uri()
    (tmp_path / "run.toml").write_text(f"[stages.a]\nembeddings = '{uri}'\naligner = 's3://bucket/model'\n")
    stage = TrainSettings.read(tmp_path / "run.toml").stages["a"]
    assert stage.embeddings == uri
    assert EmbeddingStore(stage.embeddings, ids=range(3)).dim == 3
    with pytest.raises(InputError, match=r"models lie on disks: .*s3://bucket/model"):
        EmbeddingStore(stage.embeddings, ids=range(3), aligner=stage.aligner)


@pytest.mark.parametrize(
    ("settings", "lr", "projector_lr"),
    [
        ({}, 5e-4, 5e-4),
        ({"learns": "lora"}, 2e-4, 2e-5),
        ({"learns": "full"}, 1e-5, 1e-5),
        ({"learns": "lora", "lr": 1e-4}, 1e-4, 1e-5),
        ({"learns": "full", "projector_lr": 1e-4}, 1e-5, 1e-4),
    ],
)
def test_what_learns_has_its_usual_rate(settings, lr, projector_lr):
    stage = StageSettings(**settings)
    assert (stage.lr, stage.projector_lr) == (lr, projector_lr)
    assert TrainSettings.from_toml(TrainSettings(stages={"a": stage}).to_toml()).stages["a"] == stage


def test_adapters_are_scaled_by_two_whatever_their_rank():
    assert (StageSettings().lora_rank, StageSettings().lora_alpha) == (128, 256)
    stage = TrainSettings.from_toml("[stages.a]\nlearns = 'lora'\nlora_rank = 8").stages["a"]
    assert stage.lora_alpha == 16
    assert TrainSettings.from_toml(TrainSettings(stages={"a": stage}).to_toml()).stages["a"] == stage
    assert StageSettings(lora_rank=8, lora_alpha=4).lora_alpha == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[modle]", "has no key 'modle'; its keys: model, stages"),
        ("[model]\nlmm = 'x'", r"\[model\] has no key 'lmm'"),
        ("[model]\ndate = 'today'", r"\[model\] date must be a day, YYYY-MM-DD, not 'today'"),
        ("[stages.a]\nlearn = 'x'", r"\[stages.a\] has no key 'learn'; its keys: learns"),
        ("[stages.a]\nlearns = 'all'", "learns must be one of 'projector', 'lora', 'full', not 'all'"),
        ("[stages.a]\nbatch_size = 1.5", "batch_size must be a whole number"),
        ("[stages.a]\nbatch_size = true", "batch_size must be a whole number"),
        ("[stages.a]\nbatch_size = 0", "batch_size must be at least 1"),
        ("[stages.a]\nlr = -1", "lr must be above 0"),
        ("[stages.a]\nnoise = -1", "noise must be at least 0"),
        *((f"[stages.a]\n{key} = {value}", f"{key} must be a finite number, not {value}") for key, value in NOT_FINITE),
        ("[stages.a]\ntext_only = 'yes'", "text_only must be true or false"),
        ("[stages.a]\non_bad = 'drop'", "on_bad must be one of 'error', 'skip', not 'drop'"),
        ("[stages.a]\nside = 'image'\naligner = 'm'", "an aligner moves rows of texts"),
        ("stages = 3", "'stages' must be a table"),
        ("[model\n", "is not TOML"),
    ],
)
def test_what_cannot_be_meant_is_refused(text, message):
    with pytest.raises(InputError, match=message):
        TrainSettings.from_toml(text)


@pytest.mark.parametrize("change", ["lr=1", "stages.lr=1", "model.seed", "other.x=1", "stages.no.lr=1", "model.sed=1"])
def test_changes_that_lead_nowhere_are_refused(change):
    with pytest.raises(InputError, match=change.partition("=")[0].rpartition(".")[2]):
        TrainSettings.from_toml(TEXT, [change])


@pytest.mark.parametrize("text", ['a "quoted" \\ back', "line\nbreak", "é”", "\x00\x7f"])
def test_any_text_survives_writing(text):
    settings = TrainSettings(ModelSettings(system=text), {"a": StageSettings(prompt=text)})
    assert TrainSettings.from_toml(settings.to_toml()) == settings
