"""How strong a correction to take, from unpaired data alone."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from threading import Event
from typing import Any

import numpy as np
from jaxtyping import Float

from anisoalign.aligners.anisoalign.held_out import MOST_HELD, apart
from anisoalign.aligners.parameters import is_number
from anisoalign.diagnostics.alignment import default_k, geometry_consistency
from anisoalign.diagnostics.balance import balance
from anisoalign.diagnostics.mixing import mixing
from anisoalign.diagnostics.repeats import count_repeats, mostly_repeat
from anisoalign.embeddings import in_order

NODES = tuple(np.round(np.linspace(0.0, 1.0, 11), 2).tolist())
"""Strengths tried, and those at which calibration means are stored."""
FOLDS = 4
FEWEST = 40
"""Different rows a side below which nothing can be held out; the default strength is taken then."""
CROWDED = 20
"""Rows a side for each neighbour that is looked at, down to two: of ten among few, some are of either kind however far
the sets are apart."""
TRANSPORTED = 0.5
"""Strength of the Gaussian transport that is scored beside."""
DEFAULT = 0.5
WORTH = 0.01
"""Least lead in the score for which ReAlign is left; real gaps give five times as much."""

_CURVE = ("strengths", "geometry_consistency", "target_reached", "score")
"""What there is of each node."""

FitAt = Callable[
    [Float[np.ndarray, "n d"], Float[np.ndarray, "m d"]],
    Callable[[Float[np.ndarray, "k d"]], Iterator[Float[np.ndarray, "k d"]]],
]
"""From fit rows to a function that gives rows aligned at each node, and then by each rival."""


@dataclass(frozen=True)
class StrengthChoice:
    """The strength chosen and the held-out curve it was chosen from.

    Parameters
    ----------
    strength : float
        That of the best score, or 0 where that leads ReAlign's too little.
    strengths, geometry_consistency, target_reached, score : list of float
        Ψ, min(M_Z, M_X, 1) and their harmonic mean at each node.
    rivals : dict
        The same score of other methods, by name.
    sources, repeated_sources : int
        Sources chosen on, and how many of them repeat another where most do, else 0: mixing tells little then.
    """

    strength: float
    strengths: list[float]
    geometry_consistency: list[float]
    target_reached: list[float]
    score: list[float]
    rivals: dict[str, float]
    sources: int
    repeated_sources: int

    def to_dict(self) -> dict:
        """For the model's config."""
        return asdict(self)


def is_curve(found: Any) -> bool:
    """Whether a value is what `StrengthChoice.to_dict` gives, without the counts that were not always kept."""
    if not isinstance(found, dict) or not isinstance(found.get("rivals"), dict):
        return False
    lists = [found.get(name, ()) for name in _CURVE]
    if not all(isinstance(values, list) and len(values) == len(NODES) for values in lists):
        return False
    counts = [found.get(name, 0) for name in ("sources", "repeated_sources")]
    return all(map(is_number, itertools.chain(*lists, found["rivals"].values(), counts)))


def choose_strength(
    source: Float[np.ndarray, "n d"],
    target: Float[np.ndarray, "m d"],
    fit: FitAt,
    seed: int,
    rivals: Sequence[str] = (),
    workers: int = 1,
    leaving: Event | None = None,
) -> StrengthChoice | None:
    """Strength at which held-out sources keep their geometry and reach the target best, both at once.

    Each row is held out of one fit of four, and all are measured together once each has been, so that of few rows none
    is left out; of many, `MOST_HELD`. score(t) = 2 Ψ R / (Ψ + R), with Ψ the geometry consistency of held-out
    sources and R = min(penetration, coverage, 1) against held-out targets. The harmonic mean gives nothing for
    one of them alone. The best strength is taken, but ReAlign where the best leads it by no more than a hundredth,
    so that sets whose gap is a mere shift are left at that. None below `FEWEST` different rows. Copies of a source may
    be fitted on and held out: on ESC-50, 50 prompts of 2,000 sounds, strengths chosen on one row of each prompt served
    label transfer worse. `fit` gives rows at each node, and after these rows by each of the `rivals`, which are scored
    alike. So many `workers` call it at once; `leaving` is set where one of them fails or the user interrupts.
    """
    if min(len(rows) - count_repeats(rows) for rows in (source, target)) < FEWEST:
        return None
    test_y, test_x, moved = _held(source, target, fit, seed, workers, leaving)
    k = min(default_k(len(test_y)), max(2, len(test_y) // CROWDED))
    kept = np.array([geometry_consistency(test_y, rows, seed=seed) for rows in moved])
    kept = np.clip(np.nan_to_num(kept), 0.0, 1.0)
    reached = np.array([min(*mixing(test_x, rows, k), 1.0) for rows in moved])
    score = balance(kept, reached)
    score, others = score[: len(NODES)], score[len(NODES) :]
    best = int(score.argmax())
    chosen = 0.0 if score[best] - score[0] <= WORTH else NODES[best]
    kept_at, reached_at, score_at = (values[: len(NODES)].round(4).tolist() for values in (kept, reached, score))
    named = dict(zip(rivals, others.round(4).tolist(), strict=True))
    repeated = mostly_repeat(source)
    return StrengthChoice(chosen, list(NODES), kept_at, reached_at, score_at, named, len(source), repeated)


def _held(
    source: np.ndarray, target: np.ndarray, fit: FitAt, seed: int, workers: int, leaving: Event | None
) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Sources and as many targets, each as a fit without them saw none of them, and these sources moved each way.

    As many of both, since a few rows among many would be measured by chance. In the type of the sources, as all ways
    are held at once.
    """
    held = min(MOST_HELD, len(source), len(target)) // FOLDS
    generator = np.random.default_rng(seed)
    orders = [generator.permutation(len(rows)) for rows in (source, target)]

    def measured(fold: int) -> tuple[np.ndarray, ...]:
        (fit_y, test_y), (fit_x, test_x) = (
            apart(rows, order, held, fold) for rows, order in zip((source, target), orders, strict=True)
        )
        return test_y, test_x, *(rows.astype(source.dtype) for rows in fit(fit_y, fit_x)(test_y))

    at_once = workers > 1
    folds = in_order(lambda: measured, range(FOLDS), workers, leaving) if at_once else map(measured, range(FOLDS))
    test_y, test_x, *moved = (np.concatenate(parts) for parts in zip(*folds, strict=True))
    return test_y, test_x, moved
