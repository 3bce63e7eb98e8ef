"""Which rows of two sets are of one item, so that a split can keep them together."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from anisoalign.comparison.split import MINIMUM_ROWS
from anisoalign.diagnostics.repeats import distinct, in_order_of_appearance
from anisoalign.embeddings import EmbeddingSet, Tile
from anisoalign.embeddings.paired_ids import NO_ID, id_keys

_SHARED = 0.5
"""Share of the ids of the smaller set that the other must have, before ids are taken to name the same items."""


class Items(NamedTuple):
    """Number of each row's item, counted from 0; a row of either set with the same number is of the same item."""

    source: Int[np.ndarray, " m"]
    target: Int[np.ndarray, " n"]


def items_of_pairs(target: Float[np.ndarray, "n d"]) -> Items:
    """Items of rows in pairs: pairs whose targets are equal are of one item, an image with several captions."""
    item = distinct(target)
    return Items(item, item)


def items_of(y: EmbeddingSet, x: EmbeddingSet, a: Tile, b: Tile, paired: bool) -> Items | None:
    """Items of rows `a` of set y and `b` of set x: by pairs, else by ids; None if not known, or each its row's number.

    Sets of equal length are in step unless ids show that rows have other partners, or that items have several rows.
    """
    if paired:
        return items_of_pairs(b.values)
    items = items_by_ids(y, x, a.rows, b.rows)
    return None if y.rows == x.rows and items is not None and _in_step(items) else items


def _in_step(items: Items) -> bool:
    """Whether row i of both may be one item: no item is in other rows of one set than of the other, or in several."""
    apart = items.source != items.target  # rows that only one set knows by name may still be partners
    if np.isin(items.source[apart], items.target[apart]).any():
        return False
    return all(len(np.unique(side)) == len(side) for side in items)


def items_by_ids(
    source: EmbeddingSet, target: EmbeddingSet, source_rows: Int[np.ndarray, " m"], target_rows: Int[np.ndarray, " n"]
) -> Items | None:
    """Items of rows by the ids of both sets, None where ids do not tell.

    They tell where at least half of the ids of the smaller set are in the other, and enough to be split; of a sample
    half of those that it would have in common by chance. If all of them are whole numbers, an id must also repeat, as
    an image's does among captions: mere counters meet and name nothing.

    Parameters
    ----------
    source_rows, target_rows : ndarray of int
        Numbers of the rows in their sets.
    """
    ids_y, ids_x = id_keys(source, source_rows), id_keys(target, target_rows)
    if ids_y is None or ids_x is None:
        return None
    y, x = ids_y.keys, ids_x.keys
    known = [np.unique(keys[keys != NO_ID]) for keys in (y, x)]
    shared = len(np.intersect1d(*known, assume_unique=True))
    drawn = min(len(y) / source.rows, len(x) / target.rows)
    if shared < max(MINIMUM_ROWS, _SHARED * drawn * min(map(len, known))):
        return None
    repeat = any(len(ids) < (keys != NO_ID).sum() for ids, keys in zip(known, (y, x), strict=True))
    if ids_y.whole and ids_x.whole and not repeat:
        return None
    keys = np.concatenate([y, x])
    nameless = np.flatnonzero(keys == NO_ID)
    item = in_order_of_appearance(keys)
    item[nameless] = item.max() + 1 + np.arange(len(nameless))  # each an item of its own
    item = in_order_of_appearance(item)
    return Items(item[: len(y)], item[len(y) :])
