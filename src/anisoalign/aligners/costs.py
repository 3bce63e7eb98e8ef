"""What a fit and a transform will cost, before they are begun."""

from __future__ import annotations

from typing import Any

import numpy as np

from anisoalign.aligners.anisoalign.aligner import AnisoAlign
from anisoalign.aligners.anisoalign.chosen_strength import folds_at_once
from anisoalign.aligners.anisoalign.settings import check_settings
from anisoalign.aligners.anisoalign.work import sampled_bytes, sampled_work
from anisoalign.aligners.base import Aligner
from anisoalign.aligners.memory_projection import MemoryProjection
from anisoalign.aligners.rates import WRITE_RATE, measured_rates, seconds_of
from anisoalign.embeddings import EmbeddingSet, InputError
from anisoalign.embeddings.workers import cores
from anisoalign.statistics import float64_below, map_precision
from anisoalign.statistics.passes import tile_rows


def estimate(
    model: Aligner,
    y: EmbeddingSet,
    x: EmbeddingSet | None,
    dtype: str,
    *,
    transform: bool = True,
    out_dtype: str = "float32",
) -> dict[str, Any]:
    """Rows, bytes, passes, operations, memory and seconds of a fit followed by a transform.

    Of the transform alone where there is no target, of the fit alone without `transform`. Memory is what comes
    on top of Python and its libraries.
    """
    d, full = y.dim, model.order == "full"
    target_rows = 0 if x is None else x.rows
    alone = x is None
    precision = map_precision(y.rows, dtype, out_dtype) if alone else float64_below(max(y.rows, target_rows), dtype)
    if isinstance(model, AnisoAlign):
        try:
            check_settings(model)
        except ValueError as error:
            raise InputError(f"{model.name}: {error}") from error
    fit_passes, target_passes = (0, 0) if alone else model.passes(y.rows, target_rows)
    passes = fit_passes + transform
    kept = _kept_rows(model, target_rows)
    operations = _operations(model, y.rows, target_rows, d, kept, not alone, transform)
    # Passes for radii and phases: into half of the width, in float64, which takes twice as long.
    again = 0 if alone or not full else max(fit_passes - 2, 0) * y.rows + (target_passes - 1) * target_rows
    operations += again * 2 * d * d
    read = passes * y.describe()["bytes"] + (0 if x is None else target_passes * x.describe()["bytes"])
    written = y.rows * d * np.dtype(out_dtype).itemsize if transform else 0
    read_rate, flop_rate = measured_rates(y, precision, operations > 0)
    seconds = read / read_rate + written / WRITE_RATE + operations / flop_rate
    sampled = 0
    if isinstance(model, AnisoAlign) and not alone:
        sampled = sampled_bytes(model, y.rows, target_rows, d, dtype)
        operations += sampled_work(model, y.rows, target_rows, d).products
        most_rows = min(model.fit_rows, max(y.rows, target_rows))
        longest = sampled_work(model, y.rows, target_rows, d, folds_at_once(model, most_rows, d))
        seconds += seconds_of(longest, d, flop_rate * precision.itemsize / 8 / cores())
    tiles = 2 * cores() * tile_rows(d) * d * precision.itemsize
    return {
        "method": repr(model),
        "precision": precision.name,
        "source_rows": y.rows,
        "target_rows": target_rows,
        "passes_over_source": passes,
        "passes_over_target": target_passes,
        "read_bytes": read,
        "written_bytes": written,
        "operations": operations,
        "memory_bytes": tiles + (8 * d * d * 8 if full else 0) + kept * d * precision.itemsize + sampled,
        "seconds": round(seconds, 1),
    }


def _operations(
    model: Aligner, source_rows: int, target_rows: int, d: int, kept: int, fit: bool, transform: bool
) -> int:
    """Operations of the products, beside which those of sweeps over the rows are few."""
    if isinstance(model, MemoryProjection):
        return 4 * source_rows * kept * d if transform else 0
    if model.order != "full":
        return 0
    moments = (source_rows + target_rows) * d * d if target_rows else 0  # syrk: half of a product's 2 m d²
    maps = (fit and model.calibrated) + transform
    if isinstance(model, AnisoAlign):
        maps *= 3  # transport, guide, restore
    return moments + maps * 2 * source_rows * d * d


def _kept_rows(model: Aligner, target_rows: int) -> int:
    """Target rows that a fitted model holds, or will."""
    if not model.keeps_rows:
        return 0
    if not target_rows:
        return len(vars(model)["rows_"])
    memory = model.get_params()["memory"]
    return min(memory, target_rows) if isinstance(memory, int) and memory > 0 else 0  # which a fit refuses
