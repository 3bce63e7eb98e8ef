"""Are the vectors unit? Looked at when a set is opened, checked again for every row that is read."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from anisoalign.embeddings.errors import InputError
from anisoalign.embeddings.shards import Shard
from anisoalign.embeddings.tiles import normalized

Verdict = Literal["unit", "not unit", "mixed"]

TOLERANCE = 1e-2
"""How far from 1 a unit vector's norm may lie; float16 storage alone moves it by 5e-4."""

_LOOK = 64
"""Rows of a shard looked at when a set is opened."""


@dataclass
class ShardNorms:
    """Smallest and largest norm seen in a shard so far; low above high while no good row was seen."""

    low: float = np.inf
    high: float = -np.inf

    @property
    def seen(self) -> bool:
        """Whether any good row was looked at."""
        return self.low <= self.high

    @property
    def unit(self) -> bool:
        """Whether every norm seen is 1 within the tolerance."""
        return self.low >= 1 - TOLERANCE and self.high <= 1 + TOLERANCE

    def add(self, norms: np.ndarray) -> None:
        """Take norms of good rows into account."""
        if len(norms):
            self.low = min(self.low, float(norms.min()))
            self.high = max(self.high, float(norms.max()))

    def __str__(self) -> str:
        low, high = f"{self.low:.4g}", f"{self.high:.4g}"
        return f"norm {low}" if low == high else f"norms {low} to {high}"


def look(shard: Shard) -> ShardNorms:
    """Look at the norms of a few rows of a shard; bad rows are left for the pass to report."""
    found = ShardNorms()
    if shard.rows:
        stored = shard.source.peek(min(_LOOK, shard.rows))
        _, norms, bad = normalized(stored, np.dtype(np.float64))
        found.add(np.delete(norms, list(bad)))
    return found


def verdict(norms: Sequence[ShardNorms]) -> Verdict:
    """Judge a set by its shards: mixed when some are unit and others not."""
    units = {item.unit for item in norms if item.seen}
    if len(units) > 1:
        return "mixed"
    return "not unit" if units == {False} else "unit"


def sentence(norms: Sequence[ShardNorms]) -> str:
    """State the verdict in words, with what is done about it."""
    seen = [item for item in norms if item.seen]
    if not seen:
        return "unknown: no good row was seen yet"
    total = ShardNorms(min(item.low for item in seen), max(item.high for item in seen))
    word = verdict(norms)
    if word == "unit":
        return f"unit ({total}), divided by their norms all the same"
    if word == "not unit":
        return f"not unit ({total}), normalised when read"
    count = sum(item.unit for item in seen)
    return f"mixed: {count} of {len(seen)} shards unit, the others not ({total}), normalised when read"


def refuse_mixed(name: str, shards: Sequence[Shard], norms: Sequence[ShardNorms]) -> None:
    """Raise for a mixed set, naming a shard of either kind and the choice.

    Raises
    ------
    InputError
        If some shards are unit and others not.
    """
    if verdict(norms) != "mixed":
        return
    units = [shard for shard, item in zip(shards, norms, strict=True) if item.seen and item.unit]
    others = [i for i, item in enumerate(norms) if item.seen and not item.unit]
    raise InputError(
        f"{name}: norms are mixed: {len(units)} shards hold unit vectors ({units[0].label}), "
        f"{len(others)} do not ({shards[others[0]].label}: {norms[others[0]]}). "
        "Correct the shards, or have every row normalised: with `--norms normalize`, in Python with "
        "`aa.open_embeddings(x, norms='normalize')`, and for a command without that option with `anisoalign convert` "
        "into one file, whose rows are normalised when they are read"
    )
