"""What a method does to rows, to be looked at: cosines, a projection and neighbours, before and after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from anisoalign.comparison.phases import phase_view
from anisoalign.diagnostics.cosines import CosineHistogram
from anisoalign.diagnostics.neighbours import neighbours
from anisoalign.diagnostics.record import Record
from anisoalign.geometry import normalize, principal_subspace

SHOWN_ROWS = 2_000
"""Rows a side that histograms and neighbours are taken from; a seeded sample where there are more."""
POINTS = 300
"""Points a side in the projection."""
QUERIES, NEAREST = 6, 5
_DIGITS = 4


@dataclass(frozen=True)
class BeforeAfter(Record):
    """Where rows lay and where a method puts them; what needs pairs is None without them.

    Attributes
    ----------
    method : str
        Name of the method, as on the command line.
    histogram_within_source, histogram_within_target, histogram_within_aligned : list of int
        Counts of cosines in 200 bins of [−1, 1]; `mean_…` are their means.
    histogram_across_before, histogram_across_after : list of int
        Of unpaired source (before) and aligned (after) rows with target rows.
    histogram_paired_before, histogram_paired_after : list of int, with pairs
    projection_source, projection_target, projection_aligned : list of (float, float)
        Coordinates along the line between the means, 0 at the source's and 1 at the target's, and along the direction
        in which targets vary most once that line is taken out.
    neighbours : list of dict
        For some source rows drawn by the seed: the nearest rows of the mixed pool of targets and other sources
        (`before`) or other aligned rows (`after`), each with side, row number, cosine and, with pairs, `own`.
    phases : dict
        `phase_view` of the model.
    frame : str
        "common" where all rows lie in a common frame, in which those before are source rows less their own mean.
    """

    method: str
    rows_source: int
    rows_target: int
    histogram_within_source: list[int]
    histogram_within_target: list[int]
    histogram_within_aligned: list[int]
    histogram_across_before: list[int]
    histogram_across_after: list[int]
    mean_within_source: float
    mean_within_target: float
    mean_within_aligned: float
    mean_across_before: float
    mean_across_after: float
    projection_source: list[list[float]]
    projection_target: list[list[float]]
    projection_aligned: list[list[float]]
    neighbours: list[dict[str, Any]]
    histogram_paired_before: list[int] | None = None
    histogram_paired_after: list[int] | None = None
    mean_paired_before: float | None = None
    mean_paired_after: float | None = None
    phases: dict[str, Any] | None = None
    frame: str | None = None


def before_after(
    source: Float[np.ndarray, "m d"],
    target: Float[np.ndarray, "n d"],
    aligned: Float[np.ndarray, "m d"],
    *,
    method: str = "aligned",
    model: Any = None,
    paired: bool = False,
    source_rows: Int[np.ndarray, " m"] | None = None,
    target_rows: Int[np.ndarray, " n"] | None = None,
    seed: int = 0,
    common: bool = False,
) -> BeforeAfter:
    """Everything a page draws of one method, from unit rows.

    Parameters
    ----------
    source, target, aligned : ndarray, shapes (m, d), (n, d), (m, d), unit rows
        With `paired`, row i of all three belongs together.
    model : Aligner, optional
        Whose phases are looked at in its own frame, where it has one.
    source_rows, target_rows : ndarray of int, optional
        Numbers of the rows in the sets they come from, by which captions are found; 0, 1, … by default.
    common : bool
        Targets and aligned rows lie in a common frame: source rows are shown in it, less their own mean, and phases
        without the model, whose own frame is among the targets as they were.

    Examples
    --------
    >>> import numpy as np
    >>> from anisoalign.geometry import normalize
    >>> rows = normalize(np.random.default_rng(0).normal(size=(40, 6)))
    >>> view = before_after(rows, rows, rows, paired=True)
    >>> view.mean_paired_after, len(view.neighbours), view.neighbours[0]["after"][0]["own"]
    (1.0, 6, True)
    """
    source_rows = np.arange(len(source)) if source_rows is None else source_rows
    target_rows = np.arange(len(target)) if target_rows is None else target_rows
    if common:
        source, model = normalize(source - source.mean(axis=0)), None
    own = np.sort(np.random.default_rng(seed).permutation(len(source))[:SHOWN_ROWS])
    other = own if paired else np.sort(np.random.default_rng(seed + 1).permutation(len(target))[:SHOWN_ROWS])
    y, z, x, y_rows, x_rows = source[own], aligned[own], target[other], source_rows[own], target_rows[other]
    within = {"source": y, "target": x, "aligned": z}
    found = {f"within_{name}": CosineHistogram.within(rows) for name, rows in within.items()}
    for when, rows in (("before", y), ("after", z)):
        found[f"across_{when}"] = CosineHistogram.across(rows, x, seed)
        if paired:
            found[f"paired_{when}"] = CosineHistogram.paired(rows, x)
    values: dict[str, Any] = {f"histogram_{name}": histogram.counts.tolist() for name, histogram in found.items()}
    values |= {f"mean_{name}": histogram.mean for name, histogram in found.items()}
    values |= {f"projection_{name}": points for name, points in projection(y, x, z).items()}
    return BeforeAfter(
        method=method,
        rows_source=len(y),
        rows_target=len(x),
        neighbours=examples(y, x, z, y_rows, x_rows, paired, seed),
        phases=phase_view(y, x, z, model),
        frame="common" if common else None,
        **values,
    )


def projection(
    source: Float[np.ndarray, "m d"], target: Float[np.ndarray, "n d"], aligned: Float[np.ndarray, "m d"]
) -> dict[str, list[list[float]]]:
    """Two coordinates of up to `POINTS` rows of each set: along the line between the means, and across it.

    The line is divided by its length, so that the source's mean is at 0 and the target's at 1. Means that are
    no further apart than those of two samples of one law may be leave the first direction of the target for it.
    """
    start, gap = source.mean(axis=0), target.mean(axis=0) - source.mean(axis=0)
    length = float(np.linalg.norm(gap))
    spread = np.atleast_2d(np.cov(target.T, bias=True))
    by_chance = sum(float(rows.var(axis=0).sum()) / len(rows) for rows in (source, target)) ** 0.5
    apart = length > max(2 * by_chance, 1e-9)
    line = gap / length if apart else principal_subspace(spread)[:, 0]
    flat = spread - np.outer(line, line @ spread)
    flat -= np.outer(flat @ line, line)
    across = principal_subspace((flat + flat.T) / 2)[:, 0]
    axes = np.stack([line / length if apart else line, across], axis=1)
    parts = {"source": source, "target": target, "aligned": aligned}
    # The same for sets of equal length, so that a pair is shown or left out together.
    drawn = {name: np.random.default_rng(0).permutation(len(rows))[:POINTS] for name, rows in parts.items()}
    return {name: ((rows[drawn[name]] - start) @ axes).round(_DIGITS).tolist() for name, rows in parts.items()}


def examples(
    source: np.ndarray,
    target: np.ndarray,
    aligned: np.ndarray,
    source_rows: np.ndarray,
    target_rows: np.ndarray,
    paired: bool,
    seed: int,
) -> list[dict[str, Any]]:
    """Nearest rows of some queries in the mixed pool, before and after; the queries are drawn, not picked."""
    n, m = len(target), len(source)
    queries = np.random.default_rng([seed, 7]).permutation(m)[:QUERIES]
    nearest = min(NEAREST, n + m - 1)
    found: list[dict[str, Any]] = [{"row": int(source_rows[query])} for query in queries]
    for when, rows in (("before", source), ("after", aligned)):
        pool = np.concatenate([target, rows])
        seen = neighbours(rows[queries], pool, nearest, exclude=n + queries)
        for entry, query, places in zip(found, queries, seen, strict=True):
            entry[when] = [
                _neighbour(int(place), int(query), n, pool @ rows[query], source_rows, target_rows, paired)
                for place in places
            ]
    return found


def _neighbour(
    place: int,
    query: int,
    n: int,
    cosines: np.ndarray,
    source_rows: np.ndarray,
    target_rows: np.ndarray,
    paired: bool,
) -> dict[str, Any]:
    target = place < n
    entry = {
        "side": "target" if target else "source",
        "row": int(target_rows[place] if target else source_rows[place - n]),
        "cosine": round(float(cosines[place]), _DIGITS),
    }
    return {**entry, "own": target and place == query} if paired else entry
