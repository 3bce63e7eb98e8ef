"""Figures of what methods do and what they cost; from JSON records alone."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from anisoalign.report.choosing import KEPT
from anisoalign.report.plate import Legend, Plate, View
from anisoalign.report.rivals import strength_of, target_reached, trading_off
from anisoalign.report.svg import BOTTOM, TOP, Chart
from anisoalign.report.wording import (
    REAL_TARGET,
    REALIGN,
    Record,
    competing,
    kind_of,
    many,
    measured,
    of_both_frames,
    of_one_frame,
    one,
    short_name,
    strengths,
)

_SHAPES = {"method": ("method", "circle"), "control": ("muted", "square"), "oracle": ("target", "diamond")}
_DIAL_LOOKS = ("source", "across dashed", "pairs dotted", "target dashed")
_ROW, _LINE, _LETTERS = 21.0, 13.0, 28
"""Height of a row with a name of one line, of each further line, and letters in a line."""
KINDS = {"method": "method", "control": "control", "oracle": "made with pairs, for comparison"}

Dial = list[tuple[float, float, float]]
"""Strength, target reached and meaning kept, in the order of strength."""


def trade_off(records: Sequence[Record], advised: str | None) -> Plate | None:
    """Meaning kept against target reached: a point a method, a curve a dial."""
    shown = trading_off(records)
    if not shown:
        return None
    dials = _dials(shown)
    low_x, low_y = _corner(shown, dials)
    chart = Chart(
        (low_x, 1.06),
        (low_y, 1.04),
        "target reached: the smaller of penetration and coverage",
        "meaning kept: Ψ",
        height=400,
    )
    chart.keep_free((1.0, 1.0), 12)
    legend: list[Legend] = [("pairs", "star", "ideal")]
    for (family, dial), look in zip(dials.items(), _DIAL_LOOKS, strict=False):
        chart.line([(x, y) for _, x, y in dial], look)
        chart.keep_line_free([(x, y) for _, x, y in dial if x >= low_x and y >= low_y])
        legend.append((look, "line", f"{short_name(family)}, strength 0 to 1"))
        for strength, x, y in dial:
            chart.dot((x, y), f"{look.split()[0]} small", "circle", 2.6)
            chart.tip((x, y), f"{short_name(family)}, strength={strength:.3g}: Ψ {y:.3f}, target reached {x:.2f}")
    for record in shown:
        (x, dx), y, dy = target_reached(record), record[KEPT], record.get(f"{KEPT}_se", 0.0)
        chart.keep_free((max(x, low_x), max(y, low_y)))
        if x >= low_x and y >= low_y:
            chart.keep_line_free([(x - dx, y), (x + dx, y)])
            chart.keep_line_free([(x, y - dy), (x, y + dy)])
    chart.dot((1.0, 1.0), "pairs", "star", 8)
    for record in sorted(shown, key=lambda r: (r["method"] != advised, not competing(r))):
        _point(chart, record, record["method"] == advised, _family(record) in dials, low_x, low_y)
    legend += [
        (_SHAPES[kind][0], _SHAPES[kind][1], text) for kind, text in KINDS.items() if kind in map(kind_of, shown)
    ]
    best = next((record for record in shown if record["method"] == advised), None)
    words = "Up: meaning kept (Ψ). Right: target reached. A good method is near the star"
    told = (
        ""
        if best is None
        else f"; {short_name(str(advised))} is at Ψ {best[KEPT]:.2f} and target reached {target_reached(best)[0]:.2f}"
    )
    return Plate(
        "trade-off",
        f"{words}{told}",
        "Bars are standard errors. What lies further out stands at the edge. Moving rows among the targets is easy if "
        "their meaning may be lost, as random targets show; keeping it is easy if they stay away, as raw rows show."
        + _about_frames(records)
        + _about_curves(shown, dials),
        [View("", chart.svg(f"Scatter plot of {len(shown)} methods. {words}{told}.", "trade-off-0"), words)],
        legend,
        ["method", "kind", "strength", "meaning kept", "target reached"],
        [[r["method"], kind_of(r), "", r[KEPT], target_reached(r)[0]] for r in shown]
        + [[family, "dial", t, y, x] for family, dial in dials.items() for t, x, y in dial],
        wide=True,
    )


def _family(record: Record) -> str:
    dial = strength_of(record["method"])
    return record["method"] if dial is None else dial[0]


def _own_strength(record: Record) -> float | None:
    """The strength at which a method's own numbers were taken: as specified, or the mean of those it chose itself."""
    dial = strength_of(record["method"])
    return record.get("strength_used") if dial is None else dial[1]


