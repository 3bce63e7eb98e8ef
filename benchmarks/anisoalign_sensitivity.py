"""How much do AnisoAlign's results depend on its parameters, on the number of rows, and what does a fit cost?

    python benchmarks/anisoalign_sensitivity.py              # all of it; writes the JSON and two figures
    python benchmarks/anisoalign_sensitivity.py --only cost  # some parts of it, into the JSON there is
    python benchmarks/anisoalign_sensitivity.py --cost N D RANK PRESET   # one fit in a process of its own; prints JSON

One parameter at a time around both presets, at strength 0.5 and 1 for ours; rows from a hundred to a hundred thousand a
side on the embedded world, and the same with few targets alone: how wrong the statistics of the target may be. Around
`paper()` Stage I takes 300 steps instead of up to 1,500 and Stage II 150 instead of 400.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import anisoalign as aa
from protocol import (
    FIGURES,
    HERE,
    SCENES,
    Move,
    Part,
    Table,
    quiet,
    real,
    rounded,
    say,
    transforming,
    world,
    world_rows,
    write,
)

STRENGTHS = (0.5, 1.0)
AROUND_DEFAULT: dict[str, list[Any]] = {
    "rank": [16, 64, 128, None, 0.9, 0.99],
    "shrinkage": [0.0, 0.1, 0.3, 0.6, 0.9, "auto"],
    "neighbours": [0.002, 0.005, 0.01, 0.02, 0.05, 0.1],
    "balance": [0.0, 0.25, 0.5, 0.75, 1.0],
    "guide_step": [0.1, 0.25, 0.5, 0.75, 1.0],
    "guide_bound": [0.1, 0.2, 0.6],
    "initial_strength": [0.0, 0.25, 0.5, 0.75, 1.0],
    "restore_strength": [0.0, 0.3, 0.6, 1.0],
}
AROUND_PAPER: dict[str, list[Any]] = {
    "rank": [0.5, 0.9, 0.99],
    "mixing": ["identity", "haar", "learned"],
    "seed": [0, 1, 2],
    "centre": ["origin", "mean"],
    "edges": [1, 4, 16],
    "drift_step": [0.0, 0.1, 0.5],
    "noise": [0.5, 1.5, 3.0],
    "phase_bound": [0.0, 0.1, 0.3, 0.6, 1.2],
    "radius_bound": [0.0, 0.2, 0.6],
    "complement_bound": [0.0, 0.02, 0.2],
}
QUICK = {"prior_steps": 300, "refine_steps": 150}
ROWS = (100, 300, 1_000, 3_000, 10_000, 30_000, 100_000)
HELD = 3_000
COSTS = (
    (400, 1_280, 640),
    (1_000, 256, 128),
    (5_000, 256, 128),
    (20_000, 256, 128),
    (50_000, 256, 128),
    (5_000, 512, 256),
    (5_000, 1024, 512),
    (5_000, 512, 64),
)
COSTS_PAPER = ((5_000, 256, 64), (20_000, 256, 64), (5_000, 256, 248))
KEYS = ("geometry_consistency", "target_penetration", "target_coverage", "mixed_recall_at_10")


def around_default(parts: Iterable[Part]) -> dict[str, Any]:
    """Every value of every parameter, the others at their defaults."""
    tables = {strength: Table() for strength in STRENGTHS}
    for part in parts:
        maps: dict[float, dict[str, Move]] = {t: {"realign": _realign(part)} for t in STRENGTHS}
        for parameter, values in AROUND_DEFAULT.items():
            for value in values:
                model = aa.AnisoAlign(**{"strength": 1.0, parameter: value}).fit(part.fit_y, part.fit_x)
                for t in STRENGTHS:
                    maps[t][f"{parameter}={value}"] = transforming(model.at_strength(t).calibrate(part.fit_y))
        for t in STRENGTHS:
            tables[t].add(part, maps[t])
    return {f"strength {t:g}": _values(tables[t], AROUND_DEFAULT) for t in STRENGTHS if tables[t].repeats} | tables[
        1.0
    ].protocol


def around_paper(parts: Iterable[Part]) -> dict[str, Any]:
    """The same around the published method."""
    table = Table()
    for part in parts:
        maps: dict[str, Move] = {"realign": _realign(part)}
        usual = aa.AnisoAlign.paper(**QUICK)
        at_default = transforming(usual.fit(part.fit_y, part.fit_x))
        for parameter, values in AROUND_PAPER.items():
            for value in values:
                name, move = f"{parameter}={value}", at_default
                if value != usual.get_params()[parameter]:
                    changed = aa.AnisoAlign.paper(**{**QUICK, parameter: value})
                    move = transforming(changed.fit(part.fit_y, part.fit_x))
                maps[name] = move
            say(f"paper: {parameter}")
        table.add(part, maps)
    return _values(table, AROUND_PAPER) | table.protocol if table.repeats else {}


def by_rows() -> dict[str, Any]:
    """Rows a side, and rows of the target alone with all sources: same held-out pairs for all."""
    most = max(ROWS)
    y, x, labels = world_rows(2 * most + HELD, SCENES + 300)
    held = slice(2 * most, None)
    found: dict[str, Any] = {"both": {}, "target alone": {}}
    for kind in found:
        tables: dict[int, Table] = {}
        for n in ROWS:
            few = n if kind == "both" else min(most, 3_000)
            fit = slice(most, most + few), slice(0, n)
            part = Part(y[fit[0]], x[fit[1]], y[held], x[held], labels[fit[0]], labels[fit[1]], labels[held], True, 0)
            if n > 10_000:  # a classifier of that many rows takes longer than all the rest
                part = replace(part, fit_y_labels=None)
            tables[n] = Table()
            tables[n].add(part, _fitted(part))
            found[kind][str(n)] = {
                name: {key: rounded(float(tables[n].values(name, key)[0])) for key in _measured(tables[n])}
                for name in tables[n].entries
                if name != "real-target"
            }
            say(f"{kind}: {n} rows")
    return found


def _fitted(part: Part) -> dict[str, Move]:
    model = aa.AnisoAlign(strength=1.0, force=True).fit(part.fit_y, part.fit_x)
    transport = aa.GaussianTransport(shrinkage=0.3, strength=0.5).fit(part.fit_y, part.fit_x)
    paper = aa.AnisoAlign.paper(**QUICK, force=True).fit(part.fit_y, part.fit_x)
    dial = {f"aniso-align t={t:g}": transforming(model.at_strength(t).calibrate(part.fit_y)) for t in STRENGTHS}
    return {"realign": _realign(part), "transport t=0.5": transforming(transport), **dial, "paper": transforming(paper)}


def _realign(part: Part) -> Move:
    return transforming(aa.ReAlign().fit(part.fit_y, part.fit_x))


def _measured(table: Table) -> list[str]:
    return [key for key in (*KEYS, "label_transfer", "closed") if table.has(key)]


def _values(table: Table, parameters: dict[str, list[Any]]) -> dict[str, Any]:
    """Means of each value; `closed ±`: standard error over repeats of its distance to the parameter's other values."""
    found: dict[str, Any] = {}
    for parameter, values in parameters.items():
        names = {str(value): f"{parameter}={value}" for value in values}
        found[parameter] = {
            value: {key: rounded(float(table.values(name, key).mean())) for key in _measured(table)}
            for value, name in names.items()
        }
        if table.has("closed") and table.repeats > 1:
            closed = {value: table.values(name, "closed") for value, name in names.items()}
            average = np.mean(list(closed.values()), axis=0)
            for value, own in closed.items():
                error = float((own - average).std(ddof=1)) / table.repeats**0.5
                found[parameter][value]["closed ±"] = rounded(error)
    return found


