"""What tells data from other data: a name that costs nothing, a checksum of all values, the states of files."""

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from anisoalign.embeddings.embedding_set import EmbeddingSet
from anisoalign.embeddings.gathered import GatheredSource
from anisoalign.embeddings.manifest import crc32
from anisoalign.embeddings.naming import true_name
from anisoalign.embeddings.remote import asked_together, is_remote
from anisoalign.embeddings.shards import Block, Shard
from anisoalign.embeddings.tiles import tile_rows_for


def fingerprint(es: EmbeddingSet) -> str:
    """Return eight digits for the lengths, types and first rows of each shard.

    They name the data in a manifest: the same data give the same digits on another machine. They do not see
    every change of a value: `file_states` tells an unfinished run whether its input was touched, and `checksum`
    one whether data that have moved are the same.
    """
    value = 0
    for shard in es.shards:
        value = zlib.crc32(f"{shard.rows} {shard.dim} {shard.dtype.name}".encode(), value)
        if shard.rows:
            value = zlib.crc32(_mark(shard), value)
    for other in es.behind:
        value = zlib.crc32(fingerprint(other).encode(), value)
    return f"{value:08x}"


def _mark(shard: Shard) -> bytes:
    """The first rows of a shard, or, of one without a file, which rows of another set it has."""
    if isinstance(shard.source, GatheredSource):
        return shard.source.order.tobytes()
    first, _ = next(shard.source.blocks(min(16, shard.rows)))
    return np.ascontiguousarray(first).tobytes()


def checksum(es: EmbeddingSet, see: Callable[[Shard, int, Block], None] = lambda shard, row, block: None) -> str:
    """Return eight digits for every stored value of a set, in order, whatever its shards and their format.

    The set is read once; `see` is shown every block on the way, with its shard and its first row there.

    Examples
    --------
    >>> from anisoalign.embeddings import open_embeddings
    >>> rows = np.ones((100, 2))
    >>> before = checksum(open_embeddings(rows))
    >>> rows[99, 1] = 2
    >>> checksum(open_embeddings(rows)) == before
    False
    """
    value = zlib.crc32(f"{es.rows} {es.dim}".encode())
    for shard in es.shards:
        row = 0
        for stored, nulls in shard.source.blocks(tile_rows_for(es.dim)) if shard.rows else ():
            see(shard, row, (stored, nulls))
            row += len(stored)
            value = crc32(np.ascontiguousarray(stored, shard.dtype).data.cast("B"), value)
            if nulls is not None:
                value = crc32(nulls.tobytes(), value)
    return f"{value:08x}"


def file_states(es: EmbeddingSet) -> list[list[Any]]:
    """Return name, size and time of change of every file of a set, with those of columns beside its vectors.

    However the files are spelled, the same ones have the same names.
    """
    beside = (getattr(shard.source, "metadata_path", None) for shard in es.shards)
    files = [path for path in (*(shard.path for shard in es.shards), *beside) if path is not None]
    states = asked_together(lambda file: file.stat(), files, any(map(is_remote, files)))
    of_others = [state for other in es.behind for state in file_states(other)]
    return of_others + [[true_name(file), at.st_size, at.st_mtime_ns] for file, at in zip(files, states, strict=True)]
