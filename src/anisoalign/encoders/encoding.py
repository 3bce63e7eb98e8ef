"""From items to shards: read, prepare, encode, write. Each step is a function of its own, for any engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from anisoalign.embeddings import EmbeddingWriter, InputError
from anisoalign.encoders.batches import Workers
from anisoalign.encoders.encoder import Encoder
from anisoalign.encoders.fetching import fetched
from anisoalign.encoders.items import Item, Listing
from anisoalign.encoders.unreadable import UnreadableItem

Progress = Callable[[int], None]


@dataclass(frozen=True)
class EncodedRows:
    """A stretch of items, encoded.

    Attributes
    ----------
    values : dict
        Modality -> unit rows, float32, shape (n, d). Row i of every modality belongs together.
    columns : pyarrow.Table
        Ids and what goes along, one row a vector.
    unreadable : list of UnreadableItem
        Items that have no row, in order.
    truncated : dict
        Modality -> number of items that were longer than the model reads.
    """

    values: dict[str, np.ndarray]
    columns: pa.Table
    unreadable: list[UnreadableItem]
    truncated: dict[str, int]


def encode_rows(
    encoder: Encoder,
    items: Listing,
    start: int,
    stop: int,
    workers: Workers,
    batch_size: int,
    progress: Progress | None = None,
) -> EncodedRows:
    """Encode the items of positions start … stop − 1.

    Batches are cut from `start`, unreadable items counted, so that the values depend on the stretch and the batch
    size alone, and not on workers or on where a run was interrupted.
    """
    kinds = tuple(workers.preparations)
    values: dict[str, list[np.ndarray]] = {kind: [np.empty((0, encoder.width), np.float32)] for kind in kinds}
    truncated = dict.fromkeys(kinds, 0)
    kept: list[Item] = []
    bad: list[UnreadableItem] = []
    for batch in workers.batches(fetched(items.read(start, stop)), batch_size):
        for kind, prepared in batch.prepared.items():
            values[kind].append(encoder.forward(kind, prepared))
            truncated[kind] += prepared.truncated
        kept += batch.items
        bad += batch.unreadable
        if progress is not None:
            progress(batch.count)
    if len(kept) + len(bad) != stop - start:
        raise InputError(
            f"{len(kept) + len(bad)} items were found from {start} on, where {stop - start} were listed: the source "
            f"has changed since ({', '.join(str(state[0]) for state in items.state()[:3])})"
        )
    joined = {kind: np.concatenate(parts) for kind, parts in values.items()}
    return EncodedRows(joined, columns_of(kept, items.columns), bad, truncated)


def columns_of(items: list[Item], schema: pa.Schema) -> pa.Table:
    """Return ids and carried columns of items as a table, types as the listing says whatever the rows hold."""
    arrays: list[Any] = [pa.array([item.id for item in items], pa.string())]
    arrays += [pa.array([item.columns.get(field.name) for item in items], field.type) for field in schema]
    return pa.table(arrays, schema=pa.schema([pa.field("id", pa.string()), *schema]))


def write_rows(writer: EmbeddingWriter, index: int, kind: str, encoded: EncodedRows, start: int, stem: str) -> None:
    """Write one modality of encoded rows as the shard `index`, with what was unreadable and truncated noted."""
    rows = encoded.values[kind]
    with writer.shard(index, rows=len(rows), stem=stem, ids=encoded.columns) as shard:
        if len(rows):
            shard.write(rows)
        for item in encoded.unreadable:
            shard.drop(item.row - start, item.reason, id=item.id, where=item.where)
        if encoded.truncated.get(kind):
            shard.notes["truncated"] = encoded.truncated[kind]
