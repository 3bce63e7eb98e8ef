"""Conversations whose embeddings are there and have a direction: before anything is trained."""

from __future__ import annotations

import numpy as np

from anisoalign.embeddings import EmbeddingSet, InputError, Shard
from anisoalign.embeddings.shards import Block
from anisoalign.embeddings.tiles import normalized
from anisoalign.mllm.conversations import Conversations
from anisoalign.mllm.elsewhere import advice
from anisoalign.mllm.finished import digits_of
from anisoalign.mllm.settings import StageSettings
from anisoalign.mllm.store import EmbeddingStore
from anisoalign.mllm.unusable import Unusable

_SKIP = '; on_bad = "skip" leaves such conversations out'
_ADVICE = 'correct the rows, or have such conversations left out by on_bad = "skip"'


def matched(talks: Conversations, store: EmbeddingStore, settings: StageSettings) -> Conversations:
    """Conversations of a stage whose ids have one embedding, and those without a picture, which need none.

    Raises
    ------
    InputError
        If ids have no embedding, or several, listing the first ten; with ``on_bad="skip"`` if these are more than half:
        then it is likelier that the ids mean something else than that so many rows are missing.
    """
    pictured = np.flatnonzero(talks.pictures)
    ids = talks.ids.take(pictured)
    unmatched = store.rows_of(ids, missing="mask") < 0
    if len(pictured) and unmatched.all():
        store.rows_of(ids, advice=advice(talks, store))
    few = 2 * unmatched.sum() <= len(pictured)
    if settings.on_bad != "skip" or not few:
        store.rows_of(ids, advice=_SKIP if few else "")
    why = np.where(store.repeated(ids), "its id has several rows", "it has no embedding")
    return leave_out(talks, {int(pictured[i]): f"{why[i]} in {store.set.name}" for i in np.flatnonzero(unmatched)})


def sound(talks: Conversations, store: EmbeddingStore, settings: StageSettings) -> tuple[Conversations, EmbeddingStore]:
    """Conversations of a stage whose rows are finite and not zero, and the store with the digits of its values.

    All rows are read, once, for both; those that no conversation is joined with may be as they are.

    Raises
    ------
    InputError
        If rows are null, NaN, infinite or zero, listing the first ten; with ``on_bad="skip"`` if none is left.
    """
    pictured = np.flatnonzero(talks.pictures)
    rows = store.rows_of(talks.ids.take(pictured))
    look = _Look(store.set, rows)
    store = store.with_digits(digits_of(store.set, see=look))
    chosen = np.isin(rows, list(look.bad))
    reasons = {
        int(number): f"its embedding, {look.bad[int(row)]}"
        for number, row in zip(pictured[chosen], rows[chosen], strict=True)
    }
    if settings.on_bad != "skip":
        _listed(talks, reasons, Unusable()).refuse(talks.name, _ADVICE)
    found = leave_out(talks, reasons)
    if not len(found):
        raise InputError(found.left_out.told(f"{talks.name} holds no conversation that can be used"))
    return found, store


class _Look:
    """What is wrong with rows that are joined, and their norms: seen while all rows are read.

    Parameters
    ----------
    es : EmbeddingSet
    rows : ndarray of int
        Those that are joined.
    """

    def __init__(self, es: EmbeddingSet, rows: np.ndarray):
        self.notes, self.bad = es.notes, {}
        self._joined = np.zeros(es.rows, bool)
        self._joined[rows] = True

    def __call__(self, shard: Shard, row: int, block: Block) -> None:
        stored, nulls = block
        first = shard.first_row + row
        rows = np.flatnonzero(self._joined[first : first + len(stored)])
        if not len(rows):
            return
        _, norms, bad = normalized(stored if len(rows) == len(stored) else stored[rows], np.dtype(np.float32))
        if nulls is not None:
            bad |= {int(i): "is null or empty" for i in np.flatnonzero(nulls[rows])}
        self.notes.add_norms(shard, np.delete(norms, list(bad)))
        for i, reason in bad.items():
            self.bad[first + int(rows[i])] = f"{self.notes.where(shard, row + int(rows[i]))}, {reason}"


def leave_out(talks: Conversations, reasons: dict[int, str]) -> Conversations:
    """The same conversations but for those of the given numbers, each with its reason."""
    return talks.without(list(reasons), _listed(talks, reasons, talks.left_out)) if reasons else talks


def _listed(talks: Conversations, reasons: dict[int, str], found: Unusable) -> Unusable:
    for number, reason in reasons.items():
        found = found.with_one(f"id {talks.ids[number].as_py()!r}: {reason}")
    return found
