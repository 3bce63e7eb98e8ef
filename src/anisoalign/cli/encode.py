"""`anisoalign encode`: images, texts and sounds into embeddings."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anisoalign.cli import bars, carrying, messages, options

if TYPE_CHECKING:
    from anisoalign.encoders.running import Outcome


class OnUnreadable(StrEnum):
    """What becomes of items that cannot be decoded."""

    list = "list"
    error = "error"


class Compute(StrEnum):
    """Precision of the model's products."""

    auto = "auto"
    float32 = "float32"
    float16 = "float16"
    bfloat16 = "bfloat16"


class Stored(StrEnum):
    """Precision of what is written."""

    float16 = "float16"
    float32 = "float32"


_LIST = (
    "a folder, a list (.parquet, .jsonl, .json, .csv, .txt), webdataset tars, or a URI of one; "
    "many by a pattern in quotes: 'tars/{000..009}.tar'"
)


def encode(
    encoder: Annotated[
        str,
        typer.Argument(
            help="hf:NAME (CLIP, SigLIP, CLAP ...), open_clip:NAME/PRETRAINED, st:NAME (sentence-transformers), "
            "llm2clip:NAME; NAME is one on the hub, or a folder."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out", parser=options.parse_place, metavar="PATH", help="New folder for the embeddings, or a URI of one."
        ),
    ],
    images: Annotated[str | None, typer.Option("--images", help=f"Images: {_LIST}.")] = None,
    texts: Annotated[str | None, typer.Option("--texts", help="Texts: the same; a .txt file has one a line.")] = None,
    sounds: Annotated[str | None, typer.Option("--sounds", help="Sounds: the same.")] = None,
    pairs: Annotated[
        str | None, typer.Option("--pairs", help="Images or sounds with their texts: both are encoded, in step.")
    ] = None,
    image_column: Annotated[str | None, typer.Option("--image-column", help="Column of a list with the image.")] = None,
    text_column: Annotated[str | None, typer.Option("--text-column", help="The same for the text.")] = None,
    sound_column: Annotated[str | None, typer.Option("--sound-column", help="The same for the sound.")] = None,
    id_column: Annotated[str | None, typer.Option("--id-column", help="The same for the id.")] = None,
    format: Annotated[options.Format | None, typer.Option("--format", help="Format of the shards; npy.")] = None,
    out_dtype: Annotated[Stored, typer.Option("--out-dtype", help="Precision written.")] = Stored.float32,
    dtype: Annotated[
        Compute, typer.Option("--dtype", help="Precision computed in; auto is float16 on CUDA, float32 elsewhere.")
    ] = Compute.auto,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Items the model sees at a time.")] = 64,
    shard_rows: Annotated[int, typer.Option("--shard-rows", min=1, help="Items a shard.")] = 10_000,
    workers: Annotated[
        int | None, typer.Option("--workers", min=0, help="Processes that decode; by default as many as pay.")
    ] = None,
    on_unreadable: Annotated[
        OnUnreadable, typer.Option("--on-unreadable", help="List items that cannot be decoded, or stop at the first.")
    ] = OnUnreadable.list,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT once the new one is complete.")] = False,
    engine: options.EngineOption = carrying.Engine.local,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run code that comes with the model.")
    ] = False,
    allow_pickle: Annotated[
        bool, typer.Option("--allow-pickle", help="Read weights kept as a pickle, by torch's restricted reader.")
    ] = False,
) -> None:
    """Encode images, texts or sounds with a pretrained model: unit rows in shards, ids and captions beside them.

    OUT appears when it is complete; an interrupted run continues with the same command. What cannot be decoded is
    listed in OUT/unreadable.jsonl. OUT says which encoder made it, and fit and transform hold it to that.
    """
    import numpy as np

    from anisoalign.embeddings import format_bytes
    from anisoalign.encoders import open_encoder
    from anisoalign.encoders.beforehand import check_begin, named_sources
    from anisoalign.encoders.columns import ColumnNames
    from anisoalign.encoders.running import Settings, encode_files, find_jobs

    settings = Settings(
        format=None if format is None else format.value,
        out_dtype=out_dtype.value,
        batch_size=batch_size,
        shard_rows=shard_rows,
        workers=workers,
        on_unreadable=on_unreadable.value,
        overwrite=overwrite,
    )
    check_begin(out, named_sources(images, texts, sounds, pairs), settings)
    started = time.perf_counter()
    opened = open_encoder(encoder, device, dtype.value, trust_remote_code=trust_remote_code, allow_pickle=allow_pickle)
    messages.say(f"{opened!r} on {opened.device}, {dtype.value if dtype is not Compute.auto else opened.dtype}")
    by_kind = {"image": image_column, "text": text_column, "audio": sound_column}
    columns = ColumnNames({kind: name for kind, name in by_kind.items() if name is not None}, id_column)
    jobs = find_jobs(opened, images=images, texts=texts, sounds=sounds, pairs=pairs, columns=columns)
    for job in jobs:
        shards = -(-job.items.rows // shard_rows)
        written = len(job.kinds) * job.items.rows * opened.width * np.dtype(out_dtype.value).itemsize
        messages.say(
            f"plan: {job.items.rows:,} items ({'+'.join(job.kinds)}) of {job.source}, {shards:,} shard(s), "
            f"write {format_bytes(written)}"
        )
        for note in job.items.notes():
            messages.say(note)
    total = sum(job.items.rows for job in jobs)
    with bars.progress("encode", total) as done, carrying.carried_by(engine):
        outcome = encode_files(opened, jobs, out, settings, done)
    _tell(outcome, time.perf_counter() - started)


def _tell(outcome: Outcome, seconds: float) -> None:
    """Say what was written, what was cut short and what could not be read."""
    from anisoalign.encoders.running import REPORT

    for kind, count in outcome.truncated.items():
        if count:
            messages.say(f"{count:,} {kind} item(s) were longer than the model reads and were cut")
    if outcome.unreadable:
        messages.say(f"warning: {len(outcome.unreadable):,} item(s) could not be encoded: {outcome.out / REPORT}")
        for item in outcome.unreadable[:10]:
            messages.say(f"  {item['where']}: {item['reason']}")
    rows = ", ".join(f"{count:,} {kind}" for kind, count in outcome.rows.items())
    messages.say(f"{rows} rows in {seconds:.1f} s ({sum(outcome.rows.values()) / seconds:,.0f}/s): {outcome.out}")
