"""Batches made ready for a model, in order: decoded by worker processes while the model is at work."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from typing import Any

from anisoalign.embeddings.workers import cores
from anisoalign.encoders.items import Item
from anisoalign.encoders.preparing import Preparation, Prepared
from anisoalign.encoders.unicode import storable
from anisoalign.encoders.unreadable import UnreadableError, UnreadableItem

Preparations = dict[str, Preparation]


@dataclass(frozen=True)
class Batch:
    """Items of consecutive positions, those that could be read prepared for every modality.

    Attributes
    ----------
    items : list of Item
        What was read, without its content.
    prepared : dict
        Modality -> inputs of the model; none if no item could be read.
    unreadable : list of UnreadableItem
        The others.
    """

    items: list[Item]
    prepared: dict[str, Prepared]
    unreadable: list[UnreadableItem]

    @property
    def count(self) -> int:
        """Number of items, unreadable ones included."""
        return len(self.items) + len(self.unreadable)


def prepare_batch(preparations: Preparations, items: list[Item]) -> Batch:
    """Decode items and stack them; one that fails in any modality, or has no id, is left out of all.

    Parameters
    ----------
    preparations : dict
        Modality -> preparation.
    items : list of Item
    """
    kept: list[Item] = []
    bad: list[UnreadableItem] = []
    pieces: dict[str, list[Any]] = {kind: [] for kind in preparations}
    for item in items:
        try:
            made = {kind: _one(kind, preparation, item) for kind, preparation in preparations.items()}
            if not item.id:
                raise UnreadableError("it has no id")
        except UnreadableError as error:
            bad.append(UnreadableItem(item.row, item.id, item.where, storable(str(error))))
            continue
        kept.append(Item(item.row, item.id, item.where, {}, item.columns))
        for kind, piece in made.items():
            pieces[kind].append(piece)
    prepared = {kind: preparations[kind].stack(found) for kind, found in pieces.items() if found}
    return Batch(kept, prepared, bad)


def _one(kind: str, preparation: Preparation, item: Item) -> Any:
    if kind not in item.content:
        raise UnreadableError(f"there is no {kind}")
    content = item.content[kind]
    try:
        if isinstance(content, UnreadableError):
            raise content
        return preparation.one(content)
    except UnreadableError as error:
        raise UnreadableError(f"{kind}: {error}") from error


class Workers:
    """What prepares batches: this process, or a few worker processes beside it. Use as a context.

    Parameters
    ----------
    preparations : dict
        Sent to each worker once.
    count : int
        Worker processes; 0 prepares in this process. A preparation that cannot be sent to another process
        is done by as many threads.
    """

    def __init__(self, preparations: Preparations, count: int = 0):
        self.preparations, self.count = preparations, count
        self._pool: Executor | None = None
        self._processes: list[Any] = []

    def __enter__(self) -> Workers:
        if self.count < 1:
            return self
        if all(preparation.portable for preparation in self.preparations.values()):
            # Not by fork: this process has threads, and perhaps a GPU, that a fork must not inherit.
            method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
            context = multiprocessing.get_context(method)
            self._pool = ProcessPoolExecutor(self.count, context, _set_up, (self.preparations,))
        else:
            self._pool = ThreadPoolExecutor(self.count, "prepare")
        return self

    def __exit__(self, *error: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def batches(self, items: Iterable[Item], batch_size: int) -> Iterator[Batch]:
        """Yield the items in batches of `batch_size`, in order; a few batches ahead are in work.

        Raises
        ------
        ChildProcessError
            If a worker process died.
        """
        cut = _batched(items, batch_size)
        if self._pool is None:
            yield from (prepare_batch(self.preparations, batch) for batch in cut)
            return
        waiting: deque[Future[Batch]] = deque()
        try:
            for batch in cut:
                waiting.append(self._submit(batch))
                if len(waiting) > 2 * self.count:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            raise ChildProcessError(
                f"a process that decodes {self._end()}; the same command goes on where this ended, "
                "with --workers 0 in one process"
            ) from error
        finally:
            for future in waiting:
                future.cancel()

    def _end(self) -> str:
        """How a worker process ended, as far as the system tells; the others were then ended by the pool."""
        assert self._pool is not None
        # A process tells its exit code once, to whoever reads it first: the pool's own thread must be done.
        self._pool.shutdown(wait=True, cancel_futures=True)
        codes = [process.exitcode for process in self._processes]
        code = next((code for code in codes if code not in (None, 0, -signal.SIGTERM)), None)
        if code is None:
            return "died"
        if code > 0:
            return f"ended with exit code {code}"
        name = signal.Signals(-code).name
        return f"was ended by {name}" + (", as the system does where memory is short" if name == "SIGKILL" else "")

    def _submit(self, batch: list[Item]) -> Future[Batch]:
        assert self._pool is not None
        if isinstance(self._pool, ProcessPoolExecutor):
            future = self._pool.submit(_work, batch)
            # Python keeps no list for others; how one ended is known from its process alone.
            self._processes = list((getattr(self._pool, "_processes", None) or {}).values()) or self._processes
            return future
        return self._pool.submit(prepare_batch, self.preparations, batch)


_preparations: Preparations = {}
"""What a worker process was given at its start."""


def _set_up(preparations: Preparations) -> None:
    import torch

    threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the main process, which ends the workers
    torch.set_num_threads(1)
    _preparations.update(preparations)


def _end_with_parent() -> None:
    """End this process when the one that started it is gone, killed perhaps, and could not tell."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(items: list[Item]) -> Batch:
    return prepare_batch(_preparations, items)


def _batched(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def usual_workers(rows: int, device: str) -> int:
    """Return how many worker processes pay: none for few items or a model that keeps the processor busy itself.

    Examples
    --------
    >>> usual_workers(100, "cuda"), usual_workers(10**6, "cpu") <= 2
    (0, True)
    """
    if rows < 2_000:
        return 0
    return min(cores(), 16) if device != "cpu" else min(cores() - 1, 2)
