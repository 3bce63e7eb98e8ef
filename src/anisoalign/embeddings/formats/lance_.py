"""Lance datasets through their Arrow reader: each fragment is a shard."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from anisoalign.embeddings.errors import InputError, one_line
from anisoalign.embeddings.formats.table import TableSource


def is_lance(folder: Path) -> bool:
    """Tell whether a folder is a Lance dataset."""
    return (folder / "_versions").is_dir()


def lance_library() -> Any:
    """Import lance, or say which extra brings it."""
    try:
        import lance
    except ImportError as error:
        raise InputError("Lance datasets need the extra: pip install 'anisoalign[lance]'") from error
    return lance


class LanceSource(TableSource):
    """One fragment of a Lance dataset."""

    def __init__(self, path: Path, fragment: int, column: str | None = None):
        self.path, self._fragment = path, fragment
        part = self._open()
        super().__init__(path, f"{path} (fragment {fragment})", part.schema, column)
        self.rows = part.count_rows()
        self.nbytes = self.rows * self.dim * self.dtype.itemsize

    def _open(self) -> Any:
        return lance_library().dataset(str(self.path)).get_fragment(self._fragment)

    def _batches(self, names: list[str], size: int) -> Iterator[pa.RecordBatch]:
        try:
            for batch in self._open().to_batches(columns=names, batch_size=size):
                yield batch.select(names).replace_schema_metadata()
        except (OSError, ValueError, pa.ArrowException) as error:
            raise InputError(f"{self.label} cannot be read: {one_line(error)}") from error


def open_fragments(folder: Path, column: str | None) -> list[LanceSource]:
    """Open every fragment of a dataset, in order."""
    try:
        fragments = lance_library().dataset(str(folder)).get_fragments()
    except (OSError, ValueError) as error:
        raise InputError(f"{folder} cannot be read as Lance: {one_line(error)}") from error
    return [LanceSource(folder, part.fragment_id, column) for part in fragments]
