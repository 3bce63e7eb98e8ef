"""What carries out the passes of a command: threads here, Ray, or the processes of torchrun."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

from anisoalign.cli.checks import check_extra
from anisoalign.cli.messages import say


class Engine(StrEnum):
    """What carries out the passes."""

    local = "local"
    ray = "ray"


def check_engine(engine: Engine) -> Engine:
    """Raise InputError, before any work, where the engine is not installed."""
    if engine is Engine.ray:
        check_extra("ray")
    return engine


@contextmanager
def carried_by(engine: Engine) -> Iterator[None]:
    """Have the passes within the block carried out by an engine."""
    if engine is Engine.local:
        yield
        return
    from anisoalign.scale import on_ray

    with on_ray() as ray:
        say(f"ray: up to {ray.hands} workers")
        yield


@contextmanager
def in_processes(engine: Engine) -> Iterator[None]:
    """Join the processes of torchrun, if it started this one."""
    if os.environ.get("WORLD_SIZE", "1") == "1":
        yield
        return
    from anisoalign.embeddings import InputError
    from anisoalign.scale import processes

    if engine is not Engine.local:
        raise InputError("torchrun's processes share the passes themselves: leave --engine out")
    with processes():
        yield
