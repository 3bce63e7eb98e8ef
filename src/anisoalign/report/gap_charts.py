"""Figures that show whether there is a gap, and of what kind; from JSON records alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from anisoalign.diagnostics.measures import fixed
from anisoalign.diagnostics.verdict import amount_shared, energy_within
from anisoalign.report.plate import Legend, Plate, View
from anisoalign.report.svg import Chart, Point
from anisoalign.report.wording import Record, directions_compared, many, one, short_name

_MERGED = 4  # bins of 0.01 are drawn in fours, which a thousand pairs fill evenly


def cosines(
    gap: Record | None, views: Sequence[Record], source: str, target: str, held_out: bool = False
) -> Plate | None:
    """Cosines within each set, across and of pairs, before and after."""
    states: list[tuple[str, dict[str, list[int]], dict[str, float | None]]] = []
    if gap is not None and gap.get("histogram_across"):
        kinds = ("within_source", "within_target", "across", "paired")
        counts = {kind: gap[f"histogram_{kind}"] for kind in kinds if gap.get(f"histogram_{kind}")}
        means = {kind: gap.get(f"{kind}_cosine") for kind in kinds}
        states.append(("before", counts, {**means, "across": gap["centroid_cosine"]}))
    elif views:
        states.append(("before", *_state(views[0], "source", "before")))
    states += [(f"after {short_name(view['method'])}", *_state(view, "aligned", "after")) for view in views]
    if not states:
        return None
    low, high, top = cosine_range([counts for _, counts, _ in states])
    drawn = [
        cosine_view(label, counts, means, (low, high, top), source, target, f"cosines-{number}")
        for number, (label, counts, means) in enumerate(states)
    ]
    columns = ["state", "kind", "cosine from", "cosine to", "count"]
    rows = [
        [label, kind, round(-1 + 0.01 * i, 2), round(-0.99 + 0.01 * i, 2), count]
        for label, counts, _ in states
        for kind, values in counts.items()
        for i, count in enumerate(values)
        if count
    ]
    names = cosine_names(source, target)
    fitted = " that were not fitted" if held_out else ""
    after = f" After: {views[0]['rows_source']:,} {many(source)}{fitted}." if views else ""
    return Plate(
        "cosines",
        "",
        f"Shares of pairs of rows by their cosine. Where “{names['within_source']}” lies to the right of "
        f"“{names['across']}”, an index of both ranks unrelated {many(source)} before unrelated {many(target)}. "
        f"Compare cosines with one another, not with 1.{after}",
        drawn,
        cosine_legend("paired" in states[0][1], source, target),
        columns,
        rows,
    )


_LOOKS = {"within_source": "source", "within_target": "target dashed", "across": "across dotted", "paired": "pairs"}


def _state(view: Record, own: str, when: str) -> tuple[dict[str, list[int]], dict[str, float | None]]:
    keys = {
        "within_source": f"within_{own}",
        "within_target": "within_target",
        "across": f"across_{when}",
        "paired": f"paired_{when}",
    }
    counts = {kind: view[f"histogram_{key}"] for kind, key in keys.items() if view.get(f"histogram_{key}")}
    return counts, {kind: view.get(f"mean_{key}") for kind, key in keys.items()}


def _shares(counts: Sequence[int]) -> list[float]:
    total = max(sum(counts), 1)
    return [100.0 * sum(counts[i : i + _MERGED]) / total for i in range(0, len(counts), _MERGED)]


def cosine_range(states: Sequence[dict[str, list[int]]]) -> tuple[float, float, float]:
    """Lowest and highest cosine that any state has, and the largest share: limits that do not move between states."""
    size = 0.01 * _MERGED
    used, top = [], 0.0
    for counts in states:
        for values in counts.values():
            shares = _shares(values)
            used += [i for i, share in enumerate(shares) if share > 0.05]
            top = max(top, *shares)
    return min(-1 + size * min(used) - size, 0.0), max(-1 + size * (max(used) + 2), 0.4), top * 1.04


def cosine_view(
    label: str,
    counts: dict[str, list[int]],
    means: dict[str, float | None],
    limits: tuple[float, float, float],
    source: str,
    target: str,
    key: str,
) -> View:
    """Histograms of one state, by kind: within source, within target, across and, where known, of pairs."""
    low, high, top = limits
    chart = Chart((low, high), (0.0, top), "cosine of two rows", "% of pairs of rows")
    size = 0.01 * _MERGED
    shares = {kind: _shares(values) for kind, values in counts.items()}
    edges = [-1 + size * i for i in range(201 // _MERGED + 1)]
    names = cosine_names(source, target)
    for kind, look in _LOOKS.items():
        if kind in shares:
            kept = [i for i in range(len(shares[kind])) if edges[i + 1] > low and edges[i] < high]
            part = [edges[i] for i in kept] + [edges[kept[-1] + 1]]
            chart.steps(part, [shares[kind][i] for i in kept], look, filled=kind == "paired")
    for i in range(len(edges) - 1):
        seen = {kind: values[i] for kind, values in shares.items() if values[i] >= 0.05}
        if seen:
            words = "; ".join(f"{names[kind]} {share:.1f}%" for kind, share in seen.items())
            middle = (edges[i] + edges[i + 1]) / 2
            chart.tip((middle, max(seen.values())), f"cosine {edges[i]:.2f} to {edges[i + 1]:.2f}: {words}")
    told = ", ".join(f"{names[kind]} {means[kind]:.2f}" for kind in shares if means.get(kind) is not None)
    words = f"Histograms of cosines, {label}. Means: {told}."
    return View(
        label, chart.svg(words, key), words, f"{label[:1].upper()}{label[1:]}, {_cosine_title(means, source, target)}"
    )


def cosine_names(source: str, target: str) -> dict[str, str]:
    """What each kind of pair of rows is called."""
    return {
        "within_source": f"two {many(source)}",
        "within_target": f"two {many(target)}",
        "across": f"{one(source)} and {one(target)}",
        "paired": f"{one(source)} and its own {target}",
    }


def cosine_legend(paired: bool, source: str, target: str) -> list[Legend]:
    """Looks and names of the kinds."""
    names = cosine_names(source, target)
    kinds = [kind for kind in _LOOKS if paired or kind != "paired"]
    return [(_LOOKS[kind], "area" if kind == "paired" else "line", names[kind]) for kind in kinds]


def _cosine_title(means: dict[str, float | None], source: str, target: str) -> str:
    """Mean cosines of a state, side by side; no claim that one state or one pair of rows might belie."""
    names, words = cosine_names(source, target), []
    for kind in ("within_source", "paired" if means.get("paired") is not None else "across"):
        if means.get(kind) is not None:
            words.append(f"{names[kind]} {means[kind]:.2f}")
    return f"mean cosines: {', '.join(words)}"


def projection(views: Sequence[Record], source: str, target: str) -> Plate | None:
    """Both sets in two coordinates, before and after."""
    if not views:
        return None
    first = views[0]
    everything = [
        point for view in views for side in ("source", "target", "aligned") for point in view[f"projection_{side}"]
    ]
    limits = [(_padded([point[axis] for point in everything])) for axis in (0, 1)]
    drawn = [_projection_view("before", first["projection_source"], first, limits, source, target, "projection-0")]
    for number, view in enumerate(views, 1):
        label = f"after {short_name(view['method'])}"
        drawn.append(
            _projection_view(label, view["projection_aligned"], view, limits, source, target, f"projection-{number}")
        )
    rows: list[list[Any]] = [["before", source, *point] for point in first["projection_source"]]
    rows += [["all", target, *point] for point in first["projection_target"]]
    rows += [[f"after {v['method']}", source, *point] for v in views for point in v["projection_aligned"]]
    return Plate(
        "projection",
        "",
        f"Across: the line from the mean of the {many(source)} (0) to that of the {many(target)} (1). Up: the "
        f"direction in which {many(target)} vary most besides. Two of many directions: clouds that coincide here may "
        "still differ elsewhere.",
        drawn,
        [("source", "circle", f"{many(source)}"), ("target", "square", f"{many(target)}")],
        ["state", "set", "along the line of means", "across"],
        rows,
    )


def _padded(values: Sequence[float]) -> Point:
    low, high = min(values), max(values)
    room = 0.05 * (high - low) or 1.0
    return low - room, high + room


def _projection_view(
    label: str,
    moved: Sequence[Sequence[float]],
    view: Record,
    limits: Sequence[Point],
    source: str,
    target: str,
    key: str,
) -> View:
    chart = Chart(
        limits[0],
        limits[1],
        f"from the {many(source)}’ mean (0) to the {many(target)}’ (1)",
        f"where {many(target)} vary most",
    )
    for point in view["projection_target"]:
        chart.dot((point[0], point[1]), "target faint", "square", 2.6)
    for point in moved:
        chart.dot((point[0], point[1]), "source faint", "circle", 2.8)
    means = {}
    for points, look, shape, name in (
        (view["projection_target"], "target", "square", target),
        (moved, "source", "circle", source),
    ):
        mean = tuple(sum(point[axis] for point in points) / len(points) for axis in (0, 1))
        means[look] = mean[0]
        chart.dot((mean[0], mean[1]), f"{look} outlined", shape, 7)
        chart.tip((mean[0], mean[1]), f"mean of the {many(name)}: {fixed(mean[0], 2)} across, {fixed(mean[1], 2)} up")
    places = (
        f"the {many(source)}’ mean lies at {fixed(means['source'], 2)}, the {many(target)}’ at "
        f"{fixed(means['target'], 2)}"
    )
    words = f"Scatter plot, {label}: {places} along the line between the original means."
    return View(label, chart.svg(words, key), words, f"Seen from the side, {label}: {places}")


def spectra(gap: Record, source: str, target: str) -> Plate | None:
    """Eigenvalues of both covariances against their rank."""
    if not gap.get("spectrum_k"):
        return None
    ranks, sides = gap["spectrum_k"], {source: gap["source_spectrum"], target: gap["target_spectrum"]}
    top = max(max(values) for values in sides.values())
    floor = max(min(v for values in sides.values() for v in values), top * 1e-5)
    chart = Chart((1, max(gap["dim"], 2)), (floor / 1.3, top * 1.6), "rank (log)", "variance (log)", True, True)
    for (_, values), look in zip(sides.items(), ("source", "target dashed"), strict=True):
        chart.line([(k, v) for k, v in zip(ranks, values, strict=True) if v >= floor], look)
    for k, a, b in zip(ranks, *sides.values(), strict=True):
        chart.tip((k, max(a, b)), f"direction {k}: {many(source)} {a:.2g}, {many(target)} {b:.2g}")
    ranked = (gap["source_effective_rank"], gap["target_effective_rank"])
    words = (
        f"Two spectra: as much spread as {ranked[0]:.0f} equally strong directions would have for {many(source)}, "
        f"{ranked[1]:.0f} for {many(target)}, of {gap['dim']}."
    )
    return Plate(
        "spectra",
        f"{many(source).capitalize()} fill about {ranked[0]:.0f} directions, {many(target)} about {ranked[1]:.0f}, of "
        f"{gap['dim']}",
        "Variance along each set’s own principal directions, largest first. The title’s numbers are effective ranks: "
        "so many equally strong directions would have the same entropy. Similar slopes are the rule for any two sets "
        "and prove nothing; whether the directions are shared is the next figure.",
        [View("", chart.svg(words, "spectra-0"), words)],
        [("source", "line", f"{many(source)}"), ("target dashed", "line", f"{many(target)}")],
        ["rank", f"{source} eigenvalue", f"{target} eigenvalue"],
        [list(row) for row in zip(ranks, *sides.values(), strict=True)],
    )


def overlap(gap: Record, source: str, target: str) -> Plate | None:
    """Subspace overlap at 1, 2, 4, … directions against chance."""
    ranks, seen, d = gap.get("overlap_q") or [], gap.get("overlap_curve") or [], gap["dim"]
    if len(ranks) < 2:
        return None
    chart = Chart((1, max(ranks)), (0.0, 1.05), "leading directions compared (log)", "share in common", True)
    chart.line([(k, k / d) for k in ranks], "muted dashed")
    chart.line(list(zip(ranks, seen, strict=True)), "source")
    for k, value in zip(ranks, seen, strict=True):
        chart.dot((k, value), "source")
        chart.tip((k, value), f"{k} leading directions: {value:.0%} in common, {k / d:.0%} by chance")
    at, size = gap.get("subspace_overlap"), directions_compared(gap)
    title = shared_title(gap)
    if at is not None:
        chart.dot((size, at), "source outlined", "diamond", 6)
        chart.tip((size, at), f"{size} leading directions: {at:.0%} in common, {size / d:.0%} by chance")
    words = f"Overlap of the leading directions. {title}."
    return Plate(
        "overlap",
        title,
        f"This is the premise of all alignment without pairs: {many(source)} and {many(target)} must vary in the same "
        "directions. Only what lies above the dashed line is shared. The fewer rows, the less certain the directions: "
        "two samples of one set would not reach 100% either.",
        [View("", chart.svg(words, "overlap-0"), words)],
        [("source", "line", "the two sets"), ("muted dashed", "line", "unrelated sets of this width")],
        ["directions", "overlap", "by chance"],
        [[k, value, k / d] for k, value in zip(ranks, seen, strict=True)],
    )


def shared_title(gap: Record) -> str:
    """How many of the leading directions are shared, in words and figures that agree."""
    seen, chance, q = gap.get("subspace_overlap"), gap.get("subspace_overlap_chance"), directions_compared(gap)
    if seen is None or chance is None:
        return f"Too few distinct rows to compare {q} leading directions"
    amount = amount_shared(seen, chance, gap.get("subspace_overlap_p"))
    if amount == "none of":
        return f"Not shown to share directions: {seen:.0%} of the {q} leading ones, {chance:.0%} by chance"
    return f"The sets share {amount} the {q} leading directions: {seen:.0%}, {chance:.0%} by chance"


def held(gap: Record) -> tuple[float, float] | None:
    """The effective dimension of the residual, as a share of the dimensions, and the share of its energy there."""
    share, energy = gap.get("residual_effective_dimension"), gap.get("residual_energy")
    if share is None or not energy:
        return None
    return share, energy_within(gap["residual_energy_k"], energy, share * gap["dim"])


def residual_spectrum(gap: Record) -> Plate | None:
    """Eigenvalues of the residual covariance over their mean, against isotropic."""
    values = gap.get("residual_spectrum")
    if not values:
        return None
    ranks = gap["residual_energy_k"]
    floor = max(min(values), 1e-3)
    chart = Chart(
        (1, max(gap["dim"], 2)), (floor / 1.3, max(values) * 1.4), "rank (log)", "times the mean (log)", True, True
    )
    chart.line([(1, 1.0), (max(gap["dim"], 2), 1.0)], "muted dashed")
    chart.line([(k, v) for k, v in zip(ranks, values, strict=True) if v >= floor], "pairs")
    for k, value in zip(ranks, values, strict=True):
        chart.tip((k, value), f"direction {k}: {value:.2g} times the mean")
    words = f"The residual’s strongest direction has {values[0]:.0f} times the mean energy; even noise would have 1."
    return Plate(
        "residual-spectrum",
        f"What matching the means leaves has {values[0]:.0f} times the mean energy along one direction",
        f"Differences of pairs once both means are moved to one place, along their principal directions; all "
        f"{gap['rows_source']:,} pairs. Were they noise of equal size in all directions, they would follow the dashed "
        "line (but for what few rows scatter), and adding such noise would be a fair model.",
        [View("", chart.svg(words, "residual-spectrum-0"), words)],
        [("pairs", "line", "these pairs"), ("muted dashed", "line", "spread evenly")],
        ["rank", "eigenvalue over mean"],
        [list(row) for row in zip(ranks, values, strict=True)],
    )


def residual_energy(gap: Record) -> Plate | None:
    """Cumulative energy of the residual against isotropic."""
    energy = gap.get("residual_energy")
    if not energy:
        return None
    ranks, d = gap["residual_energy_k"], gap["dim"]
    chart = Chart((0, 100), (0, 102), f"leading directions, % of {d}", "% of the residual’s energy")
    chart.line([(0, 0), (100, 100)], "muted dashed")
    chart.line([(0, 0), *((100 * k / d, 100 * e) for k, e in zip(ranks, energy, strict=True))], "pairs")
    for k, e in zip(ranks, energy, strict=True):
        chart.tip((100 * k / d, 100 * e), f"{k} of {d} directions hold {e:.0%}; if even: {k / d:.0%}")
    found = held(gap)
    words = f"What matching the means leaves, added up over {d} directions"
    if found is not None:
        share, inside = found
        words = f"{share:.0%} of the {d} dimensions hold {inside:.0%} of what matching the means leaves"
        chart.rule(100 * share, f"effective dimension: {share:.0%} of {d}", "ink")
        chart.dot((100 * share, 100 * inside), "pairs outlined", "diamond", 6)
        chart.tip((100 * share, 100 * inside), words)
    return Plate(
        "residual-energy",
        words,
        "The same, added up. The further the curve bends from the diagonal, the fewer directions a correction has to "
        "know. The effective dimension is the number of directions that would do if each held the same (participation "
        "ratio); the diamond is where the curve passes it.",
        [View("", chart.svg(f"{words}.", "residual-energy-0"), words)],
        [("pairs", "line", "these pairs"), ("muted dashed", "line", "spread evenly")],
        ["directions", "share of energy", "isotropic"],
        [[k, e, k / d] for k, e in zip(ranks, energy, strict=True)],
    )
