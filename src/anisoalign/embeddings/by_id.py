"""Sets whose rows have the same ids but not the same places: one in the order of the other."""

from pathlib import Path

import numpy as np

from anisoalign.embeddings.beside import ID_COLUMNS, Columns, holds_bytes
from anisoalign.embeddings.embedding_set import EmbeddingSet
from anisoalign.embeddings.errors import InputError
from anisoalign.embeddings.gathered import GATHERED, GatheredSource
from anisoalign.embeddings.opening import open_embeddings
from anisoalign.embeddings.paired_ids import NO_ID, id_keys, id_of, place_of
from anisoalign.embeddings.remote import RemotePath
from anisoalign.embeddings.transfer import all_columns

STRETCH = 1 << 27
"""Bytes of the vectors of a shard. Memory does not change it, so that it does not change what is written either."""
ROWS = 1 << 17
"""Rows of a shard at most, since what lies beside them is held too."""


def rows_like(
    source: str | Path | RemotePath | EmbeddingSet, like: str | Path | RemotePath | EmbeddingSet
) -> EmbeddingSet:
    """Return the rows of a set that have the ids of another, row by row in its order.

    Row i of the result and row i of `like` are a pair by id. A row whose id is several times in `like` and once in
    `source` is repeated, as a picture for each of its captions; where both have an id equally often, the first goes
    with the first. Rows are read when they are asked for, for about 128 MiB of vectors and at most 131,072 rows at a
    time, with their columns: several passes are cheaper over what `convert` has written of the result. Columns that
    hold bytes stay behind (`left_out`).

    Parameters
    ----------
    source, like : path or EmbeddingSet
        Both with ids, of which eight bytes a row are held. Opened with `bad_rows="drop"`, `source` may lack ids: they
        are listed in `dropped` and their rows left out of every pair.

    Raises
    ------
    InputError
        If a set has no ids, none is in both, one is in both several times but not equally often, or `source` lacks one
        and was not opened to drop rows.

    Examples
    --------
    >>> import tempfile
    >>> import pyarrow as pa
    >>> from anisoalign.embeddings import EmbeddingWriter
    >>> def written(place, values, ids):
    ...     with EmbeddingWriter(place, 1) as writer, writer.shard(0, len(ids), ids=ids) as shard:
    ...         shard.write(np.array(values, np.float32)[:, None])
    ...     return place
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     images = written(Path(folder, "image.npy"), [1, 2], ["cat", "dog"])
    ...     texts = written(Path(folder, "text.npy"), [3, 4, 5], ["dog", "cat", "dog"])
    ...     rows_like(images, texts).ids().to_pylist()
    ['dog', 'cat', 'dog']
    """
    source, like = open_embeddings(source), open_embeddings(like, name="like")
    order = _partners(source, like)
    columns = all_columns(source)
    assert columns is not None  # which ids are among
    kept = _without_bytes(columns, source.id_column)
    left_out = [*source.left_out, *(name for name in columns.schema.names if name not in kept.schema.names)]
    rows = min(max(STRETCH // (source.dim * source.dtype.itemsize), 1), ROWS)
    label = f"{_called(source)} like {_called(like)}"
    parts = [
        GatheredSource(source, kept, order[start : start + rows], label, left_out)
        for start in range(0, len(order), rows)
    ]
    return EmbeddingSet(
        parts,
        format=GATHERED,
        name=source.name,
        id_column=source.id_column,
        bad_rows=source.bad_rows,
        norms=source.rule,
        memory=source.memory,
        provenance=source.provenance,
        behind=(source, like),
    )


def _partners(source: EmbeddingSet, like: EmbeddingSet) -> np.ndarray:
    """Row of `source` for each of `like`, -1 where there is none."""
    keys, wanted = _keys(source, "--id-column"), _keys(like, "--like-id-column")
    order = np.argsort(keys, kind="stable")
    first = np.searchsorted(keys, wanted, "left", order)
    there = np.searchsorted(keys, wanted, "right", order) - first
    there[wanted == NO_ID] = 0
    times, rank = _repeats(wanted)
    _check(source, like, there, times)
    at = np.minimum(first + np.where(there > 1, rank, 0), len(keys) - 1)
    return np.where(there > 0, order[at], -1)


def _keys(es: EmbeddingSet, option: str) -> np.ndarray:
    found = id_keys(es)
    if found is None:
        raise InputError(
            f"{es.name} has no ids by which to find its rows: no column {', '.join(ID_COLUMNS)}, and none is named "
            f"(`{option}`, `open_embeddings(x, id_column=...)`)"
        )
    return found.keys


def _repeats(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How often the key of each row is there, and how many of the rows before have it."""
    order = np.argsort(keys, kind="stable")
    first = np.searchsorted(keys, keys, "left", order)
    rank = np.empty_like(first)
    rank[order] = np.arange(len(keys)) - first[order]
    return np.searchsorted(keys, keys, "right", order) - first, rank


def _check(source: EmbeddingSet, like: EmbeddingSet, there: np.ndarray, times: np.ndarray) -> None:
    """Refuse ids that do not tell which rows belong together, or are not there where none may be left out."""
    if not there.any():
        raise InputError(
            f"no row of {like.name} has an id that is in {source.name}: {place_of(like, 0)} has {id_of(like, 0)!r}, "
            f"{place_of(source, 0)} has {id_of(source, 0)!r}; name the columns that hold the same ids (`--id-column`, "
            "`--like-id-column`, `open_embeddings(x, id_column=...)`)"
        )
    if len(unclear := np.flatnonzero((there > 1) & (there != times))):
        row = int(unclear[0])
        raise InputError(
            f"{place_of(like, row)} has the id {id_of(like, row)!r}, which {like.name} has {times[row]} times and "
            f"{source.name} {there[row]} times: which of its rows is meant is not said; take the set with more rows of "
            "an id as the order of the other, or leave all but one out"
        )
    if source.bad_rows == "error" and len(absent := np.flatnonzero(there == 0)):
        row = int(absent[0])
        raise InputError(
            f"{len(absent):,} of {like.rows:,} rows of {like.name} have no row of their id in {source.name}, the first "
            f"of them {place_of(like, row)}, {id_of(like, row)!r}; leave such rows out with `--bad-rows drop`, in "
            "Python with `aa.open_embeddings(x, bad_rows='drop')`"
        )


def _without_bytes(columns: Columns, id_column: str | None) -> Columns:
    """All columns but those of bytes, pictures as a rule: of as many rows as are gathered they might not be held."""
    ids = {*ID_COLUMNS, id_column}
    fields = [columns.schema.field(name) for name in columns.schema.names]
    return columns.select([item.name for item in fields if item.name in ids or not holds_bytes(item.type)])


def _called(es: EmbeddingSet) -> str:
    return es.name if es.path is None else str(es.path)
