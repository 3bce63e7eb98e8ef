"""How strong a correction to take, from unpaired data alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from jaxtyping import Float

from anisoalign.aligners.anisoalign.held_out import SPLITS, hold_out
from anisoalign.diagnostics.alignment import default_k, geometry_consistency
from anisoalign.diagnostics.balance import balance
from anisoalign.diagnostics.mixing import mixing

NODES = tuple(np.round(np.linspace(0.0, 1.0, 11), 2).tolist())
"""Strengths tried, and those at which calibration means are stored."""
FEWEST = 40
"""Rows a side below which nothing can be held out; the default strength is taken then."""
TRANSPORTED = 0.5
"""Strength of the Gaussian transport that is scored beside."""
DEFAULT = 0.5
WORTH = 0.01
"""Least lead in the score for which ReAlign is left, however small its error; real gaps give five times as much."""

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
        Ψ, min(M_Z, M_X, 1) and their harmonic mean at each node, means over splits.
    rivals : dict
        The same score of other methods, by name.
    """

    strength: float
    strengths: list[float]
    geometry_consistency: list[float]
    target_reached: list[float]
    score: list[float]
    rivals: dict[str, float]

    def to_dict(self) -> dict:
        """For the model's config."""
        return asdict(self)


def choose_strength(
    source: Float[np.ndarray, "n d"],
    target: Float[np.ndarray, "m d"],
    fit: FitAt,
    seed: int,
    rivals: Sequence[str] = (),
) -> StrengthChoice | None:
    """Strength at which held-out sources keep their geometry and reach the target best, both at once.

    A quarter of both sets is held out; score(t) = 2 Ψ R / (Ψ + R), with Ψ the geometry consistency of held-out
    sources and R = min(penetration, coverage, 1) against held-out targets. The harmonic mean gives nothing for
    one of them alone. The best strength is taken, but ReAlign where the best leads it by no more than two standard
    errors (paired over splits) or a hundredth, so that sets whose gap is a mere shift are left at that. None below
    `FEWEST` rows. `fit` gives rows at each node, and after these rows by each of the `rivals`, which are scored alike.
    """
    if min(len(source), len(target)) < FEWEST:
        return None
    # One split at a time, so that what one held is gone before the next is drawn.
    splits = [_measured(source, target, fit, np.random.default_rng([seed, split]), seed) for split in range(SPLITS)]
    kept, reached = np.moveaxis(np.array(splits), 2, 0)
    kept = np.clip(np.nan_to_num(kept), 0.0, 1.0)
    score = balance(kept, reached)
    score, others = score[:, : len(NODES)], score[:, len(NODES) :]
    best = int(score.mean(axis=0).argmax())
    lead = score[:, best] - score[:, 0]
    clear = max(WORTH, 2 * float(lead.std(ddof=1)) / np.sqrt(SPLITS))
    chosen = 0.0 if lead.mean() <= clear else NODES[best]
    kept_at, reached_at, score_at = (
        values[:, : len(NODES)].mean(axis=0).round(4).tolist() for values in (kept, reached, score)
    )
    named = dict(zip(rivals, others.mean(axis=0).round(4).tolist(), strict=True))
    return StrengthChoice(chosen, list(NODES), kept_at, reached_at, score_at, named)


def _measured(
    source: np.ndarray, target: np.ndarray, fit: FitAt, generator: np.random.Generator, seed: int
) -> list[tuple[float, float]]:
    """Ψ and min(M_Z, M_X, 1) of one split, at every node and of every rival."""
    fit_y, test_y = hold_out(source, generator)
    fit_x, test_x = hold_out(target, generator)
    # A few rows among many would be measured by chance: penetration there is nearly all noise.
    least = min(len(test_y), len(test_x))
    test_y, test_x, k = test_y[:least], test_x[:least], default_k(least)
    return [
        (geometry_consistency(test_y, rows, seed=seed), min(*mixing(test_x, rows, k), 1.0))
        for rows in fit(fit_y, fit_x)(test_y)
    ]
