"""Whether row i of two sets is one item: what ids say of it where both sets carry them.

Ids need not be equal: captions and pictures may each be numbered by themselves, and then they say nothing. But an id
that is on both sides, at rows whose partners have other ids, shows that rows have lost their partners: another order,
or other items left out. Eight bytes a row are compared, however long the ids are.
"""

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from anisoalign.embeddings.embedding_set import EmbeddingSet
from anisoalign.embeddings.errors import InputError

REMEDY = (
    "bring both sets into one order, with the same items in both (`convert --like`, `rows_like`), or leave --paired "
    "(`paired`) out; if their ids do not name the same things, call the column of one set something else"
)
NO_ID = 0
"""Stands for the id of a row that has none."""
_BLOCK = 1 << 16
"""Ids that are Python's strings at the same time."""
_SHARED = 0.5
"""Share of the rows whose ids the other side must have, both ways, before whole numbers name the same things."""


class Ids(NamedTuple):
    """A number for each id, int64, shape (n,), and whether all ids are whole numbers."""

    keys: np.ndarray
    whole: bool


def check_ids(
    a: EmbeddingSet,
    b: EmbeddingSet,
    rows: tuple[np.ndarray, np.ndarray] | None = None,
    remedy: str = REMEDY,
) -> None:
    """Refuse to pair rows by their places where the ids of both sets contradict it.

    They do where two rows of different pairs carry one id, and neither has it in common with its partner. An id may
    repeat within a set. Whole numbers, which meet by chance (a caption's own and some picture's), count where at
    least half of the rows of either set have an id that is in the other.

    Parameters
    ----------
    a, b : EmbeddingSet
    rows : two arrays of int, shape (n,), optional
        Numbers of the rows that are paired; by default those of the same number, but for rows dropped so far.
    remedy : str
        What the message advises.

    Raises
    ------
    InputError
        Naming file, shard and row of the first such pair, and of the row whose id is there too.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from anisoalign.embeddings.formats.memory import MemorySource
    >>> def with_ids(name, ids):
    ...     table = pa.table({"id": ids})
    ...     return EmbeddingSet([MemorySource(np.eye(len(ids)), name, table)], format="memory", name=name)
    >>> texts = with_ids("texts", ["a", "b", "c"])
    >>> check_ids(texts, with_ids("images", ["x", "y", "z"]))
    >>> try:
    ...     check_ids(texts, with_ids("images", ["a", "c", "b"]))
    ... except InputError as error:
    ...     print(str(error)[:75])
    rows are no pairs by place: texts: texts, shard 0, row 1 has the id 'b', im
    """
    left = id_keys(a)
    right = None if left is None else id_keys(b)
    if left is None or right is None:
        return
    rows = _kept_so_far(a, b) if rows is None else rows
    keys_a, keys_b = left.keys[rows[0]], right.keys[rows[1]]
    apart = np.flatnonzero((keys_a != keys_b) & (keys_a != NO_ID) & (keys_b != NO_ID))
    met = _met(keys_a[apart], keys_b[apart])
    if not len(met) or (left.whole and right.whole and _meet_by_chance(keys_a, keys_b)):
        return
    first = apart[np.isin(keys_a[apart], met) | np.isin(keys_b[apart], met)][0]
    if keys_a[first] in met:
        again = b, int(rows[1][apart[keys_b[apart] == keys_a[first]][0]])
    else:
        again = a, int(rows[0][apart[keys_a[apart] == keys_b[first]][0]])
    here, there = (a, int(rows[0][first])), (b, int(rows[1][first]))
    raise InputError(
        f"rows are no pairs by place: {place_of(*here)} has the id {id_of(*here)!r}, {place_of(*there)} has "
        f"{id_of(*there)!r}, and {id_of(*again)!r} is also at {place_of(*again)}; {remedy}"
    )


def id_keys(es: EmbeddingSet, rows: np.ndarray | None = None) -> Ids | None:
    """Ids of ascending rows as numbers, of all by default, dropped ones included; None where there are none."""
    count = es.rows if rows is None else len(rows)
    keys: np.ndarray | None = None
    whole = True
    for shard in es.shards:
        ends = np.array([shard.first_row, shard.first_row + shard.rows])
        low, high = ends if rows is None else np.searchsorted(rows, ends)
        ids = es.shard_ids(shard.index) if low < high else None
        if ids is None:
            continue
        if keys is None:  # not before: sets without ids may be long
            keys = np.full(count, NO_ID, np.int64)
        if rows is not None:
            ids = ids.take(pa.array(rows[low:high] - shard.first_row))
        for start in range(0, len(ids), _BLOCK):
            texts = [_as_text(value) for value in ids.slice(start, _BLOCK).to_pylist()]
            at = low + start
            keys[at : at + len(texts)] = np.fromiter(map(hash, texts), np.int64, len(texts))
            whole = whole and all(text.isdecimal() for text in texts if text)
    return None if keys is None else Ids(keys, whole)


def _as_text(value: Any) -> str:
    """An id as text, empty if there is none: the other side may store the same one as another type."""
    if value is None or value != value:  # NaN, which stands for none among floats
        return ""
    if isinstance(value, float | np.floating) and value.is_integer():  # pandas' numbers where one was missing once
        return str(int(value))
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return repr(value)
    return str(value)


def _kept_so_far(a: EmbeddingSet, b: EmbeddingSet) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the rows that no pass has dropped from either set."""
    kept = np.delete(np.arange(a.rows), [row.global_row for es in (a, b) for row in es.dropped])
    return kept, kept


def _met(keys: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Those of `keys` that are among as many `others`, sorted; several times as fast as numpy's `intersect1d`."""
    keys, others = np.sort(keys), np.sort(others)
    at = np.minimum(np.searchsorted(others, keys), len(others) - 1)
    return keys[others[at] == keys]


def _meet_by_chance(keys_a: np.ndarray, keys_b: np.ndarray) -> bool:
    """Whether few of the ids that are there are on the other side too."""
    keys_a, keys_b = keys_a[keys_a != NO_ID], keys_b[keys_b != NO_ID]
    if not (len(keys_a) and len(keys_b)):
        return True
    return min(len(_met(keys_a, keys_b)), len(_met(keys_b, keys_a))) < _SHARED * max(len(keys_a), len(keys_b))


def _where(es: EmbeddingSet, row: int) -> tuple[int, int]:
    """Shard of a row of the set, and its row there."""
    firsts = [shard.first_row for shard in es.shards]
    shard = int(np.searchsorted(firsts, row, side="right")) - 1
    return shard, row - firsts[shard]


def place_of(es: EmbeddingSet, row: int) -> str:
    """How messages name a row of a set."""
    shard, local = _where(es, row)
    return es.notes.where(es.shards[shard], local)


def id_of(es: EmbeddingSet, row: int) -> str:
    """Return the id of a row of a set as text, empty if it has none."""
    shard, local = _where(es, row)
    ids = es.shard_ids(shard)
    return "" if ids is None else _as_text(ids[local].as_py())
