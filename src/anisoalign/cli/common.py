"""What the commands share: options, opening sets, progress, printing."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from anisoalign.embeddings import EmbeddingSet


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


class Engine(StrEnum):
    """What carries out the passes."""

    local = "local"
    ray = "ray"


class Format(StrEnum):
    """Formats that can be written."""

    npy = "npy"
    parquet = "parquet"
    safetensors = "safetensors"
    arrow = "arrow"
    hf = "hf"


def _check_engine(engine: Engine) -> Engine:
    """Raise InputError, before any work, where the engine is not installed."""
    from importlib.util import find_spec

    if engine is Engine.ray and find_spec("ray") is None:
        from anisoalign.embeddings import InputError

        raise InputError('--engine ray needs Ray: pip install "anisoalign[ray]"')
    return engine


@contextmanager
def carried_by(engine: Engine) -> Iterator[None]:
    """Have the passes within the block carried out by an engine."""
    if engine is Engine.local:
        yield
        return
    from anisoalign.scale import on_ray

    with on_ray() as ray:
        say(f"ray: up to {ray.hands} workers")
        yield


@contextmanager
def in_processes(engine: Engine) -> Iterator[None]:
    """Join the processes of torchrun, if it started this one."""
    if os.environ.get("WORLD_SIZE", "1") == "1":
        yield
        return
    from anisoalign.embeddings import InputError
    from anisoalign.scale import processes

    if engine is not Engine.local:
        raise InputError("torchrun's processes share the passes themselves: leave --engine out")
    with processes():
        yield


def place(text: str | Path) -> Path:
    """A path, or a URI such as s3://bucket/folder, which a `Path` would spoil."""
    if "://" not in str(text):
        return Path(text)
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
PairedOption = Annotated[bool, typer.Option("--paired", help="Row i of both sets belongs together.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON on stdout and nothing else there.")]
ReportOption = Annotated[Path | None, typer.Option("--report", help="Also write a page to look at, as HTML.")]
BadRowsOption = Annotated[
    BadRows, typer.Option("--bad-rows", help="Refuse NaN, infinite and zero rows, or drop and list them.")
]
NormsOption = Annotated[
    Norms, typer.Option("--norms", help="normalize accepts a set in which some shards are unit and others not.")
]
MemoryOption = Annotated[str | None, typer.Option("--memory", help='Budget for what is resident, like "2GB".')]
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
        "--engine", callback=_check_engine, help="What carries out the passes: threads here, or Ray on a cluster."
    ),
]
ForceOption = Annotated[
    bool, typer.Option("--force", help="Go on although the embeddings say that they come from different encoders.")
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Of every random draw.")]


def console() -> Console:
    """Terminal for messages and progress: stderr."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


def first_process() -> bool:
    """Whether this is the one of several processes, as torchrun numbers them, that speaks and writes."""
    return os.environ.get("RANK", "0") == "0"


def say(text: str) -> None:
    """Print a message, to stderr."""
    if first_process():
        print(text, file=sys.stderr)


def print_json(value: Any) -> None:
    """Print a result as JSON, to stdout."""
    # Where stdout is no Unicode JSON escapes for itself: what Python would write for an é there, \xe9, is no JSON.
    unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    print(json.dumps(value, indent=1, allow_nan=False, ensure_ascii=not unicode))


def print_rich(*parts: Any) -> None:
    """Print tables and text to stdout, 120 columns wide where it is no terminal."""
    from rich.console import Console

    plain = not sys.stdout.isatty()
    out = Console(width=120 if plain else None, highlight=False, soft_wrap=False)
    for part in parts:
        out.print(part)


def open_set(
    path: Path,
    name: str,
    column: str | None,
    bad_rows: BadRows,
    norms: Norms,
    memory: str | None,
    column_flag: str | None = None,
) -> EmbeddingSet:
    """Open a set and state what it is, on stderr; `column_flag` is --NAME-column where nothing else is said."""
    from anisoalign.embeddings import format_bytes, open_embeddings

    if column is None and all((path / kind).is_dir() for kind in ("img_emb", "text_emb")):
        column = {"source": "text", "target": "image"}.get(name)  # clip-retrieval's layout holds both
    with column_named_by(column_flag or f"--{name}-column"):
        opened = open_embeddings(
            path, name=name, column=column, bad_rows=bad_rows.value, norms=norms.value, memory=memory
        )
    about = opened.describe()
    say(
        f"{name}: {about['rows']:,} x {about['dim']} {about['dtype']}, {about['format']}, {about['shards']} shard(s), "
        f"{format_bytes(about['bytes'])}; {about['norms']}{_made_by(opened)}"
    )
    return opened


def _made_by(embeddings: EmbeddingSet) -> str:
    from anisoalign.embeddings.provenance import in_words

    return "" if embeddings.provenance is None else f"; made by {in_words(embeddings.provenance)}"


@contextmanager
def column_named_by(flag: str) -> Iterator[None]:
    """Let a message that asks for a column name the flag of this command."""
    from anisoalign.embeddings import ColumnError

    try:
        yield
    except ColumnError as error:
        raise ColumnError(error.problem, error.choices, flag) from error


def tell_left_out(embeddings: EmbeddingSet) -> None:
    """State which columns do not go along into the result."""
    if embeddings.left_out:
        say(f"{embeddings.name}: left out, as they could be taken for its vectors: {listed(embeddings.left_out)}")


def tell_dropped(*sets: EmbeddingSet) -> None:
    """State how many bad rows were left out, and list the first ten of each set."""
    for embeddings in sets:
        if embeddings.dropped:
            say(f"{embeddings.name}: {len(embeddings.dropped)} bad row(s) dropped")
            for row in embeddings.dropped[:10]:
                say(f"  {row.file}, row {row.row}: {row.reason}")


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Bar with rate and time left on stderr; yields a function to be called with what has been done."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
    with Progress(
        *columns, console=console(), transient=True, disable=not (sys.stderr.isatty() and first_process())
    ) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, advance=done)


@contextmanager
def stages() -> Iterator[Callable[..., None]]:
    """Bars of training stages on stderr; yields a function of a stage's name, its step and its number of steps.

    A fourth argument is written behind the name, as a loss is.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    tasks: dict[str, Any] = {}
    with Progress(
        *columns, console=console(), transient=True, disable=not (sys.stderr.isatty() and first_process())
    ) as bar:

        def step(stage: str, done: int, total: int, note: str = "") -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=total)
            bar.update(tasks[stage], completed=done, description=f"{stage}{note}")

        yield step


