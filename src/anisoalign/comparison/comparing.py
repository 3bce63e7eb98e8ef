"""`compare`: the comparison of methods, from arrays, paths or sets."""

from __future__ import annotations

from typing import Any

import numpy as np

from anisoalign.aligners.origins import open_sets
from anisoalign.comparison.items import items_of
from anisoalign.comparison.repeating import compare_rows
from anisoalign.comparison.table import Comparison
from anisoalign.diagnostics.label_transfer import Labels, as_text
from anisoalign.diagnostics.out_of_step import warn_of_no_pairs
from anisoalign.diagnostics.repeats import warn_of_repeated_sources, warn_of_repeats_in_recall
from anisoalign.embeddings import EmbeddingSet, Tile
from anisoalign.embeddings.arguments import check_labels, check_seed, check_whole
from anisoalign.embeddings.paired_ids import check_ids
from anisoalign.embeddings.pairs import check_paired
from anisoalign.statistics import float64_below

SAMPLE_ROWS = 20_000
"""Rows a side that are used, a seeded sample where there are more."""


def compare(
    source: Any,
    target: Any,
    *,
    source_labels: Labels | None = None,
    target_labels: Labels | None = None,
    sample: int = SAMPLE_ROWS,
    dtype: str = "auto",
    seed: int = 0,
    force: bool = False,
    **options: Any,
) -> Comparison:
    """Fit every method on one part, measure on another, repeat, by the protocol of docs/benchmarks.md.

    Parameters
    ----------
    source, target : array (n, d), tensor, path or EmbeddingSet
        Where both have the same number of rows, the same row numbers are used and split in step, unless ids that the
        sets have in common show another order; then, and where numbers differ, by ids, else each set by itself.
    source_labels, target_labels : sequence, optional
        One label a row.
    sample : int
        Rows a side that are used at most.
    dtype : {"auto", "float32", "float64"}
        Precision of fits, maps and metrics; "auto" is float64 up to 200,000 rows used.
    seed : int
        Of the sample and of the first split; the others have the next ones.
    force : bool
        Compare although the sets say that they come from different encoders.
    **options
        Of `compare_rows`:

        - ``paired`` (bool, False): row i of both is one item; adds the metrics that need pairs, and the oracles. A
          warning tells where rows do not look like pairs, and where target rows repeat; pairs with equal targets stay
          together in every split.
        - ``methods`` (sequence of str, all): ``NAME`` or ``NAME:param=value,...``.
        - ``repeats`` (int, 30): splits.
        - ``k`` (int): neighbours; 20, or 10 below 500 rows a side of the tested part.
        - ``dials`` (bool, False): also measure every method that has a strength along it.
        - ``progress`` (callable): called with the name of each method after each repeat of it.

    Returns
    -------
    Comparison
        Means and standard errors over the repeats, one record a method; ``to_dicts()`` gives the JSON.

    Raises
    ------
    InputError
        On sets or labels that do not fit together, ids that contradict the pairs, too few rows, unknown methods or
        parameters; where each method refuses the sets. If only some do, they are left out, see `Comparison.refused`.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> text, image = rng.normal(size=(100, 8)) + 1, rng.normal(size=(100, 8)) - 1
    >>> result = compare(text, image, methods=["identity", "realign"], repeats=2)
    >>> [record["method"] for record in result.to_dicts()]
    ['identity', 'realign']
    """
    check_whole(sample=sample)
    check_seed(seed)
    y, x = open_sets(source, target, force)
    if options.get("paired"):
        check_paired([y, x])  # of all rows: samples of sets of any length are equally long
    for side, labels, embeddings in (("source", source_labels, y), ("target", target_labels, x)):
        check_labels(side, labels, embeddings.rows)
    a, b = read_in_step(y, x, sample, seed, float64_below(min(sample, max(y.rows, x.rows)), dtype))
    warn_of_repeated_sources(a.values)
    if options.get("paired"):
        check_ids(y, x)
        warn_of_no_pairs((a.values, b.values))
        warn_of_repeats_in_recall(b.values)
    return compare_rows(
        a.values,
        b.values,
        source_labels=None if source_labels is None else as_text(source_labels)[a.rows],
        target_labels=None if target_labels is None else as_text(target_labels)[b.rows],
        items=items_of(y, x, a, b, options.get("paired", False)),
        seed=seed,
        **options,
    )


def read_in_step(y: EmbeddingSet, x: EmbeddingSet, sample: int, seed: int, dtype: np.dtype) -> tuple[Tile, Tile]:
    """Rows of both sets in memory; in step where the sets are equally long, so that a bad row takes its pair."""
    a = y.take(y.sample_rows(sample, seed), dtype)
    b = x.take(x.sample_rows(sample, seed), dtype)
    if y.rows == x.rows and len(a) + len(b) < 2 * min(sample, y.rows):
        both = np.intersect1d(a.rows, b.rows)
        a, b = y.take(both, dtype), x.take(both, dtype)
    return a, b
