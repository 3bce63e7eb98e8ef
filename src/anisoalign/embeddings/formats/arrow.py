"""Shards in Arrow's own format, file or stream, and the folders that HF `datasets` saves.

The folders are read without `datasets`: `state.json` lists their files in order.
"""

import contextlib
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from anisoalign.embeddings.errors import InputError, one_line
from anisoalign.embeddings.formats.table import TableSource
from anisoalign.embeddings.manifest import read_json, to_json
from anisoalign.embeddings.remote import is_remote


class ArrowSource(TableSource):
    """One Arrow file or stream, mapped for each pass."""

    def __init__(self, path: Path, column: str | None = None):
        with _reader(path) as reader:  # once: what is far away is waited for
            schema, self.rows = reader.schema, sum(batch.num_rows for batch in _batches_of(reader))
        super().__init__(path, str(path), schema, column)
        self.nbytes = path.stat().st_size

    def _batches(self, names: list[str], size: int) -> Iterator[pa.RecordBatch]:
        return (batch.select(names).replace_schema_metadata() for batch in read_batches(self.path))


def read_schema(path: Path) -> pa.Schema:
    """Columns of an Arrow file or stream."""
    with _reader(path) as reader:
        return reader.schema


def read_batches(path: Path) -> Iterator[pa.RecordBatch]:
    """Yield every record batch, without copying from the mapped file."""
    with _reader(path) as reader:
        yield from _batches_of(reader)


def _batches_of(reader: pa.ipc.RecordBatchFileReader | pa.ipc.RecordBatchStreamReader) -> Iterator[pa.RecordBatch]:
    if isinstance(reader, pa.ipc.RecordBatchFileReader):
        return (reader.get_batch(i) for i in range(reader.num_record_batches))
    return iter(reader)


@contextlib.contextmanager
def _reader(path: Path) -> Iterator[pa.ipc.RecordBatchFileReader | pa.ipc.RecordBatchStreamReader]:
    try:
        with path.open("rb") if is_remote(path) else pa.memory_map(str(path)) as mapped:
            opened = pa.ipc.open_file if mapped.read(6) == b"ARROW1" else pa.ipc.open_stream
            mapped.seek(0)
            yield opened(mapped)
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
        splits = ", ".join(str(folder / name) for name in read_json(folder / "dataset_dict.json")["splits"])
        raise InputError(f"{folder} is a dataset of several splits, open one of them: {splits}")
    state = read_json(folder / "state.json")
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
