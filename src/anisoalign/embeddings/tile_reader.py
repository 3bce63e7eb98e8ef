"""From the blocks of a shard to tiles: rows checked and divided, bad ones refused or dropped, norms noted."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from anisoalign.embeddings.errors import InputError
from anisoalign.embeddings.notes import Notes
from anisoalign.embeddings.shards import Block, Shard, Span
from anisoalign.embeddings.tiles import Sweep, Tile, normalized, swept, undivided, verbatim


@dataclass(frozen=True)
class TileReader:
    """How spans become tiles; parameters as those of `EmbeddingSet.tiles`.

    Parameters
    ----------
    notes : Notes
        What takes down norms, bad rows and spans that are done.
    dtype : numpy.dtype
    size : int
        Rows of a tile.
    raw, divide : bool
    buffer : Tensor, optional
    sweep : callable, optional
    """

    notes: Notes
    dtype: np.dtype
    size: int
    raw: bool = False
    buffer: torch.Tensor | None = None
    divide: bool = True
    sweep: Sweep | None = None

    def read(self, shard: Shard, span: Span) -> Iterator[Tile]:
        """Yield the tiles of a part of a shard that keep rows.

        Raises
        ------
        InputError
            If it has not as many rows as its header says, and for rows as `EmbeddingSet.tiles` does.
        """
        start = span.start
        if span.stop == span.start:
            return
        whole = span.stop - span.start == shard.rows
        source = shard.source
        blocks = source.blocks(self.size) if whole else source.blocks(self.size, span.start, span.stop)  # pyright: ignore[reportCallIssue]
        for block in blocks:
            rows = np.arange(start, start + len(block[0]))
            tile = self._swept(shard, block, rows)
            if tile is None:
                tile = self.tile(shard, block, rows)
            start += len(rows)
            if len(tile):
                yield tile
        if start != span.stop:
            raise InputError(f"{shard.label} has {start} rows where its header says {shard.rows}")
        self.notes.add_passed(span)

    def _swept(self, shard: Shard, block: Block, rows: np.ndarray) -> Tile | None:
        """A tile as a compiled sweep leaves it, None where there is none or the rows are not for it."""
        stored, nulls = block
        found = None if self.sweep is None or nulls is not None else swept(stored, self.dtype, self.sweep)
        if found is None:
            return None
        norms, made = found
        self.notes.add_norms(shard, norms)
        return Tile(stored, rows + shard.first_row, shard.index, int(rows[0]), swept=made)

    def tile(self, shard: Shard, block: Block, rows: np.ndarray) -> Tile:
        """Turn stored rows (positions within their shard) into a tile: checked, divided, thinned."""
        stored, nulls = block
        norms = scale = None
        if self.raw:
            values, bad = self._verbatim(shard, stored, rows)
        elif self.divide:
            values, norms, bad = normalized(stored, self.dtype, self.buffer)
        else:
            values, lengths, norms, bad = undivided(stored, self.dtype, self.buffer)
            scale = 1 / lengths
        if nulls is not None:
            bad |= {i: self.notes.why_null(shard, int(rows[i])) for i in np.flatnonzero(nulls).tolist()}
        start = int(rows[0])
        if bad:
            self.notes.add_bad(shard, rows, bad)
            kept = np.delete(np.arange(len(rows)), list(bad))
            values, rows = values[kept], rows[kept]
            norms = None if norms is None else norms[kept]
            scale = None if scale is None else scale[kept]
        if norms is not None:
            self.notes.add_norms(shard, norms)
        return Tile(values, rows + shard.first_row, shard.index, start, scale)

    def _verbatim(self, shard: Shard, stored: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, dict[int, str]]:
        try:
            return verbatim(stored, self.dtype, self.buffer)
        except OverflowError as error:
            at = self.notes.where(shard, int(rows[error.args[0]]))
            raise InputError(f"{at} holds values beyond the range of {self.dtype}") from error
