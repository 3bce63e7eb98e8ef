"""Figures of what methods do and what they cost; from JSON records alone."""

from __future__ import annotations

from collections.abc import Sequence

from anisoalign.report.choosing import KEPT
from anisoalign.report.plate import Legend, Plate, View
from anisoalign.report.rivals import can_trade_off, strength_of, target_reached
from anisoalign.report.svg import BOTTOM, TOP, Chart
from anisoalign.report.wording import REAL_TARGET, REALIGN, Record, competing, short_name

_SHAPES = {"method": ("method", "circle"), "control": ("muted", "square"), "oracle": ("target", "diamond")}
_DIAL_LOOKS = ("source", "across dashed", "pairs dotted", "target dashed")
_ROW = 21.0


def trade_off(records: Sequence[Record], advised: str | None) -> Plate | None:
    """Meaning kept against target reached: a point a method, a curve a dial."""
    shown = [record for record in records if can_trade_off(record)]
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
            chart.tip((x, y), f"{short_name(family)}, strength {strength:g}: Ψ {y:.3f}, target reached {x:.2f}")
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
        (_SHAPES[kind][0], _SHAPES[kind][1], text)
        for kind, text in (("method", "method"), ("control", "control"), ("oracle", "bound that needs pairs"))
        if any(record.get("kind", "method") == kind for record in shown)
    ]
    best = next((record for record in shown if record["method"] == advised), None)
    words = "Up: meaning kept. Right: target reached. A good method is near the star"
    told = "" if best is None else f"; {advised} comes nearest, at Ψ {best[KEPT]:.2f} and {target_reached(best)[0]:.2f}"
    return Plate(
        "trade-off",
        f"{words}{told}",
        "Bars are standard errors. What lies further out stands at the edge. Moving rows among the targets is easy if "
        "their meaning may be lost, as random targets show; keeping it is easy if they stay away, as raw rows show.",
        [View("", chart.svg(f"Scatter plot of {len(shown)} methods. {words}{told}.", "trade-off-0"), words)],
        legend,
        ["method", "kind", "strength", "meaning kept", "target reached"],
        [[r["method"], r.get("kind", "method"), "", r[KEPT], target_reached(r)[0]] for r in shown]
        + [[family, "dial", t, y, x] for family, dial in dials.items() for t, x, y in dial],
        wide=True,
    )


def _family(record: Record) -> str:
    dial = strength_of(record["method"])
    return record["method"] if dial is None else dial[0]


def _dials(records: Sequence[Record]) -> dict[str, list[tuple[float, float, float]]]:
    """Strength, target reached and meaning kept along each dial that was turned, or that several records make up."""
    found: dict[str, list[tuple[float, float, float]]] = {}
    for record in records:
        if record.get("dial_strength"):
            reached = [
                min(pair)
                for pair in zip(record["dial_target_penetration"], record["dial_target_coverage"], strict=True)
            ]
            found[_family(record)] = list(zip(record["dial_strength"], reached, record[f"dial_{KEPT}"], strict=True))
    for record in records:
        dial = strength_of(record["method"])
        if dial is not None and not any(r.get("dial_strength") and _family(r) == dial[0] for r in records):
            found.setdefault(dial[0], []).append((dial[1], target_reached(record)[0], record[KEPT]))
    return {family: sorted(points) for family, points in found.items() if len(points) > 1}


def _corner(shown: Sequence[Record], dials: dict[str, list[tuple[float, float, float]]]) -> tuple[float, float]:
    """Lower limits, from the methods that are in the running; others go to the edge."""
    rivals = [record for record in shown if competing(record)] or list(shown)
    near = [r for r in rivals if target_reached(r)[0] >= 0.25 and r[KEPT] >= 0.4] or rivals
    x = [target_reached(r)[0] for r in near] + [x for dial in dials.values() for _, x, _ in dial if x >= 0.25]
    y = [r[KEPT] for r in near] + [y for dial in dials.values() for _, _, y in dial if y >= 0.4]
    return min([*x, 0.8]) - 0.04, min([*y, 0.85]) - 0.05


