"""One type for a column that several lists hold: the widest where theirs go together, else text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import reduce
from typing import Any

import pyarrow as pa

Part = tuple[pa.Schema, frozenset[str]]
"""Columns of a list, and which of them are integers that a float may not hold."""
EXACT = 2**53
"""Largest integer up to which a float holds all of them."""


def common_schema(parts: Sequence[Part]) -> pa.Schema:
    """Return columns that take what all parts hold, in the order in which they appear; one without values is text.

    Examples
    --------
    >>> parts = [pa.schema({"x": pa.null(), "n": pa.int64()}), pa.schema({"x": pa.float64(), "n": pa.string()})]
    >>> common_schema([(part, frozenset()) for part in parts]).types
    [DataType(double), DataType(string)]
    """
    names = dict.fromkeys(name for schema, _ in parts for name in schema.names)
    return pa.schema([pa.field(name, _type_of(name, parts)) for name in names])


def names_as_text(part: pa.Schema, whole: pa.Schema) -> list[str]:
    """Return the columns of a part whose values are to be written as text."""
    return [item.name for item in part if _is_text(whole.field(item.name).type) and not _is_text(item.type)]


def as_text(value: Any) -> str | None:
    """Return a value as it stands among texts: its JSON, or what Python calls it.

    Examples
    --------
    >>> as_text("a"), as_text(2.5), as_text({"a": [True, None]}), as_text(None)
    ('a', '2.5', '{"a": [true, null]}', None)
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool | int | float | list | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def _type_of(name: str, parts: Sequence[Part]) -> pa.DataType:
    holders = [(schema.field(name).type, name in long) for schema, long in parts if name in schema.names]
    kinds = list(dict.fromkeys(kind for kind, _ in holders))
    found = reduce(_common, kinds[1:], kinds[0])
    if found is None or pa.types.is_null(found):
        return pa.string()
    if pa.types.is_floating(found) and any(long for _, long in holders):
        return pa.string()
    return found


def _common(a: pa.DataType | None, b: pa.DataType | None) -> pa.DataType | None:
    """Return a type that takes the values of both as they are, None where only text does."""
    if a is None or b is None:
        return None
    if a == b or pa.types.is_null(b):
        return a
    if pa.types.is_null(a):
        return b
    return _common_kind(_plain(a), _plain(b))


def _common_kind(a: pa.DataType, b: pa.DataType) -> pa.DataType | None:
    if a == b:
        return a
    if pa.types.is_list(a) and pa.types.is_list(b):
        inner = _common_within(a.value_type, b.value_type)
        return None if inner is None else pa.list_(inner)
    if pa.types.is_struct(a) and pa.types.is_struct(b):
        return _common_struct(a, b)
    if any(map(pa.types.is_integer, (a, b))) and any(map(pa.types.is_floating, (a, b))):
        return pa.float64()
    return _widest(a, b) if _akin(a, b) else None


def _common_struct(a: pa.StructType, b: pa.StructType) -> pa.DataType | None:
    """Return a struct with the fields of both."""
    own, other = ({kind.field(i).name: kind.field(i).type for i in range(kind.num_fields)} for kind in (a, b))
    found = {name: _common_within(own.get(name, pa.null()), other.get(name, pa.null())) for name in own | other}
    fields = [pa.field(name, kind) for name, kind in found.items() if kind is not None]
    return pa.struct(fields) if len(fields) == len(found) else None


def _common_within(a: pa.DataType, b: pa.DataType) -> pa.DataType | None:
    """Return the same of values within values, where nobody knows which integers a float would not hold."""
    found = _common(a, b)
    if found is not None and pa.types.is_floating(found) and any(map(pa.types.is_integer, (a, b))):
        return None
    return found


def _akin(a: pa.DataType, b: pa.DataType) -> bool:
    """Tell whether two types are of one kind, so that the wider of them, or one wider still, takes both."""
    if pa.types.is_timestamp(a) and pa.types.is_timestamp(b):
        return a.tz == b.tz
    if pa.types.is_integer(a) and pa.types.is_integer(b):
        # Nothing takes the largest unsigned integers and negative ones.
        return pa.uint64() not in (a, b) or all(map(pa.types.is_unsigned_integer, (a, b)))
    return (pa.types.is_floating(a) and pa.types.is_floating(b)) or (_is_text(a) and _is_text(b))


def _widest(a: pa.DataType, b: pa.DataType) -> pa.DataType:
    schemas = [pa.schema([pa.field("x", kind)]) for kind in (a, b)]
    return pa.unify_schemas(schemas, promote_options="permissive").field("x").type


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(_plain(kind)) or pa.types.is_large_string(_plain(kind))
