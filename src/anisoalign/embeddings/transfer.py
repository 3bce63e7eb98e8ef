"""From a set, tile by tile, into a writer: ids along, dropped rows noted, finished shards skipped."""

from collections.abc import Callable
from queue import SimpleQueue

import numpy as np
import pyarrow as pa
import torch

from anisoalign.embeddings.embedding_set import EmbeddingSet
from anisoalign.embeddings.shard_writer import ShardWriter
from anisoalign.embeddings.shards import Span
from anisoalign.embeddings.tiles import Tile
from anisoalign.embeddings.workers import in_order
from anisoalign.embeddings.writer import EmbeddingWriter

Change = Callable[[Tile], "np.ndarray | torch.Tensor"]
Progress = Callable[[int], None]


def write_tiles(
    es: EmbeddingSet,
    writer: EmbeddingWriter,
    change: Callable[[], Change] | None = None,
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
        Makes, for one worker, a function from a tile of m rows to an array or tensor of shape
        (m, writer.dim), valid until its next call. It must depend on the tile alone, so that an interrupted
        run can continue.
    dtype, raw
        How tiles are read, see `EmbeddingSet.tiles`.
    progress : callable, optional
        Called with the number of stored rows that are done since the last call.
    """
    if writer.single:
        ids = _all_metadata(es)
        known = es.rows if es.bad_rows == "error" else None
        with writer.shard(0, known, ids=ids) as out:
            _write_spans(es, es.spans(), 0, out, change, dtype, raw, progress)
            es.check_some_kept()
        return
    for shard, stem in zip(es.shards, es.stems, strict=True):
        if writer.done(shard.index):
            _tell(progress, shard.rows)
            continue
        known = shard.rows if es.bad_rows == "error" else None
        spans = [span for span in es.spans() if span.shard == shard.index]
        with writer.shard(shard.index, known, stem, es.metadata(shard.index)) as out:
            _write_spans(es, spans, shard.first_row, out, change, dtype, raw, progress)
    es.check_some_kept()


def _write_spans(
    es: EmbeddingSet,
    spans: list[Span],
    first_row: int,
    out: ShardWriter,
    change: Callable[[], Change] | None,
    dtype: np.typing.DTypeLike,
    raw: bool,
    progress: Progress | None,
) -> None:
    """Write parts of a set one after another, computed side by side; ids are counted from `first_row`."""
    pool: SimpleQueue[torch.Tensor] = SimpleQueue()
    most = max((span.stop - span.start for span in spans), default=0)

    def worker() -> Callable[[Span], tuple[torch.Tensor, torch.Tensor, np.ndarray]]:
        moved = None if change is None else change()
        buffer = None if raw else es.tile_buffer(dtype)

        def work(span: Span) -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
            # Memory that was written out is filled again: fresh memory costs more than the arithmetic.
            memory = out.memory(most) if pool.empty() else pool.get()
            filled, rows = 0, [np.empty(0, np.int64)]
            for tile in es.tiles(dtype, raw=raw, span=span, buffer=buffer):
                out.store(tile.values if moved is None else moved(tile), memory[filled : filled + len(tile)])
                filled += len(tile)
                rows.append(tile.rows)
            return memory, memory[:filled], np.concatenate(rows)

        return work

    shards = {span.shard for span in spans}
    for span, (memory, stored, rows) in zip(spans, in_order(worker, spans), strict=True):
        if len(rows):
            out.append(stored, rows - first_row)
        if out.consumes:
            pool.put(memory)
        _tell(progress, span.stop - span.start)
    for row in es.dropped:
        if any(_within(es, index, row.global_row) for index in shards):
            out.drop(row.global_row - first_row, row.reason)


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
