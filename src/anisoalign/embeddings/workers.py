"""Parts of a pass done by a few threads, their results handed back in order."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch
from threadpoolctl import threadpool_limits

Part = TypeVar("Part")
Result = TypeVar("Result")


def in_order(work: Callable[[Part], Result], parts: Sequence[Part], workers: int | None = None) -> Iterator[Result]:
    """Yield `work(part)` for each part, in order, computed by as many threads as there are cores.

    Each thread runs its operations alone (one torch thread, one BLAS thread): threads that share every small
    operation wait for one another after each, and on a busy machine that was measured to cost a factor of
    ten. Results do not depend on the number of workers, since a part is done by one. At most two parts a
    worker wait, so memory is bounded.

    Examples
    --------
    >>> list(in_order(lambda n: n * n, [1, 2, 3]))
    [1, 4, 9]
    """
    workers = min(len(parts), workers or len(_cores()))
    with _operations_alone():
        if workers <= 1:
            yield from map(work, parts)
            return
        pool = ThreadPoolExecutor(workers, "anisoalign", initializer=torch.set_num_threads, initargs=(1,))
        waiting: deque[Future[Result]] = deque()
        try:
            for part in parts:
                waiting.append(pool.submit(work, part))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _operations_alone() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(limits=1, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(before)


def _cores() -> set[int]:
    """Cores this process may use."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
