"""`anisoalign plan`: what a fit and a transform will cost, before they are begun."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import astuple
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from anisoalign.cli import checks, messages, opening, options

if TYPE_CHECKING:
    from anisoalign.aligners import Aligner
    from anisoalign.aligners.anisoalign.work import Work
    from anisoalign.embeddings import EmbeddingSet

_PROBES = 3
_PROBE_OPERATIONS = 1 << 30
"""Size of a product that is timed: some hundredths of a second, however wide the rows are."""

_PROBE_WIDTH = 256
"""Of a matrix that is decomposed, if rows are wider."""

_STEP = 2e-3
"""Seconds that a step of training takes beside its products and exponentials: some hundred small operations."""

_IMPORT = 1.0
"""Seconds that a library takes to be imported."""

_WRITE_RATE = 500e6
"""Bytes per second that are taken for writing, since trying it out would take a place to write."""


def plan(
    method: Annotated[
        str, typer.Argument(help="NAME or NAME:param=value,... of the method; or SETTINGS.toml of a training.")
    ],
    source: Annotated[
        Path | None,
        typer.Option(
            "--source",
            parser=options.parse_place,
            metavar="PATH",
            help="Source embeddings (texts), of a method; a path or a URI.",
        ),
    ] = None,
    target: Annotated[
        Path | None,
        typer.Option(
            "--target",
            parser=options.parse_place,
            metavar="PATH",
            help="Target embeddings (images), of a method; a path or a URI.",
        ),
    ] = None,
    source_column: options.SourceColumn = None,
    target_column: options.TargetColumn = None,
    json: options.JsonOption = False,
    bad_rows: options.BadRowsOption = options.BadRows.error,
    norms: options.NormsOption = options.Norms.auto,
    memory: options.MemoryOption = None,
    dtype: options.DtypeOption = options.Dtype.auto,
    change: Annotated[
        list[str] | None, typer.Option("--set", help="A parameter of the method; of a training: as for train.")
    ] = None,
    processes: Annotated[int, typer.Option("--processes", min=1, help="Of a training: one a GPU.")] = 1,
    tflops: Annotated[float, typer.Option("--tflops", help="Of a training: TFLOP/s that a GPU sustains.")] = 120.0,
    conversations: Annotated[
        int | None, typer.Option("--conversations", min=1, help="Of a training whose files are not here: how many.")
    ] = None,
    tokens: Annotated[float | None, typer.Option("--tokens", min=1, help="And tokens of each, on average.")] = None,
    width: Annotated[int | None, typer.Option("--width", min=1, help="And the width of the embeddings.")] = None,
) -> None:
    """State rows, bytes, passes, memory and time of fitting a method and transforming the source, or of a training.

    The time is an estimate from a product and a read that are timed on the spot, and from 500 MB/s of writing; for
    aniso-align from a decomposition and exponentials too, within a factor of about two where nothing else runs and
    stages train on the CPU. That of a training, from the operations and the rate that a GPU sustains.
    """
    from anisoalign.aligners.registry import make, parse_parts, parse_setting
    from anisoalign.embeddings import InputError, format_bytes

    if method.endswith(".toml"):
        if "://" in method:
            raise InputError(f"{method}: settings of a training lie on disks; name a file of this machine")
        _plan_training(method, change, width, json, processes, tflops, conversations, tokens)
        return
    if source is None or target is None:
        raise InputError("--source and --target are needed to plan a method")

    name, preset, inline = parse_parts(method)
    model = make(name, {**inline, **dict(parse_setting(text) for text in change or [])}, preset)
    y = opening.open_set(source, "source", source_column, bad_rows, norms, memory)
    x = opening.open_set(target, "target", target_column, bad_rows, norms, memory)
    record = estimate(model, y, x, dtype.value)
    if json:
        messages.print_json(record)
        return
    for key, value in record.items():
        shown = format_bytes(value) if key.endswith("bytes") else f"{value:,}" if isinstance(value, int) else value
        print(f"{key:22} {shown}")


def _plan_training(
    settings: str,
    change: list[str] | None,
    width: int | None,
    json: bool,
    processes: int,
    tflops: float,
    conversations: int | None,
    tokens: float | None,
) -> None:
    checks.check_extra("mllm")
    from anisoalign.embeddings import InputError, format_bytes, open_embeddings
    from anisoalign.mllm import TrainSettings
    from anisoalign.mllm.planning import plan_training

    if not 0 < tflops < float("inf"):
        raise InputError(f"--tflops must be a number above 0, not {tflops}")
    read = TrainSettings.read(settings, change or ())
    if not read.stages:
        raise InputError(f"{settings} has no [stages.NAME]")
    first = next(iter(read.stages.values()))
    if width is None:
        if not Path(first.embeddings).exists():
            raise InputError(f"{first.embeddings or 'no embeddings'}: is not here to be looked at; say --width N")
        width = open_embeddings(first.embeddings).dim
    given = {"processes": processes, "tflops": tflops, "conversations": conversations, "tokens": tokens}
    records = plan_training(read, width, **given)
    if json:
        messages.print_json(records)
        return
    for record in records:
        for key, value in record.items():
            shown = format_bytes(value) if key.endswith("bytes") else f"{value:,}" if isinstance(value, int) else value
            print(f"{key:22} {shown}")
        print()


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
    from anisoalign.aligners import AnisoAlign
    from anisoalign.aligners.anisoalign.settings import check_settings
    from anisoalign.aligners.anisoalign.work import sampled_bytes, sampled_work
    from anisoalign.embeddings import InputError
    from anisoalign.embeddings.workers import cores
    from anisoalign.statistics import float64_below, map_precision
    from anisoalign.statistics.passes import tile_rows

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
    read_rate, flop_rate = _measure(y, precision, operations > 0)
    seconds = read / read_rate + written / _WRITE_RATE + operations / flop_rate
    sampled = 0
    if isinstance(model, AnisoAlign) and not alone:
        sampled = sampled_bytes(model, y.rows, target_rows, d, dtype)
        work = sampled_work(model, y.rows, target_rows, d)
        operations += work.products
        seconds += _seconds(work, d, flop_rate * precision.itemsize / 8 / cores())
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


def tell_plan(record: dict[str, Any]) -> None:
    """State a plan in a line, on stderr, before the work begins."""
    from anisoalign.embeddings import format_bytes

    passes = f"{record['passes_over_source']} pass(es) over {record['source_rows']:,} source rows"
    if record["passes_over_target"]:
        passes += f" and {record['passes_over_target']} over {record['target_rows']:,} target rows"
    written = f", write {format_bytes(record['written_bytes'])}" if record["written_bytes"] else ""
    messages.say(
        f"plan: {passes}: read {format_bytes(record['read_bytes'])}{written}; "
        f"about {format_bytes(record['memory_bytes'])} of memory and {record['seconds']} s, in {record['precision']}"
    )


def _operations(
    model: Aligner, source_rows: int, target_rows: int, d: int, kept: int, fit: bool, transform: bool
) -> int:
    """Operations of the products, beside which those of sweeps over the rows are few."""
    from anisoalign.aligners import AnisoAlign, MemoryProjection

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


def _measure(y: EmbeddingSet, precision: np.dtype, products: bool) -> tuple[float, float]:
    """Bytes read and normalised per second, and operations of products per second, timed here and now.

    Both are timed in one thread, as a worker does them, a few times: the best counts, since passes are long.
    """
    from threadpoolctl import threadpool_limits

    from anisoalign.embeddings.workers import cores

    d, reads = y.dim, []
    started = time.perf_counter()
    # Tiles and no more, so that a memory budget that is enough for passes is enough for the plan.
    for tile in islice(y.tiles(precision, buffer=y.tile_buffer(precision)), _PROBES):
        reads.append(len(tile) * d * y.dtype.itemsize / (time.perf_counter() - started))
        started = time.perf_counter()
    if not products:
        return cores() * max(reads), 1.0
    rows = min(4096, max(_PROBE_OPERATIONS // (2 * d * d), 256))
    probe, matrix = np.ones((rows, d), precision), np.ones((d, d), precision)
    with threadpool_limits(limits=1, user_api="blas"):
        seconds = _fastest(lambda: np.matmul(probe, matrix))
    return cores() * max(reads), cores() * 2 * rows * d * d / seconds


def _seconds(work: Work, d: int, flop_rate: float) -> float:
    """Time of the work on samples, of one thread: eigendecompositions and exponentials are timed here and now too."""
    from threadpoolctl import threadpool_limits

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
