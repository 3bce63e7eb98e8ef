"""Figures of a diagnosis, drawn from its JSON record alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from anisoalign.diagnostics.verdict import energy_within
from anisoalign.report.drawing import ACROSS, INK, MUTED, PAIRED, SOURCE, TARGET, headline, new_figure, styled
from anisoalign.report.wording import Record, directions_compared, side_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MERGED = 2  # histogram bins are drawn in twos: a thousand pairs are few for bins of 0.01


@styled
def cosine_histograms(gap: Record) -> Figure:
    """Cosines within each set, across them and, where known, of pairs.

    Answers which cosine a pair can be expected to have, and why one kind of rows wins every search in a mixed index.

    Parameters
    ----------
    gap : dict
        `GapReport.to_dict()` with its histograms; "source" and "target" may hold the sets' names.
    """
    figure, axes = new_figure(4.4)
    source, target = side_names(gap)
    curves = (
        ("histogram_within_source", f"two {source} rows", gap.get("within_source_cosine"), SOURCE, "-"),
        ("histogram_within_target", f"two {target} rows", gap.get("within_target_cosine"), TARGET, "--"),
        ("histogram_across", f"one of each, unpaired: {source} and {target}", gap["centroid_cosine"], ACROSS, ":"),
        ("histogram_paired", f"pairs: {source} and its own {target}", gap.get("paired_cosine"), PAIRED, "-"),
    )
    used = []
    for key, label, mean, colour, dashes in curves:
        counts = gap.get(key)
        if counts is None:
            continue
        edges, share = _shares(counts)
        label += "" if mean is None else f", mean {mean:.2f}"
        axes.stairs(share, edges, color=colour, linestyle=dashes, linewidth=1.8, label=label)
        if key == "histogram_paired":
            axes.stairs(share, edges, fill=True, color=colour, alpha=0.18)
        used += [edges[:-1][share > 0.05].min(), edges[1:][share > 0.05].max()]
    axes.set_xlim(min([*used, 0.0]) - 0.02, max([*used, 0.3]) + 0.02)
    axes.set_ylim(bottom=0.0)
    axes.axvline(gap["centroid_cosine"], color=INK, linewidth=1.0)
    _name_line(axes, gap["centroid_cosine"], f"centroid cosine {gap['centroid_cosine']:.2f}")
    axes.set_xlabel("cosine similarity of two rows")
    axes.set_ylabel("share of row pairs (%)")
    headline(figure, _cosine_title(gap, source, target))
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower left", ncols=1 if _long(source, target) else 2)
    return figure


def _shares(counts: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Edges of the merged bins over [−1, 1] and the share of each in percent."""
    merged = np.asarray(counts, dtype=float).reshape(-1, _MERGED).sum(axis=1)
    return np.linspace(-1.0, 1.0, len(merged) + 1), 100.0 * merged / max(merged.sum(), 1.0)


