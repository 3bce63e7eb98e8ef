"""Losses to wandb or trackio, for those who ask; `log.jsonl` is written in any case."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib import import_module
from typing import Any

from anisoalign.embeddings import InputError
from anisoalign.mllm.settings import StageSettings

PROJECT = "anisoalign"


@contextmanager
def open_tracker(settings: StageSettings, name: str, main: bool) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Yield a function that takes each step's record; wandb and trackio share one interface.

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
    run = library.init(project=PROJECT, name=name, config=asdict(settings))
    try:
        yield lambda record: run.log(
            {key: value for key, value in record.items() if key != "step"}, step=record["step"]
        )
    finally:
        run.finish()