def _point(chart: Chart, record: Record, advised: bool, on_dial: bool, low_x: float, low_y: float) -> None:
    (x, dx), y, dy = target_reached(record), record[KEPT], record.get(f"{KEPT}_se", 0.0)
    look, shape = _SHAPES[record.get("kind", "method")]
    at, name = (max(x, low_x), max(y, low_y)), short_name(record["method"])
    outside = at != (x, y)
    if not outside:
        chart.bar((x - dx, y), (x + dx, y), look)
        chart.bar((x, y - dy), (x, y + dy), look)
    chart.dot(
        at, f"{look} advised" if advised else f"{look} outside" if outside else look, shape, 6 if advised else 4.5
    )
    chart.tip(at, f"{name}: Ψ {y:.3f} ± {dy:.3f}, target reached {x:.2f} ± {dx:.2f}")
    if not on_dial or advised or ":" not in record["method"]:
        chart.name(at, f"{name} ({x:.2f}, {y:.2f})" if outside else name, "name strong" if advised else "name", advised)


def label_transfer(records: Sequence[Record], source: str, target: str) -> Plate | None:
    """Accuracy on real targets of a classifier trained on aligned rows."""
    base = next((r["label_transfer"] for r in records if r["method"] == REALIGN and "label_transfer" in r), None)
    real = next((r["label_transfer"] for r in records if r["method"] == REAL_TARGET and "label_transfer" in r), None)
    rules = [(100 * base, "ReAlign", "muted")] if base is not None else []
    rules += [(100 * real, f"real {target}s", "target")] if real is not None else []
    return _ranked(
        records,
        "label_transfer",
        "label-transfer",
        f"accuracy on real {target}s, %",
        f"Labels learned on aligned {source}s, tried on real {target}s: best with {{best}}, {{value:.1f}} %",
        f"A classifier that has seen aligned {source}s only is tested on real {target}s. Bars are standard errors over "
        "splits: methods whose bars overlap are not told apart.",
        rules,
        100.0,
    )


def plain_recall(records: Sequence[Record], source: str, target: str) -> Plate | None:
    """The price in plain retrieval: recall at 10 among targets alone, against raw rows."""
    raw = next((r["recall_at_10"] for r in records if r["method"] == "identity" and "recall_at_10" in r), None)
    if raw is None:
        return None
    return _ranked(
        records,
        "recall_at_10",
        "plain-recall",
        f"{source}s that find their own {target} among the first ten, %",
        f"Ranking {target}s for a {source}: raw rows find {100 * raw:.0f} %, the best method ({{best}}) "
        f"{{value:.0f}} %",
        f"Recall at 10 where the pool holds {target}s alone. Here the gap never mattered: every {target} is equally "
        "far, "
        "so alignment has nothing to give and may cost. Do without it if this is all you need.",
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
    cut = [_cut(r["method"]) for r in shown]
    chart = Chart(
        (low, high + 0.04 * (high - low)),
        (-0.6, len(shown) - 0.4),
        axis,
        "",
        height=TOP + BOTTOM + _ROW * len(shown),
        left=196,
        rows=cut,
    )
    for row, (at, text, look) in enumerate(rules):
        chart.rule(at, text, look, row % 2)
    for i, (record, value) in enumerate(zip(shown, values, strict=True)):
        look, shape = _SHAPES[record.get("kind", "method")]
        error = factor * record.get(f"{metric}_se", 0.0)
        inside = value >= low
        if inside:
            chart.bar((max(value - error, low), i), (value + error, i), look)
        chart.dot((value, i), look if inside else f"{look} outside", shape)
        chart.tip((value, i), f"{names[i]}: {value:.1f} ± {error:.1f} %")
        if not inside:
            chart.text(chart.at_x(low) + 9, chart.at_y(i) + 4, f"{value:.1f}", "start", "small")
    best = max(rivals, key=lambda record: record[metric])
    title = title.format(best=short_name(best["method"]), value=factor * best[metric])
    kinds = [k for k in _SHAPES if any(r.get("kind", "method") == k for r in shown)]
    texts = {"method": "method", "control": "control", "oracle": "bound"}
    return Plate(
        key,
        title,
        caption,
        [View("", chart.svg(f"Dot plot of {len(shown)} methods. {title}.", f"{key}-0"), title)],
        [(*_SHAPES[kind], texts[kind]) for kind in kinds],
        ["method", metric, "standard error"],
        [[r["method"], r[metric], r.get(f"{metric}_se", "")] for r in reversed(shown)],
    )


def _cut(method: str) -> str:
    """A method's name in the width of a row: settings by their first letters, strength by t."""
    name, _, rest = str(method).partition(":")
    settings = [part.replace("strength=", "t=").partition("=") for part in rest.split(",") if part]
    text = " ".join([name, *(f"{key[0]}{value.removeprefix('0')}" if value else key for key, _, value in settings)])
    return text if len(text) <= 27 else f"{text[:26]}…"
