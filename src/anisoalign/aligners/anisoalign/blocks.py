"""A sample's rows a block at a time, float64: what is made of them on the way never lies in memory whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from anisoalign.aligners.anisoalign.path import Part, in_turn, on_rows
from anisoalign.statistics import Moments

BLOCK = 1024


def thinned(rows: Float[np.ndarray, "n d"], most: int, seed: int) -> Float[np.ndarray, "m d"]:
    """At most `most` rows, one drawn from each of as many stretches of equal length, in order.

    Rows lie in the order of their files: a draw of all could miss a short stretch of a sorted set, and every tenth row
    is of one kind where ten kinds take turns.

    Examples
    --------
    >>> import numpy as np
    >>> (thinned(np.arange(10.0)[:, None], 5, seed=0)[:, 0] // 2).tolist()
    [0.0, 1.0, 2.0, 3.0, 4.0]
    """
    if len(rows) <= most:
        return rows
    edges = np.arange(most + 1) * len(rows) // most
    return rows[np.random.default_rng(seed).integers(edges[:-1], edges[1:])]


def blocks(rows: Float[Tensor, "n d"]) -> Iterator[Float[Tensor, "m d"]]:
    """Rows of any precision, `BLOCK` of them at a time."""
    return (block.double() for block in rows.split(BLOCK))


def along(parts: Sequence[Part], rows: Float[Tensor, "n d"]) -> Iterator[Float[Tensor, "m d"]]:
    """Rows after the parts, in order.

    Examples
    --------
    >>> import torch
    >>> [len(block) for block in along([], torch.eye(3).repeat(1_000, 1))]
    [1024, 1024, 952]
    """
    move = on_rows(in_turn([part.move(torch.float64) for part in parts]))
    return (move(block) for block in blocks(rows))


def joined(mapped: Iterable[Float[Tensor, "m d"]]) -> Float[Tensor, "n d"]:
    """All blocks in one tensor."""
    return torch.cat(list(mapped))


def moments_of(mapped: Iterable[Float[Tensor, "m d"]], dim: int, within: int = 0) -> Moments:
    """Mean and second moments of the rows of all blocks; `within` is the space of rows seen in their span."""
    found = Moments.empty(dim, within=within)
    for block in mapped:
        found.update(block.numpy())
    return found


def mean_of(mapped: Iterable[Float[Tensor, "m d"]], dim: int) -> Float[Tensor, " d"]:
    """Mean of the rows of all blocks."""
    total, n = torch.zeros(dim, dtype=torch.float64), 0
    for block in mapped:
        total += block.sum(dim=0)
        n += len(block)
    return total / n
