"""What passes find out about a set: rows that are bad, norms, how far they came."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from anisoalign.embeddings.errors import InputError
from anisoalign.embeddings.norms import ShardNorms, Verdict, look, refuse_mixed, sentence, verdict
from anisoalign.embeddings.remote import asked_together, is_remote
from anisoalign.embeddings.shards import Shard, Span

BadRows = Literal["error", "drop"]
Norms = Literal["auto", "normalize"]

_LOCK = threading.Lock()
"""Held while workers of one pass note what they saw; of the module, so that a set can be sent to a process."""


@dataclass(frozen=True)
class Dropped:
    """A row that was left out: its file, its row there, its row in the whole set, and why."""

    file: str
    row: int
    global_row: int
    reason: str


@dataclass(frozen=True)
class Found:
    """What a pass found out in another process: rows left out and norms, by shard, and parts it came through."""

    dropped: dict[int, dict[int, Dropped]]
    norms: dict[int, ShardNorms]
    passed: list[Span]


class Notes:
    """Notes on the shards of one set. Several threads may add to them, and a row that is read again adds nothing.

    Parameters
    ----------
    name : str
        What messages call the set.
    shards : sequence of Shard
        The norms of a few rows of each are looked at.
    bad_rows : {"error", "drop"}
    norms : {"auto", "normalize"}

    Raises
    ------
    InputError
        If norms are mixed, unless `norms` is "normalize".
    """

    def __init__(self, name: str, shards: Sequence[Shard], bad_rows: BadRows, norms: Norms):
        _one_of("bad_rows", bad_rows, ("error", "drop"))
        _one_of("norms", norms, ("auto", "normalize"))
        self._name, self._shards = name, shards
        self._drop, self._refuse = bad_rows == "drop", norms == "auto"
        self._refused = False
        self._dropped: dict[int, dict[int, Dropped]] = {}
        self._passed: dict[int, set[tuple[int, int]]] = {}
        self._looked: set[int] = set()
        self._norms = asked_together(look, shards, any(is_remote(shard.path) for shard in shards))
        if self._refuse:
            refuse_mixed(name, shards, self._norms)

    @property
    def norms(self) -> Verdict:
        """Whether rows are unit, as far as was seen."""
        return verdict(self._norms)

    @property
    def norms_in_words(self) -> str:
        """The same as a sentence, with what is done about it."""
        return sentence(self._norms)

    @property
    def dropped(self) -> list[Dropped]:
        """Rows left out so far, in order."""
        with _LOCK:
            return [row for shard in sorted(self._dropped) for row in self._in_order(shard)]

    def dropped_in(self, shard: int) -> list[Dropped]:
        """Rows of one shard left out so far, in order: at a cost that does not grow with those of the others."""
        with _LOCK:
            return self._in_order(shard)

    def _in_order(self, shard: int) -> list[Dropped]:
        found = self._dropped.get(shard, {})
        return [found[row] for row in sorted(found)]

    def where(self, shard: Shard, row: int) -> str:
        """Name a row of a shard for a message; one gathered from elsewhere by the place that it comes from."""
        if (origin := _origin(shard, row)) is not None:
            return f"{origin}, row {shard.first_row + row} in the new order"
        place = f"{self._name}: {shard.label}, shard {shard.index}, row {row}"
        return place if len(self._shards) == 1 else f"{place} (row {shard.first_row + row} of the set)"

    def why_null(self, shard: Shard, row: int) -> str:
        """Say what is wrong with a row of a shard that has no vector."""
        gathered = hasattr(shard.source, "origin")
        return "has no vector of its id" if gathered and _origin(shard, row) is None else "is null or empty"

    def add_bad(self, shard: Shard, rows: np.ndarray, bad: dict[int, str]) -> None:
        """Refuse the first bad row of a block, or note all of them as dropped.

        Parameters
        ----------
        rows : ndarray of int
            Row in the shard of each row of the block.
        bad : dict
            Row of the block -> reason.
        """
        for i in sorted(bad):
            row = int(rows[i])
            if not self._drop:
                raise InputError(
                    f"{self.where(shard, row)} {bad[i]}; correct it, or leave such rows out with `--bad-rows drop`, in "
                    "Python with `aa.open_embeddings(x, bad_rows='drop')`"
                )
            origin = _origin(shard, row)
            self.add_dropped(shard, row, bad[i] if origin is None else f"{bad[i]} ({origin})")

    def add_dropped(self, shard: Shard, row: int, reason: str) -> None:
        """Note that a row of a shard is left out."""
        whole = shard.first_row + row
        with _LOCK:
            self._dropped.setdefault(shard.index, {})[row] = Dropped(shard.label, row, whole, reason)

    def check_some_kept(self) -> None:
        """Raise InputError if every row was dropped."""
        dropped = self.dropped
        if len(dropped) == sum(shard.rows for shard in self._shards):
            raise InputError(f"{self._name}: every row is bad, none is left ({dropped[0].reason}, ...)")

    def add_norms(self, shard: Shard, norms: np.ndarray) -> None:
        """Correct the first look by rows it did not see, and refuse a set that turns out mixed."""
        if len(norms):
            self._widen(shard.index, ShardNorms(float(norms.min()), float(norms.max())))

    def _widen(self, shard: int, norms: ShardNorms) -> None:
        with _LOCK:
            found = self._norms[shard]
            self._looked.add(shard)
            before = (found.seen, found.unit)
            found.low, found.high = min(found.low, norms.low), max(found.high, norms.high)
            changed = (found.seen, found.unit) != before
            if self._refuse and len(self._shards) > 1 and (changed or self._refused):
                self._refused = True  # and a second pass is refused as the first was
                refuse_mixed(self._name, self._shards, self._norms)
                self._refused = False

    def add_passed(self, span: Span) -> None:
        """Note that a pass has read a part of a shard to its end."""
        with _LOCK:
            self._passed.setdefault(span.shard, set()).add((span.start, span.stop))

    def covered(self, shard: Shard) -> bool:
        """Tell whether passes have read every row of a shard."""
        seen = 0
        for start, stop in sorted(self._passed.get(shard.index, ())):
            if start > seen:
                return False
            seen = max(seen, stop)
        return seen >= shard.rows

    def hand_over(self) -> Found:
        """Return what was found in rows read since the last call, and forget it: of a set sent to another process."""
        with _LOCK:
            norms = {shard: self._norms[shard] for shard in self._looked}
            passed = [Span(shard, *ends) for shard, parts in self._passed.items() for ends in sorted(parts)]
            found = Found(self._dropped, norms, passed)
            self._dropped, self._passed, self._looked = {}, {}, set()
        return found

    def absorb(self, found: Found) -> None:
        """Note what `hand_over` gave in another process.

        Raises
        ------
        InputError
            If the norms of all shards together turn out to be mixed.
        """
        with _LOCK:
            for index, rows in found.dropped.items():
                self._dropped.setdefault(index, {}).update(rows)
        for span in found.passed:
            self.add_passed(span)
        for shard, norms in found.norms.items():
            self._widen(shard, norms)


def _origin(shard: Shard, row: int) -> str | None:
    """Where a row of a shard without a file comes from; None where that is the shard, or nowhere."""
    origin = getattr(shard.source, "origin", None)
    return None if origin is None else origin(row)


def _one_of(what: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise InputError(f"{what} must be one of {', '.join(choices)}, not {value!r}")
