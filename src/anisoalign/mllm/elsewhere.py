"""Where ids match nothing: which field of the conversations and which column of the embeddings would."""

# pyarrow.compute makes its functions when it is imported:
# pyright: reportAttributeAccessIssue=false
from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from anisoalign.embeddings.metadata import choose_ids
from anisoalign.mllm.conversations import Conversations
from anisoalign.mllm.store import EmbeddingStore

_SAMPLE = 100
"""Conversations whose fields are looked for."""

_NAMES = (pa.types.is_string, pa.types.is_large_string, pa.types.is_integer)
"""Types of columns that may hold ids."""

_BARE = r"^.*/|\.\w{1,5}$"
"""Folder and ending of a file's name."""


def advice(talks: Conversations, store: EmbeddingStore) -> str:
    """What would join conversations with embeddings, or nearly would, as the end of a message; or nothing.

    A field and a column are taken for the same where more than half of a sample of the field's values stand in the
    column.
    """
    fields, used = _fields(talks), _used(store)
    bare = {field: {re.sub(_BARE, "", value) for value in values} for field, values in fields.items()}
    whole = _pair(fields, _found(fields, store), talks.reading.key, used)
    if whole is not None:
        settings = [f'key = "{whole[0]}"'] if whole[0] != talks.reading.key else []
        settings += [f'id_column = "{whole[1]}"'] if whole[1] != used else []
        return f"; {' with '.join(settings)} would join them" if settings else ""
    near = _pair(bare, _found(bare, store, _BARE), talks.reading.key, used)
    if near is not None:
        return f"; {near[0]!r} of the conversations and {near[1]!r} of the embeddings differ by folder or ending alone"
    return ""


def _fields(talks: Conversations) -> dict[str, set[str]]:
    """Values by field of some conversations that have a picture."""
    numbers, found = np.flatnonzero(talks.pictures), {}
    for place in np.unique(np.linspace(0, len(numbers) - 1, _SAMPLE).astype(int)):
        for field, value in talks.record(int(numbers[place])).items():
            if isinstance(value, str | int) and not isinstance(value, bool):
                found.setdefault(field, set()).add(str(value))
    return found


def _used(store: EmbeddingStore) -> str:
    """The column that ids were taken from."""
    columns = store.set.columns(0)
    return (columns and choose_ids(columns.schema.names, store.set.id_column, store.set.name)) or "id"


def _found(fields: dict[str, set[str]], store: EmbeddingStore, without: str = "") -> dict[str, set[str]]:
    """Which of the values stand in each column, less what a pattern takes away there."""
    wanted = pa.array(sorted(set().union(*fields.values())), pa.string())
    found: dict[str, set[str]] = {}
    for name, values in _values(store):
        bare = pc.replace_substring_regex(values, without, "") if without else values
        found.setdefault(name, set()).update(bare.filter(pc.is_in(bare, value_set=wanted)).to_pylist())
    return found


def _values(store: EmbeddingStore) -> Iterator[tuple[str, pa.Array]]:
    """Names and values of the columns beside the vectors, in parts; ids that were given by themselves are "id"."""
    for shard in store.set.shards:
        columns = store.set.columns(shard.index)
        if columns is None:
            continue
        for field in columns.schema:
            if any(kind(field.type) for kind in _NAMES):
                for batch in columns.stream([field.name]):
                    yield field.name, batch.column(0).cast(pa.string())
    if store.set.columns(0) is None:
        yield "id", store.ids


def _pair(fields: dict[str, set[str]], found: dict[str, set[str]], key: str, used: str) -> tuple[str, str] | None:
    """The field and column that have most in common; of equal ones those in use."""
    shares = {
        (len(values & there) / len(values), field == key, column == used, field, column)
        for field, values in fields.items()
        for column, there in found.items()
    }
    best = max(shares, default=(0.0, False, False, "", ""))
    return (best[3], best[4]) if best[0] > 0.5 else None
