"""One streamed pass over a set of embeddings."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from anisoalign.embeddings import EmbeddingSet, InputError, open_embeddings
from anisoalign.statistics.moments import Moments, Order

FLOAT64_ROWS = 200_000
"""Sets of up to this many rows are measured in float64 unless the user asks otherwise."""


def float64_below(rows: int, dtype: str = "auto") -> np.dtype:
    """Precision of a pass: what `dtype` names, and for "auto" float64 up to FLOAT64_ROWS rows, else float32."""
    if dtype not in ("auto", "float32", "float64"):
        raise ValueError(f"dtype must be 'auto', 'float32' or 'float64', not {dtype!r}")
    if dtype == "auto":
        dtype = "float64" if rows <= FLOAT64_ROWS else "float32"
    return np.dtype(dtype)


def check_widths(source: EmbeddingSet, target: EmbeddingSet) -> None:
    """Raise InputError where two sets cannot live in one space."""
    if source.dim != target.dim:
        raise InputError(
            f"source has width {source.dim}, target has width {target.dim}: "
            "both must come from the same model, whose two encoders share one space"
        )


def tile_rows(dim: int) -> int:
    """Rows of a tile for products: about 16 MB of float32, so that BLAS is busy and the cache holds it."""
    return max(256, (4 << 20) // dim)


def measure(
    embeddings: EmbeddingSet | np.ndarray,
    order: Order = "full",
    *,
    dtype: str = "auto",
    progress: Callable[[int], None] | None = None,
) -> Moments:
    """Moments of a whole set, in one pass; each shard is summed by itself and shards are merged in order.

    Parameters
    ----------
    embeddings : EmbeddingSet or array (n, d)
        Rows are normalised on the way.
    order : {"mean", "diagonal", "full"}
        How much of the second moment to keep.
    dtype : {"auto", "float32", "float64"}
        Precision of the products within a tile.
    progress : callable, optional
        Called with the number of rows of each tile.
    """
    embeddings = open_embeddings(embeddings)
    total = Moments.empty(embeddings.dim, order)
    shard, part = None, Moments.empty(embeddings.dim, order)
    rows = tile_rows(embeddings.dim) if order == "full" else None
    for tile in embeddings.tiles(dtype=float64_below(embeddings.rows, dtype), tile_rows=rows):
        if tile.shard != shard:
            total.merge(part)
            shard, part = tile.shard, Moments.empty(embeddings.dim, order)
        part.update(tile.values)
        if progress is not None:
            progress(len(tile.values))
    return total.merge(part)
