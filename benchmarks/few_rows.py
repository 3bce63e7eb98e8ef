"""By which rule should the strength be chosen where rows are few?

    python benchmarks/few_rows.py

AnisoAlign is fitted on 40 to 160 rows a side; 200 other pairs tell the truth, the balance 2 Ψ R / (Ψ + R) of each
strength. Rules see the rows that are fitted alone:

* *a quarter, k = 10*: four splits that each hold out a quarter, ten neighbours; the mean of their balances, and
  ReAlign where the lead is within two standard errors;
* *a quarter, k by rows*: the same, with a fifth of the held-out rows as neighbours;
* *all, k = 10*, *all, one in ten*, *all, one in twenty*: every row held out once, all measured together; what the
  package does is the last;
* *0.5*: always that.

Shown is the true balance at the strength that a rule takes, and below *best* at the best one, means over draws. Writes
few_rows.json.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import anisoalign as aa
from anisoalign.aligners.anisoalign.held_out import aligned_at, apart, sample_of
from anisoalign.aligners.anisoalign.strength import FOLDS, NODES, WORTH
from anisoalign.diagnostics.alignment import geometry_consistency
from anisoalign.diagnostics.balance import balance
from anisoalign.diagnostics.mixing import mixing
from protocol import mean_and_error, parser, pools, quiet, say, write

ROWS = (40, 60, 100, 160)
DRAWS = 8
TOLD = 200
Fold = tuple[np.ndarray, np.ndarray, list[np.ndarray]]
"""Held-out sources and targets, and these sources at every strength."""


def balances(source: np.ndarray, target: np.ndarray, moved: list[np.ndarray], k: int) -> np.ndarray:
    """2 Ψ R / (Ψ + R) at every strength."""
    kept = np.clip(np.nan_to_num([geometry_consistency(source, rows) for rows in moved]), 0.0, 1.0)
    return balance(kept, np.array([min(*mixing(target, rows, k), 1.0) for rows in moved]))


def by_splits(k: Callable[[int], int]) -> Callable[[list[Fold]], int]:
    """The rule of splits that are measured one by one."""

    def rule(folds: list[Fold]) -> int:
        scores = np.array([balances(*fold, k(len(fold[0]))) for fold in folds])
        best = int(scores.mean(axis=0).argmax())
        lead = scores[:, best] - scores[:, 0]
        return 0 if lead.mean() <= max(WORTH, 2 * lead.std(ddof=1) / np.sqrt(len(folds))) else best

    return rule


def by_all(k: Callable[[int], int]) -> Callable[[list[Fold]], int]:
    """The rule of all rows together, each held out once."""

    def rule(folds: list[Fold]) -> int:
        source, target = (np.concatenate([fold[side] for fold in folds]) for side in (0, 1))
        moved = [np.concatenate(rows) for rows in zip(*(fold[2] for fold in folds), strict=True)]
        scores = balances(source, target, moved, k(len(source)))
        best = int(scores.argmax())
        return 0 if scores[best] - scores[0] <= WORTH else best

    return rule


RULES: dict[str, Callable[[list[Fold]], int]] = {
    "a quarter, k = 10": by_splits(lambda rows: 10),
    "a quarter, k by rows": by_splits(lambda rows: min(10, max(2, rows // 5))),
    "all, k = 10": by_all(lambda rows: 10),
    "all, one in ten": by_all(lambda rows: min(10, max(2, rows // 10))),
    "all, one in twenty": by_all(lambda rows: min(10, max(2, rows // 20))),
    "0.5": lambda folds: NODES.index(0.5),
}


def folds_of(model: aa.AnisoAlign, source: np.ndarray, target: np.ndarray, seed: int) -> list[Fold]:
    """Every row held out of one fit."""
    generator = np.random.default_rng(seed)
    sides = [(rows, generator.permutation(len(rows))) for rows in (source, target)]
    folds = []
    for fold in range(FOLDS):
        (fit_y, test_y), (fit_x, test_x) = (apart(*side, len(source) // FOLDS, fold) for side in sides)
        folds.append((test_y, test_x, list(aligned_at(model, sample_of(fit_y, fit_x), NODES)(test_y))))
    return folds


def measure(source: np.ndarray, target: np.ndarray, rows: int) -> dict[str, list[float]]:
    """True balance by rule, mean and standard error over draws."""
    found: dict[str, list[float]] = {}
    for seed in range(DRAWS):
        order = np.random.default_rng([seed, rows]).permutation(len(source))
        y, x, told = order[:rows], order[rows : 2 * rows], order[-TOLD:]
        model = aa.AnisoAlign(rotation="full", strength=0.5, force=True)
        told_rows = list(aligned_at(model, sample_of(source[y], target[x]), NODES)(source[told]))
        truth = balances(source[told], target[told], told_rows, 10)
        folds = folds_of(model, source[y], target[x], seed)
        for name, rule in RULES.items():
            found.setdefault(name, []).append(float(truth[rule(folds)]))
        found.setdefault("best", []).append(float(truth.max()))
    return {name: mean_and_error(np.array(values)) for name, values in found.items()}


def main() -> None:
    parser(__doc__).parse_args()
    quiet()
    results: dict = {}
    for name, source, target in pools("fashion_clip", "coco_clip"):
        sizes = [rows for rows in ROWS if 2 * rows + TOLD <= len(source)]
        results[name] = {str(rows): measure(source, target, rows) for rows in sizes}
        say(f"{name} done")
    write("few_rows", results)


if __name__ == "__main__":
    main()
