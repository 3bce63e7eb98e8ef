"""Sets on disk made without the library under test: by numpy, pyarrow and safetensors themselves."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import save_file

FORMATS = ("npy", "parquet list", "parquet fixed", "parquet large", "safetensors", "arrow file", "arrow stream")


def vector_column(part: np.ndarray, kind: str) -> pa.Array:
    """A column of vectors: list, large or fixed-size list."""
    flat = pa.array(part.reshape(-1))
    offsets = np.arange(len(part) + 1) * part.shape[1]
    if kind == "fixed":
        return pa.FixedSizeListArray.from_arrays(flat, part.shape[1])
    if kind == "large":
        return pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), flat)
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), flat)


def write_shard(path: Path, part: np.ndarray, format: str, **columns: list) -> Path:
    """Write one shard; `columns` go beside the vectors where the format has columns."""
    kind, _, variant = format.partition(" ")
    path = path.with_name(path.name + "." + kind)
    if kind == "npy":
        np.save(path, part)
    elif kind == "safetensors":
        save_file({"embeddings": np.ascontiguousarray(part)}, path)
    else:
        width = variant if kind == "parquet" else "fixed" if variant == "file" else "list"
        table = pa.table({**columns, "vector": vector_column(part, width)})
        if kind == "parquet":
            pq.write_table(table, path, row_group_size=3)
        else:
            new = pa.ipc.new_file if variant == "file" else pa.ipc.new_stream
            with new(str(path), table.schema) as out:
                out.write_table(table, max_chunksize=4)
    return path


def unit(values: np.ndarray) -> np.ndarray:
    """Rows divided by their norms, the plain way in float64."""
    values = values.astype(np.float64)
    return values / np.sqrt((values**2).sum(axis=1, keepdims=True))
