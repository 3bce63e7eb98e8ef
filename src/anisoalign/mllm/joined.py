"""Conversations joined with their embeddings, as batches of tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from anisoalign.mllm.chat import IGNORED, Chat, Tokens
from anisoalign.mllm.conversations import Conversations
from anisoalign.mllm.model import pad
from anisoalign.mllm.store import EmbeddingStore
from anisoalign.statistics import keyed_normal

_REMEMBERED = 50_000
"""Conversations up to which tokens are kept for the next epoch."""


@dataclass
class Batch:
    """Conversations that go through the model together.

    Attributes
    ----------
    input_ids, attention_mask, labels : Tensor of int64, shape (m, length)
        Padded on the right.
    embeddings : Tensor of float32, shape (pictures, d), or None
    truncated : int
        Conversations that lost their end.
    """

    input_ids: Tensor
    attention_mask: Tensor
    labels: Tensor
    embeddings: Tensor | None
    truncated: int

    @property
    def answer_tokens(self) -> int:
        """Tokens that are learned; the first of a row never is, as nothing foretells it."""
        return int((self.labels[:, 1:] != IGNORED).sum())

    def to(self, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """What the model's forward takes, on a device."""
        embeddings = None if self.embeddings is None else self.embeddings.to(device)
        return self.input_ids.to(device), self.attention_mask.to(device), self.labels.to(device), embeddings


class Joined:
    """Conversations with the rows of their embeddings.

    Raises
    ------
    InputError
        If a conversation's id has no embedding, listing the first ten.
    """

    def __init__(self, talks: Conversations, store: EmbeddingStore, chat: Chat, max_length: int):
        self.talks, self.store, self.chat, self.longest = talks, store, chat, chat.longest(max_length)
        self.rows = np.full(len(talks), -1, np.int64)
        pictured = np.flatnonzero(talks.pictures)
        self.rows[pictured] = store.rows_of(talks.ids.take(pictured))
        self._tokens: dict[int, Tokens] | None = {} if len(talks) <= _REMEMBERED else None

    def batch(self, numbers: np.ndarray, noise: float = 0.0, key: tuple[int, int] = (0, 0)) -> Batch:
        """Conversations of the given numbers; with noise, drawn by the key (seed, step) and each number."""
        tokens = [self.tokens(int(number)) for number in numbers]
        return collate(tokens, self.embeddings(numbers, noise, key), self.chat.tokenizer.pad_token_id or 0)

    def embeddings(self, numbers: np.ndarray, noise: float = 0.0, key: tuple[int, int] = (0, 0)) -> Tensor | None:
        """Unit rows of those that have a picture, shape (pictures, d), or None."""
        numbers = numbers[self.rows[numbers] >= 0]
        if not len(numbers):
            return None
        return torch.from_numpy(corrupted(self.store.take(self.rows[numbers]), noise, key, numbers))

    def tokens(self, number: int) -> Tokens:
        """Ids and labels of a conversation."""
        if self._tokens is None:
            return self.chat.tokens(self.talks[number], self.longest)
        if number not in self._tokens:
            self._tokens[number] = self.chat.tokens(self.talks[number], self.longest)
        return self._tokens[number]


def collate(tokens: Sequence[Tokens], embeddings: Tensor | None, padding: int) -> Batch:
    """Conversations of different lengths as one batch."""
    return Batch(
        pad([one.ids for one in tokens], padding),
        pad([np.ones(len(one), np.int64) for one in tokens], 0),
        pad([one.labels for one in tokens], IGNORED),
        embeddings,
        sum(one.truncated for one in tokens),
    )


def corrupted(rows: np.ndarray, noise: float, key: tuple[int, int], numbers: np.ndarray) -> np.ndarray:
    """C3's corruption, Norm(z + σ ε), drawn afresh for every seed, step and conversation.

    A conversation draws the same noise in whatever batch or process it is.

    Examples
    --------
    >>> rows = np.eye(3, dtype=np.float32)
    >>> one = corrupted(rows, 0.1, (0, 5), np.arange(3))
    >>> bool((one[1:] == corrupted(rows[1:], 0.1, (0, 5), np.arange(1, 3))).all())
    True
    >>> bool((one == corrupted(rows, 0.1, (0, 6), np.arange(3))).any())
    False
    """
    if not noise:
        return rows
    seed, step = key
    moved = rows + noise * keyed_normal((seed << 64) + step, numbers, rows.shape[1])
    return (moved / np.linalg.norm(moved, axis=1, keepdims=True)).astype(np.float32)
