"""`anisoalign plan`: what a fit and a transform will cost, before they are begun."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from anisoalign.cli import checks, messages, opening, options
from anisoalign.cli.idle import refuse_idle

OF_A_METHOD = ("source", "target", "source_column", "target_column", "bad_rows", "norms", "memory", "dtype")
OF_A_TRAINING = ("processes", "tflops", "conversations", "tokens", "width")
"""Parameters of `plan` that only one of its two kinds has a use for."""


def plan(
    context: typer.Context,
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
    from anisoalign.aligners.costs import estimate
    from anisoalign.aligners.origins import open_sets
    from anisoalign.aligners.registry import make, parse_parts, parse_setting
    from anisoalign.embeddings import InputError

    if method.endswith(".toml"):
        if "://" in method:
            raise InputError(f"{method}: settings of a training lie on disks; name a file of this machine")
        refuse_idle(context, OF_A_METHOD, "is for the plan of a method; SETTINGS.toml names the files of a training")
        _plan_training(method, change, width, json, processes, tflops, conversations, tokens)
        return
    refuse_idle(context, OF_A_TRAINING, "is for the plan of a training, which SETTINGS.toml describes")
    if source is None or target is None:
        raise InputError("--source and --target are needed to plan a method")

    name, preset, inline = parse_parts(method)
    model = make(name, {**inline, **dict(parse_setting(text) for text in change or [])}, preset)
    y = opening.open_set(source, "source", source_column, bad_rows, norms, memory)
    x = opening.open_set(target, "target", target_column, bad_rows, norms, memory)
    open_sets(y, x, bool(model.get_params().get("force")))  # what a fit would refuse is not planned
    record = estimate(model, y, x, dtype.value)
    if json:
        messages.print_json(record)
        return
    _print_record(record)


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
    from anisoalign.embeddings import InputError, open_embeddings
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
    records = plan_training(read, width, processes=processes, tflops=tflops, conversations=conversations, tokens=tokens)
    if json:
        messages.print_json(records)
        return
    for record in records:
        _print_record(record)
        print()


def _print_record(record: dict[str, Any]) -> None:
    from anisoalign.embeddings import format_bytes

    for key, value in record.items():
        shown = format_bytes(value) if key.endswith("bytes") else f"{value:,}" if isinstance(value, int) else value
        print(f"{key:22} {shown}")


def tell_plan(record: dict[str, Any], side: str = "source") -> None:
    """State a plan in a line, on stderr, before the work begins; `side` is whose rows those of the source are."""
    from anisoalign.embeddings import format_bytes

    passes = f"{record['passes_over_source']} pass(es) over {record['source_rows']:,} {side} rows"
    if record["passes_over_target"]:
        passes += f" and {record['passes_over_target']} over {record['target_rows']:,} target rows"
    written = f", write {format_bytes(record['written_bytes'])}" if record["written_bytes"] else ""
    messages.say(
        f"plan: {passes}: read {format_bytes(record['read_bytes'])}{written}; "
        f"about {format_bytes(record['memory_bytes'])} of memory and {record['seconds']} s, in {record['precision']}"
    )
