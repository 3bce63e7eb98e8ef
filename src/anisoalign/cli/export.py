"""`anisoalign export`: a fitted model as one file for other runtimes."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from anisoalign.cli import frames, messages, opening, options
from anisoalign.cli.idle import refuse_idle


class Target(StrEnum):
    """Formats of exported models."""

    onnx = "onnx"
    torch_export = "torch-export"


class Precision(StrEnum):
    """Of the matrices."""

    fp32 = "fp32"
    fp16 = "fp16"
    int8 = "int8"


OF_A_SOURCE = ("column", "sample", "bad_rows", "norms", "memory", "force")
"""Parameters of `export` that say how a source is read and measured."""


def export(
    context: typer.Context,
    model: Annotated[Path, typer.Argument(help="Folder of a fitted model.")],
    to: Annotated[Target, typer.Option("--to", help="Format of the file.")],
    out: Annotated[Path, typer.Option("--out", help="New file; .pt2 for torch-export.")],
    precision: Annotated[Precision, typer.Option("--precision", help="Of the matrices.")] = Precision.fp32,
    source: Annotated[
        Path | None,
        typer.Option(
            "--source", parser=options.parse_place, metavar="PATH", help="Rows on which the loss is measured."
        ),
    ] = None,
    column: Annotated[str | None, typer.Option("--source-column", help="Column or key of the vectors.")] = None,
    sample: Annotated[int, typer.Option("--sample", min=1, help="Rows measured at most.")] = 2000,
    bad_rows: options.BadRowsOption = options.BadRows.error,
    norms: options.NormsOption = options.Norms.auto,
    memory: options.MemoryOption = None,
    json: options.JsonOption = False,
    seed: options.SeedOption = 0,
    frame: frames.FrameOption = None,
    side: frames.SideOption = frames.Side.source,
    force: options.ForceApplyOption = False,
) -> None:
    """Write a model for onnxruntime or PyTorch, and state what the file loses against the model.

    Raw embeddings in, aligned unit rows out, float32, any number of rows.
    """
    import anisoalign as aa
    from anisoalign.serving import export as write

    if source is None:
        refuse_idle(context, OF_A_SOURCE, "says how the rows of --source PATH are measured, which is not given")
    fitted = frames.placed(aa.load(model), frame, side)
    rows = None
    if source is not None:
        rows = opening.open_set(source, side.value, column, bad_rows, norms, memory, "--source-column")
    made = write(
        fitted, out, to=to.value, precision=precision.value, source=rows, sample=sample, seed=seed, force=force
    )
    if rows is not None:
        messages.tell_dropped(rows)
    if json:
        messages.print_json(made.to_dict())
        return
    print(
        f"{made.file}: {made.to}, {made.precision}, {made.bytes:,} bytes\n"
        f"against the model on {made.rows} rows ({made.on}): cosine {made.mean_cosine:.6f} on average, "
        f"{made.least_cosine:.6f} at least; values differ by {made.largest_difference:.1e} at most"
    )
    if source is None and precision is not Precision.fp32:
        messages.say("random rows say little about yours: --source PATH measures the loss on them")
