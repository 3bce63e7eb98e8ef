"""`anisoalign transform`: write substitutes for target embeddings."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from anisoalign.cli import bars, carrying, frames, messages, opening, options
from anisoalign.cli.plan import tell_plan


class OutDtype(StrEnum):
    """Precision of what is written."""

    float16 = "float16"
    float32 = "float32"
    float64 = "float64"


def transform(
    model: Annotated[Path, typer.Argument(help="Folder of a fitted model.")],
    source: options.SourceOption,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            parser=options.parse_place,
            metavar="PATH",
            help="New folder or URI, or a file where the source is one.",
        ),
    ],
    format: Annotated[options.Format | None, typer.Option("--format", help="Format of the result.")] = None,
    out_dtype: Annotated[OutDtype, typer.Option("--out-dtype", help="Precision written.")] = OutDtype.float32,
    column: Annotated[str | None, typer.Option("--source-column", help="Column or key of the vectors.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT once the new one is complete.")] = False,
    bad_rows: options.BadRowsOption = options.BadRows.error,
    norms: options.NormsOption = options.Norms.auto,
    memory: options.MemoryOption = None,
    engine: options.EngineOption = carrying.Engine.local,
    dtype: options.DtypeOption = options.Dtype.auto,
    device: Annotated[
        str,
        typer.Option("--device", help="cpu, cuda, cuda:N or auto, a GPU where one is there and can do it (float32)."),
    ] = "cpu",
    frame: frames.FrameOption = None,
    side: frames.SideOption = frames.Side.source,
    force: options.ForceApplyOption = False,
) -> None:
    """Turn source embeddings into substitutes for target embeddings: unit rows, ids and other columns along.

    Other columns of vectors (lists of floats) are left out, and named on stderr.

    Rows that --bad-rows drop leaves out are listed in OUT/manifest.json by shard, of a file in OUT.dropped.json.

    OUT appears when it is complete; an interrupted run continues with the same command. Random draws belong to the
    model: they are fixed by the seed it was fitted with and by the number of the row.
    """
    import anisoalign as aa
    from anisoalign.aligners.costs import estimate
    from anisoalign.aligners.modules import draws
    from anisoalign.devices import find_device
    from anisoalign.embeddings import InputError

    place = find_device(device, "--device")
    if engine is carrying.Engine.ray and device not in ("auto", "cpu"):
        raise InputError(f"workers of Ray map on their CPUs: leave --device {device} out, or --engine ray")
    fitted = frames.placed(aa.load(model), frame, side)
    exact = "float64" in (dtype.value, out_dtype.value)
    if device == "auto" and (exact or draws(fitted) or engine is carrying.Engine.ray):
        place = find_device("cpu")
    y = opening.open_set(source, side.value, column, bad_rows, norms, memory, "--source-column")
    tell_plan(estimate(fitted, y, None, dtype.value, out_dtype=out_dtype.value), side.value)
    started = time.perf_counter()
    with bars.progress("transform", y.rows) as done, carrying.carried_by(engine):
        fitted.transform(
            y,
            out,
            dtype=dtype.value,
            out_dtype=out_dtype.value,
            format=None if format is None else format.value,
            overwrite=overwrite,
            progress=done,
            force=force,
            device=str(place),
        )
    messages.tell_dropped(y, out=out)
    messages.tell_left_out(y)
    seconds = time.perf_counter() - started
    messages.say(f"{y.rows - len(y.dropped):,} rows in {seconds:.1f} s ({y.rows / seconds:,.0f}/s): {out}")