def _dials(records: Sequence[Record]) -> dict[str, Dial]:
    """The curve of each family of methods that differ by their strength only.

    Methods in the table were measured in all splits and dials in the first few: where both know a strength, the table's
    numbers are drawn, so that every method lies on its curve.
    """
    found: dict[str, dict[float, tuple[float, float]]] = {}
    for record in records:
        if record.get("dial_strength"):
            reached = map(min, record["dial_target_penetration"], record["dial_target_coverage"])
            turned = zip(record["dial_strength"], reached, record[f"dial_{KEPT}"], strict=True)
            found.setdefault(_family(record), {}).update({t: (x, y) for t, x, y in turned})
    for record in records:
        at = _own_strength(record)
        if at is not None:
            found.setdefault(_family(record), {})[at] = (target_reached(record)[0], record[KEPT])
    return {
        family: sorted((t, x, y) for t, (x, y) in points.items()) for family, points in found.items() if len(points) > 1
    }


def _about_frames(records: Sequence[Record]) -> str:
    """Why methods of a common frame are not drawn."""
    if not of_both_frames(records):
        return ""
    return (
        " Methods of a common frame (frame=common) are left out: Ψ holds rows against raw ones, and is lower for the "
        "frame alone."
    )


def _about_curves(records: Sequence[Record], dials: dict[str, Dial]) -> str:
    """How the curves were made, and which strength a method that chooses its own has chosen."""
    if not dials:
        return ""
    words = " Curves join what was measured at each strength (0 to 1: how much of its correction a method makes)."
    few = [r for r in records if r.get("dial_repeats") and r["dial_repeats"] < r.get("repeats", 0)]
    if few:
        words += (
            f" Their small dots are means over the first {few[0]['dial_repeats']} splits, those of methods over all "
            f"{few[0]['repeats']}."
        )
    for record in records:
        if record.get("strength_lowest") is not None:
            words += f" {short_name(record['method'])} chooses its strength in each split (auto): {strengths(record)}."
    return words


def _corner(shown: Sequence[Record], dials: dict[str, Dial]) -> tuple[float, float]:
    """Lower limits, from the methods that are in the running; others go to the edge."""
    rivals = [record for record in shown if competing(record)] or list(shown)
    near = [r for r in rivals if target_reached(r)[0] >= 0.25 and r[KEPT] >= 0.4] or rivals
    x = [target_reached(r)[0] for r in near] + [x for dial in dials.values() for _, x, _ in dial if x >= 0.25]
    y = [r[KEPT] for r in near] + [y for dial in dials.values() for _, _, y in dial if y >= 0.4]
    return min([*x, 0.8]) - 0.04, min([*y, 0.85]) - 0.05


def _point(chart: Chart, record: Record, advised: bool, on_dial: bool, low_x: float, low_y: float) -> None:
    (x, dx), y, dy = target_reached(record), record[KEPT], record.get(f"{KEPT}_se", 0.0)
    look, shape = _SHAPES[kind_of(record)]
    at, name = (max(x, low_x), max(y, low_y)), short_name(record["method"])
    outside = at != (x, y)
    if not outside:
        chart.bar((x - dx, y), (x + dx, y), look)
        chart.bar((x, y - dy), (x, y + dy), look)
    chart.dot(
        at, f"{look} advised" if advised else f"{look} outside" if outside else look, shape, 6 if advised else 4.5
    )
    psi, reached = f"{y:.3f}{_spread(record, dy, 3)}", f"{x:.2f}{_spread(record, dx, 2)}"
    chart.tip(at, f"{name}: Ψ {psi}, target reached {reached}")
    if not on_dial or advised or ":" not in record["method"]:
        if record.get("strength_lowest") is not None:
            name += f", strength={record['strength_used']:.2g} (auto)"
        look = "name strong" if advised else "name"
        if not (outside and chart.name(at, f"{name} ({x:.2f}, {y:.2f})", look)):
            chart.name(at, name, look, advised)


