"""Which conversations make a step: shuffled, and of like length, so that little is padded.

Short conversations are not packed into one row of the batch. Packed rows would have to keep attention from crossing
from one conversation to the next, which only some attention kernels can do exactly; rows of like length need no such
trust, and pad a few per cent.
"""

from __future__ import annotations

import math

import numpy as np

_POOL = 50
"""Batches whose conversations are sorted by length together."""


class Order:
    """Conversations of each step: a function of the settings alone, so a run can go on anywhere.

    Every conversation comes once an epoch; where their number is no multiple of the batch size, one batch of an epoch
    is smaller.

    Parameters
    ----------
    lengths : ndarray, shape (n,)
        By which conversations are sorted within a pool of 50 batches.
    batch_size : int
    epochs : float
    seed : int

    Attributes
    ----------
    steps : int
        In all.

    Examples
    --------
    >>> order = Order(np.arange(10), batch_size=4, epochs=2, seed=0)
    >>> order.steps, sorted(np.concatenate([order.batch(step) for step in range(3)]).tolist())
    (6, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    """

    def __init__(self, lengths: np.ndarray, batch_size: int, epochs: float, seed: int):
        self.lengths, self.batch_size, self.seed = lengths, batch_size, seed
        self.per_epoch = -(-len(lengths) // batch_size)
        self.steps = math.ceil(round(epochs * self.per_epoch, 6))
        self._epoch, self._batches = -1, []

    def batch(self, step: int) -> np.ndarray:
        """Numbers of the conversations of a step, counted from 0 over all epochs, short ones first."""
        epoch, place = divmod(step, self.per_epoch)
        if epoch != self._epoch:
            self._epoch, self._batches = epoch, self._cut(epoch)
        return self._batches[place]

    def _cut(self, epoch: int) -> list[np.ndarray]:
        rng = np.random.default_rng([self.seed, epoch])
        shuffled = rng.permutation(len(self.lengths))
        whole = len(shuffled) // self.batch_size * self.batch_size
        batches = [self._sorted(shuffled[whole:])] if whole < len(shuffled) else []
        for start in range(0, whole, _POOL * self.batch_size):
            pool = self._sorted(shuffled[start : min(start + _POOL * self.batch_size, whole)])
            batches += np.split(pool, len(pool) // self.batch_size)
        return [batches[place] for place in rng.permutation(len(batches))]

    def _sorted(self, numbers: np.ndarray) -> np.ndarray:
        return numbers[np.argsort(self.lengths[numbers], kind="stable")]


def parts_of(numbers: np.ndarray, size: int, processes: int = 1, freely: bool = False) -> list[np.ndarray]:
    """A step's conversations in parts of at most `size`, which the processes take in turn.

    Cut `freely`, they are as many parts as all processes have to work on evenly, as far as the conversations suffice.
    Otherwise the parts are the same for any number of processes, some of which may have less to do, or nothing.

    Examples
    --------
    >>> [len(part) for part in parts_of(np.arange(8), 3)], [len(part) for part in parts_of(np.arange(8), 4, 8, True)]
    ([3, 3, 2], [1, 1, 1, 1, 1, 1, 1, 1])
    """
    whole = [numbers[start : start + size] for start in range(0, len(numbers), size)]
    if not freely or len(whole) % processes == 0:
        return whole
    return np.array_split(numbers, min(-(-len(whole) // processes) * processes, len(numbers)))


def share_of_busiest(numbers: np.ndarray, size: int, processes: int, freely: bool) -> float:
    """Share of a step's conversations that go through the process which has most of them.

    Examples
    --------
    >>> share_of_busiest(np.arange(8), 4, 8, False), share_of_busiest(np.arange(8), 4, 8, True)
    (0.5, 0.125)
    """
    parts = parts_of(numbers, size, processes, freely)
    return max(sum(map(len, parts[first::processes])) for first in range(processes)) / len(numbers)


def learning_rate(step: int, steps: int, warmup: float) -> float:
    """Share of the highest learning rate at a step: a rise over the warm-up, then half a cosine down towards 0.

    Examples
    --------
    >>> [round(learning_rate(step, 10, 0.2), 2) for step in (0, 1, 2, 6, 9)]
    [0.5, 1.0, 1.0, 0.5, 0.04]
    """
    rising = math.ceil(warmup * steps)
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(steps - rising, 1)))
