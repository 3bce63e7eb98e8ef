"""A few sources, many targets: by which scale should the transport move what lies outside U?

    python benchmarks/few_sources.py

U takes in nearly all that few rows vary in, so that the trace of their covariance outside U is too small. Candidates
for the source's trace there: *as it is*; that of the covariance shrunk as a whole by the *amount inside* U (0.1) or by
that of *Ledoit and Wolf*; and by the latter times the share of rows that the source lacks against the target,
*lacking*, which is what the package does. AnisoAlign at strength 1, on the first 20, 40, 80 or all source rows of a
split. Writes few_sources.json and the table of ../docs/closed-forms.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np

import anisoalign as aa
from anisoalign.aligners import gaussian_transport
from anisoalign.aligners.shrinking import shrinkage_amount
from anisoalign.statistics import Moments
from protocol import Part, Table, fill, mean_and_error, parser, quiet, real, say, transforming, world, write

ROWS = (20, 40, 80, None)
SHOWN = ("geometry_consistency", "target_penetration", "target_coverage", "mixed_recall_at_10")
Scale = Callable[[gaussian_transport.Framed], float | None]


def scale_by(amount: Callable[[Moments, Moments], float]) -> Scale:
    """The scale outside U with the source's covariance shrunk by an amount."""

    def scale(framed: gaussian_transport.Framed) -> float | None:
        rest_y, rest_x = framed.traces_outside()
        source = framed.source
        a = amount(source, framed.target)
        rest_y = (1 - a) * rest_y + a * source.trace * (source.dim - framed.frame.rank) / source.dim
        return float(np.sqrt(rest_x / rest_y)) if min(rest_y, rest_x) > 1e-12 else None

    return scale


CANDIDATES: dict[str, Scale] = {
    "as it is": scale_by(lambda y, x: 0.0),
    "amount inside": scale_by(lambda y, x: 0.1),
    "Ledoit and Wolf": scale_by(lambda y, x: shrinkage_amount(y, "auto")),
    "lacking": gaussian_transport._scale_outside,
}


def measure(parts: Iterable[Part]) -> dict[str, Any]:
    """Every candidate with every number of source rows."""
    tables = {rows: Table() for rows in ROWS}
    for part in parts:
        for rows, table in tables.items():
            few = replace(part, fit_y=part.fit_y[:rows], fit_y_labels=None)
            maps = {"realign": transforming(aa.ReAlign().fit(few.fit_y, few.fit_x))}
            for name, scale in CANDIDATES.items():
                gaussian_transport._scale_outside = scale  # the one place that differs
                maps[name] = transforming(aa.AnisoAlign(strength=1.0, force=True).fit(few.fit_y, few.fit_x))
            table.add(few, maps)
    gaussian_transport._scale_outside = CANDIDATES["lacking"]
    return {
        "all" if rows is None else str(rows): {
            name: {key: mean_and_error(table.values(name, key)) for key in SHOWN if table.has(key)}
            for name in table.entries
        }
        for rows, table in tables.items()
        if table.repeats
    }


def page(results: dict[str, Any]) -> str:
    """The table: Ψ, and the smaller of penetration and coverage, by candidate and number of rows."""
    head = ["set", "source rows", "realign", *CANDIDATES]
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    for name, found in results.items():
        for rows, methods in found.items():
            cells = [
                f"{m['geometry_consistency'][0]:.2f}, {min(m['target_penetration'][0], m['target_coverage'][0]):.2f}"
                for m in methods.values()
            ]
            lines.append("| " + " | ".join([name, rows, *cells]) + " |")
    return "\n".join(lines)


def main() -> None:
    parser(__doc__).parse_args()
    quiet()
    sets: dict[str, Iterable[Part]] = {
        "fashion_clip": real("fashion_clip", 10),
        "coco_clip": real("coco_clip", 10),
        "esc50_clap": real("esc50_clap", 5),
        "world": world(3, 3_000),
    }
    results: dict[str, Any] = {}
    for name, parts in sets.items():
        found = measure(parts)
        if found:
            results[name] = found
            say(f"{name} done")
    write("few_sources", results)
    fill("closed-forms.md", "few", page(results))


if __name__ == "__main__":
    main()
