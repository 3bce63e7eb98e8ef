"""Figures of a comparison, drawn from its JSON records alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from anisoalign.report.choosing import KEPT
from anisoalign.report.drawing import ACROSS, INK, MUTED, PAIRED, SOURCE, TARGET, headline, new_figure, styled
from anisoalign.report.labelling import Spot, label_spots
from anisoalign.report.wording import REAL_TARGET, REALIGN, Record, competing, kind_of, of_one_frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FULL_STRENGTH = {"gaussian-transport": 1.0}
"""Strength of a method that is named without one."""
_LOOKS = {
    "method": ("o", SOURCE, "method"),
    "control": ("s", MUTED, "control"),
    "oracle": ("D", TARGET, "made with pairs, for comparison"),
}


def trading_off(records: Sequence[Record]) -> list[Record]:
    """The records that hold both axes of the trade-off, of one frame."""
    axes = (KEPT, "target_penetration", "target_coverage")
    return of_one_frame([record for record in records if all(record.get(key) is not None for key in axes)])


def target_reached(record: Record) -> tuple[float, float]:
    """The smaller of penetration and coverage, and its standard error."""
    key = min(("target_penetration", "target_coverage"), key=lambda name: record[name])
    return record[key], record.get(f"{key}_se", 0.0)


def strength_of(method: str) -> tuple[str, float] | None:
    """Family and strength of a method specification, or None where it has no dial.

    Examples
    --------
    >>> strength_of("gaussian-transport:strength=0.25"), strength_of("gaussian-transport"), strength_of("c3")
    (('gaussian-transport', 0.25), ('gaussian-transport', 1.0), None)
    """
    name, _, rest = method.partition(":")
    settings = [setting for setting in rest.split(",") if setting]
    dial = [setting.removeprefix("strength=") for setting in settings if setting.startswith("strength=")]
    family = ":".join([name, *([",".join(s for s in settings if not s.startswith("strength="))] if rest else [])])
    family = family.removesuffix(":")
    if not dial:
        return (family, FULL_STRENGTH[name]) if name in FULL_STRENGTH else None
    try:
        return family, float(dial[0])
    except ValueError:
        return None


@styled
def trade_off(records: Sequence[Record]) -> Figure:
    """Semantics kept against target reached: one point a method, ± standard error.

    Parameters
    ----------
    records : sequence of dict
        `Comparison.to_dicts()`. Records without the two metrics, as that of real targets, are left out, and beside
        methods of the target's frame those of a common one.
        Methods that differ by their strength only are joined. Controls and maps made with pairs that lie far from
        all methods are shown at the edge, as arrows with their coordinates.
    """
    shown = trading_off(records)
    figure, axes = new_figure(5.6, left=0.1, right=0.98, top=0.93, bottom=0.21)
    families = _families(shown)
    low_x, low_y = _corner(axes, shown)
    spots = [Spot(1.0, 1.0, size=11.0)]  # the star
    for family in families.values():
        line = [(target_reached(r)[0], r[KEPT]) for _, r in family]
        axes.plot(*zip(*line, strict=True), color=ACROSS, linewidth=1.6, zorder=2)
        spots += _between(line)
    for record in shown:
        (x, dx), y, dy = target_reached(record), record[KEPT], record.get(f"{KEPT}_se", 0.0)
        marker, colour, _ = _LOOKS[kind_of(record)]
        dial = strength_of(record["method"])
        joined = dial is not None and dial[0] in families
        text = f"strength={dial[1]:g}" if joined and dial else str(record["method"])
        if x < low_x or y < low_y:
            text += f"\n({x:.2f}, {y:.2f})"
            marker, dx, dy = ("<" if x < low_x else "v"), 0.0, 0.0
            x, y = max(x, low_x), max(y, low_y)
        axes.errorbar(
            [x],
            [y],
            xerr=[dx],
            yerr=[dy],
            color=ACROSS if joined else colour,
            marker=marker,
            markersize=6.5,
            linestyle="none",
            elinewidth=1.2,
            zorder=3,
            clip_on=False,
        )
        spots.append(Spot(x, y, text))
        spots += _between([(x - dx, y), (x, y), (x + dx, y)]) if dx else []
        spots += _between([(x, y - dy), (x, y), (x, y + dy)]) if dy else []
    axes.set_xlabel("target reached: smaller of penetration and coverage")
    axes.set_ylabel("semantics kept: Ψ")
    headline(figure, "Up: meaning kept. Right: target reached. A good method is near the star.")
    _kinds_legend(figure, shown, list(families))
    label_spots(figure, axes, spots, INK, MUTED)
    return figure


def _families(records: Sequence[Record]) -> dict[str, list[tuple[float, Record]]]:
    """Methods that differ by their strength only, in its order."""
    found: dict[str, list[tuple[float, Record]]] = {}
    for record in records:
        dial = strength_of(record["method"])
        if dial is not None:
            found.setdefault(dial[0], []).append((dial[1], record))
    return {name: sorted(rows, key=lambda row: row[0]) for name, rows in found.items() if len(rows) > 1}


def _between(line: Sequence[tuple[float, float]]) -> list[Spot]:
    """Nameless spots along a curve or an error bar, so that no label is put on it."""
    return [
        Spot(a + f * (c - a), b + f * (d - b))
        for (a, b), (c, d) in pairwise(line)
        for f in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    ]


def _corner(axes: Axes, shown: Sequence[Record]) -> tuple[float, float]:
    """Limits of the axes, from the methods to the ideal, which is marked; returns the lower ones.

    Controls and maps made with pairs beyond them go to the edge: in full view they would leave the methods one spot.
    """
    rivals = list(filter(competing, shown)) or list(shown)
    reached, kept = [target_reached(r)[0] for r in rivals], [r[KEPT] for r in rivals]
    low_x, low_y = min([*reached, 0.8]), min([*kept, 0.8])
    span_x, span_y = max([*reached, 1.0]) - low_x, max([*kept, 1.0]) - low_y
    low_x, low_y = low_x - 0.1 * span_x, low_y - 0.08 * span_y
    axes.set_xlim(low_x, max([*reached, 1.0]) + 0.06 * span_x)
    axes.set_ylim(low_y, max([*kept, 1.0]) + 0.13 * span_y)
    axes.plot([1.0], [1.0], marker="*", markersize=17, color=PAIRED, linestyle="none", zorder=2, label="the ideal")
    return low_x, low_y


def _kinds_legend(figure: Figure, shown: Sequence[Record], families: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    kinds = [kind for kind in _LOOKS if kind in map(kind_of, shown)]
    handles = [
        Line2D([], [], marker=_LOOKS[k][0], color=_LOOKS[k][1], linestyle="none", markersize=6.5, label=_LOOKS[k][2])
        for k in kinds
    ]
    handles += [Line2D([], [], color=ACROSS, marker="o", label=f"{name}, by strength") for name in families]
    handles.append(Line2D([], [], marker="*", color=PAIRED, linestyle="none", markersize=13, label="ideal"))
    columns = 3 if sum(map(len, families)) < 40 else 2
    figure.legend(handles=handles, loc="lower left", ncols=columns, fontsize=9, columnspacing=1.2, handletextpad=0.4)


@styled
def label_transfer_bars(records: Sequence[Record]) -> Figure:
    """Label transfer of every method, mean ± standard error, the best on top; needs labels.

    Dots on a cut axis, not bars from zero, since the differences are a few percent of the values; what lies far
    below the rest is shown at the edge with an arrow.

    Parameters
    ----------
    records : sequence of dict
        `Comparison.to_dicts()` of a comparison with labels.
    """
    shown = sorted((r for r in records if "label_transfer" in r), key=lambda r: r["label_transfer"])
    lines = {r["method"]: r["label_transfer"] for r in shown if r["method"] in (REALIGN, REAL_TARGET)}
    low, high = _range(
        [100.0 * r["label_transfer"] for r in shown], [100.0 * r.get("label_transfer_se", 0.0) for r in shown]
    )
    figure, axes = new_figure(1.7 + 0.27 * len(shown))
    for name, (colour, dashes) in {REALIGN: (INK, (0, (4, 3))), REAL_TARGET: (TARGET, "-")}.items():
        if name in lines:
            text = "ReAlign" if name == REALIGN else "real targets"
            axes.axvline(100.0 * lines[name], color=colour, linestyle=dashes, linewidth=1.2, label=text)
    for place, record in enumerate(shown):
        value, spread = 100.0 * record["label_transfer"], 100.0 * record.get("label_transfer_se", 0.0)
        marker, colour, _ = _LOOKS[kind_of(record)]
        if value < low:
            marker, spread = "<", 0.0
        bar = {"marker": marker, "color": colour, "markersize": 6.5, "elinewidth": 1.4, "capsize": 3}
        axes.errorbar([max(value, low)], [place], xerr=[spread], linestyle="none", zorder=3, clip_on=False, **bar)
        text = f"{value:.1f}" + (f" ± {spread:.1f}" if record.get("repeats", 2) > 1 and value >= low else "")
        axes.annotate(
            text, (1.02, place), xycoords=("axes fraction", "data"), va="center", fontsize=9, annotation_clip=False
        )
    axes.set_yticks(range(len(shown)), [str(r["method"]) for r in shown])
    axes.set_ylim(-0.7, len(shown) - 0.3)
    axes.set_xlim(low, high)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("label transfer: accuracy on real targets (%), mean ± standard error")
    headline(figure, _transfer_title(shown))
    if lines:
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower left", ncols=2)
    return figure


def _range(values: Sequence[float], spreads: Sequence[float]) -> tuple[float, float]:
    """Limits of the axis: all values but those that would squeeze the rest into a corner."""
    ordered = sorted(values)
    middle = ordered[len(ordered) // 2]
    top = max(v + s for v, s in zip(values, spreads, strict=True))
    near = [v - s for v, s in zip(values, spreads, strict=True) if middle - v <= max(3.0 * (top - middle), 10.0)]
    pad = 0.04 * max(top - min(near), 1.0)
    return max(min(near) - pad, -pad), min(top + pad, 100.0 + pad)


def _transfer_title(shown: Sequence[Record]) -> str:
    rivals = list(filter(competing, shown))
    if not rivals:
        return "Can a classifier trained on aligned rows label real targets?"
    best = max(rivals, key=lambda r: r["label_transfer"])
    closed = best.get("closed")
    if closed is None or not math.isfinite(closed) or best["method"] == REALIGN:
        return "A classifier trained on aligned rows labels real targets"
    spread = f" ± {100 * best.get('closed_se', 0.0):.0f}" if best.get("repeats", 2) > 1 else ""
    return f"The best method closes {100 * closed:.0f}{spread} % of the way from ReAlign to real targets"
