"""What the benchmarks of AnisoAlign share: the sets, the split of disjoint rows, the metrics of one alignment.

The split is that of `anisoalign compare` (first 40 % of a permutation give targets to the fit, the next 40 % sources,
the last 20 % are measured), and so are the metrics; here one fitted model can be measured at many strengths.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

import anisoalign
from anisoalign.aligners.anisoalign.premise import AlignmentWarning
from anisoalign.comparison.split import split
from anisoalign.comparison.table import CONTROL, METHOD, ORACLE, REAL, REFERENCE, Comparison, MethodScores, has_room
from anisoalign.diagnostics import alignment_metrics, label_transfer
from anisoalign.embeddings import read_labels
from anisoalign.geometry import normalize
from anisoalign.worlds import RenderedWorld

HERE = Path(__file__).parent
FIGURES = HERE.parent / "docs" / "figures"
DATA = Path(os.environ.get("ANISOALIGN_DATA", HERE.parent.parent / "shared" / "data"))
CODE = ("src", ":(glob)benchmarks/*.py", "pyproject.toml")
"""What results are made by."""
SCENES = 2100
"""Seed of the first world drawn; no test and no other benchmark draws from here on."""
METRICS = (
    "geometry_consistency",
    "neighbour_consistency",
    "target_penetration",
    "target_coverage",
    "recall_at_10",
    "mixed_recall_at_10",
    "label_transfer",
)

COLUMNS = {
    "geometry_consistency": "Ψ",
    "target_penetration": "penetration",
    "target_coverage": "coverage",
    "mixed_recall_at_10": "mixed R@10",
    "closed": "closed",
}

Move = Callable[[np.ndarray], np.ndarray]
"""From unit source rows to aligned rows."""


@dataclass(frozen=True)
class Part:
    """One repeat: rows to fit on, other rows to measure on.

    `own` says that a text belongs to one target alone, so that recall by row means something.
    """

    fit_y: np.ndarray
    fit_x: np.ndarray
    test_y: np.ndarray
    test_x: np.ndarray
    fit_y_labels: np.ndarray | None
    fit_x_labels: np.ndarray | None
    test_labels: np.ndarray | None
    own: bool
    seed: int


def part_of(y: np.ndarray, x: np.ndarray, labels: np.ndarray | None, seed: int, own: bool = True) -> Part:
    """The repeat of a seed."""
    rows = split(len(y), len(x), seed)
    parts = (None, None, None)
    if labels is not None:
        parts = labels[rows.fit_source], labels[rows.fit_target], labels[rows.test_target]
    return Part(y[rows.fit_source], x[rows.fit_target], y[rows.test_source], x[rows.test_target], *parts, own, seed)


def world_rows(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Texts, images and labels of the shifted domain."""
    pairs = RenderedWorld.load().embed(rows, seed=seed, domain="shifted")
    return pairs.text.astype(np.float64), pairs.image.astype(np.float64), pairs.label


def world(repeats: int, rows: int, first: int = SCENES) -> Iterator[Part]:
    """Another draw of scenes each time, so that repeats are independent."""
    for repeat in range(repeats):
        yield part_of(*world_rows(rows, first + repeat), seed=repeat)


def real(name: str, repeats: int) -> Iterator[Part]:
    """A real set of `DATA`, or nothing and a line that says so."""
    folder = DATA / name
    files = [folder / f"{side}.npy" for side in ("text", "image", "audio")]
    found = [file for file in files if file.is_file()]
    if len(found) < 2:
        say(f"{name} skipped: no {files[0].name} with {files[1].name} or {files[2].name} in {DATA}")
        return
    y, x = real_rows(name)
    labels = folder / "label.txt"
    known = np.asarray(read_labels(labels)) if labels.is_file() else None
    own = len(np.unique(y.round(6), axis=0)) > len(y) / 2
    for repeat in range(repeats):
        yield part_of(y, x, known, repeat, own)


