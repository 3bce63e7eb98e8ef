"""Models of the sentence-transformers library: texts, and images or sounds where the model takes them."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import torch

from anisoalign.embeddings import InputError
from anisoalign.encoders import pictures, sounds
from anisoalign.encoders.encoder import Encoder
from anisoalign.encoders.hugging_face import loading
from anisoalign.encoders.opening import OpeningSettings, require, short_name, split_revision
from anisoalign.encoders.preparing import Inputs, Preparation, Prepared, count_longer, read_text

_SAFE, _PICKLE = ("model.safetensors", "model.safetensors.index.json"), "pytorch_model.bin"
"""Files of a module's weights."""


class _SentenceTransformerPreparation:
    """Items decoded and left to the model, which holds its own processor together with its weights."""

    portable = False

    def __init__(self, model: Any, kind: str):
        self.model, self.kind = model, kind
        self.counter = _counter(model) if kind == "text" else None

    def one(self, content: Any) -> Any:
        """Decode one item."""
        if self.kind == "image":
            return pictures.decode_picture(content)
        if self.kind == "audio":
            rate = _rate(self.model)
            return {"array": sounds.decode_sound(content, rate), "sampling_rate": rate}
        return read_text(content)

    def stack(self, pieces: list[Any]) -> Prepared:
        """Pass the items on; texts of more tokens than the model reads are counted."""
        return Prepared({"items": pieces}, self._count_truncated(pieces) if self.kind == "text" else 0)

    def _count_truncated(self, pieces: list[str]) -> int:
        limit, counter, prompt = self.model.max_seq_length, self.counter, _prompt(self.model) or ""
        if not limit or counter is None:
            return 0
        return count_longer(counter, (prompt + text for text in pieces), limit)

    def describe(self) -> dict[str, Any]:
        """What is known of the model's own preprocessing."""
        about: dict[str, Any] = {"modules": [type(module).__name__ for module in self.model]}
        if prompt := _prompt(self.model):
            about["prompt"] = prompt
        if self.kind == "text":
            return {**about, "max_length": self.model.max_seq_length}
        return {**about, "decoding": pictures.DECODING if self.kind == "image" else sounds.DECODING}


class SentenceTransformerEncoder(Encoder):
    """A `SentenceTransformer`, called as its own `encode` calls it, with the model's default prompt."""

    def _features(self, modality: str, inputs: Inputs) -> torch.Tensor:
        model: Any = self.model
        features = model.preprocess(inputs["items"], prompt=_prompt(model))
        moved = {key: value.to(self.device) if hasattr(value, "to") else value for key, value in features.items()}
        return model(moved)["sentence_embedding"][:, : model.truncate_dim]


def open_model(name: str, settings: OpeningSettings) -> SentenceTransformerEncoder:
    """Load `NAME`, `NAME@REVISION` or a folder.

    Raises
    ------
    InputError
        If there is no such model, or it needs what was not allowed.
    """
    library = require("sentence_transformers", "sentence-transformers")
    name, revision = split_revision(name)
    with loading(name):
        if not settings.allow_pickle:
            _refuse_pickles(library, name, revision)
        model = library.SentenceTransformer(
            name,
            device=str(settings.device),
            revision=revision,
            trust_remote_code=settings.trust_remote_code,
            model_kwargs={"use_safetensors": None if settings.allow_pickle else True, "dtype": torch.float32},
        ).float()  # modules that are no transformers take no dtype
    kinds = [kind for kind in ("text", "image", "audio") if model.supports(kind)]
    preparations: dict[str, Preparation] = {kind: _SentenceTransformerPreparation(model, kind) for kind in kinds}
    inner = getattr(model, "transformers_model", None)
    return SentenceTransformerEncoder(
        f"st:{short_name(name)}",
        model,
        model.get_embedding_dimension(),
        preparations,
        settings.device,
        settings.dtype,
        getattr(getattr(inner, "config", None), "_commit_hash", None) or revision,
        ("sentence-transformers", "transformers"),
    )


def _refuse_pickles(library: Any, name: str, revision: str | None) -> None:
    """Raise InputError where a module has weights in a pickle alone: `use_safetensors` reaches the transformer only."""

    def find(file: str, folder: str) -> str | None:
        return library.util.load_file_path(name, file, subfolder=folder, revision=revision)

    listed = find("modules.json", "")
    modules = json.loads(Path(listed).read_text(encoding="utf-8")) if listed else []
    folders = [module["path"] for module in modules]
    for folder in tuple(folders):
        if parts := find("router_config.json", folder):  # of a Router, whose modules lie in folders of their own
            types = json.loads(Path(parts).read_text(encoding="utf-8")).get("types", {})
            folders += [f"{folder}/{part}" if folder else part for part in types]
    for folder in folders:
        if not any(find(file, folder) for file in _SAFE) and find(_PICKLE, folder):
            raise InputError(
                f"{name}, {folder or '.'}/{_PICKLE}: weights that exist as a pickle only are read with --allow-pickle "
                "(allow_pickle=True)"
            )


def _prompt(model: Any) -> str | None:
    """Return what the model's `encode` puts before texts where nothing else is asked for."""
    return model.prompts.get(model.default_prompt_name) if model.default_prompt_name is not None else None


def _counter(model: Any) -> Any:
    """Return a tokenizer of one's own to count with, None if the model has none that can.

    Threads count while the model tokenizes, and whether texts are cut is a setting of the tokenizer that both would
    change. The copy is set once, here: from then on threads only read it.
    """
    found = model.tokenizer
    tokenizer: Any = getattr(found, "tokenizer", found)  # of a processor, its tokenizer
    if not callable(tokenizer):
        return None
    counter: Any = copy.deepcopy(tokenizer)
    counter(["a"], truncation=False, verbose=False)
    return counter


def _rate(model: Any) -> int:
    """Sampling rate that the model's processor asks for."""
    processor = model.processor
    extractor = getattr(processor, "feature_extractor", processor)
    return int(getattr(extractor, "sampling_rate", 16_000))
