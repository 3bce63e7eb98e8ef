"""One streamed pass over a set of embeddings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from anisoalign import compiled
from anisoalign.embeddings import EmbeddingSet, InputError, Span, Tile, carried_out, engine_for, open_embeddings
from anisoalign.statistics.moments import Moments, Order, rounding_of
from anisoalign.statistics.tree import Sums, TreeSum, grouped, level_for

Summary = Callable[[Tile], Moments]

FLOAT64_ROWS = 200_000
"""Sets of up to this many rows are measured in float64 unless the user asks otherwise."""
MAP64_ROWS = 20_000
"""And mapped, to float32: sums need the digits, a row of its own loses a millionth."""

_SINGLE = float(np.finfo(np.float32).eps)
_NODES_A_HAND = 4
"""Parts of a pass for each hand of an engine, so that none waits long for the last."""


def float64_below(rows: int, dtype: str = "auto") -> np.dtype:
    """Precision of a pass: what `dtype` names, and for "auto" float64 up to FLOAT64_ROWS rows, else float32."""
    if dtype not in ("auto", "float32", "float64"):
        raise ValueError(f"dtype must be 'auto', 'float32' or 'float64', not {dtype!r}")
    if dtype == "auto":
        dtype = "float64" if rows <= FLOAT64_ROWS else "float32"
    return np.dtype(dtype)


def map_precision(rows: int, dtype: str = "auto", out_dtype: str = "float32") -> np.dtype:
    """Precision in which rows are mapped: as `float64_below`, but for "auto" only up to MAP64_ROWS or to float64."""
    few = rows <= MAP64_ROWS or np.dtype(out_dtype) == np.float64
    return float64_below(rows, "float32" if dtype == "auto" and not few else dtype)


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
    summary: Callable[[], Summary] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Moments:
    """Moments of a whole set, in one pass: parts of shards are summed by several threads and merged in a fixed order.

    Parameters
    ----------
    embeddings : EmbeddingSet or array (n, d)
        Rows are normalised on the way.
    order : {"mean", "diagonal", "full"}
        How much of the second moment to keep.
    dtype : {"auto", "float32", "float64"}
        Precision of the products within a tile.
    summary : callable, optional
        Makes, for one worker, the function that gives the moments of what the rows of a tile are mapped to; it may
        overwrite them. By default the moments of the rows. For a mean, tiles come undivided, with their `scale`; and
        where the function has an attribute `sweep`, that is given to `EmbeddingSet.tiles`.
    progress : callable, optional
        Called with the number of rows of each tile.
    """
    embeddings = open_embeddings(embeddings)
    return summed(
        embeddings,
        partial(_no_moments, embeddings.dim, order, rounding_of(embeddings.dtype)),
        partial(OwnMoments, order) if summary is None else summary,
        precision=float64_below(embeddings.rows, dtype),
        rows=tile_rows(embeddings.dim) if order == "full" else None,
        divide=order != "mean",
        progress=progress,
    )


def _no_moments(dim: int, order: Order, rounding: float) -> Moments:
    """A function of the module, which travels by its name; a class method would travel by its code."""
    return Moments.empty(dim, order, rounding)


def summed(
    embeddings: EmbeddingSet,
    empty: Callable[[], Sums],
    summary: Callable[[], Callable[[Tile], Sums]],
    *,
    precision: np.dtype,
    rows: int | None = None,
    divide: bool = True,
    progress: Callable[[int], None] | None = None,
) -> Sums:
    """Sums over a whole set of what each tile amounts to, by the engine in use, along a tree that it does not change.

    Parameters
    ----------
    embeddings : EmbeddingSet
    empty : callable
        Gives the sums over no rows; like `summary` a module's own function or class, or a partial of one.
    summary : callable
        Makes, for one worker, the function that gives the sums over a tile; see `measure`.
    precision : dtype
        Of the tiles.
    rows : int, optional
        Of a tile, if not the usual.
    divide : bool
        Whether tiles come as unit rows; else as stored, with their `scale`.
    progress : callable, optional
        Called with the number of rows of each part.
    """
    spans = embeddings.spans(rows)
    engine = engine_for(embeddings)
    # An engine is given whole nodes of the tree, a few for each of its hands: what travels is one sum a node.
    level = 0 if engine is None else level_for(len(spans), _NODES_A_HAND * engine.hands)
    groups = grouped(spans, level)
    worker = partial(_summing, embeddings, empty, summary, precision, rows, divide)
    total = TreeSum(empty)
    for group, part in zip(groups, carried_out(embeddings, worker, groups), strict=True):
        total.add(part, level)
        if progress is not None:
            progress(sum(span.stop - span.start for span in group))
    embeddings.check_some_kept()
    return total.total()


def _summing(
    embeddings: EmbeddingSet,
    empty: Callable[[], Sums],
    summary: Callable[[], Callable[[Tile], Sums]],
    precision: np.dtype,
    rows: int | None,
    divide: bool,
) -> Callable[[Sequence[Span]], Sums]:
    """Make the work of one worker: the sums over some spans, which are a node of the tree."""
    of_tile = summary()
    sweep = getattr(of_tile, "sweep", None)
    buffer = embeddings.tile_buffer(precision, rows)

    def sums(spans: Sequence[Span]) -> Sums:
        node = TreeSum(empty)
        for span in spans:
            part = empty()
            for tile in embeddings.tiles(precision, rows, span=span, buffer=buffer, divide=divide, sweep=sweep):
                part.merge(of_tile(tile))
            node.add(part)
        return node.total()

    return sums


class OwnMoments:
    """Moments of a tile's rows, by a compiled sweep where there is one."""

    def __init__(self, order: Order):
        self.order: Order = order
        self._centred: np.ndarray | None = None

    @property
    def sweep(self) -> Callable[[np.ndarray], tuple[np.ndarray, Moments]] | None:
        """The compiled loop, if there is one: none for variances alone, which one method asks for.

        Not an attribute: a method that its own object holds would keep the buffer until cycles are collected.
        """
        return {"mean": self._mean, "diagonal": None, "full": self._full}[self.order]

    def __call__(self, tile: Tile) -> Moments:
        """Moments of one tile."""
        if tile.swept is not None:
            return tile.swept
        return Moments.empty(tile.values.shape[1], self.order).update(tile.values, True, tile.scale)

    def _mean(self, stored: np.ndarray) -> tuple[np.ndarray, Moments]:
        """Norms of rows, and the mean of the rows divided by them."""
        norms, total = compiled.sweeps().unit_sum(stored)
        return norms, Moments(len(stored), total / len(stored), None)

    def _full(self, stored: np.ndarray) -> tuple[np.ndarray, Moments]:
        """Norms of rows, and the moments of the rows divided by them."""
        if self._centred is None or len(self._centred) < len(stored):
            self._centred = np.empty(stored.shape, np.float32)
        centred = self._centred[: len(stored)]
        norms, total = compiled.sweeps().centred(stored, centred)
        return norms, Moments(len(stored), total / len(stored), centred.T @ centred, _SINGLE)
