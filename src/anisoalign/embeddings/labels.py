"""Class labels of the rows of a set: one a line, a `.npy` array, or a column of a table."""

import re
import tokenize
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from anisoalign.embeddings.absent import absent
from anisoalign.embeddings.delimited import MARKS, DelimitedTable
from anisoalign.embeddings.errors import InputError, one_line
from anisoalign.embeddings.json_arrays import at_array, elements
from anisoalign.embeddings.text_lines import json_object, opened, read_lines, refuse_utf16
from anisoalign.places import expanded

TABLES = (".parquet", *MARKS, ".jsonl", ".ndjson", ".json")
"""Endings of files with columns."""


def read_labels(path: str | Path, expect_rows: int | None = None, column: str = "label") -> list[str]:
    r"""Read labels as strings.

    Parameters
    ----------
    path : str or Path
        A text file with one label a line (blank lines at its end do not count), a `.npy` array of whole numbers or
        strings, shape (n,), a `.json` array of them, or a column of a `.parquet`, `.csv`, `.tsv`, `.json`, `.jsonl` or
        `.ndjson` file, which `FILE:COLUMN` names.
    expect_rows : int, optional
        Number of rows the labels must fit.
    column : str
        What the labels are, "label" or "caption", and the column of a table that has several and is not told which.

    Raises
    ------
    InputError
        If the file cannot be read, a label is missing, or their number differs from `expect_rows`.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "labels.txt")
    ...     _ = file.write_text("cat\ndog\n")
    ...     table = Path(folder, "rows.csv")
    ...     _ = table.write_text("id,kind\n7,cat\n8,dog\n")
    ...     read_labels(file, expect_rows=2) == read_labels(f"{table}:kind")
    True
    """
    path, named = file_and_column(path)
    if not path.is_file():
        raise InputError(f"{path} is no file of {column}s" if path.exists() else absent(path, f"{column}s, one a line"))
    ending = path.suffix.lower()
    try:
        if ending == ".npy":
            labels = _from_array(path)
        elif ending in TABLES:
            labels = _from_table(path, ending, named, column)
        else:
            labels = _from_lines(path)
        if column == "caption":
            labels = _encoded(labels, expect_rows)
    except InputError:
        raise
    except (OSError, ValueError, TypeError, tokenize.TokenError, pa.ArrowException) as error:
        raise InputError(f"{path} cannot be read as {column}s: {one_line(error)}") from error
    for row, label in enumerate(labels):
        if not label.strip():
            line = "" if ending in (".npy", *TABLES) else f" (line {row + 1})"
            raise InputError(f"{path}, row {row}: the {column} is empty{line}")
    if expect_rows is not None and len(labels) != expect_rows:
        header = "; the first line names the columns" if ending in MARKS else ""
        raise InputError(f"{path} holds {len(labels)} {column}s for {expect_rows} rows{header}")
    return labels


def file_and_column(path: str | Path) -> tuple[Path, str | None]:
    """Return the file and the column of `FILE:COLUMN`; a path that exists is a file whatever it is called.

    Examples
    --------
    >>> file_and_column("rows.csv:kind"), file_and_column("labels.txt")
    ((PosixPath('rows.csv'), 'kind'), (PosixPath('labels.txt'), None))
    """
    whole = expanded(path)
    if whole.exists():
        return whole, None
    for colon in re.finditer(":", text := str(whole)):
        file, column = Path(text[: colon.start()]), text[colon.end() :]
        if column and file.suffix.lower() in TABLES:
            return file, column
    return whole, None


def _from_lines(path: Path) -> list[str]:
    """The lines of a file but for blank ones at its end, as editors and scripts leave them."""
    lines = read_lines(path)
    while lines and not lines[-1].strip():
        lines.pop()
    return lines


def _encoded(captions: list[str], expect_rows: int | None) -> list[str]:
    """Captions of the rows that `encode` makes of a list: an empty line has none."""
    return captions if len(captions) == expect_rows else [text for text in captions if text.strip()]


def _from_array(path: Path) -> list[str]:
    array = np.load(path, allow_pickle=False)
    if array.ndim != 1 or array.dtype.kind not in "iuU":
        raise InputError(
            f"{path}: labels must be whole numbers or strings of shape (rows,), "
            f"these are {array.dtype} of shape {array.shape}"
        )
    return [str(label) for label in array.tolist()]


def _from_table(path: Path, ending: str, named: str | None, usual: str) -> list[str]:
    readers = {".parquet": _from_parquet, ".json": _from_json, **dict.fromkeys(MARKS, _from_delimited)}
    return readers.get(ending, _from_json_lines)(path, named, usual)


def _from_parquet(path: Path, named: str | None, usual: str) -> list[str]:
    column = _column(path, pq.read_schema(path).names, named, usual)
    with pq.ParquetFile(path) as table:
        values = table.read(columns=[column]).column(column).to_pylist()
    return [written(value) for value in values]


def _from_delimited(path: Path, named: str | None, usual: str) -> list[str]:
    table = DelimitedTable(path)
    column = _column(path, table.names, named, usual)
    labels = []
    for line, record in table.read(0, table.rows):
        if re.search("[\ud800-\udfff]", record[column]):
            raise InputError(f"{path}, line {line}: the {usual} is no UTF-8")
        labels.append(record[column])
    return labels


def _from_json_lines(path: Path, named: str | None, usual: str) -> list[str]:
    records = [json_object(path, line, number) for number, line in enumerate(_from_lines(path), 1)]
    return _of_records(path, records, named, usual)


def _from_json(path: Path, named: str | None, usual: str) -> list[str]:
    """Of one array, of objects or of the labels themselves."""
    with opened(path) as file:
        refuse_utf16(path, file.read(2))
        file.seek(0)
        if not at_array(file):
            raise InputError(f"{path} holds no JSON array; one object a line is to end in .jsonl")
        records = [record for _, record, _ in elements(file, path)]
    if named is None and all(isinstance(record, str | int | float | None) for record in records):
        return [written(record) for record in records]
    for number, record in enumerate(records):
        if not isinstance(record, dict):
            raise InputError(f"{path}, element {number} is no JSON object")
    return _of_records(path, records, named, usual)


def _of_records(path: Path, records: list[dict[str, Any]], named: str | None, usual: str) -> list[str]:
    column = _column(path, list(dict.fromkeys(name for record in records for name in record)), named, usual)
    return [written(record.get(column)) for record in records]


def written(value: Any) -> str:
    """A label as text, empty where there is none; whole numbers alike, as a gap makes floats of a column.

    Examples
    --------
    >>> written(1), written(1.0), written(1.5), written(None), written(float("nan"))
    ('1', '1', '1.5', '', '')
    """
    number = isinstance(value, float | np.floating)
    if value is None or (number and np.isnan(value)):
        return ""
    return str(int(value)) if number and float(value).is_integer() else str(value)


def _column(path: Path, names: Sequence[str], named: str | None, usual: str) -> str:
    """The column that was named, else the one of the usual name, else the only one."""
    if named is None and usual not in names and len(names) == 1:
        return names[0]
    column = usual if named is None else named
    if column not in names:
        way = f"; say which holds the {usual}s: {path}:COLUMN" if named is None and names else ""
        raise InputError(f"{path} has no column {column!r}; its columns: {', '.join(names) or 'none'}{way}")
    return column
