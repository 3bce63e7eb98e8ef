"""One command in several processes, as torchrun starts them: passes shared out, neural stages trained together."""

from __future__ import annotations

import os
import pickle
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from anisoalign.embeddings import Outcome, Sendable, engine_used


@contextmanager
def processes() -> Iterator[int]:
    """Join the processes that torchrun started, and share the passes of the block with them; yields the rank.

    Without torchrun there is one process, number 0, and nothing happens. Gradients and sums travel by gloo, between
    GPUs by nccl. Within the block AnisoAlign's Stages I and II train together, wherever they are fitted.

    Examples
    --------
    >>> with processes() as rank:
    ...     rank
    0
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield 0
        return
    import torch
    from torch import distributed

    there = torch.cuda.is_available()
    if there:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("cpu:gloo,cuda:nccl" if there else "gloo")
    try:
        with engine_used(ProcessEngine()):
            yield distributed.get_rank()
    finally:
        distributed.destroy_process_group()


class ProcessEngine:
    """An `anisoalign.embeddings.Engine` over `torch.distributed`: each process does its turn, all know all outcomes.

    Parts are done in rounds of one a process, so bits are those of one process; what a part gave is told to the
    others as a pickle, as `torch.distributed` tells objects.
    """

    @property
    def hands(self) -> int:
        """Processes."""
        from torch import distributed

        return distributed.get_world_size()

    def map(self, job: Sendable, parts: Sequence[Any]) -> Generator[Outcome]:
        """Yield the outcome of each part, in order, in every process."""
        from torch import distributed

        rank, size = distributed.get_rank(), distributed.get_world_size()
        run = _copied(job).begin()
        for first in range(0, len(parts), size):
            now = parts[first : first + size]
            told: list[Any] = [None] * size
            distributed.all_gather_object(told, run(now[rank]) if rank < len(now) else None)
            yield from told[: len(now)]


def _copied(job: Sendable) -> Sendable:
    """A job of its own, since beginning it forgets what its set knows."""
    return pickle.loads(pickle.dumps(job))
