"""Shards in Arrow's own format, file or stream, and the folders that HF `datasets` saves.

The folders are read without `datasets`: `state.json` lists their files in order.
"""

import json
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from anisoalign.embeddings.beside import Columns
from anisoalign.embeddings.errors import InputError, one_line
from anisoalign.embeddings.formats.columns import (
    choose_column,
    column_blocks,
    columns_beside,
    first_width,
    vector_type,
)
from anisoalign.embeddings.manifest import to_json
from anisoalign.embeddings.remote import is_remote
from anisoalign.embeddings.shards import Block, exact_blocks, take_from_blocks


class ArrowSource:
    """One Arrow file or stream, mapped for each pass."""

    def __init__(self, path: Path, column: str | None = None):
        self.path = path
        self.label = str(path)
        batches = self._batches()
        schema = next(batches)
        assert isinstance(schema, pa.Schema)
        self.column = choose_column(schema, column, self.label)
        found = vector_type(schema.field(self.column).type)
        assert found is not None
        self.dtype, width = found
        self.rows, self.dim = 0, width or 0
        for batch in batches:
            assert isinstance(batch, pa.RecordBatch)
            self.rows += batch.num_rows
            self.dim = self.dim or first_width(batch.column(self.column))
        self._beside, self.left_out = columns_beside(schema, self.column)
        self.nbytes = path.stat().st_size

    def _batches(self) -> Iterator[pa.Schema | pa.RecordBatch]:
        return read_batches(self.path)

    def _arrays(self) -> Iterator[pa.Array]:
        for batch in self._batches():
            if isinstance(batch, pa.RecordBatch):
                yield batch.column(self.column)

    def blocks(self, size: int) -> Iterator[Block]:
        """Yield exact blocks across record batches."""
        return exact_blocks(column_blocks(self._arrays(), self.dim, self.dtype, self.label), size)

    def take(self, rows: np.ndarray) -> Block:
        """Return the given rows by reading up to the last of them."""
        return take_from_blocks(self.blocks(4096), rows)

    def peek(self, count: int) -> np.ndarray:
        """Return the first rows."""
        return next(self.blocks(count))[0]

    def columns(self) -> Columns | None:
        """Return the columns that hold no vectors."""
        if not self._beside:
            return None
        schema = next(self._batches())
        assert isinstance(schema, pa.Schema)
        kept = pa.schema([schema.field(name) for name in self._beside])
        return Columns(kept, self.rows, self._stream)

    def _stream(self, names: list[str]) -> Iterator[pa.RecordBatch]:
        for batch in self._batches():
            if isinstance(batch, pa.RecordBatch):
                yield batch.select(names).replace_schema_metadata()


def read_batches(path: Path) -> Iterator[pa.Schema | pa.RecordBatch]:
    """Yield the schema, then every record batch, without copying from the mapped file."""
    try:
        with path.open("rb") if is_remote(path) else pa.memory_map(str(path)) as mapped:
            if mapped.read(6) == b"ARROW1":
                mapped.seek(0)
                reader = pa.ipc.open_file(mapped)
                yield reader.schema
                yield from (reader.get_batch(i) for i in range(reader.num_record_batches))
            else:
                mapped.seek(0)
                stream = pa.ipc.open_stream(mapped)
                yield stream.schema
                yield from stream
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path} cannot be read as Arrow: {one_line(error)}") from error


def is_hf_dataset(folder: Path) -> bool:
    """Tell whether `datasets` saved this folder."""
    return (folder / "state.json").is_file() or (folder / "dataset_dict.json").is_file()


def hf_files(folder: Path) -> list[Path]:
    """Return the Arrow files of a saved dataset in their order.

    Raises
    ------
    InputError
        If the folder holds several splits, or rows selected by an index that is kept apart.
    """
    if (folder / "dataset_dict.json").is_file():
        splits = ", ".join(str(folder / name) for name in _json(folder / "dataset_dict.json")["splits"])
        raise InputError(f"{folder} is a dataset of several splits, open one of them: {splits}")
    state = _json(folder / "state.json")
    if state.get("_indices_files") or state.get("_indices_data_files"):
        raise InputError(
            f"{folder} selects rows through an index; call flatten_indices() on the dataset and save it again"
        )
    return [folder / item["filename"] for item in state.get("_data_files", [])]


def hf_files_beside(names: Sequence[str]) -> dict[str, str]:
    """What `datasets.load_from_disk` asks for beside Arrow files, from which it takes the features: texts by name."""
    state = {
        "_data_files": [{"filename": name} for name in names],
        "_fingerprint": f"{zlib.crc32(to_json(names).encode()):016x}",
        "_format_columns": None,
        "_format_kwargs": {},
        "_format_type": None,
        "_output_all_columns": False,
        "_split": None,
    }
    return {"state.json": to_json(state), "dataset_info.json": to_json({"features": None})}


def _json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {one_line(error)}") from error
