"""Tables of README.md and of the pages of docs/ whose figures come from committed JSON.

    python tools/page_tables.py

A table stands between `<!-- figures NAME -->` and `<!-- end -->`; this script replaces its figures. A test checks that
nothing would change. Pages with tables of their own scripts (closed-forms, how-anisoalign-works, …) are left to them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    *(
        ROOT / "docs" / f"{name}.md"
        for name in (
            "benchmarks",
            "billion-rows",
            "mixed-search",
            "serving",
            "which-aligner-when",
            "why-is-my-similarity-low",
        )
    ),
]
REAL = "fashion_clip"
"""The real set of the table of methods: it has labels, and both benchmarks measured it on the same thirty splits."""


@cache
def load(path: str) -> Any:
    """Committed JSON."""
    return json.loads((ROOT / path).read_text(encoding="utf-8"))


def number(value: float | None, digits: int = 2) -> str:
    """A number with a true minus sign; a dash where there is none."""
    return "–" if value is None else f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "−")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown: text in the first column, figures in the others."""
    marks = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, marks, *rows])


NAMED = {"identity": "raw", "two lists": "raw, two lists merged by rank"}
"""Rows of the table of mixed search that are no method."""


def mixed(name: str) -> str:
    """Mixed search on one set, by method."""
    rows = []
    for method, scores in load("examples/mixed_search.json")[name]["methods"].items():
        found, same = scores["faiss"], scores["lancedb"]
        cells = [
            number(found[key]) for key in ("text_to_image", "image_to_text", "images_among_results", "images_only")
        ]
        rows.append([NAMED.get(method, f"`{method}`"), cells[0], number(same["text_to_image"]), *cells[1:]])
    head = [
        "texts",
        "text finds its image (FAISS)",
        "(LanceDB)",
        "image finds its text",
        "images among a text's first ten",
        "among images alone",
    ]
    return table(head, rows)


@cache
def measured(name: str) -> dict[str, dict[str, Any]]:
    """Records of one set by method: closed forms, and AnisoAlign as it sets itself."""
    records = {record["method"]: record for record in load("benchmarks/closed_forms.json")[name]}
    curves = {record["method"]: record for record in load("benchmarks/anisoalign_curves.json")[name]["methods"]}
    return records | {"aniso-align": curves["aniso-align auto"]}


def cells(record: dict[str, Any]) -> list[str]:
    """Ψ, penetration / coverage, mixed recall, closed."""
    mixing = f"{number(record['target_penetration'])} / {number(record['target_coverage'])}"
    closed = number(record["closed"]) if "closed" in record else "–"
    return [number(record["geometry_consistency"]), mixing, number(record["mixed_recall_at_10"]), closed]


def methods(block: str) -> str:
    """The table of methods with its last four cells filled; the others are prose and stay."""
    lines = block.strip("\n").splitlines()
    for i, line in enumerate(lines):
        named = re.match(r"\| `([a-z0-9-]+)` \|", line)
        if named:
            prose = [cell.strip() for cell in line.strip("|").split("|")][:-4]
            lines[i] = "| " + " | ".join([*prose, *cells(measured(REAL)[named[1]])]) + " |"
    return "\n".join(lines)


def dial(name: str) -> str:
    """AnisoAlign and the transport from one end of the dial to the other."""
    chosen = (
        "realign",
        "transport t=0.5",
        "transport t=1",
        "aniso-align t=0.3",
        "aniso-align t=0.5",
        "aniso-align t=1",
    )
    records = {r["method"]: r for r in load("benchmarks/anisoalign_curves.json")[name]["methods"]}
    rows = [
        [
            method.replace("transport", "gaussian-transport"),
            *cells(records[method])[:2],
            number(records[method]["recall_at_10"]),
            *cells(records[method])[2:],
        ]
        for method in (*chosen, "aniso-align auto")
    ]
    return table(["method", "Ψ", "penetration / coverage", "R@10, images alone", "mixed R@10", "closed"], rows)


def plain_retrieval() -> str:
    """Recall at 10 of the right image among images alone, raw and aligned."""
    rows = []
    for name in ("fashion_clip", "coco_clip", "world, shifted"):
        records = {record["method"]: record for record in load("benchmarks/closed_forms.json")[name]}
        rows.append([name, *(number(records[m]["recall_at_10"]) for m in ("identity", "mean-shift", "realign"))])
    return table(["set", "raw", "mean-shift", "realign"], rows)


def frames(name: str) -> str:
    """What a common frame adds to each method, by set."""
    rows = []
    for method, found in load("benchmarks/frames.json")[name].items():
        shown = ("recall_at_1", "recall_at_10", "mixed_recall_at_10", "label_transfer")
        cells = [_both(found, key) if key in found["target"] else "–" for key in shown]
        rows.append(["raw" if method == "identity" else f"`{method}`", *cells])
    return table(["method", "R@1, images alone", "R@10, images alone", "mixed R@10", "label transfer"], rows)


