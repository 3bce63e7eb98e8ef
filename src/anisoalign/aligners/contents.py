"""What a fitted model holds, said by each method of itself, so that a damaged file is told when it is read."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from anisoalign.aligners.parameters import is_number
from anisoalign.embeddings.provenance import is_provenance

Shape = tuple[int | None, ...]
"""Of a fitted array; None where any length will do."""


class Value(NamedTuple):
    """A fitted value that is no array: what it is, in words, whether one is that, and whether all models have it."""

    words: str
    fits: Callable[[Any], bool]
    needed: bool = True


def whole(least: int) -> Value:
    """A whole number.

    Examples
    --------
    >>> whole(1).fits(3), whole(1).fits(0), whole(1).fits(3.0), whole(1).fits(True)
    (True, False, False, False)
    """
    return Value(f"a whole number of at least {least}", lambda found: type(found) is int and found >= least)


def number(least: float, most: float = math.inf) -> Value:
    """A finite number.

    Examples
    --------
    >>> number(0, 1).fits(0.5), number(0, 1).fits(2), number(0).fits(math.nan)
    (True, False, False)
    """
    words = f"a number of at least {least:g}" + (f" and at most {most:g}" if most < math.inf else "")
    return Value(words, lambda found: is_number(found) and least <= found <= most)


def _are_origins(found: Any) -> bool:
    return isinstance(found, dict) and all(map(_is_origin, found.values()))


def _is_origin(side: Any) -> bool:
    """Whether this is what `origins` remembers of a set."""
    if not isinstance(side, dict) or type(side.get("rows", 0)) is not int:
        return False
    about = side.get("provenance")
    return about is None or is_provenance(about)


def _is_energy(found: Any) -> bool:
    if not isinstance(found, dict) or not {"energy", "rows"} <= found.keys():
        return False
    return all(map(number(0).fits, found.values())) and found["rows"] > 0


NULL = Value("null", lambda found: found is None, needed=False)
ORIGINS = Value("what is known, side by side, of the sets that the model was fitted on", _are_origins, needed=False)
ENERGY = Value("a table of energy and rows", _is_energy)
