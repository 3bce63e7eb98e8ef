"""Small models, in memory and saved in the Hugging Face format, and data to train them on."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from anisoalign.aligners import ReAlign
from anisoalign.mllm import EmbeddingLanguageModel, ModelSettings

WIDTH = 16


class World(NamedTuple):
    """Data of one small world on disk."""

    folder: Path
    talks: list[dict]
    text: np.ndarray
    image: np.ndarray

    @property
    def ids(self) -> list[str]:
        """Of the records, in order."""
        return [talk["id"] for talk in self.talks]

    @property
    def data(self) -> tuple[list[dict], tuple[np.ndarray, list[str]]]:
        """The records and the rows of their texts, as `train` takes them."""
        return self.talks, (self.text, self.ids)


@pytest.fixture
def world(tmp_path) -> World:
    """40 records of one or two answers, embeddings of texts and images with ids, and an aligner between them."""
    rng = np.random.default_rng(0)
    words = ("red", "blue", "green", "pink", "ring", "star", "cross", "circle")
    talks = []
    for number in range(40):
        said = " ".join(rng.choice(words, size=rng.integers(1, 9)))
        turns = [{"from": "human", "value": "<image>\nWhat colour is it?"}, {"from": "gpt", "value": said}]
        if number % 3 == 0:
            turns += [{"from": "human", "value": "Which shape?"}, {"from": "gpt", "value": words[number % 8]}]
        talks.append({"id": f"{number:03d}", "conversations": turns})
    text = rng.normal(size=(40, WIDTH)).astype(np.float32) + 0.5
    image = rng.normal(size=(40, WIDTH)).astype(np.float32) - 0.5
    (tmp_path / "talks.json").write_text(json.dumps(talks))
    for name, rows in (("text", text), ("image", image)):
        np.save(tmp_path / f"{name}.npy", rows)
        pq.write_table(pa.table({"id": [talk["id"] for talk in talks]}), tmp_path / f"{name}.ids.parquet")
    ReAlign().fit(text, image).save(tmp_path / "aligner")
    return World(tmp_path, talks, text, image)


@pytest.fixture
def trained(world, saved_lm, run) -> Path:
    """A run of both stages: Qwen with adapters."""
    from training_runs import write_settings

    settings = write_settings(world, saved_lm("qwen"))
    ended = run("train", settings, "--out", world.folder / "run", "--set", "stages.pretrain.lr=2e-2")
    assert ended.code == 0, ended.err
    assert "lr = 0.02" in ended.err  # printed
    assert "lr = 0.02" in (world.folder / "run" / "settings.toml").read_text()  # and saved
    return world.folder / "run"


@pytest.fixture
def make_model() -> Callable[..., EmbeddingLanguageModel]:
    """Maker of models: kind (`llama`, `qwen`), settings."""
    from tiny_models import CHATML, make_llama, make_qwen, make_tokenizer

    def make(kind: str = "llama", **settings) -> EmbeddingLanguageModel:
        if kind == "llama":
            tokenizer = make_tokenizer()
            lm = make_llama(tokenizer)
        else:
            tokenizer = make_tokenizer(CHATML, ("<|im_start|>", "<|im_end|>"))
            lm = make_qwen(tokenizer)
        return EmbeddingLanguageModel.from_parts(lm, tokenizer, WIDTH, ModelSettings(**settings))

    return make


@pytest.fixture
def saved_lm(tmp_path) -> Callable[[str], Path]:
    """Saver of a small language model in the Hugging Face format: kind."""
    from tiny_models import CHATML, make_llama, make_qwen, make_tokenizer

    def save(kind: str) -> Path:
        template, special = (None, ()) if kind == "llama" else (CHATML, ("<|im_start|>", "<|im_end|>"))
        tokenizer = make_tokenizer(template, special)
        lm = make_llama(tokenizer) if kind == "llama" else make_qwen(tokenizer)
        lm.save_pretrained(tmp_path / kind)
        tokenizer.save_pretrained(tmp_path / kind)
        return tmp_path / kind

    return save
