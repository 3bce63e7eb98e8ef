"""What a stage trains: gradients, adapters, precision and dropout."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from anisoalign.embeddings import InputError
from anisoalign.mllm.adapters import adapt
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
        adapt(model, stage)
    elif stage.learns == "full":
        model.lm.float().requires_grad_(True)
        model.lm_changed = True
    model.projector.float().requires_grad_(True)
    model.train(stage.learns != "projector")
    model.projector.train()
    _checkpoint_activations(model, stage.gradient_checkpointing)


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
