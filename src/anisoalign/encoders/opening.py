"""From `hf:openai/clip-vit-base-patch32` and the like to an encoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from anisoalign.embeddings import InputError
from anisoalign.embeddings.errors import one_line
from anisoalign.encoders.encoder import DTYPES, Encoder
from anisoalign.places import at_home

SCHEMAS = {
    "hf": "hugging_face",
    "open_clip": "open_clip_",
    "st": "sentence_transformers_",
    "llm2clip": "llm2clip",
}
"""Schema -> the file of this room that knows it."""


@dataclass(frozen=True)
class OpeningSettings:
    """How a model is loaded, the same for all schemas.

    Attributes
    ----------
    device : torch.device
    dtype : torch.dtype
        Precision of products.
    trust_remote_code : bool
        Whether code that comes with a model may run.
    allow_pickle : bool
        Whether weights may be read from pickles, by torch's restricted reader.
    """

    device: torch.device
    dtype: torch.dtype
    trust_remote_code: bool
    allow_pickle: bool


def open_encoder(
    spec: str,
    device: str = "auto",
    dtype: str = "auto",
    *,
    trust_remote_code: bool = False,
    allow_pickle: bool = False,
) -> Encoder:
    """Open a pretrained contrastive model by name or folder.

    Parameters
    ----------
    spec : str
        ``hf:NAME`` for CLIP, SigLIP, SigLIP 2, CLAP and kin of the Hugging Face library, ``open_clip:NAME`` or
        ``open_clip:NAME/PRETRAINED``, ``st:NAME`` for sentence-transformers, ``llm2clip:NAME`` or
        ``llm2clip:NAME+TEXT_ENCODER``. NAME is a name on the hub (``@REVISION`` may follow) or a folder. Without a
        schema, a folder is looked at and a name on the hub is taken for ``hf:``.
    device : {"auto", "cpu", "cuda", "cuda:N", "mps"}
        "auto" is CUDA where there is one.
    dtype : {"auto", "float32", "float16", "bfloat16"}
        Precision of products; "auto" is float16 on CUDA and float32 elsewhere.
    trust_remote_code : bool
        Run code that comes with the model. Off by default, and then such a model is refused.
    allow_pickle : bool
        Read weights that exist as a pickle only, with torch's reader restricted to tensors.

    Raises
    ------
    InputError
        If the model cannot be found or loaded, brings code of its own, or a library is missing.
    """
    schema, name = _parse(spec)
    place = _device(device)
    settings = OpeningSettings(place, _dtype(dtype, place), trust_remote_code, allow_pickle)
    opener: Callable[[str, OpeningSettings], Encoder] = import_module(
        f"anisoalign.encoders.{SCHEMAS[schema]}"
    ).open_model
    encoder = opener(name, settings)
    # Another process has other devices: it looks for itself, or takes the GPU that it is given. The precision is ours.
    elsewhere, precision = device.partition(":")[0], next(key for key, kind in DTYPES.items() if kind == settings.dtype)
    encoder.reopen = partial(
        open_encoder, spec, elsewhere, precision, trust_remote_code=trust_remote_code, allow_pickle=allow_pickle
    )
    encoder.looks_for_device = device == "auto"
    return encoder


def _parse(spec: str) -> tuple[str, str]:
    """Return schema and name.

    Examples
    --------
    >>> _parse("st:clip-ViT-B-32"), _parse("openai/clip-vit-base-patch32")
    (('st', 'clip-ViT-B-32'), ('hf', 'openai/clip-vit-base-patch32'))
    """
    schema, colon, name = spec.partition(":")
    if colon and schema in SCHEMAS:
        if not name:
            raise InputError(f"{spec!r} names no model after {schema}:")
        return schema, at_home(name)
    if spec.startswith(("local-dir:", "hf-hub:")):
        return "open_clip", spec
    folder = Path(at_home(spec))
    if folder.is_dir():
        return _schema_of_folder(folder), at_home(spec)
    if spec.count("/") == 1 and not colon and not spec.startswith((".", "/", "~")):
        return "hf", spec
    raise InputError(
        f"{spec!r} is neither a folder nor a name with a schema: {', '.join(f'{known}:NAME' for known in SCHEMAS)}"
    )


def _schema_of_folder(folder: Path) -> str:
    if (folder / "modules.json").is_file():
        return "st"
    if (folder / "open_clip_config.json").is_file():
        return "open_clip"
    if (folder / "config.json").is_file():
        return "hf"
    raise InputError(f"{folder} holds no model: no config.json, modules.json or open_clip_config.json")


def _device(device: str) -> torch.device:
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise InputError(f"the device is auto, cpu, cuda, cuda:N or mps, not {device!r}") from error
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if found.type == "cuda" and (found.index or 0) >= there:
        raise InputError(f"{device} is not there: PyTorch finds {there} CUDA device(s) on this machine")
    if found.type == "mps" and not torch.backends.mps.is_available():
        raise InputError("mps is not there: PyTorch finds no Apple GPU on this machine")
    return found


def _dtype(dtype: str, device: torch.device) -> torch.dtype:
    if dtype == "auto":
        return torch.float16 if device.type == "cuda" else torch.float32
    if dtype not in DTYPES:
        raise InputError(f"a model computes in {', '.join(DTYPES)}, not {dtype!r}")
    return DTYPES[dtype]


def short_name(name: str) -> str:
    """Return what provenance calls a model: its name on the hub, or its folder's name without the path.

    Examples
    --------
    >>> short_name("openai/clip-vit-base-patch32"), short_name("/data/models/clip-tiny/")
    ('openai/clip-vit-base-patch32', 'clip-tiny')
    """
    return Path(name).resolve().name if Path(name).exists() or name.startswith("/") else name


def split_revision(name: str) -> tuple[str, str | None]:
    """Split `NAME@REVISION`, unless that is a folder.

    Examples
    --------
    >>> split_revision("org/name@v2"), split_revision("org/name")
    (('org/name', 'v2'), ('org/name', None))
    """
    if Path(name).exists() or "@" not in name:
        return name, None
    base, _, revision = name.rpartition("@")
    return base, revision


def require(module: str, package: str, extra: str = "encode") -> Any:
    """Import a library, or say how to install it.

    Raises
    ------
    InputError
        If it is not installed, or does not import.
    """
    try:
        return import_module(module)
    except ImportError as error:
        missing = f" ({error})" if error.name and error.name != module else ""
        raise InputError(f'this encoder needs {package}{missing}: pip install "anisoalign[{extra}]"') from error
    except (RuntimeError, OSError) as error:  # as torchvision does that was built for another PyTorch
        raise InputError(f"this encoder needs {package}, which do not import here: {one_line(error)}") from error
