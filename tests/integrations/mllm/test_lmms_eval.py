"""The plug-in for lmms-eval: against the real package where it is installed, else against its published interface."""

import sys
import tomllib
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from anisoalign.embeddings import InputError
from anisoalign.mllm import StageSettings, answers, load_mllm, train

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[3]


class Encoder:
    """Pictures of one colour, embedded by a fixed linear map."""

    name, width = "hf:tiny", 16

    def encode(self, items, modality):
        assert modality == "image"
        means = np.stack([np.asarray(item, np.float64).mean((0, 1)) for item in items])
        rows = means @ np.random.default_rng(0).normal(size=(3, 16)) + 1
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    def provenance(self, modality):
        return {"encoder": self.name, "modality": modality}


@pytest.fixture
def plugin(monkeypatch):
    """Our class as lmms-eval finds it: by the entry point that pyproject.toml declares."""
    if find_spec("lmms_eval") is None:
        import lmms_eval_stub

        lmms_eval_stub.install(monkeypatch)
    monkeypatch.delitem(sys.modules, "anisoalign.mllm.lmms_eval_model", raising=False)
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["lmms_eval.models"]
    module, _, function = declared["anisoalign"].partition(":")
    manifest = getattr(import_module(module), function)()
    assert manifest.model_id == "anisoalign"
    module, _, name = manifest.chat_class_path.rpartition(".")
    found = import_module(module)
    monkeypatch.setattr(found, "open_model_encoder", lambda model, name, trust: Encoder())
    return getattr(found, name)


@pytest.fixture
def saved(world, make_model):
    model = make_model("qwen")
    train(model, world.talks, (world.image, world.ids), StageSettings(batch_size=8, side="image"))
    model.save(world.folder / "model")
    return world.folder / "model"


def picture(*colour):
    return np.full((4, 4, 3), colour, np.uint8)


DOCS = [
    {"pictures": [picture(250, 0, 0)], "text": "Which colour?"},
    {"pictures": [picture(0, 250, 0), picture(0, 0, 250)], "text": "Compare <image 1> with <image 2>."},
    {"pictures": [], "text": "Which colour has grass? <image>"},
]


def messages(doc):
    parts = [{"type": "image", "url": one} for one in doc["pictures"]] + [{"type": "text", "text": doc["text"]}]
    return [{"role": "user", "content": parts}]


def requests(settings):
    made = []
    for number, _ in enumerate(DOCS):
        made.append(SimpleNamespace(args=("", messages, dict(settings), number, "stub", "test")))
    return made


def test_answers_are_those_of_the_model(plugin, saved):
    lm = plugin.create_from_arg_string(f"pretrained={saved}", {"batch_size": 2, "device": "cpu"})
    assert not plugin.is_simple
    lm.task_dict = {"stub": {"test": DOCS}}
    said = lm.generate_until(requests({"max_new_tokens": 6, "temperature": 0, "until": ["\n\n"], "do_sample": False}))
    model = load_mllm(saved, device="cpu")
    rows = Encoder().encode(DOCS[0]["pictures"], "image")
    assert said[0] == answers(model, ["Which colour?"], rows, max_new_tokens=6)[0]
    assert said[2] == answers(model, ["Which colour has grass?"], max_new_tokens=6)[0]
    assert all(isinstance(text, str) for text in said)


def test_until_ends_an_answer_and_settings_are_not_mixed(plugin, saved, monkeypatch):
    found = import_module("anisoalign.mllm.lmms_eval_model")
    seen = []

    def reply(model, talks, rows, **settings):
        seen.append((len(talks), None if rows is None else len(rows), settings["max_new_tokens"]))
        return ["yes. no"] * len(talks)

    monkeypatch.setattr(found, "reply", reply)
    lm = plugin(pretrained=str(saved), batch_size="auto", device="cpu")
    lm.task_dict = {"stub": {"test": DOCS}}
    made = requests({"max_new_tokens": 5, "until": "."})
    made[1].args[2]["max_new_tokens"] = 9
    assert lm.generate_until(made) == ["yes"] * 3
    assert sorted(seen) == [(1, 2, 9), (2, 1, 5)]


def test_videos_are_refused(plugin, saved):
    lm = plugin(pretrained=str(saved), device="cpu")
    lm.task_dict = {"stub": {"test": DOCS}}

    def video(doc):
        return [{"role": "user", "content": [{"type": "video", "url": "x.mp4"}]}]

    with pytest.raises(InputError, match="stub: the model reads pictures, not video"):
        lm.generate_until([SimpleNamespace(args=("", video, {}, 0, "stub", "test"))])
