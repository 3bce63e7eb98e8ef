"""Conversations that cannot be learned from: refused together, or left out and told of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from anisoalign.embeddings import InputError

_LISTED = 10


@dataclass(frozen=True)
class Unusable:
    """How many conversations cannot be used, and the first ten, each with its reason.

    Examples
    --------
    >>> found = Unusable().with_one("line 3: id '7': the answer of turn 2 is empty")
    >>> found.count
    1
    >>> found.refuse("talks.jsonl")
    Traceback (most recent call last):
    anisoalign.embeddings.errors.InputError: talks.jsonl: 1 conversation(s) cannot be used, these:
      line 3: id '7': the answer of turn 2 is empty
    """

    count: int = 0
    first: Sequence[str] = ()

    def with_one(self, reason: str) -> Unusable:
        """These and one more."""
        return Unusable(self.count + 1, (*self.first, reason)[:_LISTED])

    def refuse(self, name: str, advice: str = "") -> None:
        """Raise InputError where there are any."""
        if self.count:
            listed = self._listed(f"{name}: {self.count:,} conversation(s) cannot be used")
            raise InputError(f"{listed}\n{advice}" if advice else listed)

    def told(self, name: str) -> str:
        """What is said where they are left out."""
        return self._listed(f"{name}: {self.count:,} conversation(s) left out")

    def _listed(self, what: str) -> str:
        which = "the first ten" if self.count > _LISTED else "these"
        return "\n".join((f"{what}, {which}:", *(f"  {reason}" for reason in self.first)))
