"""One set given as source and as target, which may be a control, is told of."""

import os
import warnings
from collections.abc import Hashable
from pathlib import Path

from anisoalign.embeddings.embedding_set import EmbeddingSet
from anisoalign.embeddings.formats.memory import MemorySource
from anisoalign.embeddings.shards import Source


def warn_of_same_rows(source: EmbeddingSet, target: EmbeddingSet) -> None:
    """Warn where both sets are the same files, in the same column, or the same array.

    Examples
    --------
    >>> import numpy as np
    >>> from anisoalign.embeddings import open_embeddings
    >>> rows = open_embeddings(np.eye(3))
    >>> with warnings.catch_warnings(record=True) as told:
    ...     warnings.simplefilter("always")
    ...     warn_of_same_rows(rows, rows)
    >>> print(told[0].message)
    source and target are the same rows: one of the two is to be the other set
    """
    places = [[_place(shard.source) for shard in rows.shards] for rows in (source, target)]
    if places[0] != places[1]:
        return
    column = getattr(source.shards[0].source, "column", None)
    where = "" if source.path is None else f" ({source.path}" + (f", column {column!r})" if column else ")")
    names = ("source", "target") if source.name == target.name else (source.name, target.name)
    warnings.warn(
        f"{' and '.join(names)} are the same rows{where}: one of the two is to be the other set",
        stacklevel=1,  # one place, so that the same is told once where Python counts
    )


def _place(source: Source) -> Hashable:
    """Where a shard's values lie."""
    if isinstance(source, MemorySource):
        return source.memory
    place = os.path.realpath(source.path) if isinstance(source.path, Path) else str(source.path)
    part = source.label.removeprefix(str(source.path))  # of a dataset that is no single file
    return place, part, getattr(source, "column", None)
