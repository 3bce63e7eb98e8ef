"""Pickles of lists of records, read without running what they ask for.

A pickle is a program. This reader lets it name six functions and two types, all of which numpy uses to
store arrays, and none of which it gets: each name leads to a stand-in below that can do no more than
remember a plain array's bytes. Anything else the pickle names is an error.
"""

import functools
import pickle
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from anisoalign.embeddings.beside import Columns
from anisoalign.embeddings.errors import InputError, one_line
from anisoalign.embeddings.formats.memory import MemorySource
from anisoalign.embeddings.shards import Block

_CODES = re.compile(r"[<>|=]?([fiu][1248]|U[0-9]{1,6})")
"""Types of arrays admitted: real and whole numbers, and text for ids."""


class _Stand:
    """A name in a pickle; slots keep the pickle from changing it."""

    __slots__ = ()


class _Dtype(_Stand):
    """What `numpy.dtype(...)` leaves behind: a type code and, once told, its byte order."""

    __slots__ = ("value",)

    def __init__(self, code: Any = None, *_: Any):
        if not isinstance(code, str) or not _CODES.fullmatch(code):
            raise pickle.UnpicklingError(f"an array of {code!r}, which is neither numbers nor text")
        self.value = np.dtype(code)

    def __setstate__(self, state: Any) -> None:
        order = state[1]
        if order in ("<", ">"):
            self.value = self.value.newbyteorder(order)


class _Array(_Stand):
    """What `numpy.ndarray` leaves behind: an array, once its bytes have come."""

    __slots__ = ("value",)

    def __init__(self, *_: Any):
        self.value: np.ndarray | None = None

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, data = state
        self.value = _plain_array(data, dtype, shape, "F" if fortran else "C")


class _Reconstruct(_Stand):
    """Stands for numpy's `_reconstruct`, which makes an empty array to be filled."""

    __slots__ = ()

    def __call__(self, *_: Any) -> _Array:
        return _Array()


class _FromBuffer(_Stand):
    """Stands for numpy's `_frombuffer`, which newer pickles use for contiguous arrays."""

    __slots__ = ()

    def __call__(self, data: Any, dtype: Any, shape: Any, order: Any = "C") -> _Array:
        array = _Array()
        array.value = _plain_array(data, dtype, shape, order)
        return array


class _Scalar(_Stand):
    """Stands for numpy's `scalar`: one number."""

    __slots__ = ()

    def __call__(self, dtype: Any, data: Any) -> Any:
        return _plain_array(data, dtype, (1,), "C")[0].item()


class _Latin1(_Stand):
    """Stands for `_codecs.encode`, by which old protocols write bytes; other encodings are refused."""

    __slots__ = ()

    def __call__(self, text: Any, encoding: Any = None) -> bytes:
        if encoding != "latin1" or not isinstance(text, str):
            raise pickle.UnpicklingError("bytes in an encoding other than latin1")
        return text.encode("latin1")


def _plain_array(data: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    if isinstance(data, pickle.PickleBuffer):  # pragma: no cover - only with out-of-band buffers
        raise pickle.UnpicklingError("buffers outside the pickle")
    if not (isinstance(data, bytes | bytearray) and isinstance(dtype, _Dtype) and isinstance(shape, tuple)):
        raise pickle.UnpicklingError("an array that is not plain numbers")
    flat = np.frombuffer(bytes(data), dtype.value)
    return flat.reshape(shape, order="F" if order == "F" else "C").astype(dtype.value.newbyteorder("="))


class _RestrictedUnpickler(pickle.Unpickler):
    """Knows the names numpy needs, and leads each to its stand-in."""

    def find_class(self, module: str, name: str) -> Any:
        module = module.replace("numpy.core.", "numpy._core.")
        stands = {
            ("numpy", "dtype"): _Dtype,
            ("numpy", "ndarray"): _Array,
            ("numpy._core.multiarray", "_reconstruct"): _Reconstruct(),
            ("numpy._core.multiarray", "scalar"): _Scalar(),
            ("numpy._core.numeric", "_frombuffer"): _FromBuffer(),
            ("_codecs", "encode"): _Latin1(),
        }
        if (module, name) not in stands:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return stands[module, name]

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it refers to objects outside itself")


def load_records(path: Path) -> list[dict[str, Any]]:
    """Read a pickled list of records `{"id", "embed", maybe more}`; arrays become numpy arrays.

    Raises
    ------
    InputError
        If the file asks for anything but numpy arrays and plain values, or is no such list.
    """
    try:
        with path.open("rb") as file:
            records = _RestrictedUnpickler(file).load()
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path}: refused to open this pickle: {error}; only numpy arrays, numbers, text, lists and "
            "dicts are read (save torch tensors as numpy arrays first)"
        ) from error
    except Exception as error:
        # A damaged pickle fails in as many ways as there are instructions.
        raise InputError(
            f"{path} is not a pickle that can be read: {type(error).__name__}: {one_line(error)}"
        ) from error
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise InputError(f"{path}: a list of records with `id` and `embed` is needed")
    for row, record in enumerate(records):
        if "embed" not in record:
            raise InputError(f"{path}, row {row}: the record has no `embed`")
    return records


