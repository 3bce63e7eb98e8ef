"""Options that several commands take, and what they may say."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from anisoalign.cli.carrying import Engine, check_engine
from anisoalign.places import expanded


class BadRows(StrEnum):
    """What becomes of NaN, infinite and zero rows."""

    error = "error"
    drop = "drop"


class Norms(StrEnum):
    """Whether shards with unit rows and shards without may be mixed."""

    auto = "auto"
    normalize = "normalize"


class Dtype(StrEnum):
    """Precision of the passes."""

    auto = "auto"
    float32 = "float32"
    float64 = "float64"


class Format(StrEnum):
    """Formats that can be written."""

    npy = "npy"
    parquet = "parquet"
    safetensors = "safetensors"
    arrow = "arrow"
    hf = "hf"


def place(text: str | Path) -> Path:
    """A path, or a URI such as s3://bucket/folder, which a `Path` would spoil."""
    if "://" not in str(text):
        return expanded(text)
    from anisoalign.embeddings import locate

    return locate(text)


class UnusableError(Exception):
    """An InputError of an argument, under a name that the argument parser does not take for bad usage."""


def parse_place(text: str | Path) -> Path:
    """`place`, for an option: a URI that leads nowhere is told in one line, without the usage."""
    from anisoalign.embeddings import InputError

    try:
        return place(text)
    except InputError as error:
        raise UnusableError(str(error)) from error


SourceOption = Annotated[
    Path,
    typer.Option(
        "--source",
        parser=parse_place,
        metavar="PATH",
        help="Source embeddings (texts): a file or folder of shards, or a URI.",
    ),
]
TargetOption = Annotated[
    Path,
    typer.Option(
        "--target",
        parser=parse_place,
        metavar="PATH",
        help="Target embeddings (images): a file or folder of shards, or a URI.",
    ),
]
SourceColumn = Annotated[
    str | None,
    typer.Option("--source-column", help="Column or key of the vectors, if there are several (clip-retrieval: text)."),
]
TargetColumn = Annotated[
    str | None, typer.Option("--target-column", help="The same for the target (clip-retrieval: image).")
]
SourceLabels = Annotated[
    Path | None,
    typer.Option("--source-labels", help="Labels of the source rows: one a line, .npy, or FILE:COLUMN of a table."),
]
TargetLabels = Annotated[Path | None, typer.Option("--target-labels", help="The same of the target rows.")]
PairedOption = Annotated[bool, typer.Option("--paired", help="Row i of both sets belongs together.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON on stdout and nothing else there.")]
ReportOption = Annotated[Path | None, typer.Option("--report", help="Also write a page to look at, as HTML.")]
BadRowsOption = Annotated[
    BadRows, typer.Option("--bad-rows", help="Refuse NaN, infinite and zero rows, or drop and list them.")
]
NormsOption = Annotated[
    Norms, typer.Option("--norms", help="normalize accepts a set in which some shards are unit and others not.")
]
MemoryOption = Annotated[
    str | None,
    typer.Option("--memory", help='Bound on rows held at once, like "2GB"; each thread takes some tiles besides.'),
]
DtypeOption = Annotated[
    Dtype,
    typer.Option(
        "--dtype",
        help="Precision; auto is float64 up to 200,000 rows where sums are taken, up to 20,000 where rows are mapped.",
    ),
]
EngineOption = Annotated[
    Engine,
    typer.Option(
        "--engine", callback=check_engine, help="What carries out the passes: threads here, or Ray on a cluster."
    ),
]
ForceOption = Annotated[
    bool, typer.Option("--force", help="Go on although the embeddings say that they come from different encoders.")
]
ForceFitOption = Annotated[
    bool,
    typer.Option(
        "--force",
        help="Go on although the embeddings say that they come from different encoders, or, for aniso-align, share no "
        "leading directions beyond chance.",
    ),
]
ForceApplyOption = Annotated[
    bool,
    typer.Option(
        "--force",
        help="Go on although the embeddings say that they come from another encoder, or are of another modality, than "
        "the sources of the fit.",
    ),
]
ForceExploreOption = Annotated[
    bool,
    typer.Option(
        "--force",
        help="Go on although the embeddings say that they come from different encoders, or the source from another "
        "encoder or modality than the sources of the fit.",
    ),
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Of every random draw.")]
