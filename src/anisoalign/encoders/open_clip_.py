"""Models of open_clip, by name and pretrained tag, from the hub or from a folder.

open_clip imports torchvision, so it is imported when such a model is asked for, and not before.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from anisoalign.embeddings import InputError
from anisoalign.embeddings.errors import one_line
from anisoalign.encoders import pictures
from anisoalign.encoders.encoder import Encoder
from anisoalign.encoders.hugging_face import loading
from anisoalign.encoders.opening import OpeningSettings, require, short_name
from anisoalign.encoders.preparing import Inputs, Preparation, Prepared, read_text
from anisoalign.encoders.unreadable import UnreadableError

_LOCAL, _HUB = "local-dir:", "hf-hub:"
_USUAL = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors")
"""Files that open_clip takes of a folder before all others."""


class _PicturePreparation:
    """Pictures through open_clip's own transform for evaluation."""

    portable = True

    def __init__(self, transform: Any):
        self.transform = transform

    def one(self, content: Any) -> np.ndarray:
        """Pixels of one picture, shape (3, h, w)."""
        image = pictures.decode_picture(content)
        try:
            return self.transform(image).numpy()
        except Exception as error:  # one picture that cannot be resized must not end a run
            raise UnreadableError(f"open_clip's transform refused it: {one_line(error)}") from error

    def stack(self, pieces: list[np.ndarray]) -> Prepared:
        """Pixels side by side."""
        return Prepared({"image": np.stack(pieces)})

    def describe(self) -> dict[str, Any]:
        """Decoding, and the transform as it prints itself (without the addresses of functions)."""
        steps = [str(step).split(" at 0x")[0] for step in getattr(self.transform, "transforms", [self.transform])]
        return {"decoding": pictures.DECODING, "transform": steps}


class _TextPreparation:
    """Texts through the model's tokenizer, which pads and cuts at the context length."""

    portable = True

    def __init__(self, tokenizer: Any, limit: int):
        self.tokenizer, self.limit = tokenizer, limit

    def one(self, content: Any) -> str:
        """Return the text, which must not be empty."""
        return read_text(content)

    def stack(self, pieces: list[str]) -> Prepared:
        """Tokens; a text of more than fit is told by tokens that a longer context would still hold."""
        tokens = self.tokenizer(pieces, context_length=self.limit).numpy()
        wider = self.tokenizer(pieces, context_length=self.limit + 1).numpy()
        # Padding repeats one number, so only a text that was cut has another row with one place more.
        cut = (wider[:, -2] != tokens[:, -1]).sum()
        return Prepared({"text": tokens}, int(cut))

    def describe(self) -> dict[str, Any]:
        """Settings of the tokenizer."""
        return {"tokenizer": type(self.tokenizer).__name__, "max_length": self.limit, "padding": "max_length"}


class OpenClipEncoder(Encoder):
    """A model with `encode_image` and `encode_text`."""

    def _features(self, modality: str, inputs: Inputs) -> torch.Tensor:
        model: Any = self.model
        return model.encode_image(inputs["image"]) if modality == "image" else model.encode_text(inputs["text"])


def open_model(name: str, settings: OpeningSettings) -> OpenClipEncoder:
    """Load `NAME/PRETRAINED`, `hf-hub:ORG/NAME`, `local-dir:FOLDER` or a folder.

    Raises
    ------
    InputError
        If there is no such model, open_clip does not import, weights do not fit the model (naming their file), or are a
        pickle that was not allowed.
    """
    library = require("open_clip", "open_clip_torch and a torchvision of this PyTorch's version", "open-clip")
    model_name, pretrained, label = _resolve(name)
    with loading(name):
        file = _weights(library, model_name, pretrained)
        if not settings.allow_pickle and file.suffix != ".safetensors":
            raise InputError("weights that exist as a pickle only are read with --allow-pickle (allow_pickle=True)")
    with loading(str(file)):
        model, transform = library.create_model_from_pretrained(model_name, pretrained=pretrained, device="cpu")
    with loading(name):
        tokenizer = library.get_tokenizer(model_name)
    preparations: dict[str, Preparation] = {
        "image": _PicturePreparation(transform),
        "text": _TextPreparation(tokenizer, int(getattr(model, "context_length", 77))),
    }
    with torch.inference_mode():
        width = model.encode_text(tokenizer(["a"])).shape[1]
    packages = ("open_clip_torch", "torchvision")
    return OpenClipEncoder(label, model, width, preparations, settings.device, settings.dtype, None, packages)


def _resolve(name: str) -> tuple[str, str | None, str]:
    """Return open_clip's name, the pretrained tag, and what provenance calls the model.

    Examples
    --------
    >>> _resolve("ViT-B-32/laion2b_s34b_b79k")
    ('ViT-B-32', 'laion2b_s34b_b79k', 'open_clip:ViT-B-32/laion2b_s34b_b79k')
    """
    folder = Path(name.removeprefix(_LOCAL))
    if name.startswith(_LOCAL) or folder.is_dir():
        if not (folder / "open_clip_config.json").is_file():
            raise InputError(f"{folder} is no model of open_clip: open_clip_config.json is missing")
        return f"{_LOCAL}{folder}", None, f"open_clip:{short_name(str(folder))}"
    if name.startswith(_HUB):
        return name, None, f"open_clip:{name}"
    model, slash, tag = name.partition("/")
    if not slash:
        raise InputError(f"open_clip:{name} names no weights; open_clip:{name}/TAG does, hf-hub:ORG/NAME, or a folder")
    return model, tag, f"open_clip:{name}"


def _weights(library: Any, model: str, pretrained: str | None) -> Path:
    """Return the file that open_clip takes its weights of.

    It is then given the tag all the same and not the file, because the tag says how pictures are prepared.
    """
    if model.startswith(_LOCAL):
        return _weights_of(Path(model.removeprefix(_LOCAL)))
    if model.startswith(_HUB):
        return Path(library.pretrained.download_pretrained_from_hf(model.removeprefix(_HUB)))
    settings = library.get_pretrained_cfg(model, pretrained)
    if not settings and pretrained and Path(pretrained).is_file():
        return Path(pretrained)
    if not settings:
        raise InputError(f"open_clip knows no weights {pretrained!r} of {model}: see open_clip.list_pretrained()")
    return Path(library.download_pretrained(settings))


def _weights_of(folder: Path) -> Path:
    """The file of a folder: those of usual names come first, then pickles, then other safetensors."""
    kinds = [folder.glob(pattern) for pattern in ("*.bin", "*.pth", "*.safetensors")]
    found = [*(folder / name for name in _USUAL), *(file for kind in kinds for file in sorted(kind))]
    return next((file for file in found if file.is_file()), folder)
