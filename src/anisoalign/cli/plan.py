"""`anisoalign plan`: what a fit and a transform will cost, before they are begun."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from anisoalign.cli import common

if TYPE_CHECKING:
    from anisoalign.aligners import Aligner
    from anisoalign.embeddings import EmbeddingSet

_PROBE_ROWS = 4096


def plan(
    method: Annotated[str, typer.Argument(help="NAME or NAME:param=value,... of the method.")],
    source: common.SourceOption,
    target: common.TargetOption,
    source_column: common.SourceColumn = None,
    target_column: common.TargetColumn = None,
    json: common.JsonOption = False,
    dtype: common.DtypeOption = common.Dtype.auto,
) -> None:
    """State rows, bytes, passes, memory and time of fitting a method and transforming the source.

    The time is an estimate from a product and a read that are timed on the spot.
    """
    from anisoalign.aligners import parse_method
    from anisoalign.embeddings import format_bytes

    model = parse_method(method)
    y = common.open_set(source, "source", source_column, common.BadRows.error, common.Norms.auto, None)
    x = common.open_set(target, "target", target_column, common.BadRows.error, common.Norms.auto, None)
    record = estimate(model, y, x, dtype.value)
    if json:
        common.print_json(record)
        return
    for key, value in record.items():
        shown = format_bytes(value) if key.endswith("bytes") else f"{value:,}" if isinstance(value, int) else value
        print(f"{key:22} {shown}")


def estimate(model: Aligner, y: EmbeddingSet, x: EmbeddingSet, dtype: str) -> dict[str, Any]:
    """Rows, bytes, passes, operations, memory and seconds of a fit followed by a transform."""
    from anisoalign.statistics import float64_below
    from anisoalign.statistics.passes import tile_rows

    d, full = y.dim, model.order == "full"
    precision = float64_below(max(y.rows, x.rows), dtype)
    y_bytes, x_bytes = (s.describe()["bytes"] for s in (y, x))
    fit_passes = 2 if model.calibrated else 1
    moments = (y.rows + x.rows) * d * d if full else 0  # syrk: half of a product's 2 m d²
    maps = 2 * y.rows * d * d if full else 0
    read_rate, flop_rate = _measure(y, d, precision)
    read = (fit_passes + 1) * y_bytes + x_bytes
    written = y.rows * d * 4
    seconds = (read + written) / read_rate + (moments + fit_passes * maps) / flop_rate
    return {
        "method": repr(model),
        "precision": precision.name,
        "source_rows": y.rows,
        "target_rows": x.rows,
        "passes_over_source": fit_passes + 1,
        "passes_over_target": 1,
        "read_bytes": read,
        "written_bytes": written,
        "operations": moments + fit_passes * maps,
        "memory_bytes": 4 * tile_rows(d) * d * precision.itemsize + (8 * d * d * 8 if full else 0),
        "seconds": round(seconds, 1),
    }


def _measure(y: EmbeddingSet, d: int, precision: np.dtype) -> tuple[float, float]:
    """Bytes read and normalised per second, and operations per second of a product, timed here and now."""
    rows = min(_PROBE_ROWS, y.rows)
    started = time.perf_counter()
    y.take(np.arange(rows), precision)
    read = rows * d * y.dtype.itemsize / (time.perf_counter() - started)
    probe = np.ones((_PROBE_ROWS, d), precision)
    started = time.perf_counter()
    np.matmul(probe, np.ones((d, d), precision))
    return read, 2 * _PROBE_ROWS * d * d / (time.perf_counter() - started)