def cost(rows: int, dim: int, rank: int, preset: str) -> dict[str, Any]:
    """Seconds and peak memory of one fit, beyond what the rows and the libraries take; for a process of its own."""
    generator = np.random.default_rng(0)
    shape = np.arange(1, dim + 1) ** -0.5
    base = generator.normal(size=(2, rows, dim)).astype(np.float32) * shape.astype(np.float32)
    y, x = base[0] + 0.05, base[1] * np.linspace(1, 1.5, dim, dtype=np.float32) - 0.05
    model = aa.AnisoAlign.paper(rank=rank) if preset == "paper" else aa.AnisoAlign(rank=rank)
    aa.ReAlign().fit(y[:100], x[:100])
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is of making the rows, or of the parent
    before, started = _memory("VmRSS"), time.perf_counter()
    model.fit(y, x)
    took, peak = time.perf_counter() - started, _memory("VmHWM")
    return {
        "rows": rows,
        "dim": dim,
        "rank": rank,
        "preset": preset,
        "seconds": round(took, 2),
        "megabytes": round((peak - before) / 1e6),
    }


def _memory(field: str) -> float:
    """Bytes in use (VmRSS) or the most there were (VmHWM); Linux alone tells."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024.0


def costs() -> list[dict[str, Any]]:
    """Each fit in a process of its own, since peaks are of processes."""
    found = []
    for preset, cases in (("default", COSTS), ("paper", COSTS_PAPER)):
        for rows, dim, rank in cases:
            command = [sys.executable, str(Path(__file__)), "--cost", str(rows), str(dim), str(rank), preset]
            found.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
            say(str(found[-1]))
    return found


def draw(results: dict[str, Any]) -> None:
    """One figure of parameters, one of rows."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    FIGURES.mkdir(exist_ok=True)
    lines = [
        ("around the default, strength 1", name, found["strength 1"], AROUND_DEFAULT)
        for name, found in results["around_default"].items()
    ]
    lines += [("around paper()", name, found, AROUND_PAPER) for name, found in results["around_paper"].items()]
    wide = max(len(AROUND_DEFAULT), len(AROUND_PAPER))
    figure, axes = pyplot.subplots(
        len(lines), wide, figsize=(1.5 * wide, 1.9 * len(lines)), sharey="row", squeeze=False
    )
    for row, (about, name, found, parameters) in zip(axes, lines, strict=True):
        for ax, parameter in zip(row, parameters, strict=False):
            values = list(found[parameter])
            for key, label, colour in (
                ("geometry_consistency", "Ψ", "#b3003c"),
                ("closed", "closed", "#2f6db3"),
                ("target_coverage", "coverage", "#6a8a22"),
            ):
                if key in found[parameter][values[0]]:
                    ax.plot(
                        values,
                        [found[parameter][v][key] for v in values],
                        marker="o",
                        markersize=3,
                        linewidth=1,
                        color=colour,
                        label=label,
                    )
            ax.set_title(parameter, fontsize=8)
            ax.tick_params(labelsize=6)
            ax.tick_params(axis="x", rotation=60)
            ax.grid(alpha=0.25)
        for ax in row[len(parameters) :]:
            ax.set_axis_off()
        row[0].set_ylabel(f"{name}\n{about}", fontsize=7)
    axes[0, 0].legend(fontsize=6)
    figure.tight_layout(pad=0.4)
    figure.savefig(FIGURES / "sensitivity.png", dpi=80, metadata={"Software": None})

    figure, axes = pyplot.subplots(2, 3, figsize=(9, 5), sharex=True)
    for line, (kind, found) in zip(axes, results["by_rows"].items(), strict=True):
        for ax, (key, label) in zip(
            line,
            (("geometry_consistency", "Ψ"), ("target_coverage", "coverage"), ("label_transfer", "label transfer")),
            strict=True,
        ):
            for name in found[str(ROWS[0])]:
                sizes = [n for n in found if key in found[n][name]]
                ax.plot(
                    [int(n) for n in sizes], [found[n][name][key] for n in sizes], marker="o", markersize=3, label=name
                )
            ax.set_xscale("log")
            ax.set_title(f"{label}, rows: {kind}", fontsize=9)
            ax.grid(alpha=0.25)
    axes[0, 0].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(FIGURES / "rows.png", dpi=80, metadata={"Software": None})


def by_default() -> dict[str, Any]:
    """Around the default, on each set that is there."""
    sets = (("fashion_clip", real("fashion_clip", 8)), ("world", world(3, 3_000, SCENES + 200)))
    return {name: found for name, parts in sets if (found := around_default(parts))}


PARTS: dict[str, Callable[[], Any]] = {
    "around_default": by_default,
    "around_paper": lambda: {"world": around_paper(world(1, 3_000, SCENES + 200))},
    "by_rows": by_rows,
    "cost": costs,
}


def main() -> None:
    quiet()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=list(PARTS), choices=list(PARTS))
    parser.add_argument("--cost", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.cost:
        rows, dim, rank = (int(value) for value in options.cost[:3])
        print(json.dumps(cost(rows, dim, rank, options.cost[3])))
        return
    file = HERE / "anisoalign_sensitivity.json"
    results = json.loads(file.read_text()) if file.is_file() else {}
    results.pop("environment", None)
    for name in options.only:
        results[name] = PARTS[name]()
        write("anisoalign_sensitivity", results)
        say(name)
    draw(results)


if __name__ == "__main__":
    main()
