"""Language models and tokenizers in Hugging Face's format, from the Hub or a folder; no pickles, no code of theirs."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from anisoalign.embeddings import InputError
from anisoalign.embeddings.errors import one_line

AS_SAVED = "as saved"
"""In place of a type of weights: the one they were saved in."""

_HEAD = 64
"""Values of each weight that a fingerprint looks at."""

_NESTED = {r"^(model\.language_model|language_model\.model)\.": "model.", r"^language_model\.lm_head\.": "lm_head."}
"""Names that a multimodal checkpoint has for the weights of its language model, and those of the model alone."""


def load_tokenizer(name: str | Path, revision: str = "") -> Any:
    """Tokenizer of a model, by name or folder."""
    from transformers import AutoTokenizer

    with _loading("tokenizer", name):
        return AutoTokenizer.from_pretrained(str(name), revision=revision or "main", trust_remote_code=False)


def load_lm(
    name: str | Path, revision: str = "", dtype: str = "auto", attention: str = "", device: str | torch.device = "cpu"
) -> Any:
    """Causal language model in evaluation mode on a device.

    Parameters
    ----------
    dtype : {"auto", "float32", "bfloat16", AS_SAVED}
        auto is bfloat16 on a GPU, float32 elsewhere.
    """
    from transformers import AutoModelForCausalLM

    config, part = _text_config(name, revision)
    options: dict[str, Any] = {"dtype": _kind(dtype, torch.device(device)), "use_safetensors": True, "config": config}
    if attention:
        options["attn_implementation"] = attention
    if part:
        options["key_mapping"] = _NESTED
    with _loading("language model", name):
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            str(name), revision=revision or "main", trust_remote_code=False, output_loading_info=True, **options
        )
    lm, info = loaded
    if part:
        _check_whole(info, name)
        # What is saved from here on is the language model alone, under its own names.
        lm._weight_conversions = None
    return lm.to(device).eval()


def _check_whole(info: Mapping[str, Any], name: str | Path) -> None:
    """Refuse a checkpoint in which weights were not found under the names looked for: they would be random."""
    lacking = sorted([*info["missing_keys"], *(str(entry[0]) for entry in info["mismatched_keys"])])
    if lacking:
        raise InputError(
            f"no language model can be loaded from {_called(name)}: it is a multimodal checkpoint, in which "
            f"{len(lacking)} weights of the language model are not found: {', '.join(lacking[:3])}"
        )


def _kind(dtype: str, device: torch.device) -> Any:
    """Type of weights, as transformers takes it."""
    if dtype == AS_SAVED:
        return "auto"
    return getattr(torch, dtype if dtype != "auto" else "float32" if device.type == "cpu" else "bfloat16")


def lm_config(name: str | Path, revision: str = "") -> Any:
    """Configuration of a language model, without its weights; of a multimodal checkpoint, that of the part for text.

    Raises
    ------
    InputError
        If there is none, or generation with the model takes no embeddings.
    """
    return _text_config(name, revision)[0]


def _text_config(name: str | Path, revision: str) -> tuple[Any, bool]:
    """Configuration of a language model, and whether it is a part of a multimodal checkpoint's."""
    from transformers import AutoConfig

    with _loading("configuration", name):
        whole = AutoConfig.from_pretrained(str(name), revision=revision or "main", trust_remote_code=False)
    config = whole.get_text_config()
    config.name_or_path = whole.name_or_path
    check_architecture(config)
    return config, config is not whole


def check_architecture(config: Any) -> None:
    """Refuse language models that answer no embeddings, before anything is trained.

    Raises
    ------
    InputError
        If generation takes tokens alone, or every layer looks tokens up, which an embedding has none of.
    """
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING

    kind = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), None)
    if isinstance(kind, type):
        check_class(kind)
    if getattr(config, "hidden_size_per_layer_input", 0):
        raise InputError(
            f"a language model of type {config.model_type} cannot be taken: its layers look up every token themselves "
            "(hidden_size_per_layer_input), and an embedding is no token"
        )


def positions(config: Any) -> int | None:
    """Tokens that a language model was made to read at a time; None where its configuration sets no bound."""
    return getattr(config.get_text_config(), "max_position_embeddings", None)


def check_class(kind: type) -> None:
    """Refuse a class of language models whose generation takes tokens alone."""
    prepare: Any = getattr(kind, "prepare_inputs_for_generation", None)
    if prepare is None or "inputs_embeds" not in inspect.signature(prepare).parameters:
        raise InputError(
            f"a language model of class {kind.__name__} cannot be taken: its generation takes tokens alone, no "
            "embeddings (inputs_embeds)"
        )


def without_weights(config: Any) -> Any:
    """The language model of a configuration on PyTorch's "meta" device: its layers and shapes, no memory."""
    from transformers import AutoModelForCausalLM

    with _loading("language model", config.name_or_path or config.model_type), torch.device("meta"):
        return AutoModelForCausalLM.from_config(config)


def weights_fingerprint(state: Mapping[str, Tensor]) -> str:
    """Hash of names, shapes and the first values of all weights, the same in float32 and in bfloat16.

    Examples
    --------
    >>> layer = torch.nn.Linear(2, 2)
    >>> weights_fingerprint(layer.state_dict()) == weights_fingerprint(layer.bfloat16().state_dict())
    True
    """
    digest = hashlib.sha256()
    for name, value in sorted(state.items()):
        head = value.detach().flatten()[:_HEAD].to("cpu", torch.bfloat16)
        digest.update(f"{name} {tuple(value.shape)}".encode())
        digest.update(head.view(torch.int16).numpy().tobytes())
    return digest.hexdigest()


@contextmanager
def _loading(what: str, name: str | Path) -> Iterator[None]:
    """Turn what transformers raises into one line for who named the model."""
    from safetensors import SafetensorError

    if not str(name):
        raise InputError("no language model is named: model.lm is its name on the Hugging Face Hub or a local folder")
    try:
        yield
    except (OSError, ValueError, KeyError, ImportError, SafetensorError, RuntimeError) as error:
        said = one_line(error)
        if "trust_remote_code" in said:
            said = (
                "it brings code of its own, which is not run here; only architectures of transformers itself are taken"
            )
        raise InputError(f"no {what} can be loaded from {_called(name)}: {said}") from error


def _called(name: str | Path) -> str:
    return f"the folder {name}" if Path(name).is_dir() else f"{str(name)!r}"
