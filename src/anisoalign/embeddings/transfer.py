"""From a set, tile by tile, into a writer: ids along, dropped rows noted, finished shards skipped."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from anisoalign.embeddings.beside import Columns, joined
from anisoalign.embeddings.embedding_set import SPAN_TILES, EmbeddingSet
from anisoalign.embeddings.engines import carried_out, engine_for
from anisoalign.embeddings.errors import InputError, one_line
from anisoalign.embeddings.gathered import GATHERED
from anisoalign.embeddings.metadata import choose_ids
from anisoalign.embeddings.notes import Dropped
from anisoalign.embeddings.shard_writer import ShardWriter
from anisoalign.embeddings.shards import Span
from anisoalign.embeddings.tiles import Tile, tile_rows_for
from anisoalign.embeddings.workers import cores, in_order, operations_alone
from anisoalign.embeddings.writer import EmbeddingWriter

Change = Callable[[Tile], "np.ndarray | torch.Tensor"]
Progress = Callable[[int], None]

_UNASKED = 1 << 29
"""Bytes that parts longer than usual may take side by side where no budget was named."""


def write_tiles(
    es: EmbeddingSet,
    writer: EmbeddingWriter,
    change: Callable[[], Change] | None = None,
    *,
    dtype: np.typing.DTypeLike = np.float32,
    raw: bool = False,
    divide: bool = True,
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
        run can continue. Where it has an attribute `sweep`, that is given to `EmbeddingSet.tiles`.
    dtype, raw, divide
        How tiles are read, see `EmbeddingSet.tiles`.
    progress : callable, optional
        Called with the number of stored rows that are done since the last call, by several threads.
    """
    work = _Work(es, change, np.dtype(dtype), raw, divide, progress)
    if writer.single:
        _write_file(work, writer)
    else:
        _write_folder(work, writer)
    es.check_some_kept()


@dataclass(frozen=True)
class _Work:
    """What is read, how, what is made of it and who is told; sent whole to workers elsewhere."""

    es: EmbeddingSet
    change: Callable[[], Change] | None
    dtype: np.dtype
    raw: bool
    divide: bool
    progress: Progress | None

    def begun(self) -> Callable[[Span], Iterator[tuple[Tile, np.ndarray | torch.Tensor]]]:
        """The tiles of a span with what is made of each, for one worker: its function and its buffer are its own."""
        moved = None if self.change is None else self.change()
        buffer, sweep = self.es.tile_buffer(self.dtype), getattr(moved, "sweep", None)

        def changed(span: Span) -> Iterator[tuple[Tile, np.ndarray | torch.Tensor]]:
            tiles = self.es.tiles(self.dtype, raw=self.raw, span=span, buffer=buffer, divide=self.divide, sweep=sweep)
            for tile in tiles:
                yield tile, tile.values if moved is None else moved(tile)

        return changed

    def tell(self, rows: int) -> None:
        """Say that so many more rows are done."""
        if self.progress is not None and rows:
            self.progress(rows)

    def note_dropped(self, dropped: Sequence[Dropped], out: ShardWriter, first_row: int) -> None:
        """Leave out rows, and count them as done."""
        for row in dropped:
            out.drop(row.global_row - first_row, row.reason)
            self.tell(1)


def _write_folder(work: _Work, writer: EmbeddingWriter) -> None:
    """Write shards side by side: each thread reads, changes and writes one, a tile at a time."""
    es = work.es
    todo, stems = [], es.stems
    for shard in es.shards:
        if writer.done(shard.index):
            for row, reason in writer.dropped(shard.index):
                es.add_dropped(shard.index, row, reason)
            work.tell(shard.rows)
        else:
            todo.append((shard.index, stems[shard.index]))
    # An engine tells what was done shard by shard, threads tile by tile.
    away = engine_for(es) is not None
    worker = partial(_shard_writer, replace(work, progress=None) if away else work, writer)
    # One thread more than cores, since one or another waits for the disk to sync what they wrote.
    # A pickle is held whole while it is read, and a stretch that is gathered: one at a time.
    workers = 1 if es.format in ("pickle", GATHERED) else cores() + 1
    for (index, _), record in zip(todo, carried_out(es, worker, todo, workers), strict=True):
        writer.adopt(index, record)
        if away:
            work.tell(es.shards[index].rows)


