"""Run a fitted model over arrays in memory, or over shards into a new folder."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from anisoalign.aligners.on_device import device_for, lies_on, mapped_on, tiles_on
from anisoalign.aligners.origins import aligned_provenance, check_source
from anisoalign.aligners.saving import aligner_fingerprint
from anisoalign.embeddings import (
    EmbeddingSet,
    InputError,
    RemotePath,
    Span,
    Tile,
    check_apart,
    file_states,
    fingerprint,
    locate,
    open_embeddings,
    write_tiles,
    writer_for,
)
from anisoalign.embeddings.arguments import type_name
from anisoalign.embeddings.tiles import undivided
from anisoalign.embeddings.workers import in_order
from anisoalign.statistics import map_precision

if TYPE_CHECKING:
    from anisoalign.aligners.base import Aligner


def refuse_reading(options: dict[str, Any]) -> None:
    """Raise TypeError for options of how rows are read, which are said where a set is opened.

    Examples
    --------
    >>> refuse_reading({"column": "text"})
    Traceback (most recent call last):
    TypeError: transform takes no column: give it `aa.open_embeddings(x, column=...)`
    """
    said = [name for name in options if name in ("name", "column", "id_column", "bad_rows", "norms", "memory")]
    if said:
        ways = ", ".join("bad_rows='drop'" if name == "bad_rows" else f"{name}=..." for name in said)
        raise TypeError(f"transform takes no {', '.join(said)}: give it `aa.open_embeddings(x, {ways})`")


def check_dtypes(dtype: str, out_dtype: Any) -> str:
    """Name of the type of the result; InputError for one in which rows cannot be mapped, or unit rows not kept."""
    if dtype not in ("auto", "float32", "float64"):
        raise InputError(
            f"dtype is the precision in which rows are mapped, 'auto', 'float32' or 'float64', not {dtype!r}; that of "
            "the result is out_dtype"
        )
    name = type_name(out_dtype)
    if name not in ("float16", "float32", "float64"):
        raise InputError(f"aligned rows are float16, float32 or float64, not {out_dtype!r}")
    return name


def transform_rows(
    model: Aligner,
    source: Any,
    *,
    dtype: str = "auto",
    out_dtype: Any = "float32",
    first_row: int = 0,
    force: bool = False,
    device: str = "auto",
) -> Any:
    """Aligned rows in the container given: array for array, tensor for tensor, one row for one row.

    `first_row` is the global number of the first row, by which random draws are keyed.
    """
    out_dtype = check_dtypes(dtype, out_dtype)
    place = device_for(model, source, device, dtype, out_dtype)
    single = isinstance(source, np.ndarray | Tensor) and source.ndim == 1
    if isinstance(source, Tensor) and place.type != "cpu" and lies_on(source, place):
        aligned = _where_it_lies(model, source, out_dtype)
        if aligned is not None:
            return aligned
        place = torch.device("cpu")  # where rows are judged
    if single and isinstance(source, np.ndarray) and not np.ma.isMaskedArray(source) and place.type == "cpu":
        aligned = _one_row(model, source, map_precision(1, dtype), out_dtype, first_row)
        if aligned is not None:
            return aligned
    rows = open_embeddings(source[None] if single else source)
    check_source(model, rows, force)
    way = _way(model, place, map_precision(rows.rows, dtype, out_dtype), out_dtype, first_row)
    aligned = _mapped(rows, way, out_dtype, alone=place.type != "cpu")
    aligned = aligned[0] if single else aligned
    return torch.from_numpy(aligned).to(source.device) if isinstance(source, Tensor) else aligned


def _mapped(rows: EmbeddingSet, way: _Way, out_dtype: str, alone: bool) -> np.ndarray:
    """Aligned rows of a set, tiles side by side unless one worker is to do them `alone`."""
    aligned, parts = np.empty((rows.rows, rows.dim), out_dtype), rows.spans(tiles=1)

    def worker() -> Callable[[Span], None]:
        move, buffer = way.make(), rows.tile_buffer(way.precision)
        sweep = getattr(move, "sweep", None)

        def work(span: Span) -> None:
            for tile in rows.tiles(way.precision, span=span, buffer=buffer, divide=way.divide, sweep=sweep):
                first, last = tile.rows[[0, -1]]
                # A slice is written several times as fast as rows by number.
                where = slice(first, last + 1) if last - first + 1 == len(tile) else tile.rows
                aligned[where] = move(tile).numpy()

        return work

    if len(parts) == 1:  # a batch of queries: setting up threads takes longer
        worker()(parts[0])
    else:
        for _ in in_order(worker, parts, 1 if alone else None):
            pass
    rows.check_some_kept()
    return aligned[rows.kept()] if rows.dropped else aligned


class _Way(NamedTuple):
    """How tiles are read, and what makes, for one worker, the function that maps them."""

    precision: np.dtype
    divide: bool
    make: Callable[[], Callable[[Tile], Tensor]]


def _way(model: Aligner, place: torch.device, precision: np.dtype, out_dtype: str, first_row: int = 0) -> _Way:
    """By the CPU in a precision; by another device in float32."""
    if place.type == "cpu":
        return _Way(precision, not model.takes_undivided, partial(model.tile_mapping, precision, first_row, out_dtype))
    return _Way(np.dtype(np.float32), True, partial(tiles_on, model, str(place), out_dtype))


def _where_it_lies(model: Aligner, source: Tensor, out_dtype: str) -> Tensor | None:
    """Aligned rows of a tensor on its own device; None for one that has to be looked at, and judged, as a set."""
    if source.shape[-1:] != (model.n_features_in_,) or source.ndim not in (1, 2) or not source.is_floating_point():
        return None
    aligned = mapped_on(model, source.reshape(-1, model.n_features_in_), out_dtype)
    return None if aligned is None else aligned.reshape(source.shape)


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
    out_dtype: Any = "float32",
    format: str | None = None,
    overwrite: bool = False,
    progress: Callable[[int], None] | None = None,
    force: bool = False,
    device: str = "auto",
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
        Transform although the rows say that they come from another encoder, or are of another modality, than the fitted
        sources.
    device : str
        Where rows are mapped, see `device_for`.
    """
    out_dtype = check_dtypes(dtype, out_dtype)
    rows = open_embeddings(source)
    check_source(model, rows, force)
    place = device_for(model, None, device, dtype, out_dtype)  # a tensor's rows come over to be written
    out = locate(out)
    check_apart(rows, out)
    way = _way(model, place, map_precision(rows.rows, dtype, out_dtype), str(out_dtype))
    digits = aligner_fingerprint(model)
    plan = {
        "model": digits,
        "precision": way.precision.name,
        "bad_rows": rows.bad_rows,
        "source": fingerprint(rows),
    }
    if place.type != "cpu":
        plan["device"] = place.type  # the last digits are its own: what the CPU began, it does not finish
    origin = aligned_provenance(model, rows, digits if model.whole is model else aligner_fingerprint(model.whole))
    with writer_for(out, rows.dim, out_dtype, format, plan, overwrite, file_states(rows), origin) as writer:
        write_tiles(rows, writer, way.make, dtype=way.precision, divide=way.divide, progress=progress)
    return out