def label_transfer(records: Sequence[Record], source: str, target: str) -> Plate | None:
    """Accuracy on real targets of a classifier trained on aligned rows."""
    base, real = (measured(records, method, "label_transfer") for method in (REALIGN, REAL_TARGET))
    rules = [(100 * base, "ReAlign", "muted")] if base is not None else []
    rules += [(100 * real, f"real {many(target)}", "target")] if real is not None else []
    about = " Methods of a common frame, which do not stand for targets as they are, are left out."
    return _ranked(
        of_one_frame(records),
        "label_transfer",
        "label-transfer",
        f"accuracy on real {many(target)}, %",
        f"Labels learned on aligned {many(source)}, tried on real {many(target)}: best with {{best}}, {{value:.1f}}%",
        f"A classifier that has seen aligned {many(source)} only is tested on real {many(target)}. Bars are standard "
        "errors over splits; which methods are told apart is decided split by split, and marked in the table."
        + (about if of_both_frames(records) else ""),
        rules,
        100.0,
    )


def plain_recall(records: Sequence[Record], source: str, target: str) -> Plate | None:
    """The price in plain retrieval: recall at 10 among targets alone, against raw rows."""
    raw = measured(records, "identity", "recall_at_10")
    if raw is None:
        return None
    return _ranked(
        records,
        "recall_at_10",
        "plain-recall",
        f"{many(source)} that find their own {target} among the first ten, %",
        f"Ranking {many(target)} alone for {one(source)}: raw rows find {100 * raw:.0f}%, {{best}}, the best method, "
        f"{{value:.0f}}%",
        f"Recall at 10 where the pool holds {many(target)} alone. The distance between the means hardly matters to "
        "this ranking, since all candidates lie on the same side of the gap: it is what alignment costs or gives "
        "where there was no gap to close.",
        [(100 * raw, "raw rows", "ink")],
        100.0,
    )


def _ranked(
    records: Sequence[Record],
    metric: str,
    key: str,
    axis: str,
    title: str,
    caption: str,
    rules: Sequence[tuple[float, str, str]],
    factor: float,
) -> Plate | None:
    """Methods in rows, the best on top: a dot and its standard error; what lies far below stands at the edge."""
    shown = sorted((r for r in records if r.get(metric) is not None), key=lambda r: r[metric])
    rivals = [record for record in shown if competing(record)]
    if not rivals:
        return None
    values = [factor * r[metric] for r in shown]
    middle = sorted(factor * r[metric] for r in rivals)[len(rivals) // 2]
    high = max([*values, *(at for at, _, _ in rules)])
    low = max(0.0, min([v for v in values if v >= middle - 3 * max(high - middle, 2.0)]) - 1.0)
    names = [short_name(r["method"]) for r in shown]
    rows = [_in_lines(r["method"]) for r in shown]
    row_height = _ROW + _LINE * (max(text.count("\n") for text in rows))
    chart = Chart(
        (low, high + 0.04 * (high - low)),
        (-0.6, len(shown) - 0.4),
        axis,
        "",
        height=TOP + BOTTOM + row_height * len(shown),
        left=210,
        rows=rows,
    )
    for row, (at, text, look) in enumerate(rules):
        chart.rule(at, text, look, row % 2)
    for i, (record, value) in enumerate(zip(shown, values, strict=True)):
        look, shape = _SHAPES[kind_of(record)]
        error = factor * record.get(f"{metric}_se", 0.0)
        inside = value >= low
        if inside:
            chart.bar((max(value - error, low), i), (value + error, i), look)
        chart.dot((value, i), look if inside else f"{look} outside", shape)
        chart.tip((value, i), f"{names[i]}: {value:.1f}{_spread(record, error, 1)}%")
        if not inside:
            chart.text(chart.at_x(low) + 9, chart.at_y(i) + 4, f"{value:.1f}", "start", "small")
    best = max(rivals, key=lambda record: record[metric])
    title = title.format(best=short_name(best["method"]), value=factor * best[metric])
    kinds = [k for k in _SHAPES if k in map(kind_of, shown)]
    return Plate(
        key,
        title,
        caption,
        [View("", chart.svg(f"Dot plot of {len(shown)} methods. {title}.", f"{key}-0"), title)],
        [(*_SHAPES[kind], KINDS[kind]) for kind in kinds],
        ["method", metric, "standard error"],
        [[r["method"], r[metric], r.get(f"{metric}_se", "")] for r in reversed(shown)],
    )


def _spread(record: Record, error: float, digits: int) -> str:
    """The standard error, nothing where a single split tells none."""
    return f" ± {error:.{digits}f}" if record.get("repeats", 2) > 1 else ""


def _in_lines(method: str) -> str:
    """A method's name above its settings, in lines that the margin holds."""
    name, _, settings = short_name(method).partition(" (")
    lines = textwrap.wrap(settings.removesuffix(")"), _LETTERS)
    return "\n".join([name if len(name) <= _LETTERS else f"{name[: _LETTERS - 1]}…", *lines])
