"""Who carries out the parts of a pass: threads of this process, or another engine that was put in their place.

Everything that reads a set by parts (`carried_out`) asks here. Without more ado that is `in_order`, threads over
this machine's cores. An engine takes the same parts to other processes or machines: it is given a `Job` that can be
pickled, and hands back what the job made of each part, in the order of the parts. It knows nothing of embeddings,
and nothing here knows of it, so that an adapter to another scheduler is a few lines (docs/clusters.md).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from anisoalign.embeddings.errors import InputError, refusal_behind
from anisoalign.embeddings.workers import Work, in_order, operations_alone

if TYPE_CHECKING:
    from anisoalign.embeddings.embedding_set import EmbeddingSet
    from anisoalign.embeddings.notes import Found


@dataclass(frozen=True)
class Outcome:
    """What a job made of one part: a result with what was found out about the rows, or the fault of the input.

    `by_system` tells that the system's refusal is behind the fault: what is written so far is worth keeping. `errno` is
    that of the refusal, None where it has none.
    """

    result: Any = None
    found: Found | None = None
    fault: str | None = None
    by_system: bool = False
    errno: int | None = None

    @classmethod
    def failed(cls, error: InputError) -> Outcome:
        """The outcome of a part that could not be done."""
        refusal = refusal_behind(error)
        return cls(fault=str(error), by_system=refusal is not None, errno=refusal and refusal.errno)

    def check(self) -> None:
        """Raise the InputError that ended the part, if one did, with its cause where that was the system."""
        if self.fault is not None:
            refusal = OSError(self.fault) if self.errno is None else OSError(self.errno, os.strerror(self.errno))
            raise InputError(self.fault) from (refusal if self.by_system else None)


@dataclass(frozen=True)
class Job:
    """A pass as it travels: the set, and what makes the work of one worker. Pickled as a whole, once a worker."""

    embeddings: EmbeddingSet
    worker: Callable[[], Work[Any, Any]]

    def begin(self) -> Callable[[Any], Outcome]:
        """Start a worker, in any process; returns the function that does one part after another."""
        self.embeddings.notes.hand_over()  # what the sender knew is no news
        work = self.worker()

        def run(part: Any) -> Outcome:
            try:
                with operations_alone():  # as threads do here, so that sums have the same bits
                    result = work(part)
            except InputError as error:
                return Outcome.failed(error)
            return Outcome(result, self.embeddings.notes.hand_over())

        return run


class Sendable(Protocol):
    """Work that can be pickled, begun in any process, and then does part after part: `Job`, or what encodes shards."""

    def begin(self) -> Callable[[Any], Outcome]:
        """Start a worker; returns the function that does one part after another."""
        ...


class Engine(Protocol):
    """Carries parts of a pass to wherever they are done."""

    @property
    def hands(self) -> int:
        """How many parts can be done at the same time."""
        ...

    def map(self, job: Sendable, parts: Sequence[Any]) -> Generator[Outcome]:
        """Yield ``job.begin()(part)`` for each part, in order; `begin` is called once a worker, anywhere."""
        ...


_ENGINE: ContextVar[Engine | None] = ContextVar("anisoalign_engine", default=None)


@contextmanager
def engine_used(engine: Engine) -> Iterator[None]:
    """Let an engine carry out the passes within the block.

    Examples
    --------
    >>> import pickle, tempfile
    >>> import numpy as np
    >>> from anisoalign.embeddings import open_embeddings
    >>> from anisoalign.statistics import measure
    >>> class Elsewhere:
    ...     hands = 1
    ...     def map(self, job, parts):
    ...         yield from map(pickle.loads(pickle.dumps(job)).begin(), parts)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(f"{folder}/part-0.npy", np.random.default_rng(0).normal(size=(100, 4)))
    ...     with engine_used(Elsewhere()):
    ...         away = measure(open_embeddings(folder))
    ...     bool((away.m2 == measure(open_embeddings(folder)).m2).all())
    True
    """
    token = _ENGINE.set(engine)
    try:
        yield
    finally:
        _ENGINE.reset(token)


def engine_in_use() -> Engine | None:
    """Return the engine in use; None where there is none but this process."""
    return _ENGINE.get()


def engine_for(embeddings: EmbeddingSet) -> Engine | None:
    """Return the engine in use; None where threads of this process do the work, as on rows that it holds in memory."""
    return None if embeddings.path is None else _ENGINE.get()


def carried_out(
    embeddings: EmbeddingSet,
    worker: Callable[[], Work[Any, Any]],
    parts: Sequence[Any],
    workers: int | None = None,
) -> Iterator[Any]:
    """Yield the result for each part of a set, in order, by the engine in use.

    Parameters
    ----------
    embeddings : EmbeddingSet
        The set that the parts are of. What another process finds out about its rows is noted here too.
    worker : callable
        Makes, for one worker, the function that does a part. With an engine it must be picklable, and hold the set.
    parts : sequence
    workers : int, optional
        Threads, where no engine is in use.

    Raises
    ------
    InputError
        The first in the order of the parts, wherever it happened.
    """
    engine = engine_for(embeddings)
    if engine is None or not parts:
        yield from in_order(worker, parts, workers)
        return
    with closing(engine.map(Job(embeddings, worker), parts)) as outcomes:
        for outcome in outcomes:
            outcome.check()
            if outcome.found is not None:
                embeddings.notes.absorb(outcome.found)
            yield outcome.result
