"""Adapters (LoRA): put on a language model, gone on with, and held against it before anything is trained."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from anisoalign.embeddings import InputError
from anisoalign.mllm.language_models import without_weights
from anisoalign.mllm.settings import StageSettings

if TYPE_CHECKING:
    from anisoalign.mllm.model import EmbeddingLanguageModel

ALL = "all-linear"


def adapt(model: EmbeddingLanguageModel, stage: StageSettings) -> None:
    """Give a model the adapters of a stage, in float32 and learning; those that it carries go on.

    Raises
    ------
    InputError
        If the language model has no such layers, or carries adapters of another shape.
    """
    if model.adapted:
        config, targets = model.lm.peft_config["default"], _targets(model.stages)
        _check_same({"lora_rank": config.r, "lora_alpha": config.lora_alpha, "lora_targets": targets}, stage)
        _set_dropout(model, stage.lora_dropout)
    else:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(model.settings.seed)
            model.lm = _wrapped(model.lm, stage)
    for _, value in _weights(model.lm):
        value.data = value.data.float()
        value.requires_grad_(True)


def check_stages(stages: Mapping[str, StageSettings], config: Any) -> dict[str, int]:
    """Parameters of the adapters of each stage that has some, all of which a language model can carry.

    Parameters
    ----------
    stages : dict of str to StageSettings
        In order.
    config : PretrainedConfig
        Of the language model, of which no weight is loaded.

    Raises
    ------
    InputError
        Naming the stage, if the language model has no such layers, or adapters of another shape come before it.
    """
    first, counts = None, {}
    for name, stage in stages.items():
        if stage.learns == "full":
            first = None  # took the adapters in
        if stage.learns != "lora":
            continue
        try:
            if first is not None:
                shape = ("lora_rank", "lora_alpha", "lora_targets")
                _check_same({key: getattr(stages[first], key) for key in shape}, stage)
                counts[name] = counts[first]
            else:
                lm = _wrapped(without_weights(config), stage)
                first, counts[name] = name, sum(value.numel() for _, value in _weights(lm))
        except InputError as error:
            raise InputError(f"[stages.{name}] {error}") from error
    return counts


@contextmanager
def quiet_peft() -> Iterator[None]:
    """Keep from the user that peft asks transformers by a name that will go away."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        yield


def _wrapped(lm: Any, stage: StageSettings) -> Any:
    """A language model with new adapters, which begin as no change."""
    from peft import LoraConfig, get_peft_model

    targets = stage.lora_targets
    config = LoraConfig(
        r=stage.lora_rank,
        lora_alpha=stage.lora_alpha,
        lora_dropout=stage.lora_dropout,
        target_modules=targets if targets == ALL else sorted(_layers(targets)),
        task_type="CAUSAL_LM",
    )
    if targets != ALL:
        _check_layers(lm, targets)
    try:
        with quiet_peft():
            return get_peft_model(lm, config)
    except ValueError as error:
        raise InputError(f"lora_targets = {targets!r}: {error}") from error


def _check_layers(lm: Any, targets: str) -> None:
    """Refuse names of which the model has no layer: peft passes over them as long as one is there."""
    there = [name for name, _ in lm.named_modules()]
    lacking = [one for one in sorted(_layers(targets)) if not any(f".{name}".endswith(f".{one}") for name in there)]
    if lacking:
        linear = {n.rpartition(".")[2] for n, module in lm.named_modules() if isinstance(module, torch.nn.Linear)}
        raise InputError(
            f"lora_targets = {targets!r}: the language model has no layer {', '.join(map(repr, lacking))}"
            + (f"; its linear ones: {', '.join(sorted(linear))}" if linear else "")
        )


def _check_same(was: Mapping[str, Any], stage: StageSettings) -> None:
    """Refuse a stage that asks for other adapters than there are: they cannot become those."""
    for name in ("lora_rank", "lora_alpha"):
        if getattr(stage, name) != was[name]:
            raise _another(name, was[name], getattr(stage, name))
    targets = was["lora_targets"]
    if targets is not None and _layers(targets) != _layers(stage.lora_targets):
        raise _another("lora_targets", targets, stage.lora_targets)


def _another(name: str, was: Any, now: Any) -> InputError:
    return InputError(f"the model has adapters of {name} = {was!r}; {name} = {now!r} cannot go on from them")


def _targets(stages: Sequence[Mapping[str, Any]]) -> str | None:
    """`lora_targets` of the stage that made a model's adapters, or None where that was not noted.

    Not those of peft, which writes the names of all layers for "all-linear".
    """
    found = None
    for settings in (stage["settings"] for stage in stages):
        if settings.get("learns") == "full":  # took the adapters in
            found = None
        elif settings.get("learns") == "lora":
            found = found or settings.get("lora_targets")
    return found


def _layers(targets: str) -> set[str]:
    return {name.strip() for name in targets.split(",")}


def _weights(lm: Any) -> list[tuple[str, torch.nn.Parameter]]:
    return [(name, value) for name, value in lm.named_parameters() if "lora_" in name]


def _set_dropout(model: EmbeddingLanguageModel, share: float) -> None:
    """Dropout of adapters that are there already."""
    from peft.tuners.lora import LoraLayer

    model.lm.peft_config["default"].lora_dropout = share
    for module in model.lm.modules():
        if isinstance(module, LoraLayer):
            module.lora_dropout["default"] = torch.nn.Dropout(share) if share else torch.nn.Identity()
