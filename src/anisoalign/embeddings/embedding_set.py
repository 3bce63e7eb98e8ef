"""A set of vectors on disk or in memory, read in tiles, in batches or whole."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import torch

from anisoalign import compiled
from anisoalign.embeddings.beside import Columns
from anisoalign.embeddings.budget import format_bytes, parse_bytes
from anisoalign.embeddings.engines import carried_out
from anisoalign.embeddings.errors import InputError
from anisoalign.embeddings.finding import compare_headers
from anisoalign.embeddings.metadata import choose_ids, trailing_number
from anisoalign.embeddings.norms import Verdict
from anisoalign.embeddings.notes import BadRows, Dropped, Norms, Notes
from anisoalign.embeddings.provenance import Provenance
from anisoalign.embeddings.remote import asked_together, is_remote
from anisoalign.embeddings.shards import Source, Span, make_shards
from anisoalign.embeddings.tile_reader import TileReader
from anisoalign.embeddings.tiles import Sweep, Tile, tile_rows_for, torch_dtype

SPAN_TILES = 8
"""Tiles of a span: enough for a thread to be left alone with, few enough for a small set to be shared."""


class EmbeddingSet:
    """Vectors in shards: what their headers say, and ways to read them. See `open_embeddings`.

    Attributes
    ----------
    name : str
        What messages call the set.
    rows, dim : int
        Shape of the whole set, bad rows included.
    dtype : numpy.dtype
        Type of the stored values; where `convert` reads floats of several, the widest.
    shards : tuple of Shard
        In order, with their first rows.
    path : Path or None
        Where the set lies; None in memory.
    format : str
        `npy`, `parquet`, `safetensors`, `arrow`, `hf`, `lance`, `memory` or `gathered`.
    notes : Notes
        What passes found out so far.
    provenance : dict or None
        What is said of the encoder that made the vectors.
    rule : {"auto", "normalize"}
        Whether norms may be mixed.
    behind : tuple of EmbeddingSet
        Sets that say which rows these are, where they lie in no file of their own.
    """

    def __init__(
        self,
        sources: Iterable[Source],
        *,
        format: str,
        name: str = "source",
        path: Path | None = None,
        id_column: str | None = None,
        bad_rows: BadRows = "error",
        norms: Norms = "auto",
        memory: int | str | None = None,
        provenance: Provenance | None = None,
        mixed: bool = False,
        behind: Sequence["EmbeddingSet"] = (),
    ):
        self.shards = make_shards(sources)
        compare_headers(name, [shard.source for shard in self.shards], mixed)
        self.name, self.path, self.format = name, path, format
        filled = [shard for shard in self.shards if shard.rows]
        self.dim, self.dtype = filled[0].dim, max((shard.dtype for shard in filled), key=lambda kind: kind.itemsize)
        self.rows = sum(shard.rows for shard in self.shards)
        self.bad_rows: BadRows = bad_rows
        self.id_column, self.provenance = id_column, provenance
        self.memory = None if memory is None else parse_bytes(memory)
        self._check_budget(0, "a tile")
        self._check_id_column()
        self.rule: Norms = norms
        self.behind = tuple(behind)
        self.notes = Notes(name, self.shards, bad_rows, norms)

    def __len__(self) -> int:
        return self.rows

    def __repr__(self) -> str:
        where = "in memory" if self.path is None else str(self.path)
        return f"EmbeddingSet({self.name}: {self.rows} x {self.dim} {self.dtype}, {self.format}, {where})"

    def dropping(self) -> Self:
        """Return the same set with bad rows dropped, for a pass that minds them itself, and with notes of its own."""
        other = copy(self)
        other.bad_rows, other.notes = "drop", Notes(self.name, self.shards, "drop", self.rule)
        return other

    @property
    def norms(self) -> Verdict:
        """`"unit"`, `"not unit"` or `"mixed"`: by a first look, and exactly once a pass is over."""
        return self.notes.norms

    @property
    def dropped(self) -> list[Dropped]:
        """Rows left out by the passes so far, in order."""
        return self.notes.dropped

    def dropped_in(self, shard: int) -> list[Dropped]:
        """Rows of one shard left out by the passes so far, in order."""
        return self.notes.dropped_in(shard)

    @property
    def left_out(self) -> list[str]:
        """Other columns of vectors, or tables, in the files of this set, which do not go along into a result."""
        return sorted({name for shard in self.shards for name in getattr(shard.source, "left_out", ())})

    def add_dropped(self, shard: int, row: int, reason: str) -> None:
        """Note a row of a shard that an earlier run left out, whose work is continued."""
        self.notes.add_dropped(self.shards[shard], row, reason)

    @property
    def stems(self) -> list[str]:
        """Names for the shards of a result: the shards' own, numbers zero-padded, all distinct."""
        stems = [shard.path.stem if shard.path else "emb" for shard in self.shards]
        numbers = [trailing_number(stem) for stem in stems]
        if self.format == "lance" or len(set(numbers)) < len(numbers) or None in numbers:
            base = [stem.rstrip("0123456789").rstrip("_-.") or "emb" for stem in stems]
            return [f"{stem}_{index:03d}" for index, stem in enumerate(base)]
        width = max(3, max(len(str(number)) for number in numbers))
        return [f"{stem.rstrip('0123456789')}{number:0{width}d}" for stem, number in zip(stems, numbers, strict=True)]

    def tiles(
        self,
        dtype: np.typing.DTypeLike = np.float32,
        tile_rows: int | None = None,
        raw: bool = False,
        shards: Iterable[int] | None = None,
        span: Span | None = None,
        buffer: torch.Tensor | None = None,
        divide: bool = True,
        sweep: Sweep | None = None,
    ) -> Iterator[Tile]:
        """Yield the set in order, a few thousand unit rows at a time, never across shards.

        Boundaries are counted from each shard's first row and depend on the width alone: neither
        the memory budget nor the shards that are left out move them.

        Parameters
        ----------
        dtype : float32 or float64
            In which norms are taken and rows divided; with `raw` float16 as well.
        tile_rows : int, optional
            Rows of a tile, if not the usual about one million values.
        raw : bool
            Values as stored, only cast. Bad rows are refused or dropped all the same.
        shards : iterable of int, optional
            Read these shards only.
        span : Span, optional
            Read this part of a shard only, one of those that `spans` gives for the same `tile_rows`.
        buffer : Tensor, shape (tile_rows, d), optional
            Memory for the values of every tile, which is then valid until the next one; see `tile_buffer`.
        divide : bool
            Whether rows are made unit. If not, a tile says by `scale` what its rows are to be multiplied with.
        sweep : callable, optional
            Taken, where the set is large and numba installed, in place of all this: it is given rows as they are
            stored, and a tile carries what it made of them as `swept`. Rows that need a closer look come as usual.

        Raises
        ------
        InputError
            For a NaN, infinite or zero row (unless dropped), naming file and row; for a row that
            shows the set's norms to be mixed; if every row was dropped.

        Examples
        --------
        >>> from anisoalign.embeddings import open_embeddings
        >>> es = open_embeddings(np.array([[3.0, 4.0], [0.0, 2.0]]))
        >>> [tile.values.tolist() for tile in es.tiles(np.float64)]
        [[[0.6, 0.8], [0.0, 1.0]]]
        """
        size = tile_rows or tile_rows_for(self.dim)
        dtype = np.dtype(dtype)
        if not raw and dtype not in (np.float32, np.float64):
            raise InputError(f"unit rows are read as float32 or float64, not {dtype}")
        sweep = sweep if self._large and not raw else None
        reader = TileReader(self.notes, dtype, size, raw, buffer, divide, sweep)
        if span is not None:
            yield from reader.read(self.shards[span.shard], span)
            return
        for index in range(len(self.shards)) if shards is None else shards:
            yield from reader.read(self.shards[index], Span(index, 0, self.shards[index].rows))
        self.check_some_kept()

    def check_some_kept(self) -> None:
        """Raise InputError if passes have dropped every row."""
        self.notes.check_some_kept()

    def spans(self, tile_rows: int | None = None, tiles: int = SPAN_TILES) -> list[Span]:
        """Return the set cut into parts of a few tiles, in order: what workers may do side by side.

        Cuts depend on the shards and the width alone. A format that is read front to back has one part a shard.
        """
        size = (tile_rows or tile_rows_for(self.dim)) * tiles
        found: list[Span] = []
        for shard in self.shards:
            step = size if getattr(shard.source, "sliceable", False) else max(shard.rows, 1)
            found += [Span(shard.index, a, min(a + step, shard.rows)) for a in range(0, shard.rows, step)]
        return found

    def tile_buffer(self, dtype: np.typing.DTypeLike, tile_rows: int | None = None) -> torch.Tensor:
        """Return memory that the tiles of one worker can share."""
        return torch.empty(tile_rows or tile_rows_for(self.dim), self.dim, dtype=torch_dtype(np.dtype(dtype)))

    @property
    def _large(self) -> bool:
        """Whether compiled sweeps are worth loading."""
        return self.rows * self.dim >= compiled.FEWEST_VALUES

    def batches(self, batch_size: int, dtype: np.typing.DTypeLike = np.float32) -> Iterator[np.ndarray]:
        """Yield arrays of exactly `batch_size` unit rows across ragged shards; the last may be shorter.

        Values are those of `tiles`, whatever the batch size. Dropped rows are not counted.

        Examples
        --------
        >>> from anisoalign.embeddings import open_embeddings
        >>> es = open_embeddings(np.eye(5))
        >>> [batch.shape for batch in es.batches(2)]
        [(2, 5), (2, 5), (1, 5)]
        """
        dtype = np.dtype(dtype)
        if batch_size < 1:
            raise InputError(f"a batch needs at least one row, not {batch_size}")
        self._check_budget(batch_size * self.dim * dtype.itemsize, f"a batch of {batch_size} rows")
        batch, filled = np.empty((min(batch_size, self.rows), self.dim), dtype), 0
        for tile in self.tiles(dtype):
            start = 0
            while start < len(tile):
                count = min(len(batch) - filled, len(tile) - start)
                batch[filled : filled + count] = tile.values[start : start + count]
                filled, start = filled + count, start + count
                if filled == len(batch):
                    yield batch
                    batch, filled = np.empty_like(batch), 0
        if filled:
            yield batch[:filled]

    def read(self, dtype: np.typing.DTypeLike = np.float64) -> np.ndarray:
        """Return the whole set as unit rows, shape (kept rows, d).

        Raises
        ------
        InputError
            If that exceeds the memory budget, and as `tiles` does.
        """
        dtype = np.dtype(dtype)
        self._check_budget(self.rows * self.dim * dtype.itemsize, f"all {self.rows} rows")
        whole, filled = np.empty((self.rows, self.dim), dtype), 0
        for tile in self.tiles(dtype):
            whole[filled : filled + len(tile)] = tile.values
            filled += len(tile)
        return whole[:filled]

    def take(self, rows: np.ndarray, dtype: np.typing.DTypeLike = np.float32) -> Tile:
        """Return the unit rows with the given ascending global row numbers, bad ones dropped if so asked.

        The result's `shard` and `start` say nothing, as the rows come from anywhere.
        """
        rows = np.asarray(rows, np.int64)
        if len(rows) and (rows[0] < 0 or rows[-1] >= self.rows or (np.diff(rows) <= 0).any()):
            raise InputError(f"{self.name}: rows to take must ascend within 0 .. {self.rows - 1}")
        dtype = np.dtype(dtype)
        self._check_budget(len(rows) * self.dim * dtype.itemsize, f"{len(rows)} rows")
        parts = []
        for shard in self.shards:
            low, high = np.searchsorted(rows, [shard.first_row, shard.first_row + shard.rows])
            if low < high:
                parts.append((shard.index, rows[low:high] - shard.first_row))
        taken = list(carried_out(self, partial(self._taker, dtype), parts))
        values = [tile.values for tile in taken] or [np.empty((0, self.dim), dtype)]
        kept = [tile.rows for tile in taken] or [rows]
        return Tile(np.concatenate(values), np.concatenate(kept), -1, -1)

    def _taker(self, dtype: np.dtype) -> Callable[[tuple[int, np.ndarray]], Tile]:
        """Make the work of one worker of `take`: rows of one shard."""
        reader = TileReader(self.notes, dtype, tile_rows_for(self.dim))

        def take(part: tuple[int, np.ndarray]) -> Tile:
            shard, local = self.shards[part[0]], part[1]
            return reader.tile(shard, shard.source.take(local), local)

        return take

    def sample_rows(self, n: int, seed: int) -> np.ndarray:
        """Return `n` ascending global row numbers, one drawn from each of `n` equal stretches of the set.

        They depend on `seed`, `n` and the number of rows alone. All rows if the set has no more.

        Examples
        --------
        >>> from anisoalign.embeddings import open_embeddings
        >>> open_embeddings(np.eye(3)).sample_rows(9, seed=0).tolist()
        [0, 1, 2]
        """
        n = min(n, self.rows)
        if n < 1:
            return np.empty(0, np.int64)
        bounds = np.array([self.rows * i // n for i in range(n + 1)], np.int64)
        return np.random.default_rng([seed, n]).integers(bounds[:-1], bounds[1:])

    def sample(self, n: int, seed: int, dtype: np.typing.DTypeLike = np.float32) -> np.ndarray:
        """Return about `n` unit rows spread over the set (`sample_rows`), fewer if bad ones are dropped."""
        return self.take(self.sample_rows(n, seed), dtype).values

    def kept(self) -> np.ndarray:
        """Return the global numbers of the rows that are not dropped, int64, shape (kept rows,).

        With `bad_rows="drop"` a pass is made over shards that none has covered yet.
        """
        if self.bad_rows == "drop":
            unseen = [span for span in self.spans() if not self.notes.covered(self.shards[span.shard])]
            for _ in carried_out(self, self._looker, unseen):
                pass
            self.check_some_kept()
        return np.delete(np.arange(self.rows), [row.global_row for row in self.dropped])

    def _looker(self) -> Callable[[Span], None]:
        """Make the work of one worker of `kept`: look for bad rows."""
        buffer = self.tile_buffer(np.float32)

        def look(span: Span) -> None:
            for _ in self.tiles(span=span, buffer=buffer, divide=False):
                pass

        return look

    def metadata(self, shard: int) -> pa.Table | None:
        """Return the columns beside a shard's vectors whole, one row a stored row, or None."""
        columns = self.columns(shard)
        return None if columns is None else columns.read()

    def columns(self, shard: int) -> Columns | None:
        """Return the columns beside a shard's vectors, to be read by name or in order, or None."""
        found = self.shards[shard]
        columns = found.source.columns()
        if columns is not None and columns.rows != found.rows:
            raise InputError(f"{found.label} has {found.rows} vectors but {columns.rows} rows beside them")
        return columns

    def shard_ids(self, shard: int) -> pa.ChunkedArray | None:
        """Return the ids of a shard's rows before dropping, or None if it has none."""
        columns = self.columns(shard)
        names = [] if columns is None else columns.schema.names
        column = choose_ids(names, self.id_column, self.shards[shard].label)
        return None if columns is None or column is None else columns.read([column]).column(0)

    def _check_id_column(self) -> None:
        """Refuse a column of ids that was asked for and is not there; only names are read."""
        if self.id_column is None:
            return
        filled = [shard for shard in self.shards if shard.rows]
        remote = any(is_remote(shard.path) for shard in filled)
        found = asked_together(lambda shard: self.columns(shard.index), filled, remote)
        for shard, columns in zip(filled, found, strict=True):
            choose_ids([] if columns is None else columns.schema.names, self.id_column, shard.label)

    def ids(self) -> pa.ChunkedArray | None:
        """Return the ids of all rows, dropped ones included (`ids.take(es.kept())` leaves them out).

        Raises
        ------
        InputError
            If some shards have ids and others not, or of another type.
        """
        parts = [self.shard_ids(shard.index) for shard in self.shards if shard.rows]
        found = [part for part in parts if part is not None]
        if not found:
            return None
        if len(found) < len(parts) or len({part.type for part in found}) > 1:
            kinds = ", ".join("none" if part is None else str(part.type) for part in parts[:8])
            raise InputError(f"{self.name}: ids differ in kind from shard to shard: {kinds}")
        return pa.chunked_array([chunk for part in found for chunk in part.chunks], type=found[0].type)

    def describe(self) -> dict[str, Any]:
        """Return what a plan prints: format, rows, dim, dtype, shards, bytes, norms in a sentence."""
        return {
            "name": self.name,
            "path": None if self.path is None else str(self.path),
            "format": self.format,
            "rows": self.rows,
            "dim": self.dim,
            "dtype": self.dtype.name,
            "shards": len(self.shards),
            "bytes": sum(shard.source.nbytes for shard in self.shards),
            "norms": self.notes.norms_in_words,
            "dropped": len(self.dropped),
        }

    def _check_budget(self, extra: int, what: str) -> None:
        """Refuse work that cannot fit; two tiles of stored and of float64 values are the least."""
        tile = min(tile_rows_for(self.dim), self.rows) * self.dim
        needed = 2 * tile * (self.dtype.itemsize + 8) + extra
        if self.memory is not None and self.memory < needed:
            raise InputError(
                f"{self.name}: {what} needs {format_bytes(needed)}, the memory budget is {format_bytes(self.memory)}"
            )
