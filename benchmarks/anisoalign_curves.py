"""The dial of AnisoAlign against the two families of dials that it has to beat, and against ReAlign.

    python benchmarks/anisoalign_curves.py

Families: Gaussian transport in the shared frame, strength 0.25 to 1; and a step along the score of a kernel density on
the fit targets after that transport, then ReAlign once more. Measured on fashion_clip, coco_clip and esc50_clap where
they lie (see `protocol.DATA`) and on the embedded world. Writes anisoalign_curves.json and the figure of the dial.

Area of a family under Ψ against a value: of all its points (ReAlign among them), averaged over repeats, those are kept
that no other beats in both; between them the value is interpolated over Ψ, below the lowest of them it stays. Two
areas: `shared` over the range of Ψ that all families reach, divided by the length of that range, so a mean height;
`enclosed` from the same lower end up to Ψ = 1, of what lies above ReAlign's value; none beyond a family's highest Ψ.
Standard errors by leaving out one repeat at a time (jackknife), of the paired difference where families are compared.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

import anisoalign as aa
from anisoalign.aligners.anisoalign.strength import NODES
from protocol import (
    FIGURES,
    Move,
    Part,
    Table,
    mean_and_error,
    parser,
    quiet,
    real,
    rounded,
    say,
    transforming,
    world,
    write,
)

TRANSPORTS = (0.25, 0.5, 0.75, 1.0)
KERNELS = ((0.0, 0.15, 0.015), (0.25, 0.15, 0.015), (0.5, 0.15, 0.015), (0.25, 0.3, 0.02), (0.5, 0.45, 0.025))
FLOORS = (0.93, 0.90, 0.85, -1.0)
VALUES = ("closed", "mixing", "mixed_recall_at_10")
FAMILIES = ("aniso-align", "transport", "kernel")


def transport(part: Part, strength: float) -> Move:
    """First family: t of the Gaussian transport, covariances shrunk by 0.3, frame of half the width."""
    return transforming(aa.GaussianTransport(shrinkage=0.3, strength=strength).fit(part.fit_y, part.fit_x))


def kernel(part: Part, strength: float, step: float, bandwidth: float) -> Move:
    """Second family: z ← Norm((1 − β) z + β b(z)) after the transport, with b the mean-shift point, then ReAlign."""
    first = transport(part, strength)

    def stepped(rows: np.ndarray) -> np.ndarray:
        z = first(rows)
        logits = z @ part.fit_x.T / bandwidth
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        shifted = weights @ part.fit_x
        shifted /= np.linalg.norm(shifted, axis=1, keepdims=True)
        moved = (1 - step) * z + step * shifted
        return moved / np.linalg.norm(moved, axis=1, keepdims=True)

    last = transforming(aa.ReAlign().fit(stepped(part.fit_y), part.fit_x))
    return lambda rows: last(stepped(rows))


def families(part: Part) -> dict[str, Move]:
    """ReAlign and both families, by name."""
    maps = {"realign": transforming(aa.ReAlign().fit(part.fit_y, part.fit_x))}
    maps |= {f"transport t={t:g}": transport(part, t) for t in TRANSPORTS}
    return maps | {f"kernel t={t:g} β={b:g} h={h:g}": kernel(part, t, b, h) for t, b, h in KERNELS}


def measure(parts: Iterable[Part]) -> tuple[Table, dict[str, Any]]:
    """All points of one set, and what the rule for the strength chose there."""
    table, chosen = Table(), []
    for part in parts:
        model = aa.AnisoAlign().fit(part.fit_y, part.fit_x)
        dial = {t: transforming(model.at_strength(t).calibrate(part.fit_y)) for t in NODES[1:]}
        maps = {f"aniso-align t={t:g}": move for t, move in dial.items()}
        base = families(part)
        choice = {"aniso-align auto": base["realign"] if model.strength_ == 0.0 else dial[model.strength_]}
        table.add(part, {**base, **maps, **choice})
        chosen.append(model.strength_)
    if not chosen:
        return table, {}
    return table, {
        "strengths_chosen": {f"{t:g}": chosen.count(t) for t in NODES if t in chosen},
        "mean_strength": mean_and_error(np.array(chosen)),
    }


def points(table: Table, family: str, metric: str, rows: np.ndarray) -> np.ndarray:
    """Ψ and value of a family's points, ReAlign among them, means over the repeats in `rows`; shape (points, 2)."""
    names = ["realign", *(n for n in table.entries if n.startswith(f"{family} ") and not n.endswith("auto"))]
    return np.array([[table.values(n, m)[rows].mean() for m in ("geometry_consistency", metric)] for n in names])


