"""A trained model on disk: the projector, the language model or a reference to it, the aligner. Nothing is unpickled.

```
config.json            settings, width, encoder, where the language model is, what each stage was
projector.safetensors
tokenizer/             with the chat template and the placeholder
adapter/               LoRA adapters, if any
lm/                    the language model's weights, if they were trained or lie nowhere else
aligner/               the aligner whose substitutes were trained on, if any
README.md              a card
```
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from anisoalign import __version__
from anisoalign.aligners import load as load_aligner
from anisoalign.devices import find_device
from anisoalign.embeddings import InputError
from anisoalign.embeddings.atomic import sync_file
from anisoalign.embeddings.errors import one_line
from anisoalign.embeddings.manifest import read_json
from anisoalign.embeddings.model_folder import check_model_place, model_folder, tensors_into
from anisoalign.mllm.adapters import quiet_peft
from anisoalign.mllm.card import card
from anisoalign.mllm.checked import made
from anisoalign.mllm.language_models import AS_SAVED, load_lm, load_tokenizer, weights_fingerprint
from anisoalign.mllm.model import EmbeddingLanguageModel
from anisoalign.mllm.settings import ModelSettings
from anisoalign.places import expanded

SCHEMA_VERSION = 1
KIND = "anisoalign-mllm"
CONFIG, PROJECTOR, CARD = "config.json", "projector.safetensors", "README.md"
TOKENIZER, ADAPTER, LM, ALIGNER = "tokenizer", "adapter", "lm", "aligner"


def save(model: EmbeddingLanguageModel, path: str | Path) -> None:
    """Write a model into the folder `path`, whole or not at all.

    Raises
    ------
    InputError
        If `path` exists and is not a model of ours, or cannot be written.
    """
    with model_folder(expanded(path), _replaceable) as partial:
        write(model, partial)


def check_free(path: Path) -> None:
    """Raise InputError, before any work, where a model could not be written: what is not one of ours is left alone."""
    check_model_place(path, _replaceable)


def _replaceable(path: Path) -> bool:
    return path.is_dir() and (not any(path.iterdir()) or is_model(path))


def is_model(path: Path) -> bool:
    """Whether a folder holds a multimodal model that this library wrote."""
    try:
        config = json.loads((path / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and config.get("kind") == KIND


def write(model: EmbeddingLanguageModel, folder: Path) -> None:
    """Write the files of a model into a folder that exists, and sync them."""
    reference = _reference(model)
    config = {
        "kind": KIND,
        "schema_version": SCHEMA_VERSION,
        "library_version": __version__,
        "width": model.width,
        "encoder": model.encoder,
        "model": asdict(model.settings),
        "lm": reference,
        "adapter": model.adapted,
        "aligner": model.aligner is not None,
        "stages": model.stages,
    }
    with tensors_into(folder / PROJECTOR):
        save_file(
            {name: value.detach().cpu().contiguous() for name, value in model.projector.state_dict().items()},
            str(folder / PROJECTOR),
            {"schema_version": str(SCHEMA_VERSION)},
        )
    model.tokenizer.save_pretrained(folder / TOKENIZER)
    if model.adapted:
        model.lm.save_pretrained(folder / ADAPTER, save_embedding_layers=False)
        (folder / ADAPTER / "README.md").unlink(missing_ok=True)  # peft's card knows nothing of this model
        if reference["kind"] == "reference":
            _name_base(folder / ADAPTER / "adapter_config.json", reference)
    if reference["kind"] == "folder":
        _save_lm(model, folder / LM)
    if model.aligner is not None:
        model.aligner.save(folder / ALIGNER)
    (folder / CONFIG).write_text(json.dumps(config, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / CARD).write_text(card(config), encoding="utf-8")
    for file in folder.rglob("*"):
        if file.is_file():
            sync_file(file)


def load_mllm(
    path: str | Path, *, device: str | torch.device = "auto", lm: Any = None, exact: bool = False
) -> EmbeddingLanguageModel:
    """Read a model that `save` or `anisoalign train` wrote.

    Parameters
    ----------
    path : path
        Folder of a model, or of a run, whose last finished stage is taken.
    device : str or torch.device
        Where the language model goes; "auto" is a GPU where there is one. One in memory stays where it is.
    lm : path, name or PreTrainedModel, optional
        Where the language model is now, if not where it was; its weights must be the same.
    exact : bool
        Whether weights that were trained stay as they were saved, to be trained on; otherwise they are read as the
        setting `dtype` says, on a GPU in bfloat16.

    Raises
    ------
    InputError
        If the folder holds no such model, a file is missing or damaged, or the language model is another.
    """
    path = find_model(expanded(path))
    config = read_config(path)
    settings = made(ModelSettings, config["model"], str(path / CONFIG))
    inner = _load_lm(path, config, settings, find_device("auto") if device == "auto" else device, lm, exact)
    model = EmbeddingLanguageModel.from_parts(inner, load_tokenizer(path / TOKENIZER), config["width"], settings)
    _load_projector(model, path)
    if config["adapter"]:
        model.lm = _load_adapter(model.lm, path / ADAPTER)
    model.aligner = load_aligner(path / ALIGNER) if config["aligner"] else None
    model.encoder, model.stages = config["encoder"], config["stages"]
    model.lm_changed = config["lm"]["kind"] == "folder"
    model.freeze()
    return model


def find_model(path: Path) -> Path:
    """The folder itself, or the last finished stage of a run's folder."""
    if (path / CONFIG).is_file():
        return path
    order = path / "stages.json"
    if order.is_file():
        try:
            names = [str(name) for name in json.loads(order.read_text(encoding="utf-8"))]
        except (OSError, ValueError, TypeError) as error:
            raise InputError(f"{order} cannot be read: {one_line(error)}") from error
        done = [path / name for name in names if is_model(path / name)]
        if done:
            return done[-1]
        raise InputError(f"{path} holds no finished stage yet: {', '.join(names)}")
    raise InputError(f"{path} is not a trained multimodal model: {CONFIG} is missing")


