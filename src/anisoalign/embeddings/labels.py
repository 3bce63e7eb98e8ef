"""Class labels of the rows of a set: one a line, a `.npy` array, or a parquet column `label`."""

import tokenize
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from anisoalign.embeddings.absent import absent
from anisoalign.embeddings.errors import InputError, one_line
from anisoalign.embeddings.text_lines import read_lines
from anisoalign.places import expanded


def read_labels(path: str | Path, expect_rows: int | None = None, column: str = "label") -> list[str]:
    r"""Read labels as strings.

    Parameters
    ----------
    path : str or Path
        A text file with one label a line (blank lines at its end do not count), a `.npy` array of whole numbers or
        strings, shape (n,), or a parquet file with a column `label`.
    expect_rows : int, optional
        Number of rows the labels must fit.
    column : str
        What the labels are, "label" or "caption", and the column of a parquet file.

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
    ...     read_labels(file, expect_rows=2)
    ['cat', 'dog']
    """
    path = expanded(path)
    if not path.is_file():
        raise InputError(f"{path} is no file of {column}s" if path.exists() else absent(path, f"{column}s, one a line"))
    try:
        if path.suffix == ".npy":
            labels = _from_array(path)
        elif path.suffix == ".parquet":
            labels = _from_parquet(path, column)
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
            line = "" if path.suffix in (".npy", ".parquet") else f" (line {row + 1})"
            raise InputError(f"{path}, row {row}: the {column} is empty{line}")
    if expect_rows is not None and len(labels) != expect_rows:
        raise InputError(f"{path} holds {len(labels)} {column}s for {expect_rows} rows")
    return labels


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


def _from_parquet(path: Path, column: str) -> list[str]:
    file = pq.read_schema(path)
    if column not in file.names:
        raise InputError(f"{path} has no column {column!r}; its columns: {', '.join(file.names)}")
    with pq.ParquetFile(path) as table:
        values = table.read(columns=[column]).column(column).to_pylist()
    return ["" if value is None else str(value) for value in values]
