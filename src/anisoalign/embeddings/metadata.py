"""Ids and other columns that lie beside vectors, in formats that hold numbers only.

The layout is clip-retrieval's: `metadata/metadata_003.parquet` belongs to `img_emb/img_emb_003.npy`,
row by row. A single file `x.npy` has `x.npy.ids.parquet` beside it, or `x.ids.parquet`.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from anisoalign.embeddings.beside import ID_COLUMNS, Columns
from anisoalign.embeddings.errors import InputError
from anisoalign.embeddings.formats.parquet import parquet_columns
from anisoalign.embeddings.shards import natural_key

BESIDE = ".ids.parquet"
"""Ending of the file that holds the columns beside a single file of vectors."""

WITHOUT_COLUMNS = (".npy", ".safetensors")
"""Endings of files whose columns lie beside them."""


def trailing_number(stem: str) -> int | None:
    """Return the number at the end of a file's stem.

    Examples
    --------
    >>> trailing_number("img_emb_012"), trailing_number("text")
    (12, None)
    """
    match = re.search(r"([0-9]+)$", stem)
    return int(match[1]) if match else None


def open_metadata(path: Path, label: str, rows: int) -> Columns:
    """Open a metadata file and check that it has one row a vector."""
    columns = parquet_columns(path)
    if columns.rows != rows:
        raise InputError(f"{path} has {columns.rows} rows, but {label} has {rows}")
    return columns


def match_metadata(shards: Sequence[Path], folder: Path) -> list[Path] | None:
    """Find each shard's metadata file by its number, or, where names have none, by order.

    Raises
    ------
    InputError
        If the folder has files but they do not fit the shards.
    """
    files = _metadata_files(folder)
    if not files:
        return None
    by_number = {trailing_number(path.stem): path for path in files}
    numbers = [trailing_number(path.stem) for path in shards]
    distinct = len(by_number) == len(files) and len(set(numbers)) == len(numbers)
    if distinct and None not in numbers and all(n in by_number for n in numbers):
        return [by_number[number] for number in numbers]
    if len(files) == len(shards) and (None in numbers or None in by_number):
        return files
    raise InputError(
        f"{folder} does not fit its vectors: {len(shards)} shards ({shards[0].name}, ...), "
        f"{len(files)} metadata files ({files[0].name}, ...){_repeated(shards)}"
    )


def check_none_missing(shards: Sequence[Path], folder: Path) -> None:
    """Refuse shards between two of which one is missing: its metadata are there, and its rows would not be missed.

    Metadata beyond the last shard are those of shards that were not fetched.

    Raises
    ------
    InputError
        Naming the file that is not there.
    """
    numbers = {number for path in shards if (number := trailing_number(path.stem)) is not None}
    if len(numbers) < len(shards):  # shards and metadata meet by order
        return
    first, last = min(numbers), max(numbers)
    for file in _metadata_files(folder):
        number = trailing_number(file.stem)
        if number is None or number in numbers or not first < number < last:
            continue
        stem, digits = shards[0].stem.rstrip("0123456789"), file.stem[len(file.stem.rstrip("0123456789")) :]
        missing = shards[0].with_name(f"{stem}{digits}{shards[0].suffix}")
        raise InputError(
            f"{missing} is missing: {file} belongs to its rows, and shards before and after it are there; bring it "
            "back, or move its metadata elsewhere too"
        )


def _metadata_files(folder: Path) -> list[Path]:
    """The metadata files of a folder, in natural order."""
    found = (path for path in folder.glob("*.parquet") if not path.name.startswith((".", "_")))
    return sorted(found, key=lambda path: natural_key(path.name))


def _repeated(shards: Sequence[Path]) -> str:
    """Which two shards have the same number, in words; empty where all differ."""
    first: dict[int, Path] = {}
    for shard in shards:
        number = trailing_number(shard.stem)
        if number is not None and first.setdefault(number, shard) is not shard:
            return f"; {first[number].name} and {shard.name} have the same number, give each its own folder"
    return ""


def choose_ids(names: Sequence[str], id_column: str | None, label: str) -> str | None:
    """Return the column of ids: the one asked for, else the first with a usual name, else None."""
    if id_column is not None:
        if id_column not in names:
            raise InputError(f"{label} has no column {id_column!r}; its columns: {', '.join(names) or 'none'}")
        return id_column
    return next((name for name in ID_COLUMNS if name in names), None)
