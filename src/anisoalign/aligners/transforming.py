"""Run a fitted model over arrays in memory, or over shards into a new folder."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from anisoalign.aligners.origins import aligned_provenance, check_source
from anisoalign.aligners.saving import fingerprint
from anisoalign.embeddings import (
    EmbeddingSet,
    InputError,
    RemotePath,
    Tile,
    check_apart,
    file_states,
    locate,
    open_embeddings,
    write_tiles,
    writer_for,
)
from anisoalign.embeddings import fingerprint as data_fingerprint
from anisoalign.embeddings.tiles import undivided
from anisoalign.statistics import map_precision

if TYPE_CHECKING:
    from anisoalign.aligners.base import Aligner


def check_fits(model: Aligner, source: EmbeddingSet) -> None:
    """Raise InputError where the rows are not as wide as those the model was fitted on."""
    if source.dim != model.n_features_in_:
        raise InputError(f"{source.name} has width {source.dim}, the model was fitted on width {model.n_features_in_}")


def check_out_dtype(out_dtype: str) -> None:
    """Raise InputError for a type in which unit rows cannot be kept."""
    if str(out_dtype) not in ("float16", "float32", "float64"):
        raise InputError(f"aligned rows are float16, float32 or float64, not {out_dtype!r}")


def transform_rows(
    model: Aligner,
    source: Any,
    *,
    dtype: str = "auto",
    out_dtype: str = "float32",
    first_row: int = 0,
    force: bool = False,
) -> Any:
    """Aligned rows in the container given: array for array, tensor for tensor, one row for one row.

    `first_row` is the global number of the first row, by which random draws are keyed.
    """
    check_out_dtype(out_dtype)
    single = isinstance(source, np.ndarray | Tensor) and source.ndim == 1
    if single and isinstance(source, np.ndarray):
        aligned = _one_row(model, source, map_precision(1, dtype), out_dtype, first_row)
        if aligned is not None:
            return aligned
    rows = open_embeddings(source[None] if single else source)
    check_fits(model, rows)
    check_source(model, rows, force)
    precision = map_precision(rows.rows, dtype, out_dtype)
    aligned, filled, move = np.empty((rows.rows, rows.dim), out_dtype), 0, model.tile_mapping(precision, first_row)
    for tile in rows.tiles(dtype=precision, divide=not model.takes_undivided):
        aligned[filled : filled + len(tile)] = move(tile).numpy()
        filled += len(tile)
    aligned = aligned[0] if single else aligned[:filled]
    return torch.from_numpy(aligned).to(source.device) if isinstance(source, Tensor) else aligned


def _one_row(model: Aligner, row: np.ndarray, precision: np.dtype, out_dtype: str, first_row: int) -> np.ndarray | None:
    """What a tile of this row alone gives, without opening a set, which takes longer; None where that must judge it."""
    if row.shape != (model.n_features_in_,) or row.dtype not in (np.float16, np.float32, np.float64):
        return None
    values, lengths, _, bad = undivided(row[None], precision)
    if bad:
        return None
    tile = Tile(values, np.zeros(1, np.int64), 0, 0, 1 / lengths)
    if not model.takes_undivided:
        values /= lengths[:, None]
        tile = Tile(values, tile.rows, 0, 0)
    return model.tile_mapping(precision, first_row)(tile).numpy()[0].astype(out_dtype)


def write_transformed(
    model: Aligner,
    source: Any,
    out: str | Path | RemotePath,
    *,
    dtype: str = "auto",
    out_dtype: str = "float32",
    format: str | None = None,
    overwrite: bool = False,
    progress: Callable[[int], None] | None = None,
    force: bool = False,
) -> Path | RemotePath:
    """Write aligned rows shard by shard into `out`, which appears when it is complete; ids travel along.

    An interrupted run continues with the first unfinished shard, provided that model, input and settings are
    the same, and ends with the same bytes.

    Parameters
    ----------
    out : path
        A new folder, or a file where the source is one file; or a URI of one.
    format : {"npy", "parquet", "safetensors", "arrow", "hf"}, optional
        By default what the ending of `out` says, npy for a folder.
    progress : callable, optional
        Called with the number of rows done, by several threads.
    force : bool
        Transform although the rows say that they come from another encoder than the fitted sources.
    """
    rows = open_embeddings(source)
    check_fits(model, rows)
    check_source(model, rows, force)
    check_out_dtype(out_dtype)
    out = locate(out)
    check_apart(rows, out)
    precision = map_precision(rows.rows, dtype, out_dtype)
    digits = fingerprint(model)
    plan = {
        "model": digits,
        "precision": precision.name,
        "bad_rows": rows.bad_rows,
        "source": data_fingerprint(rows),
    }
    origin = aligned_provenance(model, rows, digits)
    with writer_for(out, rows.dim, out_dtype, format, plan, overwrite, file_states(rows), origin) as writer:
        move = partial(model.tile_mapping, precision, out_dtype=str(out_dtype))
        write_tiles(rows, writer, move, dtype=precision, divide=not model.takes_undivided, progress=progress)
    return out