def _shard_writer(work: _Work, writer: EmbeddingWriter) -> Callable[[tuple[int, str]], dict[str, Any]]:
    """Make the work of one worker: read, change and write a shard, and say what was written."""
    es, changed = work.es, work.begun()

    def write(part: tuple[int, str]) -> dict[str, Any]:
        index, stem = part
        shard = es.shards[index]
        known = shard.rows if es.bad_rows == "error" else None
        with writer.shard(index, known, stem, es.columns(index)) as out:
            for tile, values in changed(Span(index, 0, shard.rows)):
                out.write(values, tile.rows - shard.first_row)
                work.tell(len(tile))
            work.note_dropped(es.dropped_in(index), out, shard.first_row)
        return writer.record(index)

    return write


def _write_file(work: _Work, writer: EmbeddingWriter) -> None:
    """Write one file: parts are changed side by side where they are small, and written one after another."""
    es = work.es
    if engine_for(es) is not None:
        raise InputError(
            f"{writer.out} is a single file, which one process writes; an engine writes a folder of shards"
        )
    known = es.rows if es.bad_rows == "error" else None
    spans = es.spans()
    write = _side_by_side if _held_at_once(es, writer, spans) else _tile_by_tile
    with writer.shard(0, known, ids=all_columns(es)) as out:
        write(work, out, spans)
        work.note_dropped(es.dropped, out, 0)


def _held_at_once(es: EmbeddingSet, writer: EmbeddingWriter, spans: list[Span]) -> bool:
    """Tell whether parts may be held whole, one a thread: a format read front to back has one part a shard."""
    most = max(span.stop - span.start for span in spans)
    needed = (cores() + 2) * most * es.dim * (8 + writer.dtype.itemsize)
    if es.memory is None:
        return needed <= _UNASKED or most <= SPAN_TILES * tile_rows_for(es.dim)
    return needed <= es.memory


def _tile_by_tile(work: _Work, out: ShardWriter, spans: list[Span]) -> None:
    """Change and write one tile after another, so that no more than a few are held, however long the shards."""
    changed = work.begun()
    with operations_alone():  # as the threads of `_side_by_side` do, so that the bytes are the same
        for tile, values in chain.from_iterable(map(changed, spans)):
            out.write(values, tile.rows)
            work.tell(len(tile))


def _side_by_side(work: _Work, out: ShardWriter, spans: list[Span]) -> None:
    """Change parts by several threads, each of which holds one whole, and write them in order."""
    most = max(span.stop - span.start for span in spans)
    pool: SimpleQueue[torch.Tensor] = SimpleQueue()

    def worker() -> Callable[[Span], tuple[torch.Tensor, torch.Tensor, np.ndarray]]:
        changed = work.begun()

        def hold(span: Span) -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
            # Memory that was written out is filled again: fresh memory costs more than the arithmetic.
            try:
                memory = pool.get_nowait()
            except Empty:
                memory = out.memory(most)
            filled, rows = 0, [np.empty(0, np.int64)]
            for tile, values in changed(span):
                out.store(values, memory[filled : filled + len(tile)])
                filled += len(tile)
                rows.append(tile.rows)
            return memory, memory[:filled], np.concatenate(rows)

        return hold

    for memory, stored, rows in in_order(worker, spans):
        if len(rows):
            out.append(stored, rows)
            work.tell(len(rows))
        if out.consumes:
            pool.put(memory)


def all_columns(es: EmbeddingSet) -> Columns | None:
    """Return the columns beside the vectors of all shards as one, None if there are none.

    Raises
    ------
    InputError
        If some shards have columns and others none, or of types that do not go together.
    """
    parts = [es.columns(shard.index) for shard in es.shards if shard.rows]
    found = [part for part in parts if part is not None]
    if not found:
        return None
    if len(found) < len(parts):
        raise InputError(
            f"{es.name}: some shards have ids or other columns and some have none; write a folder of shards"
        )
    try:
        whole = joined(found)
    except pa.ArrowException as error:
        raise InputError(
            f"{es.name}: columns beside the vectors differ in type from shard to shard ({one_line(error)}); "
            "write a folder of shards"
        ) from error
    _check_ids_stay(es, found, whole)
    return whole


def _check_ids_stay(es: EmbeddingSet, parts: Sequence[Columns], whole: Columns) -> None:
    """Refuse to make 1.0 of an id that was 1: as doubles beside whole numbers they would be other ids."""
    name = choose_ids(whole.schema.names, es.id_column, es.name)
    if name is None:
        return
    kinds = {part.schema.field(name).type for part in parts if name in part.schema.names}
    changed = kinds - {whole.schema.field(name).type}
    if any(pa.types.is_floating(kind) or pa.types.is_binary(kind) for kind in kinds) and changed:
        raise InputError(
            f"{es.name}: ids in column {name!r} are {' and '.join(sorted(map(str, kinds)))} from shard to shard; write "
            "a folder of shards"
        )
