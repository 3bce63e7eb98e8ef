"""Progress on stderr, where that is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from anisoalign.cli.messages import console, first_process

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Bar with rate and time left; yields a function to be called with what has been done."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

    text = TextColumn("{task.description}")
    with _shown(text, BarColumn(), MofNCompleteColumn(), _rate(), TimeRemainingColumn()) as shown:
        task = shown.add_task(what, total=total)
        yield lambda done: shown.update(task, advance=done)


def in_all(done: Callable[[int], None]) -> Callable[[int, int], None]:
    """The function of a bar for who tells how much has been done in all, of how much."""
    before = 0

    def tell(now: int, total: int) -> None:
        nonlocal before
        done(now - before)
        before = now

    return tell


@contextmanager
def stages() -> Iterator[Callable[..., None]]:
    """Bars of training stages; yields a function of a stage's name, its step and its number of steps.

    A fourth argument is written behind the name, as a loss is.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

    tasks: dict[str, Any] = {}
    text = TextColumn("{task.description}")
    with _shown(text, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()) as shown:

        def step(stage: str, done: int, total: int, note: str = "") -> None:
            if stage not in tasks:
                tasks[stage] = shown.add_task(stage, total=total)
            shown.update(tasks[stage], completed=done, description=f"{stage}{note}")

        yield step


def _shown(*columns: ProgressColumn) -> Progress:
    """Bars that the first process shows, and only on a terminal."""
    from rich.progress import Progress

    hidden = not (sys.stderr.isatty() and first_process())
    return Progress(*columns, console=console(), transient=True, disable=hidden)


def _rate() -> ProgressColumn:
    from rich.progress import ProgressColumn, Task
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text("" if speed is None else f"{speed:,.0f}/s")

    return Rate()
