"""What could not be encoded, and why."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


class UnreadableError(Exception):
    """One item that cannot be decoded; the message is the reason."""


@dataclass(frozen=True)
class UnreadableItem:
    """An item that has no row in the result.

    Attributes
    ----------
    row : int
        Its position among the items of the source, bad ones counted.
    id : str
    where : str
        File, and what within it.
    reason : str
    """

    row: int
    id: str
    where: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, as a line of the report holds them."""
        return asdict(self)
