"""CLIP, SigLIP, SigLIP 2, CLAP and kin of the Hugging Face library."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pickle import UnpicklingError
from typing import Any

import torch

from anisoalign.embeddings import InputError
from anisoalign.embeddings.errors import one_line
from anisoalign.encoders.encoder import Encoder
from anisoalign.encoders.opening import OpeningSettings, require, short_name, split_revision
from anisoalign.encoders.preparing import (
    Inputs,
    PicturePreparation,
    Preparation,
    SoundPreparation,
    TextPreparation,
)

_MAX_LENGTH_PADDED = ("siglip", "siglip2")
"""Model types trained with every position filled."""


class HuggingFaceEncoder(Encoder):
    """A model with `get_text_features` beside `get_image_features` or `get_audio_features`."""

    def _features(self, modality: str, inputs: Inputs) -> torch.Tensor:
        return pooled(getattr(self.model, f"get_{modality}_features")(**inputs))


def open_model(name: str, settings: OpeningSettings) -> HuggingFaceEncoder:
    """Load `NAME`, `NAME@REVISION` or a folder.

    Raises
    ------
    InputError
        If there is no such model, it is not a contrastive one, or it needs what was not allowed.
    """
    transformers = require("transformers", "transformers")
    model, commit = load_model(name, settings)
    config = model.config
    name, revision = split_revision(name)
    options = {"revision": revision or "main", "trust_remote_code": settings.trust_remote_code}
    other = next((kind for kind in ("image", "audio") if hasattr(model, f"get_{kind}_features")), None)
    if other is None or not hasattr(model, "get_text_features"):
        raise InputError(
            f"{name} is a {config.model_type} model, which has no joint space of texts and images or sounds"
            " (a model of sentences alone opens as st:NAME)"
        )
    preparations: dict[str, Preparation] = {}
    with loading(name):
        if other == "image":
            processor = transformers.AutoImageProcessor.from_pretrained(name, backend="pil", **options)
            preparations["image"] = PicturePreparation(processor)
        else:
            extractor = transformers.AutoFeatureExtractor.from_pretrained(name, **options)
            preparations["audio"] = SoundPreparation(extractor)
        tokenizer = transformers.AutoTokenizer.from_pretrained(name, **options)
        padding = "max_length" if config.model_type in _MAX_LENGTH_PADDED else "longest"
        preparations["text"] = TextPreparation(tokenizer, text_limit(tokenizer, config), padding)
    return HuggingFaceEncoder(
        f"hf:{short_name(name)}",
        model,
        _width(config),
        preparations,
        settings.device,
        settings.dtype,
        commit,
        ("transformers", "pillow" if other == "image" else "soundfile"),
    )


def load_model(name: str, settings: OpeningSettings, dtype: torch.dtype = torch.float32) -> tuple[Any, str | None]:
    """Model of `NAME`, `NAME@REVISION` or a folder, and its commit where that is known."""
    transformers = require("transformers", "transformers")
    name, revision = split_revision(name)
    options = {"revision": revision or "main", "trust_remote_code": settings.trust_remote_code}
    with loading(name):
        config = transformers.AutoConfig.from_pretrained(name, **options)
        safe = None if settings.allow_pickle else True
        model = transformers.AutoModel.from_pretrained(
            name, config=config, dtype=dtype, use_safetensors=safe, **options
        )
    return model, getattr(config, "_commit_hash", None) or revision


def pooled(made: Any) -> torch.Tensor:
    """Embeddings (n, d) of what a model's `get_..._features` gives: they themselves, or with its states."""
    return made if isinstance(made, torch.Tensor) else made.pooler_output


def text_limit(tokenizer: Any, config: Any) -> int:
    """Return the most tokens that a model reads: what its tokenizer says, and no more than it has positions."""
    text = getattr(config, "text_config", config)
    positions = getattr(text, "max_position_embeddings", None)
    if positions and getattr(text, "model_type", "") in ("clap_text_model", "roberta", "xlm-roberta"):
        positions -= text.pad_token_id + 1  # these count positions from behind the padding's number
    limits = [int(tokenizer.model_max_length), *([int(positions)] if positions else [])]
    return min(limits)


def _width(config: Any) -> int:
    """Width of the joint space, which every kind of model keeps under another name."""
    if getattr(config, "projection_dim", None):
        return int(config.projection_dim)
    text: Any = config.text_config
    return int(getattr(text, "projection_size", None) or text.hidden_size)


@contextmanager
def loading(name: str) -> Iterator[None]:
    """Turn what the library raises about a model into a message for who asked for it.

    Weights that do not fit the model are a RuntimeError; damaged ones fail as their reader does.
    """
    from safetensors import SafetensorError

    try:
        yield
    except InputError:
        raise
    except (
        *(OSError, ValueError, ImportError, KeyError, RuntimeError),
        *(EOFError, UnpicklingError, SafetensorError),
    ) as error:
        text = one_line(error)
        if "trust_remote_code" in text:
            raise InputError(
                f"{name} brings code of its own, which is not run unless you say so: "
                "--trust-remote-code (trust_remote_code=True), where you trust its origin"
            ) from error
        hint = ""
        if "safetensors" in text:
            hint = "; weights that exist as a pickle only are read with --allow-pickle (allow_pickle=True)"
        raise InputError(f"{name} cannot be loaded: {text}{hint}") from error
