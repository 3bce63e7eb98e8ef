"""Arrow columns that hold vectors: which they are, how wide, and their values as arrays.

Parquet, Arrow files, HF datasets and Lance all hand over such columns.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

from anisoalign.embeddings.errors import ColumnError, InputError
from anisoalign.embeddings.shards import Block

_NAMED = 8
"""Columns that a message names; a table may have a column for each coordinate."""


def vector_type(kind: pa.DataType) -> tuple[np.dtype, int | None] | None:
    """Return value type and width of a column of vectors; width None if each row states its own.

    Examples
    --------
    >>> vector_type(pa.list_(pa.float32(), 4))
    (dtype('float32'), 4)
    >>> vector_type(pa.large_list(pa.float16()))
    (dtype('float16'), None)
    >>> vector_type(pa.string()) is None
    True
    """
    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    if pa.types.is_fixed_size_list(kind):
        width = kind.list_size
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        width = None
    else:
        return None
    if not pa.types.is_floating(kind.value_type) or width == 0:
        return None
    return np.dtype(kind.value_type.to_pandas_dtype()), width


def choose_column(schema: pa.Schema, column: str | None, label: str) -> str:
    """Return the column of vectors: the one asked for, or the only one there is."""
    if repeated := sorted({name for name in schema.names if schema.names.count(name) > 1}):
        raise InputError(f"{label} has several columns of one name: {', '.join(repeated)}")
    candidates = [item.name for item in schema if vector_type(item.type)]
    if column is None and len(candidates) == 1:
        return candidates[0]
    listed = ", ".join(candidates) or "none"
    if column is None and candidates:
        raise ColumnError(f"{label} has several columns of vectors", listed)
    if column is None:
        raise InputError(f"{label} has no column of float vectors; {_in_short(schema)}")
    if column not in schema.names:
        raise InputError(f"{label} has no column {column!r}; columns of vectors: {listed}")
    if column not in candidates:
        kind = schema.field(column).type
        raise InputError(f"{label}: column {column!r} is {kind}, not vectors; columns of vectors: {listed}")
    return column


def _in_short(schema: pa.Schema) -> str:
    """Columns by name and type, the first of many; where vectors were spread over columns, a remedy."""
    named = [f"{item.name} ({item.type})" for item in schema]
    numbers = [item for item in schema if pa.types.is_floating(item.type)]
    more = len(named) - _NAMED
    columns = ", ".join(named) if more <= 1 else f"{', '.join(named[:_NAMED])} and {more:,} more"
    spread = f"; {len(numbers):,} of them hold one number a row: make one column of lists of them, or a .npy array"
    return f"its columns: {columns or 'none'}{spread if len(numbers) > _NAMED else ''}"


def columns_beside(schema: pa.Schema, column: str) -> tuple[list[str], list[str]]:
    """Return the columns that go along with the vectors of `column`, and those that do not: lists of floats.

    A result with two such columns would not tell which of them holds its vectors.

    Examples
    --------
    >>> vectors = pa.list_(pa.float32(), 4)
    >>> columns_beside(pa.schema({"id": pa.string(), "image": vectors, "text": vectors}), "image")
    (['id'], ['text'])
    """
    others = [item for item in schema if item.name != column]
    beside = [item.name for item in others if vector_type(item.type) is None]
    return beside, [item.name for item in others if item.name not in beside]


def first_width(array: pa.Array) -> int:
    """Width of the first vector that is neither null nor an empty list; 0 if there is none.

    Examples
    --------
    >>> first_width(pa.array([None, [], [1.0, 2.0]]))
    2
    """
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    assert isinstance(array, pa.ListArray | pa.LargeListArray)  # fixed ones say it in their type
    widths = np.asarray(array.value_lengths().fill_null(0))
    return int(widths[np.argmax(widths > 0)]) if len(widths) else 0


def column_blocks(arrays: Iterable[pa.Array], dim: int, dtype: np.dtype, label: str) -> Iterator[Block]:
    """Turn consecutive pieces of a column into arrays of shape (m, dim) with their rows that are null or empty."""
    first = 0
    for array in arrays:
        yield _block(array, dim, dtype, label, first)
        first += len(array)


def _block(array: pa.Array, dim: int, dtype: np.dtype, label: str, first: int) -> Block:
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    count = len(array)
    nulls = np.asarray(array.is_null()) if array.null_count else None
    if isinstance(array, pa.FixedSizeListArray):
        flat = array.values.slice(array.offset * dim, count * dim)
    else:
        widths = np.diff(np.asarray(array.offsets))
        if not widths.all():
            nulls = widths == 0 if nulls is None else nulls | (widths == 0)
        wrong = widths != dim
        if nulls is not None:
            wrong &= ~nulls
        if wrong.any():
            row = int(np.argmax(wrong))
            raise InputError(
                f"{label}, row {first + row}: a vector of width {int(widths[row])} among others of width {dim}"
            )
        flat = array.flatten()
        if nulls is not None:
            values = np.full((count, dim), np.nan, dtype)
            values[~nulls], inner = _values(array.filter(pa.array(~nulls)).flatten(), dim)
            if inner is not None:
                nulls[~nulls] = inner
            return values, nulls
    values, inner = _values(flat, dim)
    masks = [mask for mask in (nulls, inner) if mask is not None]
    return values, np.asarray(np.logical_or.reduce(masks)) if masks else None


def _values(flat: pa.Array, dim: int) -> Block:
    """Values of a flat Arrow array as rows; a row with a null anywhere counts as null."""
    if flat.null_count == 0:
        return flat.to_numpy(zero_copy_only=True).reshape(-1, dim), None
    inner = np.asarray(flat.is_null()).reshape(-1, dim)
    return flat.to_numpy(zero_copy_only=False).reshape(-1, dim), np.asarray(inner.any(axis=1))
