"""What a stage trains: gradients, adapters, precision and dropout."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from anisoalign.embeddings import InputError
from anisoalign.mllm.settings import StageSettings

if TYPE_CHECKING:
    from anisoalign.mllm.model import EmbeddingLanguageModel


def begin(model: EmbeddingLanguageModel, stage: StageSettings) -> None:
    """Make ready what a stage trains.

    * `projector`: the language model is frozen in evaluation mode, without gradients or optimizer state.
    * `lora`: adapters on the language model, which begin as no change; those of an earlier stage go on, with the
      dropout of this one.
    * `full`: all weights, in float32; adapters of an earlier stage become part of them.
    """
    if stage.learns == "full" and model.adapted:
        # In float32 before they are added: a bfloat16 cannot hold the small changes that adapters have learned.
        model.base_lm.float()
        model.lm = model.lm.merge_and_unload()
        model.lm_changed = True
    model.requires_grad_(False)
    if stage.learns == "lora":
        _adapt(model, stage)
    elif stage.learns == "full":
        model.lm.float().requires_grad_(True)
        model.lm_changed = True
    model.projector.float().requires_grad_(True)
    model.train(stage.learns != "projector")
    model.projector.train()
    _checkpoint_activations(model, stage.gradient_checkpointing)


@contextmanager
def quiet_peft() -> Iterator[None]:
    """Keep from the user that peft asks transformers by a name that will go away."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        yield


def _adapt(model: EmbeddingLanguageModel, stage: StageSettings) -> None:
    from peft import LoraConfig, get_peft_model

    if model.adapted:
        _check_same(model, stage)
        _set_dropout(model, stage.lora_dropout)
    else:
        targets = stage.lora_targets
        config = LoraConfig(
            r=stage.lora_rank,
            lora_alpha=stage.lora_alpha,
            lora_dropout=stage.lora_dropout,
            target_modules=targets if targets == "all-linear" else sorted(_layers(targets)),
            task_type="CAUSAL_LM",
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(model.settings.seed)
            try:
                with quiet_peft():
                    model.lm = get_peft_model(model.lm, config)
            except ValueError as error:
                raise InputError(f"lora_targets = {targets!r}: {error}") from error
    for name, value in model.lm.named_parameters():
        if "lora_" in name:
            value.data = value.data.float()
            value.requires_grad_(True)


def _check_same(model: EmbeddingLanguageModel, stage: StageSettings) -> None:
    """Refuse a stage that asks for other adapters than the model carries: they cannot become those."""
    config = model.lm.peft_config["default"]
    for name, was in (("lora_rank", config.r), ("lora_alpha", config.lora_alpha)):
        if getattr(stage, name) != was:
            raise _another(name, was, getattr(stage, name))
    # Not those of peft, which writes the names of all layers for "all-linear".
    targets = _targets(model.stages)
    if targets is not None and _layers(targets) != _layers(stage.lora_targets):
        raise _another("lora_targets", targets, stage.lora_targets)


def _another(name: str, was: Any, now: Any) -> InputError:
    return InputError(f"the model has adapters of {name} = {was!r}; {name} = {now!r} cannot go on from them")


def _targets(stages: Sequence[Mapping[str, Any]]) -> str | None:
    """`lora_targets` of the stage that made a model's adapters, or None where that was not noted."""
    found = None
    for settings in (stage["settings"] for stage in stages):
        if settings.get("learns") == "full":  # took the adapters in
            found = None
        elif settings.get("learns") == "lora":
            found = found or settings.get("lora_targets")
    return found


def _layers(targets: str) -> set[str]:
    return {name.strip() for name in targets.split(",")}


def _set_dropout(model: EmbeddingLanguageModel, share: float) -> None:
    """Dropout of adapters that are there already."""
    from peft.tuners.lora import LoraLayer

    model.lm.peft_config["default"].lora_dropout = share
    for module in model.lm.modules():
        if isinstance(module, LoraLayer):
            module.lora_dropout["default"] = torch.nn.Dropout(share) if share else torch.nn.Identity()


def _checkpoint_activations(model: EmbeddingLanguageModel, wanted: bool) -> None:
    """Keep or recompute activations, in a frozen model too, whose layers ask whether they are in training."""
    from transformers.modeling_layers import GradientCheckpointingLayer

    lm = model.base_lm
    if not wanted:
        if lm.is_activation_checkpointing:
            lm.activation_checkpointing_disable()
        return
    try:
        lm.activation_checkpointing_enable()
    except ValueError as error:
        raise InputError(f"gradient_checkpointing: {error}") from error
    layers: list[Any] = [module for module in lm.modules() if isinstance(module, GradientCheckpointingLayer)]
    for layer in layers:
        if not layer.training:
            layer.training = True
            layer._gradient_checkpointing_func = partial(_at_rest, layer, layer._gradient_checkpointing_func)


def _at_rest(layer: torch.nn.Module, checkpoint: Callable[..., Any], forward: Callable[..., Any], *given: Any) -> Any:
    """Checkpoint a frozen layer's forward pass, during which, and when it is done again, it is not in training.

    Some layers drop values themselves where they are (OPT, Falcon): those of a frozen model may not.
    """

    def at_rest(*given: Any) -> Any:
        layer.training = False
        try:
            return forward(*given)
        finally:
            layer.training = True

    return checkpoint(at_rest, *given)