def real_rows(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Unit sources and targets of a real set, in step."""
    files = [DATA / name / f"{side}.npy" for side in ("text", "image", "audio")]
    y, x = (normalize(np.load(file).astype(np.float64)) for file in files if file.is_file())
    return y, x


def pools(*names: str) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Name, sources and targets in step, of the world and of those real sets of `DATA` that are there."""
    text, image, _ = world_rows(4_000, SCENES)
    yield "world", text, image
    for name in names:
        if (DATA / name).is_dir():
            yield name, *real_rows(name)


def rowwise(step: Callable[[torch.Tensor], torch.Tensor]) -> Move:
    """A map of tensors as one of arrays."""
    return lambda rows: step(torch.from_numpy(rows.copy())).numpy()


def calibrated(move: Move, part: Part) -> Move:
    """A map centred on the targets."""
    shift = part.fit_x.mean(axis=0) - move(part.fit_y).mean(axis=0)
    return lambda rows: normalize(move(rows) + shift)


def transforming(model: Any) -> Move:
    """A fitted aligner as a function, in float64."""
    return lambda rows: model.transform(rows, dtype="float64", out_dtype="float64")


def scores(part: Part, move: Move) -> dict[str, float]:
    """The metrics of `compare` for one map."""
    report = alignment_metrics(part.test_y, part.test_x, move(part.test_y), paired=part.own, seed=part.seed).to_dict()
    for key in ("schema_version", "rows_source", "rows_target", "k"):
        del report[key]
    if part.fit_y_labels is not None and part.test_labels is not None:
        train = move(part.fit_y)
        report["label_transfer"] = label_transfer(train, part.fit_y_labels, part.test_x, part.test_labels)
    return report


class Table:
    """Scores of many methods over repeats, each with its kind."""

    def __init__(self):
        self.entries: dict[str, MethodScores] = {}
        self.repeats = 0
        self.protocol: dict[str, Any] = {}

    def add(self, part: Part, maps: dict[str, Move]) -> None:
        """Measure one repeat; the real targets, the 1 of `closed`, come along."""
        for name, move in maps.items():
            kind = CONTROL if name == "identity" else METHOD
            self.entries.setdefault(name, MethodScores(name, kind)).add(scores(part, move))
        if part.fit_x_labels is not None and part.fit_y_labels is not None and part.test_labels is not None:
            reached = label_transfer(part.fit_x, part.fit_x_labels, part.test_x, part.test_labels)
            self.entries.setdefault(REAL, MethodScores(REAL, ORACLE)).add({"label_transfer": reached})
        self.repeats += 1
        self.protocol = {"rows_fit": len(part.fit_y), "rows_test": len(part.test_y), "repeats": self.repeats}

    def values(self, name: str, metric: str) -> np.ndarray:
        """A method's values, one a repeat; `closed` in units of the mean room between ReAlign and real targets."""
        own = self.entries[name].scores
        if metric == "mixing":
            return np.minimum(own["target_penetration"], own["target_coverage"])
        if metric != "closed":
            return np.asarray(own[metric])
        base = np.asarray(self.entries[REFERENCE].scores["label_transfer"])
        room = np.mean(self.entries[REAL].scores["label_transfer"]) - base.mean()
        return (np.asarray(own["label_transfer"]) - base) / room

    def has(self, metric: str) -> bool:
        """Whether a metric was measured on this set."""
        if metric == "closed":
            if REAL not in self.entries or REFERENCE not in self.entries:
                return False
            base, real = (self.entries[name].scores["label_transfer"] for name in (REFERENCE, REAL))
            return has_room(base, real)
        return metric == "mixing" or metric in self.entries[REFERENCE].scores

    def records(self) -> list[dict[str, Any]]:
        """One flat record a method, rounded: mean and standard error of each metric, and `closed`."""
        made = Comparison(list(self.entries.values()), self.protocol).to_dicts()
        keep = {"method", "kind", "closed", "closed_se", *METRICS, *(f"{name}_se" for name in METRICS)}
        return [{key: rounded(value) for key, value in record.items() if key in keep} for record in made]


def markdown(table: Table, head: str) -> str:
    """Rows of a page: mean ± standard error of the main metrics."""
    shown = {key: title for key, title in COLUMNS.items() if table.has(key)}
    lines = [f"| {head} | " + " | ".join(shown.values()) + " |", "|---" * (len(shown) + 1) + "|"]
    for name in table.entries:
        lines.append(f"| {name} | " + " | ".join(cells(table, key, name) for key in shown) + " |")
    return "\n".join(lines)


def cells(table: Table, metric: str, name: str) -> str:
    """Mean ± standard error."""
    if name == REAL and metric != "closed":
        return ""
    values = table.values(name, metric)
    return f"{values.mean():.3f} ± {values.std(ddof=1) / len(values) ** 0.5:.3f}"


def rounded(value: Any) -> Any:
    """Floats to five digits after the point."""
    return round(value, 5) if isinstance(value, float) else value


def mean_and_error(values: np.ndarray) -> list[float]:
    """Mean and its standard error over repeats."""
    error = float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0
    return [rounded(float(np.mean(values))), rounded(error)]


def fill(page: str, mark: str, table: str) -> None:
    """Write a table into a page of docs, between `<!-- mark -->` and `<!-- end -->`."""
    path = HERE.parent / "docs" / page
    made = f"<!-- {mark} -->\n\n{table}\n\n<!-- end -->"
    path.write_text(re.sub(f"<!-- {mark} -->.*?<!-- end -->", lambda _: made, path.read_text(), flags=re.DOTALL))


def parser(description: str | None) -> argparse.ArgumentParser:
    """A script's options, its docstring as --help: one without would measure for hours in answer to that."""
    return argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)


def quiet() -> None:
    """Small samples are the point of these measurements; their warnings need not be printed each time."""
    warnings.simplefilter("ignore", AlignmentWarning)


def say(message: str) -> None:
    """A line for whoever waits."""
    print(message, file=sys.stderr, flush=True)


def write(to: str | Path, results: dict[str, Any]) -> None:
    """JSON at a path, or of a name beside the script, with what it was measured by; results that say it keep that."""
    path = HERE / f"{to}.json" if isinstance(to, str) else to
    path.write_text(json.dumps({"environment": environment(), **results}, indent=1) + "\n")
    say(f"wrote {path.name} after {time.process_time():.0f} s of processor time")


def environment() -> dict[str, str]:
    """Versions, the commit of this checkout, if it is one, and the day, all at the time of writing."""
    versions = {"python": platform.python_version(), "numpy": np.__version__, "anisoalign": anisoalign.__version__}
    commit = commit_of(HERE.parent)
    return versions | ({"commit": commit} if commit else {}) | {"date": datetime.now(UTC).date().isoformat()}


def commit_of(checkout: Path) -> str:
    """Commit of a checkout, "-dirty" where code differs from it; empty outside git.

    Results and pages do not count as code: scripts write them, and some after every set.
    """
    git = shutil.which("git")
    if git is None:
        return ""

    def said(*words: str) -> str:
        return subprocess.run([git, "-C", str(checkout), *words], capture_output=True, text=True).stdout.strip()

    commit = said("rev-parse", "--short=12", "HEAD")
    return f"{commit}-dirty" if commit and said("status", "--porcelain", "--", *CODE) else commit