def envelope(found: np.ndarray) -> np.ndarray:
    """Points that no other beats in both, by rising Ψ."""
    kept = [p for p in found if not ((found >= p).all(axis=1) & (found > p).any(axis=1)).any()]
    return np.array(sorted(map(tuple, kept)))


def areas(table: Table, metric: str, rows: np.ndarray, limits: tuple[float, float]) -> dict[str, dict[str, float]]:
    """Shared and enclosed area of each family."""
    base = float(table.values("realign", metric)[rows].mean())
    shared, whole = np.linspace(*limits, 401), np.linspace(limits[0], 1.0, 2001)
    found: dict[str, dict[str, float]] = {"shared": {}, "enclosed": {}}
    for family in FAMILIES:
        psi, value = envelope(points(table, family, metric, rows)).T
        height = np.trapezoid(np.interp(shared, psi, value), shared) / (limits[1] - limits[0])
        above = np.interp(whole, psi, value, right=base) - base
        found["shared"][family] = float(height)
        found["enclosed"][family] = float(np.trapezoid(np.clip(above, 0.0, None), whole))
    return found


def compare_areas(table: Table, metric: str) -> dict[str, Any]:
    """Areas with the paired differences to each family and their jackknife errors."""
    everything = np.arange(table.repeats)
    spans = [points(table, family, metric, everything)[:, 0] for family in FAMILIES]
    limits = (max(float(s.min()) for s in spans), min(float(s.max()) for s in spans))
    whole = areas(table, metric, everything, limits)
    left = [areas(table, metric, np.delete(everything, i), limits) for i in everything]
    n, ours = table.repeats, FAMILIES[0]
    out: dict[str, Any] = {"geometry_from": rounded(limits[0]), "geometry_to": rounded(limits[1])}
    for kind in whole:
        out[kind] = {family: rounded(value) for family, value in whole[kind].items()}
        for family in FAMILIES[1:]:
            leads = np.array([a[kind][ours] - a[kind][family] for a in left])
            error = float(np.sqrt((n - 1) / n * ((leads - leads.mean()) ** 2).sum()))
            out[kind][f"lead_over_{family}"] = [rounded(whole[kind][ours] - whole[kind][family]), rounded(error)]
    return out


def against(table: Table, floor: float, metric: str) -> dict[str, Any] | None:
    """The dial's best point with Ψ at the floor or above, against two rows of the families, paired by repeat.

    One is the row nearest in Ψ to the dial's point; the other, harder, the best row with Ψ at the floor or above.
    The closed share is read at the best of ten strengths on the same repeats, and so is that of the rows.
    """

    def mean(name: str, what: str) -> float:
        return float(table.values(name, what).mean())

    rows = [n for n in table.entries if n.startswith(("transport", "kernel", "realign"))]
    dial = [f"aniso-align t={t:g}" for t in NODES[1:]]
    allowed = [n for n in dial if mean(n, "geometry_consistency") >= floor]
    rivals = [n for n in rows if mean(n, "geometry_consistency") >= floor]
    if not allowed or not rivals:
        return None
    ours = max(allowed, key=lambda n: mean(n, metric))
    psi = mean(ours, "geometry_consistency")
    nearest = min(rows, key=lambda n: abs(mean(n, "geometry_consistency") - psi))
    found: dict[str, Any] = {"floor": floor if floor > 0 else None, "ours": _row(table, ours, metric)}
    for role, name in (("nearest", nearest), ("best", max(rivals, key=lambda n: mean(n, metric)))):
        found[role] = _row(table, name, metric)
        for what in dict.fromkeys((metric, "target_penetration", "target_coverage", "geometry_consistency")):
            found[role][f"{what}_lead"] = mean_and_error(table.values(ours, what) - table.values(name, what))
    return found


