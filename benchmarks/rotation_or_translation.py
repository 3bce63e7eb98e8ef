"""Is the gap a rotation or a translation? What unpaired rows tell of it, by several statistics.

    python benchmarks/rotation_or_translation.py

Gaps are planted between real targets: sources are rows of other items, in noise and narrower in ten directions, that
are then moved to another mean, or turned to it as a whole, their thirty leading directions among each other too. Beside
them lie the real sources. Both routes of AnisoAlign, with
the rotation and without, are fitted with half of the transport on a share of the rows; the others are measured:

* *mmd p*: squared maximum mean discrepancy to targets, under a kernel that reaches the share p of them by perplexity;
* *mixing*: min(penetration, coverage), ten neighbours;
* *balance*: the harmonic mean of that and Ψ, by which the strength is chosen.

The rotation is given up where the translation is better in three splits of three, and where it is on their mean. Shown
is the share of draws in which it is kept: 1 is right for turned and real sources, 0 for moved ones. Writes
rotation_or_translation.json and the table of ../docs/rotation.md.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.linalg import expm

import anisoalign as aa
from anisoalign.aligners.anisoalign.coupling import bandwidth_for
from anisoalign.aligners.anisoalign.held_out import aligned_at, apart, sample_of
from anisoalign.aligners.anisoalign.losses import kernel_mmd
from anisoalign.diagnostics.alignment import geometry_consistency
from anisoalign.diagnostics.balance import balance
from anisoalign.diagnostics.mixing import mixing
from anisoalign.geometry import normalize
from anisoalign.geometry.rotation import turn_between
from protocol import fill, parser, pools, quiet, say, write

ROWS = (100, 200, 400)
DRAWS = 6
SPLITS = 3
HELD = (0.25, 0.5)
REACH = (0.02, 0.05, 0.1, 0.2)
NARROW, NOISE = 10, 0.5
TURNED, ANGLE = 30, 0.6
"""Leading directions that are turned among each other, and by how much: root mean square of the angles, radians."""


def planted(items: np.ndarray, gap: str, generator: np.random.Generator) -> np.ndarray:
    """Sources of target rows: narrower in ten random directions, in noise, then moved or turned to another mean."""
    mean, dim = items.mean(axis=0), items.shape[1]
    scatter = items - mean
    directions, _ = np.linalg.qr(generator.normal(size=(dim, NARROW)))
    scatter = scatter - 0.5 * (scatter @ directions) @ directions.T
    scatter += NOISE * np.sqrt((scatter**2).sum(axis=1).mean() / dim) * generator.normal(size=scatter.shape)
    other = np.linalg.norm(mean) * normalize(generator.normal(size=(1, dim)))[0]
    if gap == "moved":
        return normalize(scatter + other)
    return normalize((_turned(scatter, generator) + mean) @ turn_between(mean, other).T)


def _turned(scatter: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Rows with their leading directions turned among each other."""
    leading = np.linalg.svd(scatter, full_matrices=False)[2][:TURNED]
    skew = generator.normal(size=(len(leading),) * 2)
    skew = (skew - skew.T) / 2
    turn = expm(ANGLE * skew / np.sqrt((skew**2).sum() / len(leading)))
    return scatter + (scatter @ leading.T) @ (turn - np.eye(len(leading))) @ leading


def statistics(fit: tuple[np.ndarray, np.ndarray], held: tuple[np.ndarray, np.ndarray]) -> dict[str, float]:
    """How much better the rotation is than the translation, by each statistic; above 0 it is."""
    (test_y, test_x), sample = held, sample_of(*fit)
    found: dict[str, dict[str, float]] = {}
    for rotation in ("none", "full"):
        model = aa.AnisoAlign(terms="init", rotation=rotation, strength=1.0)
        (z,) = aligned_at(model, sample, (1.0,))(test_y)
        reached = min(*mixing(test_x, z, 10), 1.0)
        kept = float(np.clip(geometry_consistency(test_y, z), 0.0, 1.0))
        found[rotation] = {"mixing": reached, "balance": float(balance(kept, reached))}
        for reach in REACH:
            h = bandwidth_for(test_x, test_x, max(2.0, reach * len(test_x)))
            found[rotation][f"mmd {reach:g}"] = -float(kernel_mmd(torch.from_numpy(z), torch.from_numpy(test_x), h))
    return {name: found["full"][name] - found["none"][name] for name in found["full"]}


def leads(source: np.ndarray, target: np.ndarray, share: float, seed: int) -> list[dict[str, float]]:
    """The statistics of each split."""
    found = []
    for split in range(SPLITS):
        generator = np.random.default_rng([seed, split])
        (fit_y, test_y), (fit_x, test_x) = (
            apart(rows, generator.permutation(len(rows)), int(share * len(rows))) for rows in (source, target)
        )
        found.append(statistics((fit_y, fit_x), (test_y, test_x)))
    return found


def kept(source: np.ndarray, target: np.ndarray, rows: int, gap: str) -> dict[str, float]:
    """Share of draws in which the rotation is kept, by share held out, statistic and rule."""
    votes: dict[str, list[bool]] = {}
    for seed in range(DRAWS):
        generator = np.random.default_rng([seed, rows])
        order = generator.permutation(len(source))
        y, x = order[:rows], order[rows : 2 * rows]
        sources = source[y] if gap == "real" else planted(target[y], gap, generator)
        for share in HELD:
            found = leads(sources, target[x], share, seed)
            for name in found[0]:
                values = np.array([lead[name] for lead in found])
                votes.setdefault(f"{name}, {share:g} held, all", []).append(bool(values.max() >= 0))
                votes.setdefault(f"{name}, {share:g} held, mean", []).append(bool(values.mean() >= 0))
    return {name: round(float(np.mean(taken)), 3) for name, taken in votes.items()}


def page(results: dict) -> str:
    """The table: share of draws that keep the rotation, over all sets, by gap and rows a side."""
    columns = [(gap, str(rows)) for gap in ("moved", "turned", "real") for rows in ROWS]
    rules = list(next(iter(results.values()))["moved"][str(ROWS[0])])
    head = ["statistic", *(f"{gap}, {rows}" for gap, rows in columns)]
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * len(columns)]
    for rule in rules:
        means = [
            np.mean([found[gap][rows][rule] for found in results.values() if rows in found[gap]])
            for gap, rows in columns
        ]
        lines.append("| " + " | ".join([rule, *(f"{mean:.2f}" for mean in means)]) + " |")
    return "\n".join(lines)


def main() -> None:
    parser(__doc__).parse_args()
    quiet()
    results: dict = {}
    for name, source, target in pools("fashion_clip", "coco_clip", "esc50_clap"):
        results[name] = {
            gap: {str(rows): kept(source, target, rows, gap) for rows in ROWS if 2 * rows <= len(source)}
            for gap in ("moved", "turned", "real")
        }
        say(f"{name} done")
    write("rotation_or_translation", results)
    fill("rotation.md", "rotation or translation", page(results))


if __name__ == "__main__":
    main()