class PickleSource:
    """One pickle as a shard; it is read whole, as pickles only can be."""

    def __init__(self, path: Path):
        self.path = path
        self.label = str(path)
        self.nbytes = path.stat().st_size
        loaded = load_pickle(path)
        self.rows, self.dim, self.dtype = loaded.rows, loaded.dim, loaded.dtype
        self.left_out = loaded.left_out
        # Kept, because a second look at a pickle means reading all of it again.
        self._peek = loaded.peek(64).copy()

    def blocks(self, size: int) -> Iterator[Block]:
        """Yield rows of the list."""
        return load_pickle(self.path).blocks(size)

    def take(self, rows: np.ndarray) -> Block:
        """Return the given rows."""
        return load_pickle(self.path).take(rows)

    def peek(self, count: int) -> np.ndarray:
        """Return evenly spaced rows."""
        return self._peek[:: max(1, -(-len(self._peek) // count))]

    def columns(self) -> Columns | None:
        """Return ids, captions and whatever else is one plain value a record; `left_out` names the arrays."""
        return load_pickle(self.path).columns()


def load_pickle(path: Path) -> MemorySource:
    """Read a pickle of records as an array with columns; the last one read is kept until `forget_pickles`."""
    at = path.stat()
    return _loaded(path, at.st_size, at.st_mtime_ns)


def forget_pickles() -> None:
    """Give back the memory of the last pickle."""
    _loaded.cache_clear()


@functools.lru_cache(maxsize=1)
def _loaded(path: Path, size: int, changed: int) -> MemorySource:
    records = load_records(path)
    if not records:
        raise InputError(f"{path}: the list of records is empty")
    vectors = [_vector(record["embed"], str(path), row) for row, record in enumerate(records)]
    for row, vector in enumerate(vectors):
        if (vector.shape, vector.dtype) != (vectors[0].shape, vectors[0].dtype):
            raise InputError(
                f"{path}, row {row}: a vector of {vector.dtype} and width {vector.shape[0]} "
                f"among {vectors[0].dtype} and width {vectors[0].shape[0]}"
            )
    return MemorySource(np.stack(vectors), str(path), *_columns(records, str(path)))


def _vector(embed: Any, label: str, row: int) -> np.ndarray:
    if isinstance(embed, _Array):
        embed = embed.value
    if isinstance(embed, list) and embed and all(isinstance(value, int | float) for value in embed):
        embed = np.array(embed, np.float64)
    if isinstance(embed, np.ndarray) and embed.ndim == 2 and embed.shape[0] == 1:
        embed = embed[0]
    if not isinstance(embed, np.ndarray) or embed.ndim != 1 or embed.dtype.kind != "f":
        raise InputError(f"{label}, row {row}: `embed` must be a vector of floats, not {type(embed).__name__}")
    return embed


def _columns(records: list[dict[str, Any]], label: str) -> tuple[pa.Table | None, list[str]]:
    """Return what is one plain value a record as columns, and the names of what is arrays, which do not go along."""
    names = list(dict.fromkeys(name for record in records for name in record if name != "embed"))
    columns: dict[str, pa.Array] = {}
    arrays = []
    for name in names:
        values = [_plain_value(record.get(name)) for record in records]
        odd = next((row for row, value in enumerate(values) if isinstance(value, _Stand)), None)
        if name == "id":
            _check_id(values, odd, label)
        if odd is not None:
            arrays.append(str(name))
            continue
        try:
            columns[str(name)] = pa.array(values)
        except (pa.ArrowException, OverflowError) as error:
            raise InputError(f"{label}: `{name}` is not of one kind in all records: {one_line(error)}") from error
    return pa.table(columns) if columns else None, arrays


def _plain_value(value: Any) -> Any:
    """Return the value that an array without axes holds, as `np.array(7)` does; all else as it is."""
    if isinstance(value, _Array) and value.value is not None and value.value.ndim == 0:
        return value.value.item()
    return value


def _check_id(values: list[Any], odd: int | None, label: str) -> None:
    if any(value is None for value in values):
        raise InputError(f"{label}, row {values.index(None)}: the record has no `id`")
    if odd is not None:
        raise InputError(f"{label}, row {odd}: `id` is an array, not one value")
