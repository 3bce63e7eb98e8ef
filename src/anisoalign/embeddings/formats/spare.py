"""Memory that a thread reads into, lent again and again: fresh pages cost as much as reading into them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

_MINE = threading.local()


@contextmanager
def borrowed(nbytes: int) -> Iterator[np.ndarray]:
    """Lend `nbytes` bytes, as uint8, until the end of the block; whoever borrows meanwhile gets others.

    Examples
    --------
    >>> with borrowed(4) as memory:
    ...     before = memory
    >>> with borrowed(4) as again, borrowed(4) as other:
    ...     np.shares_memory(before, again), np.shares_memory(again, other)
    (True, False)
    """
    memory: np.ndarray | None = getattr(_MINE, "memory", None)
    _MINE.memory = None
    if memory is None or len(memory) < nbytes:
        memory = np.empty(nbytes, np.uint8)
    try:
        yield memory[:nbytes]
    finally:
        _MINE.memory = memory
