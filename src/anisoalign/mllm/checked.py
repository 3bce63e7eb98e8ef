"""Settings held against their dataclasses: keys that there are, values of the right type and within their bounds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from anisoalign.embeddings import InputError


def made(kind: type, values: Mapping[str, Any], name: str, where: str = "") -> Any:
    """Settings of a kind from plain values, as `config.json` or a table of TOML holds them.

    Parameters
    ----------
    kind : type
        A dataclass whose every field has a default.
    values : dict
    name : str
        Of the file, for messages.
    where : str
        In it, by default the kind.

    Raises
    ------
    InputError
        If a key is unknown, or a value of the wrong type or out of its bounds.
    """
    where = where or kind.__name__
    check_keys(values, [entry.name for entry in fields(kind)], name, where)
    types = get_type_hints(kind)
    typed = {key: _typed(value, types[key], f"{name}: {where} {key}") for key, value in values.items()}
    try:
        return kind(**typed)
    except InputError as error:
        raise InputError(f"{name}: {where} {error}") from error


def _typed(value: Any, kind: Any, where: str) -> Any:
    """`value` where it is of the type: a whole number is also a float, True is no number."""
    if get_origin(kind) in (Union, UnionType):
        kinds = get_args(kind)
        if value is None and type(None) in kinds:
            return None
        kind = next(choice for choice in kinds if choice is not type(None))
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
        names = {"str": "text in quotes", "int": "a whole number", "float": "a number", "bool": "true or false"}
        raise InputError(f"{where} must be {names[kind.__name__]}, not {value!r}")
    return value


def check_keys(table: Mapping[str, Any], keys: Sequence[str], name: str, where: str) -> None:
    """Raise InputError where a table has a key that there is not, with those that there are."""
    for key in table:
        if key not in keys:
            raise InputError(f"{name}: {where} has no key {key!r}; its keys: {', '.join(keys)}")


def table_in(table: Mapping[str, Any], key: str, name: str) -> Mapping[str, Any]:
    """The table under a key, empty where there is none; raises InputError where something else is there."""
    found = table.get(key, {})
    if not isinstance(found, dict):
        raise InputError(f"{name}: {key!r} must be a table, [{key}], not {found!r}")
    return found


def check_least(settings: Any, **least: float) -> None:
    """Raise InputError where a setting is below its least value, or NaN."""
    for name, value in least.items():
        if not getattr(settings, name) >= value:
            raise InputError(f"{name} must be at least {value}, not {getattr(settings, name)!r}")


def check_finite(settings: Any) -> None:
    """Raise InputError where a setting is infinite or NaN."""
    for entry in fields(settings):
        value = getattr(settings, entry.name)
        if isinstance(value, float) and not math.isfinite(value):
            raise InputError(f"{entry.name} must be a finite number, not {value!r}")


def check_choices(settings: Any, **choices: Sequence[str]) -> None:
    """Raise InputError where a setting is none of its choices."""
    for name, allowed in choices.items():
        if getattr(settings, name) not in allowed:
            listed = ", ".join(repr(choice) for choice in allowed)
            raise InputError(f"{name} must be one of {listed}, not {getattr(settings, name)!r}")
