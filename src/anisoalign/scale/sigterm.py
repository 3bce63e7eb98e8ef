"""SIGTERM as an exit that cleans up, where processes have been started that would outlive this one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

TERMINATED = 128 + signal.SIGTERM
"""Exit code of what SIGTERM ended, as a shell counts."""


@contextmanager
def exit_on_sigterm() -> Iterator[Callable[[], None]]:
    """Let SIGTERM raise SystemExit within the block, so that its `finally` runs; a second one does not disturb that.

    Gives a function that sets this up again, after a library has put handlers of its own in the place. Handlers belong
    to the main thread; in another nothing is done.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    before = signal.getsignal(signal.SIGTERM)

    def install() -> None:
        signal.signal(signal.SIGTERM, _exit)

    install()
    try:
        yield install
    finally:
        signal.signal(signal.SIGTERM, before)


def _exit(number: int, frame: object) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit(TERMINATED)
