"""LLM2CLIP: the vision tower of a CLIP, texts by a language model whose pooled states a CLIP adapter projects.

Follows arXiv 2411.04997 and the prompt, mask and mean pooling that its released checkpoints were trained with
(LLM2Vec, arXiv 2404.05961). The checkpoints bring code of their own.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from anisoalign.embeddings import InputError
from anisoalign.encoders.encoder import Encoder, fingerprint_of
from anisoalign.encoders.hugging_face import load_model, loading, pooled
from anisoalign.encoders.opening import OpeningSettings, require, short_name, split_revision
from anisoalign.encoders.preparing import Inputs, PicturePreparation, Preparation, Prepared, read_text

TEXT_ENCODER = "microsoft/LLM2CLIP-Llama-3-8B-Instruct-CC-Finetuned"
"""Used where none is named."""
MAX_LENGTH = 512
_PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")
_HEAD, _TAIL = "<|start_header_id|>user<|end_header_id|>\n\n", "<|eot_id|>"


class _TextPreparation:
    """Texts in the chat frame of Llama 3, padded on the left; states are averaged over the text and its end."""

    portable = True

    def __init__(self, tokenizer: Any, limit: int = MAX_LENGTH):
        tokenizer.padding_side = "left"
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        self.tokenizer, self.limit = tokenizer, limit
        self.framed = _TAIL in tokenizer.get_vocab()

    def one(self, content: Any) -> str:
        """Return the text, which must not be empty."""
        return read_text(content)

    def stack(self, pieces: list[str]) -> Prepared:
        """Tokens of the framed texts, and a mask of those that are averaged."""
        bodies, cut = zip(*(self._shortened(text.rstrip()) for text in pieces), strict=True)
        tails = [body + _TAIL if self.framed else body for body in bodies]
        whole = [_HEAD + tail if self.framed else tail for tail in tails]
        made = self.tokenizer(whole, padding=True, truncation=True, max_length=self.limit, return_tensors="np")
        counted = self.tokenizer(tails, add_special_tokens=False, truncation=True, max_length=self.limit)
        mask = np.zeros_like(made["attention_mask"])
        for row, ids in enumerate(counted["input_ids"]):
            mask[row, max(mask.shape[1] - len(ids), 0) :] = 1
        inputs = {"input_ids": made["input_ids"], "attention_mask": made["attention_mask"]}
        return Prepared({**inputs, "pooled": mask * made["attention_mask"]}, sum(cut))

    def _shortened(self, text: str) -> tuple[str, bool]:
        """Cut a text of too many tokens at its end, so that the frame around it stays whole."""
        frame = 16 if self.framed else 2
        made = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        if len(made["input_ids"]) + frame <= self.limit:
            return text, False
        return text[: made["offset_mapping"][self.limit - frame - 1][1]], True

    def describe(self) -> dict[str, Any]:
        """Settings of prompt, tokenizer and pooling."""
        frame = "chat of Llama 3" if self.framed else "none"
        return {"tokenizer": type(self.tokenizer).__name__, "max_length": self.limit, "frame": frame, "pooling": "mean"}


class _TextSide:
    """The language model and its tokenizer, each loaded when a text asks for it: pictures alone do without both."""

    def __init__(self, name: str, settings: OpeningSettings):
        self.name, self._settings = name, settings

    @cached_property
    def model(self) -> Any:
        halved = self._settings.device.type == "cuda" and self._settings.dtype != torch.float32
        dtype = torch.bfloat16 if halved else torch.float32
        model, _ = load_model(self.name, self._settings, dtype)
        return model.to(self._settings.device).eval().requires_grad_(False)

    @cached_property
    def weights(self) -> dict[str, str]:
        name = short_name(split_revision(self.name)[0])
        return {"name": name, "fingerprint": fingerprint_of(self.model)}

    @cached_property
    def preparation(self) -> _TextPreparation:
        base, at = split_revision(self.name)
        with loading(self.name):
            tokenizer = require("transformers", "transformers").AutoTokenizer.from_pretrained(
                base, revision=at or "main", trust_remote_code=self._settings.trust_remote_code
            )
        return _TextPreparation(tokenizer)


class Llm2ClipEncoder(Encoder):
    """Pictures by `get_image_features`; texts by the language model, then `get_text_features` of its pooled states."""

    text_side: _TextSide

    @property
    def language_model(self) -> Any:
        """What reads texts, loaded when it is first asked for."""
        return self.text_side.model

    def preparation(self, modality: str) -> Preparation:
        """As `Encoder.preparation`."""
        return self.text_side.preparation if modality == "text" else super().preparation(modality)

    def _features(self, modality: str, inputs: Inputs) -> torch.Tensor:
        model: Any = self.model
        if modality == "image":
            return pooled(model.get_image_features(**inputs))
        averaged = inputs.pop("pooled").unsqueeze(2)
        states = self.language_model(**inputs).last_hidden_state.float()
        mean = (states * averaged).sum(1) / averaged.sum(1).clamp_min(1)
        return pooled(model.get_text_features(mean))

    def weights(self, modality: str) -> dict[str, Any]:
        """As `Encoder.weights`; of texts, also which language model read them."""
        return super().weights(modality) | ({"text_encoder": self.text_side.weights} if modality == "text" else {})

    def provenance(self, modality: str) -> dict[str, Any]:
        """As `Encoder.provenance`; of texts, also the type that the language model's weights were rounded to.

        `dtype` is that of the products, which on a GPU need not be the type of these weights.
        """
        found = super().provenance(modality)
        if modality == "text":
            held = str(self.language_model.dtype).removeprefix("torch.")
            found["text_encoder"] = {**found["text_encoder"], "weights_dtype": held}
        return found


def open_model(name: str, settings: OpeningSettings) -> Llm2ClipEncoder:
    """Load `VISION` or `VISION+TEXT_ENCODER`, each a name on the hub or a folder; the second once there is a text.

    Raises
    ------
    InputError
        If a part cannot be loaded, or its code may not run.
    """
    vision, plus, text = name.partition("+")
    text = text if plus else TEXT_ENCODER
    model, revision = load_model(vision, settings)
    if not (hasattr(model, "get_image_features") and hasattr(model, "get_text_features")):
        raise InputError(f"{vision} is no CLIP of LLM2CLIP: it lacks get_image_features or get_text_features")
    preparations: dict[str, Preparation] = {"image": PicturePreparation(_image_processor(vision, model, settings))}
    label = f"llm2clip:{short_name(split_revision(vision)[0])}"
    packages = ("transformers", "pillow")
    encoder = Llm2ClipEncoder(
        label, model, _width(model), preparations, settings.device, settings.dtype, revision, packages
    )
    encoder.text_side = _TextSide(text, settings)
    encoder.modalities = frozenset(("image", "text"))
    return encoder


def _image_processor(name: str, model: Any, settings: OpeningSettings) -> Any:
    """Return the model's own processor, or OpenAI's settings at its resolution, which the checkpoints leave out.

    Raises
    ------
    InputError
        If there is one that cannot be loaded: other settings than its own would give other rows without a word.
    """
    transformers = require("transformers", "transformers")
    base, at = split_revision(name)
    revision = at or "main"
    with loading(base):
        if not all(_is_without(base, file, revision) for file in _PROCESSOR_FILES):
            return transformers.AutoImageProcessor.from_pretrained(
                base, revision=revision, trust_remote_code=settings.trust_remote_code, backend="pil"
            )
    side = int(model.config.vision_config.image_size)
    size = {"size": {"shortest_edge": side}, "crop_size": {"height": side, "width": side}}
    return transformers.CLIPImageProcessorPil(**size)


def _is_without(name: str, file: str, revision: str) -> bool:
    """Tell whether a model is known to lack a file, which a hub that does not answer leaves open."""
    if Path(name).is_dir():
        return not (Path(name) / file).is_file()
    hub = require("huggingface_hub", "huggingface_hub")
    try:
        hub.hf_hub_download(name, file, revision=revision)
    except hub.errors.LocalEntryNotFoundError:
        return hub.try_to_load_from_cache(name, file, revision=revision) is hub._CACHED_NO_EXIST
    except hub.errors.EntryNotFoundError:
        return True
    return False


def _width(model: Any) -> int:
    return int(model.config.projection_dim)
