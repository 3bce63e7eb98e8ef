"""`anisoalign convert`: between formats, and from pickles if you say so."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from anisoalign.cli import bars, carrying, estimates, idle, messages, opening, options
from anisoalign.cli.transform import OutDtype


class ConvertFormat(StrEnum):
    """Formats that can be converted to."""

    npy = "npy"
    parquet = "parquet"
    safetensors = "safetensors"
    arrow = "arrow"
    hf = "hf"
    lance = "lance"


def convert(
    context: typer.Context,
    source: Annotated[
        Path, typer.Argument(parser=options.parse_place, metavar="SOURCE", help="File or folder to read, or a URI.")
    ],
    out: Annotated[
        Path, typer.Argument(parser=options.parse_place, metavar="OUT", help="New file or folder, or a URI.")
    ],
    format: Annotated[ConvertFormat | None, typer.Option("--format", help="Format of the result.")] = None,
    out_dtype: Annotated[
        OutDtype | None, typer.Option("--dtype", "--out-dtype", help="Precision written; that of the source.")
    ] = None,
    column: Annotated[str | None, typer.Option("--column", help="Column or key of the vectors.")] = None,
    id_column: Annotated[str | None, typer.Option("--id-column", help="Column of the ids.")] = None,
    like: Annotated[
        Path | None,
        typer.Option(
            "--like",
            parser=options.parse_place,
            metavar="PATH",
            help="Set in whose order to write the rows, each by its id.",
        ),
    ] = None,
    like_column: Annotated[str | None, typer.Option("--like-column", help="Column or key of its vectors.")] = None,
    like_id_column: Annotated[str | None, typer.Option("--like-id-column", help="Column of its ids.")] = None,
    bad_rows: options.BadRowsOption = options.BadRows.error,
    memory: options.MemoryOption = None,
    engine: options.EngineOption = carrying.Engine.local,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT once the new one is complete.")] = False,
    allow_pickle: Annotated[
        bool, typer.Option("--allow-pickle", help="Read .pkl files, constructing nothing but numpy arrays.")
    ] = False,
) -> None:
    """Copy embeddings into another format: values as stored, not normalised, ids and other columns along.

    Other columns of vectors (lists of floats) are left out, and named on stderr. Rows that --bad-rows drop leaves out
    are listed in OUT/manifest.json by shard, of a file or a Lance dataset in OUT.dropped.json.

    With --like, row i of OUT is the row of SOURCE that has the id of row i there, so that both are pairs: a picture is
    repeated for each of its captions. Rows whose id SOURCE lacks count as bad rows.
    """
    from anisoalign.embeddings import convert as convert_files
    from anisoalign.embeddings import open_embeddings, open_to_convert, rows_like

    if like is None:
        idle.refuse_idle(context, ("like_column", "like_id_column"), "speaks of the set that --like names")
    else:
        idle.refuse_idle(context, ("engine",), "carries out passes over files: --like gathers rows in this process")

    with opening.column_named_by("--column"):
        rows = open_to_convert(
            source,
            allow_pickle=allow_pickle,
            column=column,
            id_column=id_column,
            bad_rows=bad_rows.value,
            memory=memory,
            dtype=None if out_dtype is None else out_dtype.value,
        )
    if like is not None:
        with opening.column_named_by("--like-column"):
            order = open_embeddings(like, name="like", column=like_column, id_column=like_id_column, norms="normalize")
        rows = rows_like(rows, order)
    estimates.tell_conversion(rows, None if out_dtype is None else out_dtype.value)
    with bars.progress("convert", rows.rows) as done, carrying.carried_by(engine):
        result = convert_files(
            rows,
            out,
            None if format is None else format.value,
            None if out_dtype is None else out_dtype.value,
            overwrite=overwrite,
            progress=done,
        )
    messages.tell_dropped(rows, out=out)
    messages.tell_left_out(rows)
    messages.say(f"{result.rows:,} x {result.dim} {result.dtype}, {result.format}: {out}")
