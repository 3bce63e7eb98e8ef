"""Bodies of the files that are written: a shard's vectors streamed in one format, its checksum on the way.

Every body is given rows in the file's own type and cuts them where the format needs it, so that the
bytes written do not depend on how the rows arrived.
"""

import io
import json
import os
import re
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from anisoalign.embeddings.beside import rows_of_group
from anisoalign.embeddings.errors import InputError, blamed_on, one_line
from anisoalign.embeddings.manifest import crc32, file_checksum
from anisoalign.embeddings.shards import Block, exact_blocks
from anisoalign.embeddings.tiles import tile_rows_for

FORMATS = {
    "npy": ".npy",
    "parquet": ".parquet",
    "safetensors": ".safetensors",
    "arrow": ".arrow",
    "hf": ".arrow",
}
"""Formats written shard by shard, and the endings of their files."""

_LIKE_A_FILE = re.compile(r"\.([A-Za-z]{2,5}|h5|hdf5|feather|pickle)")
"""Endings that files have; `v1.5` and `text.aligned` are names of folders."""

WITH_COLUMNS = ("parquet", "arrow", "hf")
"""Formats that hold ids and other columns in the same file."""

VECTORS = "embedding"
"""The column of vectors in tables; in safetensors the key is `embeddings`."""


def names_beside(names: Sequence[str]) -> list[str]:
    """Names that columns take within a table of vectors: one that is called as the vectors are is renamed.

    Examples
    --------
    >>> names_beside(["id", "embedding"])
    ['id', 'embedding_given']
    """
    given = VECTORS
    while given in names:
        given += "_given"
    return [given if name == VECTORS else name for name in names]


def table_schema(beside: pa.Schema | None, dim: int, dtype: np.dtype) -> pa.Schema:
    """Columns of a table: those beside the vectors, and the vectors last."""
    columns = [] if beside is None else list(beside.remove_metadata())
    names = names_beside([column.name for column in columns])
    renamed = [column.with_name(name) for column, name in zip(columns, names, strict=True)]
    return pa.schema([*renamed, pa.field(VECTORS, pa.list_(pa.from_numpy_dtype(dtype), dim))])


def _decoded(column: pa.Field) -> pa.Field:
    kind = column.type
    return column.with_type(kind.value_type) if pa.types.is_dictionary(kind) else column


class Sink:
    """A file that is written front to back, its checksum counted on the way."""

    closed = False
    """Arrow asks, and ends its tables even after the file was abandoned."""

    def __init__(self, path: Path):
        self.path = path
        self._crc = 0
        self._patched = False
        self._file = path.open("wb", buffering=0)

    def write(self, data: object) -> int:
        """Append bytes."""
        view = memoryview(data).cast("B")  # type: ignore[arg-type]
        if self._file.closed:
            return len(view)
        self._crc = crc32(view, self._crc)
        written = 0
        with blamed_on(self.path):
            while written < len(view):
                written += self._file.write(view[written:]) or 0
        return written

    def patch(self, data: bytes) -> None:
        """Write over the beginning of the file."""
        self._patched = True
        self._file.seek(0)
        self._file.write(data)

    def flush(self) -> None:
        """Do nothing: the file is not buffered."""

    def close(self) -> None:
        """Do nothing: Arrow's writers close what they are given, but it is not synced yet."""

    def finish(self) -> str:
        """Sync the file to disk, close it and return its checksum."""
        with blamed_on(self.path):
            os.fsync(self._file.fileno())
            self._file.close()
        return file_checksum(self.path) if self._patched else f"{self._crc:08x}"

    def abandon(self) -> None:
        """Close and remove the file."""
        self._file.close()
        self.path.unlink(missing_ok=True)


class Body(Protocol):
    """Writes one shard's rows in one format."""

    def write(self, values: np.ndarray, beside: pa.Table | None) -> None:
        """Append rows, which must not change afterwards, and columns beside them if the format holds any."""
        ...

    def finish(self, rows: int) -> None:
        """End the file, which now holds `rows` rows."""
        ...


class PlainBody:
    """Values after a header of constant length: `.npy` and safetensors."""

    def __init__(self, sink: Sink, header: "Header", rows: int | None):
        self._sink, self._header = sink, header
        # Where rows may be dropped their number is known last, and the header is written again.
        self._promised = rows
        sink.write(header(0 if rows is None else rows))

    def write(self, values: np.ndarray, beside: pa.Table | None) -> None:
        """Append values."""
        self._sink.write(np.ascontiguousarray(values))

    def finish(self, rows: int) -> None:
        """Correct the header if it promised another number of rows."""
        if rows != self._promised:
            self._sink.patch(self._header(rows))


class Header(Protocol):
    """Makes a file's header for a number of rows, always of the same length."""

    def __call__(self, rows: int) -> bytes:
        """Return the header."""
        ...


def npy_header(dim: int, dtype: np.dtype) -> Header:
    """Return headers of `.npy` version 1, which numpy pads so that rows can be appended."""

    def header(rows: int) -> bytes:
        out = io.BytesIO()
        fields = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": (rows, dim)}
        np.lib.format.write_array_header_1_0(out, fields)
        return out.getvalue()

    return header


