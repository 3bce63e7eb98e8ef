"""What a set itself says of its rows: captions, names of files, or ids."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from anisoalign.embeddings import EmbeddingSet
from anisoalign.embeddings.beside import Columns, Cursor
from anisoalign.embeddings.metadata import choose_ids

WORDS = ("caption", "text", "txt", "sentence", "prompt", "title", "image_path", "file_name", "filename", "path", "url")
"""Usual names of a column that tells people what a row is, in the order in which they are taken."""


def words_of(es: EmbeddingSet, rows: Iterable[int]) -> dict[int, str]:
    """Words for some rows of a set, by row; rows for which there are none are left out.

    Ids that are mere numbers are no words.

    Parameters
    ----------
    es : EmbeddingSet
    rows : int
        Numbers of rows in the whole set.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from anisoalign.embeddings.formats.memory import MemorySource
    >>> table = pa.table({"caption": ["a red cup", None, "two dogs"]})
    >>> es = EmbeddingSet([MemorySource(np.eye(3), "texts", table)], format="memory")
    >>> words_of(es, [2, 1])
    {2: 'two dogs'}
    """
    wanted, found = np.unique(np.fromiter(rows, np.int64)), {}
    for shard in es.shards:
        local = wanted[(wanted >= shard.first_row) & (wanted < shard.first_row + shard.rows)] - shard.first_row
        columns = es.columns(shard.index) if len(local) else None
        name = None if columns is None else _choose(columns, es.id_column, shard.label)
        if columns is None or name is None:
            continue
        cursor = Cursor(columns.select([name]))  # asked row by row, so that what lies between is let go
        texts = [cursor.take(local[i : i + 1]).column(0)[0].as_py() for i in range(len(local))]
        said = zip((local + shard.first_row).tolist(), texts, strict=True)
        found |= {row: str(text) for row, text in said if text is not None and _tells(name, str(text))}
    return found


def _choose(columns: Columns, id_column: str | None, label: str) -> str | None:
    names = columns.schema.names
    return next((name for name in WORDS if name in names), None) or choose_ids(names, id_column, label)


def _tells(name: str, text: str) -> bool:
    return bool(text.strip()) and (name in WORDS or not text.isdecimal())