def read_config(path: Path) -> dict[str, Any]:
    """`config.json` of a saved model.

    Raises
    ------
    InputError
        If it cannot be read, is of another version, or lacks a key.
    """
    config = read_json(path / CONFIG)
    if not isinstance(config, dict) or config.get("kind") != KIND:
        raise InputError(f"{path} is not a trained multimodal model")
    if config.get("schema_version") != SCHEMA_VERSION:
        version = config.get("schema_version")
        raise InputError(f"{path / CONFIG} has schema version {version!r}; this version reads {SCHEMA_VERSION}")
    wanted = ("width", "encoder", "model", "lm", "adapter", "aligner", "stages")
    lacking = [key for key in wanted if key not in config]
    if lacking:
        raise InputError(f"{path / CONFIG} lacks {', '.join(lacking)}")
    return config


def _load_lm(path: Path, config: dict[str, Any], settings: ModelSettings, device: Any, given: Any, exact: bool) -> Any:
    reference = config["lm"]
    if given is not None and not isinstance(given, str | Path):
        lm = given
    elif reference["kind"] == "folder":
        lm = load_lm(path / LM, "", AS_SAVED if exact else settings.dtype, settings.attention, device)
    else:
        name = str(given or reference["name"])
        if given is None and Path(name).is_absolute() and not Path(name).is_dir():
            raise InputError(
                f"{path}: its language model was at {name}, which is gone; say where it is now (lm=…, --lm)"
            )
        lm = load_lm(name, "" if given else reference["revision"], settings.dtype, settings.attention, device)
    if weights_fingerprint(lm.state_dict()) != reference["fingerprint"]:
        raise InputError(f"{path}: the language model is not the one this model was trained with: its weights differ")
    return lm


def _load_projector(model: EmbeddingLanguageModel, path: Path) -> None:
    try:
        weights = load_file(str(path / PROJECTOR))
        model.projector.load_state_dict(weights)
    except FileNotFoundError as error:
        raise InputError(f"{path / PROJECTOR} is missing") from error
    except (SafetensorError, RuntimeError) as error:
        raise InputError(f"{path / PROJECTOR} is damaged, or of another model: {one_line(error)}") from error


def _load_adapter(lm: Any, folder: Path) -> Any:
    from peft import PeftModel

    if not (folder / "adapter_model.safetensors").is_file():
        raise InputError(f"{folder} holds no adapter_model.safetensors")
    try:
        with quiet_peft():
            return PeftModel.from_pretrained(lm, folder)
    except (OSError, ValueError, SafetensorError, RuntimeError) as error:
        raise InputError(f"{folder} is damaged, or of another model: {one_line(error)}") from error


def _save_lm(model: EmbeddingLanguageModel, folder: Path) -> None:
    """Weights of the language model without adapters, which are saved apart."""
    model.base_lm.save_pretrained(folder, state_dict=_own_state(model) if model.adapted else None)


def _name_base(file: Path, reference: dict[str, Any]) -> None:
    """Let peft find the language model from any folder: its own name for it is relative to where training ran."""
    config = json.loads(file.read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = reference["name"]
    config["revision"] = reference["revision"] or None
    file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _reference(model: EmbeddingLanguageModel) -> dict[str, Any]:
    """Where the language model is to be found again, and a hash of its weights."""
    mark = weights_fingerprint(_own_state(model))
    name = model.settings.lm
    if model.lm_changed or not name:
        return {"kind": "folder", "fingerprint": mark}
    where = str(Path(name).absolute()) if Path(name).is_dir() else name
    return {"kind": "reference", "name": where, "revision": model.settings.revision, "fingerprint": mark}


def _own_state(model: EmbeddingLanguageModel) -> dict[str, torch.Tensor]:
    """The language model's own weights under their own names; peft wraps layers in place, under `base_layer`."""
    if not model.adapted:
        return model.lm.state_dict()
    state = model.base_lm.state_dict()
    return {name.replace(".base_layer.", "."): value for name, value in state.items() if "lora_" not in name}