@contextmanager
def counter(what: str) -> Iterator[Callable[[int], None]]:
    """Count of rows done on stderr, where their number is not known before."""
    from rich.progress import Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description} {task.completed:,.0f} rows"), _Rate(), TimeElapsedColumn())
    with Progress(
        *columns, console=console(), transient=True, disable=not (sys.stderr.isatty() and first_process())
    ) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done: bar.update(task, advance=done)


def _Rate() -> Any:  # noqa: N802 - stands where rich has column classes
    from rich.progress import ProgressColumn, Task
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text("" if speed is None else f"{speed:,.0f}/s")

    return Rate()


def read_side_labels(
    labels: Path | None, source_labels: Path | None, target_labels: Path | None, source_rows: int, target_rows: int
) -> tuple[list[str] | None, list[str] | None]:
    """Labels of both sides: one file for both, or one each."""
    from anisoalign.embeddings import InputError, read_labels

    if labels is not None and (source_labels is not None or target_labels is not None):
        raise InputError("give --labels for both sides, or --source-labels and --target-labels, not both")
    source_labels, target_labels = source_labels or labels, target_labels or labels
    return (
        None if source_labels is None else read_labels(source_labels, source_rows),
        None if target_labels is None else read_labels(target_labels, target_rows),
    )


def check_extra(extra: str, *packages: str) -> None:
    """Raise InputError, before any work, where packages of an extra are not installed."""
    from importlib.util import find_spec

    from anisoalign.embeddings import InputError

    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        raise InputError(f'{listed(missing)} is not installed: pip install "anisoalign[{extra}]"')


def check_report(path: Path | None, *inputs: Any) -> None:
    """Raise InputError, before any work, where a page could not be written; as `check_file`."""
    from importlib.util import find_spec

    from anisoalign.embeddings import InputError

    if path is not None and not find_spec("jinja2"):
        raise InputError('a report needs jinja2: pip install "anisoalign[report]"')
    check_file(path, *inputs)


def check_explorer() -> None:
    """Raise InputError, before any work, where the explorer's libraries are not installed."""
    from importlib.util import find_spec

    from anisoalign.embeddings import InputError

    missing = [name for name in ("starlette", "uvicorn", "jinja2") if not find_spec(name)]
    if missing:
        raise InputError(f'the explorer needs {", ".join(missing)}: pip install "anisoalign[explore]"')


def check_file(path: Path | None, *inputs: Any) -> None:
    """Raise InputError, before any work, where a file could not be written, or would replace one of the inputs.

    Inputs that are no paths of this machine, or None, are no file that could be replaced.
    """
    from anisoalign.embeddings import InputError
    from anisoalign.embeddings.atomic import check_regular

    if path is None:
        return
    folder = path.absolute().parent
    if path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise InputError(f"{path} cannot be written: it must be a file in a folder that exists")
    check_regular(path)
    if any(isinstance(read, Path) and os.path.realpath(read) == os.path.realpath(path) for read in inputs):
        raise InputError(f"{path} is named twice in this command, which would replace it; choose another name")


def listed(values: Sequence[Any]) -> str:
    """Values separated by commas."""
    return ", ".join(str(value) for value in values)