def _name_line(axes: Axes, value: float, text: str) -> None:
    """The name of a vertical line, above the axes so as to hide nothing and on the side that has room."""
    low, high = axes.get_xlim()
    axes.annotate(
        text,
        (value, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(0, 5),
        textcoords="offset points",
        ha="right" if value > (low + high) / 2 else "left",
        fontsize=9,
    )


def _cosine_title(gap: Record, source: str, target: str) -> str:
    within, paired = gap.get("within_source_cosine"), gap.get("paired_cosine")
    across = gap["centroid_cosine"]
    if within is None:
        return f"Unpaired {source} and {target} rows have cosine {across:.2f}"
    if paired is None:
        closer = "closer" if within > across else "no closer"
        near, far = f"to each other ({within:.2f})", f"to rows of {target} ({across:.2f})"
        return f"On average, rows of {source} are {closer} {near} than {far}"
    if within > paired:
        return (
            f"On average, a {source} row is closer to other {source} rows ({within:.2f}) than to its own {target} "
            f"({paired:.2f})"
        )
    return (
        f"On average, a {source} row is closer to its own {target} ({paired:.2f}) than to other {source} rows "
        f"({within:.2f})"
    )


def _long(source: str, target: str) -> bool:
    return len(source) + len(target) > 14


@styled
def overlap_curve(gap: Record) -> Figure:
    """Subspace overlap O_q against q, with its level for unrelated sets.

    Parameters
    ----------
    gap : dict
        `GapReport.to_dict()`.
    """
    figure, axes = new_figure(3.8)
    q, overlap, width = np.asarray(gap["overlap_q"]), np.asarray(gap["overlap_curve"]), gap["dim"]
    chance = np.geomspace(1, max(int(q.max()), 2), 100)
    axes.plot(q, overlap, color=SOURCE, marker="o", markersize=5, linewidth=1.8, label="the two sets")
    axes.plot(chance, chance / width, color=MUTED, linestyle="--", linewidth=1.5, label=f"by chance, q/{width}")
    axes.set_xscale("log", base=2)
    ticks = [int(k) for k, after in zip(q, [*q[1:], np.inf], strict=True) if after >= 1.4 * k]
    axes.set_xticks(ticks, [str(k) for k in ticks])
    axes.minorticks_off()
    axes.set_ylim(0.0, 1.03)
    at, seen = directions_compared(gap), gap.get("subspace_overlap")
    if seen is not None:
        axes.plot([at], [seen], marker="D", markersize=8, color=TARGET, linestyle="none", label=f"at q = {at}")
    axes.set_xlabel("q, number of leading directions compared (log scale)")
    axes.set_ylabel("overlap O_q (0 none, 1 the same)")
    headline(figure, _overlap_title(gap))
    axes.legend(loc="upper left")
    return figure


def _overlap_title(gap: Record) -> str:
    seen, chance, p = (gap.get(f"subspace_overlap{part}") for part in ("", "_chance", "_p"))
    if seen is None or chance is None:
        return f"Too few distinct rows to compare {gap['q']} leading directions"
    if p is not None and p > 0.01:
        return f"The sets share no more leading directions than chance ({seen:.0%}, chance {chance:.0%})"
    size = directions_compared(gap)
    return f"The sets share {seen:.0%} of their {size} leading directions; chance would be {chance:.0%}"


@styled
def residual_energy(gap: Record) -> Figure:
    """Cumulative energy E(K) of what is left once the means agree, against K/d; needs pairs.

    Parameters
    ----------
    gap : dict
        `GapReport.to_dict()` of a paired diagnosis.
    """
    figure, axes = new_figure(3.8)
    width = gap["dim"]
    steps, energy = np.asarray(gap["residual_energy_k"]), np.asarray(gap["residual_energy"])
    x, y = 100.0 * np.append(0.0, steps / width), 100.0 * np.append(0.0, energy)
    axes.plot(x, y, color=PAIRED, marker="o", markersize=4.5, linewidth=1.8, label="this residual")
    axes.plot([0, 100], [0, 100], color=MUTED, linestyle="--", linewidth=1.5, label="isotropic: spread evenly")
    effective = gap.get("residual_effective_dimension")
    if effective is not None:
        inside = energy_within(gap["residual_energy_k"], gap["residual_energy"], effective * width)
        label = f"effective dimension, {effective:.0%} of {width}: {inside:.0%} of the energy"
        axes.axvline(100 * effective, color=INK, linestyle=(0, (2, 2)), linewidth=1.0, label=label)
    axes.set_xlim(-1, 101)
    axes.set_ylim(-1, 103)
    axes.set_xlabel(f"leading directions K, in % of d = {width}")
    axes.set_ylabel("energy E(K), in % of the residual")
    half = int(np.argmax(energy >= 0.5))
    headline(figure, f"{steps[half]} of {width} directions hold {energy[half]:.0%} of what matching the means leaves")
    axes.legend(loc="lower right")
    return figure
