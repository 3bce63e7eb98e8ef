"""Where should aligned rows and targets be compared: among the targets, or each side less its own mean?

    python benchmarks/frames.py

The same fitted models, their rows in the target's frame and in the common one (`Aligner.in_frame`), on disjoint rows:
recall among the targets alone, both ways, mixed recall, mixing, label transfer, paired by split. Ψ is left out: it
holds aligned rows against raw texts, whose common part a common frame takes away. Writes frames.json.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from anisoalign.aligners.registry import parse_method
from protocol import Part, mean_and_error, parser, pools, quiet, real, rounded, say, scores, transforming, world, write

METHODS = ("mean-shift", "realign", "gaussian-transport:strength=0.5", "aniso-align", "aniso-align:strength=1")
KEYS = (
    "recall_at_1",
    "recall_at_10",
    "reverse_recall_at_10",
    "mixed_recall_at_10",
    "target_penetration",
    "target_coverage",
    "label_transfer",
)
RAW = "identity"


def in_frames(part: Part, method: str) -> Iterator[tuple[str, dict[str, float]]]:
    """Scores of a fitted method in each frame it has."""
    model = parse_method(method).fit(part.fit_y, part.fit_x)
    for frame in ("target", "common") if method != RAW else ("target",):
        moved = model if frame == "target" else model.in_frame(frame)
        targets = transforming(moved.targets())(part.test_x)
        yield frame, scores(replace(part, test_x=targets), transforming(moved))


def measure(parts: Iterable[Part]) -> dict[str, Any]:
    """Mean and standard error of every metric by method and frame, and of what the common frame adds."""
    found: dict[str, dict[str, list[dict[str, float]]]] = {}
    for part in parts:
        for method in (RAW, *METHODS):
            for frame, record in in_frames(part, method):
                found.setdefault(method, {}).setdefault(frame, []).append(record)
    return {method: summary(frames) for method, frames in found.items()}


def summary(frames: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """Means over splits, and paired differences."""
    keys = [key for key in KEYS if frames["target"][0].get(key) is not None]
    values = {
        frame: {key: np.array([record[key] for record in rows]) for key in keys} for frame, rows in frames.items()
    }
    made: dict[str, Any] = {
        frame: {key: mean_and_error(column) for key, column in columns.items()} for frame, columns in values.items()
    }
    if "common" in values:
        made["gain"] = {key: mean_and_error(values["common"][key] - values["target"][key]) for key in keys}
    return made


def spread(y: np.ndarray, x: np.ndarray) -> dict[str, float]:
    """Standard deviation over targets of each term of a cosine: of either mean, and of what the query says."""
    terms = {"target_mean": x @ x.mean(axis=0), "source_mean": x @ y.mean(axis=0)}
    query = (x - x.mean(axis=0)) @ (y[:2_000] - y.mean(axis=0)).T
    return {**{name: rounded(float(term.std())) for name, term in terms.items()}, "query": rounded(float(query.std()))}


def main() -> None:
    parser(__doc__).parse_args()
    quiet()
    sets = {
        "fashion_clip": real("fashion_clip", 20),
        "coco_clip": real("coco_clip", 20),
        "world": world(5, 3_000),
    }
    results: dict[str, Any] = {"spread": {name: spread(y, x) for name, y, x in pools("fashion_clip", "coco_clip")}}
    for name, parts in sets.items():
        if made := measure(parts):
            results[name] = made
            say(name)
            write("frames", results)


if __name__ == "__main__":
    main()