def _row(table: Table, name: str, metric: str) -> dict[str, Any]:
    keys = dict.fromkeys((metric, "geometry_consistency", "target_penetration", "target_coverage"))
    return {"method": name, **{key: mean_and_error(table.values(name, key)) for key in keys}}


def draw(tables: dict[str, Table]) -> None:
    """Ψ against the closed share, the mixing and mixed recall, one row of panels a set."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    titles = {"closed": "closed", "mixing": "min(penetration, coverage)", "mixed_recall_at_10": "mixed recall at 10"}
    colours = {"aniso-align": "#b3003c", "transport": "#2f6db3", "kernel": "#6a8a22"}
    figure, axes = pyplot.subplots(len(tables), 3, figsize=(10, 2.7 * len(tables)), squeeze=False)
    for line, (name, table) in zip(axes, tables.items(), strict=True):
        rows = np.arange(table.repeats)
        for ax, metric in zip(line, VALUES, strict=True):
            if not table.has(metric):
                ax.set_axis_off()
                continue
            for family, colour in colours.items():
                found = points(table, family, metric, rows)
                style = "-" if family != "kernel" else "none"
                ax.plot(
                    *found[slice(1, None) if style == "none" else slice(None)].T,
                    linestyle=style,
                    marker="o",
                    markersize=3.5,
                    color=colour,
                    label=family,
                )
            psi, value = (table.values("aniso-align auto", m).mean() for m in ("geometry_consistency", metric))
            ax.plot(
                psi,
                value,
                marker="*",
                markersize=11,
                color=colours["aniso-align"],
                linestyle="none",
                label="aniso-align, auto",
            )
            psi, value = (table.values("realign", m).mean() for m in ("geometry_consistency", metric))
            ax.plot(psi, value, marker="s", markersize=5, color="black", linestyle="none", label="realign")
            ax.set_title(f"{name}: {titles[metric]}", fontsize=9)
            ax.set_xlabel("Ψ, geometry kept", fontsize=8)
            ax.tick_params(labelsize=7)
            ax.grid(alpha=0.25)
    axes[0, 0].legend(fontsize=7)
    figure.tight_layout()
    FIGURES.mkdir(exist_ok=True)
    figure.savefig(FIGURES / "dial.png", dpi=80, metadata={"Software": None})


def main() -> None:
    parser(__doc__).parse_args()
    quiet()
    sets: dict[str, Iterable[Part]] = {
        "fashion_clip": real("fashion_clip", 30),
        "coco_clip": real("coco_clip", 20),
        "esc50_clap": real("esc50_clap", 8),
        "world": world(6, 3_000),
    }
    results, tables = {}, {}
    for name, parts in sets.items():
        table, rule = measure(parts)
        if not table.repeats:
            continue
        tables[name] = table
        floors = {m: [against(table, floor, m) for floor in FLOORS] for m in VALUES if table.has(m)}
        results[name] = {
            **table.protocol,
            "methods": table.records(),
            "areas": {m: compare_areas(table, m) for m in VALUES if table.has(m)},
            "at_geometry": {m: [f for f in found if f] for m, found in floors.items()},
            "strength": rule,
        }
        say(f"{name}: {table.repeats} repeats")
    write("anisoalign_curves", results)
    draw(tables)


if __name__ == "__main__":
    main()