def _both(found: dict[str, Any], key: str) -> str:
    """A metric in the target's frame and in the common one; bold where they differ by two standard errors."""
    before = number(found["target"][key][0])
    if "common" not in found:
        return before
    gain, error = found["gain"][key]
    after = number(found["common"][key][0])
    return f"{before} → **{after}**" if abs(gain) > 2 * error else f"{before} → {after}"


def speed() -> str:
    """Rows per second, the ratio to the bound, and memory."""
    found, rows = load("benchmarks/speed.json"), []
    for record in found["methods"]:
        fit, transform = (f"{found['rows'] / record[f'{step}_seconds']:,.0f}" for step in ("fit", "transform"))
        memory = f"{record['peak_anonymous_bytes'] / 1e6:.0f} MB"
        rows.append([record["method"], fit, transform, number(record["ratio"]), memory])
    return table(["method", "fit, rows/s", "transform, rows/s", "ratio to the bound", "anonymous memory"], rows)


def latency() -> str:
    """One row by each way of serving: time, size, and the cosine with the model's row at least."""
    rows = []
    for record in load("benchmarks/latency.json")["methods"]:
        for way in record["served"]:
            where = " ".join(filter(None, (way["way"], way.get("precision"))))
            size = f"{way['bytes'] / 1e6:.2f} MB" if "bytes" in way else "–"
            cosine = number(way["least_cosine"], 6) if "bytes" in way else "–"
            rows.append([f"`{record['method']}`", where, number(way["milliseconds"], 3), size, cosine])
    return table(["method", "served by", "ms a row", "file", "cosine, at least"], rows)


GAPS = {
    "the demo": "the demo",
    "coco_clip": "CLIP, photographs and captions",
    "fashion_clip": "Marqo-FashionCLIP, products",
    "esc50_clap": "CLAP, sounds and prompts",
}
"""Sets of gaps.json, as a reader knows them."""


def gaps() -> str:
    """Where matched pairs lie."""
    keys = ("centroid_cosine", "paired_cosine", "paired_cosine_limit", "source_mean_energy", "target_mean_energy")
    rows = [
        [GAPS[name], *(number(found[key]) for key in keys), number(found["residual_anisotropy"], 0)]
        for name, found in load("benchmarks/gaps.json").items()
        if name in GAPS
    ]
    head = ["", *(f"`{key}`" for key in keys[:3]), "‖μ‖² of texts", "‖μ‖² of targets", "`residual_anisotropy`"]
    return table(head, rows)


def scaling() -> str:
    """Time, ratio and memory by method, width and number of rows."""
    rows, results = [], load("benchmarks/scaling.json")["results"]
    for r in sorted(results, key=lambda r: (list(PASSES).index(r["method"]), r["dim"], r["rows"])):
        total = r["fit_seconds"] + r["transform_seconds"]
        size = f"{r['rows']:,} × {r['dim']}"
        memory = f"{r['anonymous_bytes'] / 1e6:,.0f} MB"
        rows.append([f"`{r['method']}`", size, number(total), f"{r['rows'] / total:,.0f}", number(r["ratio"]), memory])
    head = ["method", "rows a side", "fit and transform, s", "rows/s", "ratio to the bound", "anonymous memory"]
    return table(head, rows)


def peers() -> str:
    """What others take for the same files."""
    found = load("benchmarks/peers.json")
    rows = [
        [r["way"], f"{r['rows']:,}", number(r["seconds"], 1), f"{r['rows_per_second']:,.0f}", memory(r)]
        for r in found["results"]
    ]
    return table(["way", "rows", "seconds", "rows/s", "anonymous memory"], rows)


def memory(record: dict[str, Any]) -> str:
    """Anonymous memory of a record."""
    return f"{record['anonymous_bytes'] / 1e6:,.0f} MB"


def workers() -> str:
    """One job by threads, processes and Ray workers."""
    found, rows = load("benchmarks/workers.json"), []
    for way in found["ways"]:
        line = [way["way"]]
        for step in ("fit", "transform"):
            faster = way.get(f"{step}_times_as_fast")
            line.append(number(way[f"{step}_seconds"], 1) if faster else "–")
            line.append(number(faster[0]) if faster else "–")
        rows.append([*line, "yes" if way["same_bytes"] else "no"])
    return table(["by", "fit, s", "times as fast", "transform, s", "times as fast", "same bytes"], rows)


