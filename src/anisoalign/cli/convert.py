"""`anisoalign convert`: between formats, and from pickles if you say so."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from anisoalign.cli import common
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
    source: Annotated[
        Path, typer.Argument(parser=common.parse_place, metavar="SOURCE", help="File or folder to read, or a URI.")
    ],
    out: Annotated[
        Path, typer.Argument(parser=common.parse_place, metavar="OUT", help="New file or folder, or a URI.")
    ],
    format: Annotated[ConvertFormat | None, typer.Option("--format", help="Format of the result.")] = None,
    dtype: Annotated[OutDtype | None, typer.Option("--dtype", help="Precision written; that of the source.")] = None,
    column: Annotated[str | None, typer.Option("--column", help="Column or key of the vectors.")] = None,
    id_column: Annotated[str | None, typer.Option("--id-column", help="Column of the ids.")] = None,
    bad_rows: common.BadRowsOption = common.BadRows.error,
    memory: common.MemoryOption = None,
    engine: common.EngineOption = common.Engine.local,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT once the new one is complete.")] = False,
    allow_pickle: Annotated[
        bool, typer.Option("--allow-pickle", help="Read .pkl files, constructing nothing but numpy arrays.")
    ] = False,
) -> None:
    """Copy embeddings into another format: values as stored, not normalised, ids and other columns along.

    Other columns of vectors (lists of floats) are left out, and named on stderr.
    """
    from anisoalign.embeddings import convert as convert_files
    from anisoalign.embeddings import open_to_convert

    with common.column_named_by("--column"):
        rows = open_to_convert(
            source,
            allow_pickle=allow_pickle,
            column=column,
            id_column=id_column,
            bad_rows=bad_rows.value,
            memory=memory,
        )
    with common.counter("convert") as done, common.carried_by(engine):
        result = convert_files(
            rows,
            out,
            None if format is None else format.value,
            None if dtype is None else dtype.value,
            overwrite=overwrite,
            progress=done,
        )
    common.tell_dropped(rows)
    common.tell_left_out(rows)
    common.say(f"{result.rows:,} x {result.dim} {result.dtype}, {result.format}: {out}")
