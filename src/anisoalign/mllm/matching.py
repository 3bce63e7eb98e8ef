"""Conversations whose embeddings are there: by id, before anything is trained."""

from __future__ import annotations

import numpy as np

from anisoalign.mllm.conversations import Conversations
from anisoalign.mllm.settings import StageSettings
from anisoalign.mllm.store import EmbeddingStore


def matched(talks: Conversations, store: EmbeddingStore, settings: StageSettings) -> Conversations:
    """Conversations of a stage whose ids have an embedding, and those without a picture, which need none.

    Raises
    ------
    InputError
        If ids have no embedding, listing the first ten; with ``on_bad="skip"`` if more than half have none: then it is
        likelier that the ids mean something else than that so many rows are missing.
    """
    pictured = np.flatnonzero(talks.pictures)
    ids = talks.ids.take(pictured)
    if settings.on_bad != "skip":
        store.rows_of(ids)
        return talks
    missing = pictured[store.rows_of(ids, missing="mask") < 0]
    if 2 * len(missing) > len(pictured):
        store.rows_of(ids)
    return leave_out(talks, {int(number): f"it has no embedding in {store.set.name}" for number in missing})


def leave_out(talks: Conversations, reasons: dict[int, str]) -> Conversations:
    """The same conversations but for those of the given numbers, each with its reason."""
    found = talks.left_out
    for number, reason in reasons.items():
        found = found.with_one(f"id {talks.ids[number].as_py()!r}: {reason}")
    return talks.without(list(reasons), found) if reasons else talks
