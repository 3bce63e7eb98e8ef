"""How fast this machine reads, multiplies and decomposes, timed on the spot for a plan."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import astuple
from itertools import islice

import numpy as np
from threadpoolctl import threadpool_limits

from anisoalign.aligners.anisoalign.work import Work
from anisoalign.embeddings import EmbeddingSet
from anisoalign.embeddings.workers import cores
from anisoalign.statistics.passes import tile_rows

_PROBES = 3
_PROBE_OPERATIONS = 1 << 30
"""Size of a product that is timed: some hundredths of a second, however wide the rows are."""

_PROBE_WIDTH = 256
"""Of a matrix that is decomposed, if rows are wider."""

_STEP = 2e-3
"""Seconds that a step of training takes beside its products and exponentials: some hundred small operations."""

_IMPORT = 1.0
"""Seconds that a library takes to be imported."""

WRITE_RATE = 500e6
"""Bytes per second that are taken for writing, since trying it out would take a place to write."""


def measured_rates(y: EmbeddingSet, precision: np.dtype, products: bool, judged: bool = True) -> tuple[float, float]:
    """Bytes read and normalised per second, and operations of products per second, timed here and now.

    Both are timed in one thread, as a worker does them, a few times: the best counts, since passes are long. Rows that
    cannot be used are refused or dropped as by a pass, unless they are not `judged`, since not all are to be read.
    """
    d, read = y.dim, _read_rate(y, precision, judged)
    if not products:
        return cores() * read, 1.0
    rows = min(4096, max(_PROBE_OPERATIONS // (2 * d * d), 256))
    probe, matrix = np.ones((rows, d), precision), np.ones((d, d), precision)
    with threadpool_limits(limits=1, user_api="blas"):
        seconds = _fastest(lambda: np.matmul(probe, matrix))
    return cores() * read, cores() * 2 * rows * d * d / seconds


def _read_rate(y: EmbeddingSet, precision: np.dtype, judged: bool) -> float:
    """Bytes per second of the first tiles."""
    rates, started = [], time.perf_counter()
    # Tiles and no more, so that a memory budget that is enough for passes is enough for the plan.
    for rows in islice(_tiles(y, precision) if judged else _unjudged(y, precision), _PROBES):
        rates.append(rows * y.dim * y.dtype.itemsize / (time.perf_counter() - started))
        started = time.perf_counter()
    return max(rates)


def _tiles(y: EmbeddingSet, precision: np.dtype) -> Iterator[int]:
    """Read a set as a pass does, half precision as it is stored; yield the rows of each tile."""
    if precision == np.float16:
        return (len(tile) for tile in y.tiles(precision, raw=True))
    return (len(tile) for tile in y.tiles(precision, buffer=y.tile_buffer(precision)))


def _unjudged(y: EmbeddingSet, precision: np.dtype) -> Iterator[int]:
    """Read the first shard that has rows, cast and bring them to unit length, whatever they hold."""
    filled = next(shard for shard in y.shards if shard.rows)
    for stored, _ in filled.source.blocks(tile_rows(y.dim)):
        values = stored.astype(precision)
        values *= 1 / np.sqrt(np.einsum("ij,ij->i", values, values).clip(1e-30))[:, None]
        yield len(values)


def seconds_of(work: Work, d: int, flop_rate: float) -> float:
    """Time of the work on samples, of one thread: eigendecompositions and exponentials are timed here and now too."""
    width = min(d, _PROBE_WIDTH)
    matrix = np.random.default_rng(0).standard_normal((width, width))
    matrix, entries = matrix @ matrix.T, np.zeros((_PROBE_WIDTH, 8 * _PROBE_WIDTH))
    with threadpool_limits(limits=1, user_api="blas"):
        decomposition = _fastest(lambda: np.linalg.eigh(matrix)) / width**3
        exponential = _fastest(lambda: np.exp(entries - entries.max(axis=1, keepdims=True)).sum(axis=1)) / entries.size
    times = (1 / flop_rate, decomposition, exponential, _STEP, _IMPORT)
    return sum(count * each for count, each in zip(astuple(work), times, strict=True))


def _fastest(task: Callable[[], object]) -> float:
    """Seconds of the fastest of some tries."""
    times = []
    for _ in range(_PROBES):
        started = time.perf_counter()
        task()
        times.append(time.perf_counter() - started)
    return min(times)
