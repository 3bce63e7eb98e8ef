"""What the methods' parameters may be."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any

FRAMES = ("target", "common")
"""Where aligned rows may lie."""


def one_of(name: str, value: Any, choices: tuple[str, ...]) -> None:
    """Raise ValueError where `value` is none of the choices."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, not {value!r}")


def in_unit_interval(name: str, value: Any) -> float:
    """`value` as a float where it lies in [0, 1], else ValueError."""
    if not (is_number(value) and 0.0 <= value <= 1.0):
        raise ValueError(f"{name} must lie in [0, 1], not {value!r}")
    return float(value)


def at_least(name: str, value: Any, least: int) -> None:
    """Raise ValueError where `value` is not a whole number of at least `least`."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, not {value!r}")


def is_number(value: Any) -> bool:
    """Whether `value` is a finite number; True and False are none."""
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
