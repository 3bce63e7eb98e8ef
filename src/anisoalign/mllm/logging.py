"""Losses to wandb or trackio, for those who ask; `log.jsonl` is written in any case."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import uuid4

from anisoalign.embeddings import InputError
from anisoalign.embeddings.atomic import write_synced
from anisoalign.mllm.settings import StageSettings

PROJECT = "anisoalign"

TRACKED = "tracked.txt"
"""File of an unfinished stage with what tells its run from others, where losses go to wandb or trackio."""


@contextmanager
def open_tracker(
    settings: StageSettings, name: str, main: bool, folder: Path | None = None
) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Yield a function that takes each step's record; wandb and trackio share one interface.

    A stage that goes on, whose unfinished `folder` holds `TRACKED`, goes on in the same run.

    Raises
    ------
    InputError
        If the library asked for is not installed.
    """
    if not settings.log_to or not main:
        yield lambda record: None
        return
    try:
        library = import_module(settings.log_to)
    except ImportError as error:
        raise InputError(f"log_to = {settings.log_to!r} needs it installed: pip install {settings.log_to}") from error
    mark = _mark(folder)
    # wandb finds a run again by its id, trackio by its name.
    called = {"name": name, "id": mark} if settings.log_to == "wandb" else {"name": f"{name}-{mark}"}
    run = library.init(project=PROJECT, **called, resume="allow", config=asdict(settings))
    try:
        yield lambda record: run.log(
            {key: value for key, value in record.items() if key != "step" and value is not None}, step=record["step"]
        )
    finally:
        run.finish()


def _mark(folder: Path | None) -> str:
    """What tells a run from others; kept with the state of a stage, so that it is the same when that goes on."""
    file = None if folder is None else folder / TRACKED
    if file is not None and file.is_file():
        return file.read_text(encoding="utf-8").strip()
    mark = uuid4().hex[:8]
    if file is not None:
        write_synced(file, mark + "\n")
    return mark
