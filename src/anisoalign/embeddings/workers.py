"""Parts of a pass done by a few threads, their results handed back in order."""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch
from threadpoolctl import OpenBLASController, ThreadpoolController

Part = TypeVar("Part")
Result = TypeVar("Result")


Work = Callable[[Part], Result]


def in_order(
    worker: Callable[[], Work[Part, Result]],
    parts: Sequence[Part],
    workers: int | None = None,
    leaving: threading.Event | None = None,
) -> Iterator[Result]:
    """Yield the result for each part, in order, computed by as many threads as there are cores.

    Each thread runs its operations alone (one torch thread, one BLAS thread): threads that share every small
    operation wait for one another after each, and on a busy machine that was measured to cost a factor of
    ten. Results do not depend on the number of workers, since a part is done by one.

    Parameters
    ----------
    worker : callable
        Makes, for one thread, the function that does a part; it may hold buffers.
    parts : sequence
    workers : int, optional
        Threads; by default one a core. No more than one part a thread, and one over, is begun ahead of what was
        taken, so memory is bounded.
    leaving : Event, optional
        Set once no more results are taken, as after an exception: parts under way are waited for, and long ones may
        look at it and end.

    Examples
    --------
    >>> list(in_order(lambda: lambda n: n * n, [1, 2, 3]))
    [1, 4, 9]
    """
    workers = min(len(parts), workers or cores())
    local = threading.local()

    def run(part: Part) -> Result:
        if not hasattr(local, "work"):
            local.work = worker()
        return local.work(part)

    with operations_alone():
        if workers <= 1:
            yield from map(run, parts)
            return
        pool = ThreadPoolExecutor(workers, "anisoalign", initializer=torch.set_num_threads, initargs=(1,))
        waiting: deque[Future[Result]] = deque()
        try:
            for part in parts:
                waiting.append(pool.submit(run, part))
                if len(waiting) > workers + 1:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            if leaving is not None:
                leaving.set()
            pool.shutdown(wait=True, cancel_futures=True)


class _SharedCounts:
    """Counts of threads that the process has one of: set to one by the first who is inside, restored by the last."""

    def __init__(self) -> None:
        self.lock, self.inside = threading.Lock(), 0

    def enter(self, blas: ThreadpoolController) -> None:
        with self.lock:
            self.inside += 1
            if self.inside == 1:
                with ThreadPoolExecutor(1) as fresh:  # which has the count of the process, not one of its own
                    self.torch_threads = fresh.submit(torch.get_num_threads).result()
                with self._whoever_set_it_last():
                    self.blas = blas.limit(limits=1)
            torch.set_num_threads(1)

    def leave(self) -> None:
        with self.lock:
            self.inside -= 1
            if self.inside == 0:
                with self._whoever_set_it_last():
                    self.blas.restore_original_limits()
                torch.set_num_threads(self.torch_threads)

    @staticmethod
    @contextmanager
    def _whoever_set_it_last() -> Iterator[None]:
        """From 3.8 on threadpoolctl lets only the thread that set the count of OpenBLAS change it, unless freed."""
        free = getattr(OpenBLASController, "clear_controlling_thread", lambda force: None)
        free(force=True)
        yield
        free(force=True)


_SHARED = _SharedCounts()


@contextmanager
def operations_alone() -> Iterator[None]:
    """One torch thread and one BLAS thread an operation: what is too small to share is slower shared.

    Threads may be inside at the same time: BLAS has one count for all, OpenMP one for each of them.
    """
    torch.get_num_threads()  # the first call in a thread sets its count
    found = ThreadpoolController()
    own = found.select(user_api="openmp").limit(limits=1)
    _SHARED.enter(found.select(user_api="blas"))
    try:
        yield
    finally:
        _SHARED.leave()
        own.restore_original_limits()


def cores() -> int:
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
