"""From a set, tile by tile, into a writer: ids along, dropped rows noted, finished shards skipped."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import torch

from anisoalign.embeddings.embedding_set import EmbeddingSet
from anisoalign.embeddings.tiles import Tile
from anisoalign.embeddings.writer import EmbeddingWriter, ShardWriter

Change = Callable[[Tile], "np.ndarray | torch.Tensor"]
Progress = Callable[[int], None]


def write_tiles(
    es: EmbeddingSet,
    writer: EmbeddingWriter,
    change: Change | None = None,
    *,
    dtype: np.typing.DTypeLike = np.float32,
    raw: bool = False,
    progress: Progress | None = None,
) -> None:
    """Write every row of a set, changed by a function of its tile, shard for shard.

    Parameters
    ----------
    es : EmbeddingSet
    writer : EmbeddingWriter
        Entered, and not yet left.
    change : callable, optional
        From a tile of m rows to an array or tensor of shape (m, writer.dim). It must depend on the tile
        alone, so that an interrupted run can continue.
    dtype, raw
        How tiles are read, see `EmbeddingSet.tiles`.
    progress : callable, optional
        Called with the number of stored rows that are done since the last call.
    """
    if writer.single:
        ids = _all_metadata(es)
        known = es.rows if es.bad_rows == "error" else None
        with writer.shard(0, known, ids=ids) as out:
            for shard in es.shards:
                _write_shard(es, shard.index, 0, out, change, dtype, raw, progress)
        return
    for shard, stem in zip(es.shards, es.stems, strict=True):
        if writer.done(shard.index):
            _tell(progress, shard.rows)
            continue
        known = shard.rows if es.bad_rows == "error" else None
        with writer.shard(shard.index, known, stem, es.metadata(shard.index)) as out:
            _write_shard(es, shard.index, shard.first_row, out, change, dtype, raw, progress)


def _write_shard(
    es: EmbeddingSet,
    index: int,
    first_row: int,
    out: ShardWriter,
    change: Change | None,
    dtype: np.typing.DTypeLike,
    raw: bool,
    progress: Progress | None,
) -> None:
    """Write one shard's rows; positions of ids are counted from global row `first_row`."""
    for tile in es.tiles(dtype, raw=raw, shards=[index]):
        out.write(tile.values if change is None else change(tile), tile.rows - first_row)
        _tell(progress, len(tile))
    dropped = [row for row in es.dropped if _within(es, index, row.global_row)]
    for row in dropped:
        out.drop(row.global_row - first_row, row.reason)
    _tell(progress, len(dropped))


def _within(es: EmbeddingSet, index: int, row: int) -> bool:
    shard = es.shards[index]
    return shard.first_row <= row < shard.first_row + shard.rows


def _all_metadata(es: EmbeddingSet) -> pa.Table | None:
    tables = [es.metadata(shard.index) for shard in es.shards if shard.rows]
    found = [table for table in tables if table is not None]
    return pa.concat_tables(found).combine_chunks() if found and len(found) == len(tables) else None


def _tell(progress: Progress | None, rows: int) -> None:
    if progress is not None and rows:
        progress(rows)
