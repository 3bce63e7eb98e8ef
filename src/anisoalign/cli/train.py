"""`anisoalign train`: train a language model to read embeddings."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from anisoalign.cli import bars, checks, messages

_EVERY = 30.0
"""Seconds between lines of progress where stderr is no terminal."""


def train(
    settings: Annotated[Path, typer.Argument(help="TOML file of the model, its data and its stages.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the run; each stage is a folder in it.")],
    change: Annotated[
        list[str] | None,
        typer.Option("--set", help="model.key=value or stages.NAME.key=value: in place of what the file says."),
    ] = None,
    stage: Annotated[str | None, typer.Option("--stage", help="Train this stage only.")] = None,
) -> None:
    """Train a language model to read embeddings, stage by stage, on texts alone or on images.

    An interrupted run goes on with the same command. Several processes: `accelerate launch -m anisoalign train …`.
    """
    checks.check_extra("mllm")
    from anisoalign.mllm import TrainSettings
    from anisoalign.mllm.processes import Processes
    from anisoalign.mllm.running import run

    found = TrainSettings.read(settings, change or ())
    main = Processes().main
    say: Callable[[str], None] = messages.say if main else lambda text: None
    say(found.to_toml())
    with _progress(main) as progress:
        run(found, out, only=stage, progress=progress, say=say)


@contextmanager
def _progress(main: bool) -> Iterator[Callable[[str, int, int, float, float | None], None]]:
    """A bar on a terminal, a line now and then elsewhere, nothing from the other processes."""
    if main and sys.stderr.isatty():
        with bars.stages() as bar:
            yield lambda name, done, total, loss, held_out: bar(name, done, total, _told(loss, held_out))
        return
    last, began = [time.monotonic()], {}

    def line(name: str, done: int, total: int, loss: float, held_out: float | None) -> None:
        now = time.monotonic()
        start, first = began.setdefault(name, (now, done))
        if main and now - last[0] > _EVERY and done > first:
            last[0] = now
            left = (now - start) / (done - first) * (total - done)
            messages.say(f"{name}: step {done:,} of {total:,}{_told(loss, held_out)}, about {left / 60:.0f} min left")

    yield line


def _told(loss: float, held_out: float | None) -> str:
    return f", loss {loss:.4f}" + ("" if held_out is None else f", held out {held_out:.4f}")