def safetensors_header(dim: int, dtype: np.dtype) -> Header:
    """Return safetensors headers for one table under the key `embeddings`, padded to 256 bytes."""
    name = {"float16": "F16", "float32": "F32", "float64": "F64"}[dtype.name]

    def header(rows: int) -> bytes:
        size = rows * dim * dtype.itemsize
        table = {"dtype": name, "shape": [rows, dim], "data_offsets": [0, size]}
        text = json.dumps({"__metadata__": {"format": "pt"}, "embeddings": table}).ljust(248)
        return struct.pack("<Q", len(text)) + text.encode()

    return header


class TableBody:
    """Rows of a table with the vectors in a fixed-size-list column: Parquet, Arrow file, Arrow stream."""

    def __init__(self, sink: Sink, format: str, dim: int, dtype: np.dtype, beside: pa.Schema | None):
        self._dim = dim
        self._schema = table_schema(beside, dim, dtype)
        if format == "arrow":  # a file has one dictionary a column, and groups may bring one each
            self._schema = pa.schema([_decoded(column) for column in self._schema])
        self._group = rows_of_group(self._schema, 4 * tile_rows_for(dim))
        self._waiting: list[tuple[np.ndarray, pa.Table | None]] = []
        self._count = 0
        if format == "parquet":
            # Vectors neither repeat nor compress; dictionaries and statistics of them are waste.
            plain = [name for name in self._schema.names if name != VECTORS]
            options = {"compression": "none", "use_dictionary": plain, "write_statistics": plain}
            try:
                self._out = pq.ParquetWriter(sink, self._schema, **options)
            except pa.ArrowException as error:
                raise InputError(f"columns beside the vectors cannot be kept in Parquet: {one_line(error)}") from error
        elif format == "arrow":
            self._out = pa.ipc.new_file(sink, self._schema)
        else:
            self._out = pa.ipc.new_stream(sink, self._schema)

    def write(self, values: np.ndarray, beside: pa.Table | None) -> None:
        """Append rows; groups of a constant length are written as they fill."""
        self._waiting.append((values, beside))
        self._count += len(values)
        if self._count >= self._group:
            self._write_groups(last=False)

    def finish(self, rows: int) -> None:
        """Write what waits and end the table."""
        self._write_groups(last=True)
        self._out.close()

    def _write_groups(self, last: bool) -> None:
        pieces: list[Block] = [(values, None) for values, _ in self._waiting]
        tables = [table for _, table in self._waiting if table is not None]
        beside = pa.concat_tables(tables).combine_chunks() if tables else None
        self._waiting, self._count, start = [], 0, 0
        for values, _ in exact_blocks(pieces, self._group):
            columns = None if beside is None else beside.slice(start, len(values))
            start += len(values)
            if len(values) < self._group and not last:
                self._waiting, self._count = [(values, columns)], len(values)
            else:
                self._write_group(values, columns)

    def _write_group(self, values: np.ndarray, beside: pa.Table | None) -> None:
        flat = pa.array(np.ascontiguousarray(values).reshape(-1))
        kinds = self._schema.types
        columns = [] if beside is None else zip(beside.columns, kinds[:-1], strict=True)
        arrays = [column.combine_chunks().cast(kind) for column, kind in columns]
        arrays.append(pa.FixedSizeListArray.from_arrays(flat, self._dim))
        batch = pa.record_batch(arrays, schema=self._schema)
        if isinstance(self._out, pq.ParquetWriter):
            self._out.write_batch(batch, row_group_size=self._group)
        else:
            self._out.write_batch(batch)


def open_body(sink: Sink, format: str, rows: int | None, dim: int, dtype: np.dtype, beside: pa.Schema | None) -> Body:
    """Begin a shard's file in the given format."""
    if format == "npy":
        return PlainBody(sink, npy_header(dim, dtype), rows)
    if format == "safetensors":
        return PlainBody(sink, safetensors_header(dim, dtype), rows)
    return TableBody(sink, format, dim, dtype, beside)


def choose_format(out: Path, format: str | None) -> tuple[str, bool]:
    """Return the format and whether `out` is a single file, by its ending.

    Examples
    --------
    >>> choose_format(Path("a.parquet"), None), choose_format(Path("folder"), None)
    (('parquet', True), ('npy', False))

    Raises
    ------
    InputError
        If there is no such format, the ending says another, or it is that of a file and no format is given.
    """
    endings = {ending: name for name, ending in FORMATS.items() if name != "hf"}
    named = endings.get(out.suffix)
    if format is not None and format not in FORMATS:
        raise InputError(f"the format to write must be one of {', '.join(FORMATS)}, not {format!r}")
    if named and format not in (None, named):
        raise InputError(f"{out} is named as {named}, but {format} was asked for")
    if format is None and named is None and _LIKE_A_FILE.fullmatch(out.suffix):
        lance = "convert writes Lance" if out.suffix == ".lance" else f"written are {', '.join(endings)}"
        raise InputError(
            f"{out} is named like a file, and would be a folder: {lance}; for a folder of that name say in which "
            "format (--format, format=)"
        )
    return named or format or "npy", named is not None