def products() -> str:
    """AnisoAlign against the products that it cannot do without."""
    rows, found = [], load("benchmarks/anisoalign_speed.json")
    for r in found["presets"] if isinstance(found, dict) else found:  # a list, before it said what it was measured by
        memory = f"{r['peak_anonymous_bytes_over_input'] / 1e6:,.0f} MB"
        fit = [f"{r['rows']:,} × {r['dim']}", number(r["fit_seconds"], 0), memory]
        for way in r["transforms"]:
            spread = way["ratio"]
            ratio = f"{number(spread[0])} ({number(spread[1])} – {number(spread[2])})" if spread else "–"
            name = f"{r['preset']}, strength {way['strength']:g}"
            rows.append([name, *fit, f"{way['rows_per_second']:,}", str(way["products"] or "–"), ratio])
    head = ["preset", "rows a side", "fit, s", "memory", "transform, rows/s", "products", "of their rate"]
    return table(head, rows)


def kills() -> str:
    """What became of the run that was killed, in a sentence."""
    found = load("benchmarks/ten_kills.json")
    moments = ", ".join(number(kill["after_seconds"], 1) for kill in found["kills"])
    verdict = "the same bytes" if found["same_bytes"] else "OTHER BYTES"
    return (
        f"{found['rows']:,} rows of width {found['dim']} in {found['shards']} shards: fitted in "
        f"{number(found['fit_seconds'], 0)} s and transformed in {number(found['transform_seconds'], 0)} s "
        "undisturbed. "
        f"Killed after {moments} seconds, each time begun again by the same command; the last call took "
        f"{number(found['last_seconds'], 0)} s. Compared with the undisturbed run, shard by shard: {verdict}."
    )


def billion() -> str:
    """What 10⁹ × 1280 takes, by multiplication; see docs/billion-rows.md for what is assumed."""
    head = ["method", "passes: texts, images", "reads", "writes", "compute", "moving", "machine hours", "cost"]
    return table(head, [[f"`{line['method']}`", *line["cells"]] for line in extrapolated()])


BILLION = {"rows": 10**9, "dim": 1280, "machines": 16, "cores": 16, "bytes_per_second": 1e9, "price": 0.8}
"""The cluster that docs/billion-rows.md states: rates and prices are assumptions, not measurements."""
PASSES = {"realign": (2, 1), "gaussian-transport": (2, 1), "aniso-align": (2, 1)}
"""How often a fit reads the source and the target; a transform reads the source once more."""


def extrapolated() -> list[dict[str, Any]]:
    """Bytes, hours and cost of each method from its largest measurement of that width."""
    found = load("benchmarks/scaling.json")
    lines = []
    for method, (source, target) in PASSES.items():
        here = [r for r in found["results"] if (r["method"], r["dim"]) == (method, BILLION["dim"])]
        if not here:
            continue
        r = max(here, key=lambda one: one["rows"])
        side = BILLION["rows"] * BILLION["dim"] * 2
        read, written = (source + target + 1) * side, side
        core_seconds = (r["fit_seconds"] + r["transform_seconds"]) * found["cores"] / r["rows"] * BILLION["rows"]
        compute = core_seconds / BILLION["machines"] / BILLION["cores"]
        moving = (read + written) / BILLION["machines"] / BILLION["bytes_per_second"]
        hours = (compute + moving) / 3600 * BILLION["machines"]
        cells = [
            f"{source + 1}, {target}",
            f"{read / 1e12:.1f} TB",
            f"{written / 1e12:.1f} TB",
            f"{compute / 60:.0f} min",
            f"{moving / 60:.0f} min",
            number(hours, 1),
            f"${hours * BILLION['price']:.0f}",
        ]
        lines.append({"method": method, "cells": cells})
    return lines


def filled(page: str) -> str:
    """The page with every table's figures replaced.

    Raises
    ------
    KeyError
        If the page names a table there is not.
    """

    def fill(match: re.Match[str]) -> str:
        kind, _, name = match[2].partition(" ")
        if kind == "methods":
            return f"{match[1]}\n{methods(match[3])}\n\n{match[4]}"
        makers = {"mixed": mixed, "frames": frames, "dial": dial, "plain": lambda _: plain_retrieval()}
        makers |= {"speed": lambda _: speed(), "latency": lambda _: latency(), "scaling": lambda _: scaling()}
        makers["gaps"] = lambda _: gaps()
        makers |= {"workers": lambda _: workers(), "products": lambda _: products()}
        makers |= {"peers": lambda _: peers(), "kills": lambda _: kills(), "billion": lambda _: billion()}
        made = makers[kind](name)
        return f"{match[1]}\n{made}\n\n{match[4]}"

    return re.sub(r"(<!-- figures (.+?) -->\n)(.*?)(<!-- end -->)", fill, page, flags=re.DOTALL)


if __name__ == "__main__":
    for path in PAGES:
        path.write_text(filled(path.read_text(encoding="utf-8")), encoding="utf-8")
