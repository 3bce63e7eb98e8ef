"""What training will take: parameters counted exactly from the configuration, memory and time estimated from them.

No weight is loaded. Counts are of parameters and of tokens; what they are multiplied with is said below and in the
record, so that it can be checked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from anisoalign.embeddings import InputError
from anisoalign.mllm.adapters import check_stages
from anisoalign.mllm.chat import Chat, Tokens
from anisoalign.mllm.conversations import Conversations
from anisoalign.mllm.held_out import held_of
from anisoalign.mllm.language_models import lm_config, load_tokenizer, without_weights
from anisoalign.mllm.order import Order, share_of_busiest
from anisoalign.mllm.projector import Projector
from anisoalign.mllm.settings import ModelSettings, StageSettings, TrainSettings

SUSTAINED = 120.0
"""TFLOP/s of bfloat16 that one process is taken to sustain: about two fifths of what an A100 can do."""

_SAMPLE = 256
"""Conversations that are tokenised for their length."""

_CHARACTERS = 4
"""Characters of a token, where there is no tokenizer to ask."""

_PER_WEIGHT = {"frozen": 2, "learned": 4 + 4 + 8, "autocast": 2}
"""Bytes a parameter: bfloat16 where frozen; float32 with gradient and AdamW's two moments where it learns, and the
bfloat16 copy that autocast makes of it."""

_PER_LOGIT = 2 + 4 + 4
"""Bytes a logit: as computed, as float32 for the loss, and its gradient."""


def plan_training(
    settings: TrainSettings,
    width: int,
    *,
    processes: int = 1,
    tflops: float = SUSTAINED,
    conversations: int | Mapping[str, int] | None = None,
    tokens: float | Mapping[str, float] | None = None,
) -> list[dict[str, Any]]:
    """Parameters, memory of a process, operations and time of each stage.

    Parameters
    ----------
    settings : TrainSettings
    width : int
        Of the embeddings.
    processes : int
        That train together, one a GPU; each holds the whole model. Hours are those of the one that has most to do.
    tflops : float
        That each sustains.
    conversations : int or dict, optional
        How many there are, or of each stage, where the file is not here to be counted.
    tokens : float or dict, optional
        Of a conversation on average, where they cannot be counted.

    Raises
    ------
    InputError
        If there is no configuration, nothing says how many conversations there are, or adapters go on layers that the
        language model does not have.
    """
    config = lm_config(settings.model.lm, settings.model.revision)
    adapters = check_stages(settings.stages, config)
    sizes = _sizes(config, settings.model, width)
    records = []
    for name, stage in settings.stages.items():
        count = conversations.get(name) if isinstance(conversations, Mapping) else conversations
        each = tokens.get(name) if isinstance(tokens, Mapping) else tokens
        learned = adapters.get(name, 0)
        record = _stage(config, sizes, settings.model, stage, learned, processes, tflops, count, each)
        records.append({"stage": name, **record})
    return records


def _sizes(config: Any, settings: ModelSettings, width: int) -> dict[str, Any]:
    """Parameters of the language model and the projector."""
    lm = without_weights(config)
    with torch.device("meta"):
        inner = lm.get_input_embeddings().weight.shape[1]
        projector = Projector(width, settings.hidden or inner, inner, settings.visual_tokens)
    head = lm.get_output_embeddings()
    count = sum(value.numel() for value in lm.parameters())
    # The table of input embeddings is looked up, not multiplied with, unless the head shares it.
    table = (
        0
        if head is not None and head.weight is lm.get_input_embeddings().weight
        else lm.get_input_embeddings().weight.numel()
    )
    return {
        "lm": count,
        "multiplied": count - table,
        "projector": sum(value.numel() for value in projector.parameters()),
        "vocabulary": int(config.vocab_size),
    }


def _stage(
    config: Any,
    sizes: dict[str, Any],
    model: ModelSettings,
    stage: StageSettings,
    adapters: int,
    processes: int,
    tflops: float,
    conversations: int | None,
    tokens: float | None,
) -> dict[str, Any]:
    count, mean, longest, answer = _lengths(model, stage, conversations, tokens)
    learned = sizes["projector"] + adapters + (sizes["lm"] if stage.learns == "full" else 0)
    frozen = 0 if stage.learns == "full" else sizes["lm"]
    weights = frozen * _PER_WEIGHT["frozen"] + learned * (_PER_WEIGHT["learned"] + _PER_WEIGHT["autocast"])
    positions = stage.micro_batch * longest
    activations = round(positions * _per_position(config, stage.gradient_checkpointing))
    logits = round(stage.micro_batch * answer * sizes["vocabulary"] * _PER_LOGIT)
    # Forward 2, gradients of activations 2, gradients of weights 2 operations a weight and token.
    passes = (6 if stage.learns == "full" else 4) + 2 * stage.gradient_checkpointing
    attention = passes / 2 * 4 * config.num_hidden_layers * config.hidden_size * mean
    held = held_of(count, stage)
    seen = round(stage.epochs * (count - held) * mean)
    steps = Order(np.empty(count - held, np.int8), stage.batch_size, stage.epochs, 0).steps
    # Those held out go forward whenever a state is kept and after each epoch.
    measured = held * mean * (steps // stage.checkpoint_every + math.ceil(stage.epochs))
    operations = seen * (passes * sizes["multiplied"] + attention) + measured * 2 * sizes["multiplied"]
    # All wait for the process that has most to do.
    batch = np.arange(min(stage.batch_size, count - held))
    share = share_of_busiest(batch, stage.micro_batch, processes, not stage.drops)
    return {
        "learns": stage.learns,
        "lm_parameters": sizes["lm"],
        "learned_parameters": learned,
        "conversations": count,
        "mean_tokens": round(mean, 1),
        "steps": steps,
        "tokens": seen,
        "weights_bytes": weights,
        "activations_bytes": activations + logits,
        "memory_bytes": weights + activations + logits,
        "checkpoint_bytes": learned * 12,
        "operations": round(operations),
        "processes": processes,
        "tflops_each": tflops,
        "hours": round(operations * share / (tflops * 1e12) / 3600, 2),
    }


def _lengths(
    model: ModelSettings, stage: StageSettings, conversations: int | None, tokens: float | None
) -> tuple[int, float, float, float]:
    """Conversations, their mean and their nearly longest length, and the longest answers, in tokens."""
    if not Path(stage.conversations).is_file():
        if conversations is None or tokens is None:
            missing = stage.conversations or "no conversations"
            raise InputError(f"{missing}: is not here to be counted; say --conversations N and --tokens N")
        return conversations, tokens, min(2 * tokens, stage.max_length), tokens
    talks = Conversations.of_stage(stage, model.placeholder)
    chosen = np.random.default_rng(0).choice(len(talks), min(_SAMPLE, len(talks)), replace=False)
    try:
        chat = Chat(load_tokenizer(model.lm, model.revision), model)
    except InputError:  # a configuration without a tokenizer
        found = np.array([[talks.lengths[i] / _CHARACTERS + 16 + model.visual_tokens] * 2 for i in chosen])
    else:
        read = _tokens(talks, chat, chosen, stage.on_bad == "skip")
        found = np.array([[len(one), (one.labels >= 0).sum()] for one in read], float)
    found = np.minimum(found, stage.max_length)
    mean, high = found.mean(0), np.quantile(found, 0.99, axis=0)
    return conversations or len(talks), tokens or float(mean[0]), float(high[0]), float(high[1])


def _tokens(talks: Conversations, chat: Chat, chosen: np.ndarray, skip: bool) -> list[Tokens]:
    """The chosen conversations as tokens, without those that the template refuses where training leaves them out."""
    found = []
    for number in chosen:
        try:
            found.append(chat.tokens(talks[int(number)]))
        except InputError:
            if not skip:
                raise
    if not found:
        raise InputError(f"{talks.name}: of {len(chosen)} conversations the chat template takes none")
    return found


def _per_position(config: Any, recomputed: bool) -> float:
    """Bytes of activations a position, in bfloat16, with an attention that keeps no matrix of scores.

    A layer keeps its input, two normalised states, queries, keys, values, what attention gives, and four vectors of
    the feed-forward's width; recomputed, its input alone, and one layer's all.
    """
    heads = config.num_attention_heads
    shared = getattr(config, "num_key_value_heads", None) or heads
    h, f = config.hidden_size, getattr(config, "intermediate_size", None) or 4 * config.hidden_size
    layer = 2 * (5 * h + 2 * h * shared / heads + 4 * f)
    depth = config.num_hidden_layers
    return depth * 2 * h + layer if recomputed else depth * layer
