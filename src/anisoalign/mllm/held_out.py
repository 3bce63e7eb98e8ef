"""Conversations that are not learned from, and their loss while the others are: whether a model learns by heart."""

# pyarrow.compute makes its functions when it is imported:
# pyright: reportAttributeAccessIssue=false
from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from anisoalign.embeddings import InputError
from anisoalign.mllm.conversations import Conversations
from anisoalign.mllm.joined import Joined
from anisoalign.mllm.model import EmbeddingLanguageModel
from anisoalign.mllm.order import parts_of
from anisoalign.mllm.processes import Processes
from anisoalign.mllm.settings import StageSettings


def parted(talks: Conversations, settings: StageSettings) -> tuple[Conversations, Conversations | None]:
    """Conversations that are learned from, and those held out, or None where none are.

    All of one id are on one side, since they show one picture. Those without an id are learned from.

    Raises
    ------
    InputError
        If fewer than two conversations have an id of their own.
    """
    if not settings.held_out:
        return talks, None
    ids = [value for value in talks.ids.unique().to_pylist() if value]
    if len(ids) < 2:
        raise InputError(f"{talks.name}: held_out = {settings.held_out:g} needs two ids at least, not {len(ids)}")
    count = held_of(len(ids), settings)
    # By hashes, not by places: the choice is nearly the same where conversations are added or moved.
    held = sorted(ids, key=lambda value: _digest(value, settings.seed))[:count]
    chosen = pc.is_in(talks.ids, value_set=pa.array(held, pa.string())).to_numpy(zero_copy_only=False)
    learned, left = np.flatnonzero(~chosen).tolist(), talks.left_out
    return talks.without(np.flatnonzero(chosen).tolist(), left), talks.without(learned, left)


def held_of(count: int, settings: StageSettings) -> int:
    """How many of so many are held out: one at least, and not all.

    Examples
    --------
    >>> [held_of(count, StageSettings(held_out=0.1)) for count in (2, 20, 200)], held_of(20, StageSettings())
    ([1, 2, 20], 0)
    >>> held_of(2, StageSettings(held_out=0.9))
    1
    """
    return min(max(1, round(settings.held_out * count)), count - 1) if settings.held_out else 0


def _digest(value: str, seed: int) -> bytes:
    return hashlib.blake2b(f"{seed} {value}".encode(), digest_size=8).digest()


def mean_loss(
    model: EmbeddingLanguageModel,
    data: Joined,
    micro_batch: int,
    processes: Processes,
    autocast: Callable[[], AbstractContextManager[Any]],
) -> float | None:
    """Mean cross-entropy of all answer tokens, in nats, without noise and dropout; None where it is not finite.

    Processes share the work, and each gets the mean of all.
    """
    total, count = 0.0, 0
    parts = parts_of(np.argsort(data.talks.lengths, kind="stable"), micro_batch, processes.count, freely=True)
    with _at_rest(model):
        for part in parts[processes.index :: processes.count]:
            batch = data.batch(part)
            with autocast():
                total += float(model(*batch.to(processes.device)).loss_sum)
            count += batch.answer_tokens
    total, count = processes.summed([total, count])
    return total / count if math.isfinite(total) else None


@contextmanager
def _at_rest(model: torch.nn.Module) -> Iterator[None]:
    """Nothing learns or drops values; afterwards each layer is in the mode that it was in."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training
