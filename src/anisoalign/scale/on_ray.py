"""Passes by Ray Data: on the cores of one machine, or of a cluster that `ray start` made."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from anisoalign.embeddings import InputError, Outcome, Sendable, engine_used
from anisoalign.quiet import errors_alone
from anisoalign.scale.sigterm import exit_on_sigterm


@contextmanager
def on_ray(workers: int | None = None, **init: Any) -> Iterator[RayEngine]:
    """Let Ray carry out every pass within the block: statistics, calibration, transform, looks for bad rows, encoding.

    A Ray that runs in this process is used as it is. Otherwise one is joined or started, as ``ray.init`` does: the
    cluster named by ``RAY_ADDRESS`` (which ``ray job submit`` sets), one started on this machine by ``ray start``,
    or a new one on this machine's cores, which ends with the block.

    Parameters
    ----------
    workers : int, optional
        Processes at work at most, one core each; by default as many as the cluster has cores.
    **init
        Passed to ``ray.init``: ``address``, ``runtime_env``, ….

    Raises
    ------
    InputError
        If Ray is not installed.

    Examples
    --------
    >>> import anisoalign as aa
    >>> from anisoalign.scale import on_ray
    >>> with on_ray():  # doctest: +SKIP
    ...     model = aa.AnisoAlign().fit("s3://bucket/text", "s3://bucket/image")
    ...     model.transform("s3://bucket/text", "s3://bucket/aligned")
    """
    try:
        import ray.data
    except ImportError as error:
        raise InputError('the engine ray needs the extra: pip install "anisoalign[ray]"') from error
    begun = nullcontext() if ray.is_initialized() else _ray_begun(init)
    with begun, errors_alone("ray.data"), engine_used(engine := RayEngine(workers)):
        yield engine


@contextmanager
def _ray_begun(init: dict[str, Any]) -> Iterator[None]:
    """A Ray that ends with the block, also where SIGTERM ends it: Ray's own handlers abort, or leave its processes."""
    import ray

    with exit_on_sigterm() as install:
        try:
            ray.init(**{"include_dashboard": False, "logging_level": logging.ERROR, "log_to_driver": False, **init})
            install()
            yield
        finally:
            ray.shutdown()


class RayEngine:
    """An `anisoalign.embeddings.Engine` over a running Ray: parts are mapped by tasks of Ray Data, one core each.

    Parts travel as numbers, and what comes back is what was made of them, never rows of the set, which workers read
    and write themselves. A worker process unpickles a job once, and stays for the next pass. The part of one that
    dies is done again; since parts are written atomically and depend on nothing else, that changes nothing.

    Parameters
    ----------
    workers : int, optional
        Processes at work at most; by default as many as the cluster has cores.
    """

    def __init__(self, workers: int | None = None):
        if workers is not None and workers < 1:
            raise InputError(f"Ray needs at least one worker, not {workers}")
        self._workers = workers

    @property
    def hands(self) -> int:
        """Parts that can be done at the same time."""
        import ray

        return self._workers or max(1, int(ray.cluster_resources().get("CPU", 1)))

    @property
    def gpus(self) -> int:
        """GPUs of the cluster."""
        import ray

        return int(ray.cluster_resources().get("GPU", 0))

    def map(self, job: Sendable, parts: Sequence[Any]) -> Generator[Outcome]:
        """Yield the outcome of each part, in order."""
        import ray
        from ray import cloudpickle

        # As bytes: Ray's own way of sharing arrays makes them read-only.
        luggage = ray.put(cloudpickle.dumps((job, list(parts))))  # pyright: ignore[reportPrivateImportUsage]
        context = ray.data.DataContext.get_current().copy()
        context.execution_options.preserve_order = True
        context.enable_progress_bars = context.print_on_execution_start = False
        with ray.data.DataContext.current(context):
            numbers = ray.data.from_items([{"part": i} for i in range(len(parts))], override_num_blocks=len(parts))
            done = numbers.map_batches(
                _do,  # pyright: ignore[reportArgumentType]
                batch_size=1,
                num_cpus=1,
                num_gpus=getattr(job, "gpus", 0),
                compute=ray.data.TaskPoolStrategy(size=min(len(parts), self.hands)),
                fn_args=(_Luggage(luggage),),
            )
        for number, row in enumerate(done.iter_rows()):
            if row["part"] != number:
                raise RuntimeError(f"Ray Data gave part {row['part']} where {number} was due")
            yield pickle.loads(row["outcome"])


@dataclass(frozen=True)
class _Luggage:
    """A job in the object store, handed on as a reference, so that a worker that has it does not fetch it again."""

    reference: Any


def _do(batch: Any, luggage: _Luggage) -> dict[str, Any]:
    """One task: do its parts, with the job that this process has begun or begins now."""
    run, parts = _begun(luggage.reference)
    outcomes = [pickle.dumps(run(parts[int(number)])) for number in batch["part"]]
    return {"part": batch["part"], "outcome": np.array(outcomes, dtype=object)}


_BEGUN: dict[str, tuple[Callable[[Any], Outcome], list[Any]]] = {}
"""In a worker process: the last job begun, by the name of its luggage."""


def _begun(reference: Any) -> tuple[Callable[[Any], Outcome], list[Any]]:
    import ray
    from ray import cloudpickle

    name = reference.hex()
    if name not in _BEGUN:
        _BEGUN.clear()  # before the next is there: both may hold models
        job, parts = cloudpickle.loads(ray.get(reference))
        _BEGUN[name] = job.begin(), parts
    return _BEGUN[name]
