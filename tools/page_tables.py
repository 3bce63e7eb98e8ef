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
    *(ROOT / "docs" / f"{name}.md" for name in ("benchmarks", "mixed-search", "which-aligner-when")),
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


def mixed(name: str) -> str:
    """Mixed search on one set, by method."""
    rows = []
    for method, scores in load("examples/mixed_search.json")[name]["methods"].items():
        found, same = scores["faiss"], scores["lancedb"]
        cells = [
            number(found[key]) for key in ("text_to_image", "image_to_text", "images_among_results", "images_only")
        ]
        rows.append(
            [f"`{method}`" if method != "identity" else "raw", cells[0], number(same["text_to_image"]), *cells[1:]]
        )
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


def speed() -> str:
    """Rows per second, the ratio to the bound, and memory."""
    found, rows = load("benchmarks/speed.json"), []
    for record in found["methods"]:
        fit, transform = (f"{found['rows'] / record[f'{step}_seconds']:,.0f}" for step in ("fit", "transform"))
        memory = f"{record['peak_anonymous_bytes'] / 1e6:.0f} MB"
        rows.append([record["method"], fit, transform, number(record["ratio"]), memory])
    return table(["method", "fit, rows/s", "transform, rows/s", "ratio to the bound", "anonymous memory"], rows)


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
        made = {"mixed": mixed, "dial": dial, "plain": lambda _: plain_retrieval(), "speed": lambda _: speed()}[kind](
            name
        )
        return f"{match[1]}\n{made}\n\n{match[4]}"

    return re.sub(r"(<!-- figures (.+?) -->\n)(.*?)(<!-- end -->)", fill, page, flags=re.DOTALL)


if __name__ == "__main__":
    for path in PAGES:
        path.write_text(filled(path.read_text(encoding="utf-8")), encoding="utf-8")
