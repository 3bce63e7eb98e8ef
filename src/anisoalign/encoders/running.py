"""A whole run of `encode`: one source, two, or one of pairs, into shards that appear when they are complete."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from anisoalign.embeddings import EmbeddingWriter, InputError, engine_in_use
from anisoalign.embeddings.naming import true_name
from anisoalign.embeddings.remote import is_remote, locate
from anisoalign.embeddings.remote_writer import writer_for
from anisoalign.encoders.batches import Workers, usual_workers
from anisoalign.encoders.beforehand import check_begin, named_sources
from anisoalign.encoders.columns import WITH_COLUMNS, ColumnNames, flag_of
from anisoalign.encoders.containers import REPORT, container, growing, put, refuse_other_run
from anisoalign.encoders.encoder import BATCH_SIZE, Encoder
from anisoalign.encoders.finding import find_items
from anisoalign.encoders.items import Listing
from anisoalign.encoders.shard_task import ShardTask, device_kind, refuse_unreadable, write_away

SHARD_ROWS = 10_000
Progress = Callable[[int], None]


@dataclass(frozen=True)
class Settings:
    """What a run is asked to do, apart from its input.

    Attributes
    ----------
    format : str or None
        Of the shards, npy by default.
    out_dtype : {"float16", "float32"}
    batch_size : int
        Part of the result, to rounding; a run is continued with the same.
    shard_rows : int
        Items of a shard, which is held in memory and begun again after an interruption.
    workers : int or None
        Processes that decode, beside each worker of an engine if there is one (none there by default); never part of
        the result.
    on_unreadable : {"list", "error"}
    overwrite : bool
    """

    format: str | None = None
    out_dtype: str = "float32"
    batch_size: int = BATCH_SIZE
    shard_rows: int = SHARD_ROWS
    workers: int | None = None
    on_unreadable: Literal["list", "error"] = "list"
    overwrite: bool = False


@dataclass(frozen=True)
class EncodingJob:
    """One source and what is made of it: one modality, or the two of its pairs."""

    kinds: tuple[str, ...]
    source: str
    items: Listing


@dataclass
class Outcome:
    """What a run did.

    Attributes
    ----------
    out : Path
    rows : dict
        Modality -> rows written.
    unreadable : list of dict
        What has no row: `modality`, `row` (position among the source's items, from 0), `shard` (of the result), `id`,
        `where`, `reason`, in order.
    truncated : dict
        Modality -> items that were longer than the model reads.
    """

    out: Path
    rows: dict[str, int] = field(default_factory=dict)
    unreadable: list[dict[str, Any]] = field(default_factory=list)
    truncated: dict[str, int] = field(default_factory=dict)


def find_jobs(
    encoder: Encoder,
    *,
    images: str | Path | None = None,
    texts: str | Path | None = None,
    sounds: str | Path | None = None,
    pairs: str | Path | None = None,
    columns: ColumnNames | None = None,
) -> list[EncodingJob]:
    """Return what is to be encoded, looked through.

    Parameters
    ----------
    images, texts, sounds : path or pattern, optional
        Sources of single items, see `find_items`. Two of them are encoded one after the other.
    pairs : path or pattern, optional
        A source of images (or sounds) with their texts, alone.
    columns : ColumnNames, optional

    Raises
    ------
    InputError
        If nothing is named, or what the encoder does not embed.
    """
    wanted: list[tuple[tuple[str, ...], str | Path]]
    wanted = [((kind,), source) for kind, source in named_sources(images, texts, sounds, pairs).items()]
    if pairs is not None:
        other = next((kind for kind in ("image", "audio") if kind in encoder.modalities), None)
        if other is None:
            raise InputError(f"{encoder.name} embeds texts alone, no pairs")
        wanted = [((other, "text"), pairs)]
    for kinds, _ in wanted:
        for kind in kinds:
            encoder.preparation(kind)
    idle = [kind for kind in (columns.by_kind if columns else ()) if kind not in sum((k for k, _ in wanted), ())]
    if idle:
        raise InputError(f"{flag_of(idle[0])} is given, but no {idle[0]} is to be encoded")
    jobs = [EncodingJob(kinds, str(source), find_items(source, kinds, columns)) for kinds, source in wanted]
    if columns is not None and columns.id is not None and not any(job.items.tabular for job in jobs):
        raise InputError(f"--id-column names a column of {WITH_COLUMNS}; {jobs[0].source} has no columns")
    return jobs


def encode_files(
    encoder: Encoder, jobs: Sequence[EncodingJob], out: str | Path, settings: Settings, progress: Progress | None = None
) -> Outcome:
    """Encode jobs into `out`, which appears when all is done; the same call continues an interrupted run.

    One modality gives a plain set. Two give clip-retrieval's layout, `img_emb/`, `text_emb/` or `audio_emb/`: pairs
    with one folder `metadata/` and rows in step, two sources each with its own rows and columns.

    Parameters
    ----------
    encoder : Encoder
    jobs : sequence of EncodingJob
    out : path or URI
        A new folder.
    settings : Settings
    progress : callable, optional
        Called with numbers of items as they are done.

    Raises
    ------
    InputError
        For input that cannot be read, an item that cannot be with `on_unreadable="error"`, or an `out` that cannot be
        written. Shards that were finished stay in `OUT.partial` for the next try.
    """
    check_begin(out, {kind: job.source for job in jobs for kind in job.kinds}, settings)
    out = locate(out)
    outcome = Outcome(out)
    kinds = [kind for job in jobs for kind in job.kinds]
    if len(kinds) == 1:
        if not is_remote(out):  # there, the writer itself takes nothing but an empty folder or its own run
            refuse_other_run(growing(out), set())
        _run_job(encoder, jobs[0], {kinds[0]: out}, settings, outcome, progress, report=True)
        return outcome
    with container(out, kinds, settings.overwrite) as places:
        for job in jobs:
            _run_job(encoder, job, {kind: places[kind] for kind in job.kinds}, settings, outcome, progress)
        if outcome.unreadable:
            _write_report(growing(out), outcome)
    return outcome


class _StoppedError(Exception):
    """Carries an InputError past a writer, which would take it for a reason to throw finished shards away."""

    def __init__(self, cause: InputError):
        super().__init__(str(cause))
        self.cause = cause


def _run_job(
    encoder: Encoder,
    job: EncodingJob,
    places: dict[str, Path],
    settings: Settings,
    outcome: Outcome,
    progress: Progress | None,
    report: bool = False,
) -> None:
    """Encode one job; where it is the whole run, its one set holds the `report` of what was unreadable."""
    count = settings.workers
    if engine_in_use() is not None:
        count = 0  # an engine's workers have their own
    elif count is None:
        count = 0 if job.kinds == ("text",) else usual_workers(job.items.rows, encoder.device.type)
    try:
        with ExitStack() as stack:
            workers = stack.enter_context(Workers({kind: encoder.preparation(kind) for kind in job.kinds}, count))
            writers = {
                kind: stack.enter_context(_writer(encoder, kind, job, place, settings))
                for kind, place in places.items()
            }
            try:
                _write_shards(encoder, job, workers, writers, settings, progress)
            except InputError as error:
                raise _StoppedError(error) from error
            _add_up(writers, job, settings.shard_rows, outcome)
            if report and outcome.unreadable:
                _write_report(writers[job.kinds[0]].partial, outcome)
    except _StoppedError as stopped:
        for note in getattr(stopped, "__notes__", ()):  # what a writer said of the work that stays
            stopped.cause.add_note(note)
        raise stopped.cause from stopped.cause.__cause__


def _write_shards(
    encoder: Encoder,
    job: EncodingJob,
    workers: Workers,
    writers: dict[str, EmbeddingWriter],
    settings: Settings,
    progress: Progress | None,
) -> None:
    task = ShardTask(job.items, writers, settings.shard_rows, settings.batch_size, settings.on_unreadable == "error")
    parts = []
    for index in range(task.count):
        missing = tuple(kind for kind, writer in writers.items() if not writer.done(index))
        if missing:
            parts.append((index, missing))
            continue
        if task.strict:  # what another run left out and listed is missing here all the same
            refuse_unreadable(next(iter(writers.values())).record(index).get("dropped", []))
        if progress is not None:
            progress(task.rows_of(index))
    engine = engine_in_use()
    if engine is None:
        for part in parts:
            task.write(encoder, workers, part, progress)
    elif parts:
        write_away(engine, encoder, task, parts, progress, settings.workers or 0)


def _writer(encoder: Encoder, kind: str, job: EncodingJob, place: Path, settings: Settings) -> EmbeddingWriter:
    """Return what writes one modality; its plan is all that the values depend on."""
    provenance = encoder.provenance(kind)
    plan = {
        "command": "encode",
        "encoder": {
            **{key: provenance[key] for key in ("encoder", "revision", "preprocessing", "dtype")},
            **encoder.weights(kind),
        },
        "device": device_kind(encoder, engine_in_use()),
        "modalities": list(job.kinds),
        "batch_size": settings.batch_size,
        "shard_rows": settings.shard_rows,
        "items": job.items.rows,
        "columns": job.items.columns.names,
    }
    if job.items.chosen:
        plan["read_from"] = job.items.chosen
    return writer_for(
        place,
        encoder.width,
        settings.out_dtype,
        settings.format,
        plan,
        settings.overwrite,
        [[true_name(name), *state] for name, *state in job.items.state()],
        provenance,
        "../metadata" if len(job.kinds) > 1 else "metadata",
    )


def _add_up(writers: dict[str, EmbeddingWriter], job: EncodingJob, shard_rows: int, outcome: Outcome) -> None:
    """Count what the shards of this run and of those that it continues hold, which is what their notes say."""
    for kind, writer in writers.items():
        records = writer.records()
        outcome.rows[kind] = sum(record["rows"] for record in records)
        outcome.truncated[kind] = sum(record.get("truncated", 0) for record in records)
    for shard, record in enumerate(writers[job.kinds[0]].records()):
        for item in record.get("dropped", []):
            place = {"row": shard * shard_rows + item["row"], "shard": shard}
            kept = {key: item[key] for key in ("id", "where", "reason")}
            outcome.unreadable.append({"modality": "+".join(job.kinds), **place, **kept})
    if not outcome.rows[job.kinds[0]]:
        first = outcome.unreadable[-job.items.rows]
        raise InputError(
            f"nothing of {job.source} could be encoded; the first of {job.items.rows} items, {first['where']}: "
            f"{first['reason']}"
        )


def _write_report(folder: Path, outcome: Outcome) -> None:
    lines = "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in outcome.unreadable)
    put(folder / REPORT, lines)
