"""The study's tables, made from its runs alone: means and standard errors over seeds, differences paired by seed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from anisoalign.mllm.study.questions import FORMS, GROUPS
from anisoalign.mllm.study.rows import ALL, CLAIMS, FLOORS, TABLES

PAPER = Path(__file__).with_name("paper.json")
Runs = dict[str, dict[int, dict[str, Any]]]
NAMES = {row.key: row.name for row in ALL}


def read_runs(folder: Path) -> Runs:
    """Runs of a study by row and seed."""
    runs: Runs = {}
    for path in sorted((folder / "runs").glob("*.json")):
        found = json.loads(path.read_text())
        runs.setdefault(found["row"]["key"], {})[found["seed"]] = found
    return runs


def tabulate(folder: Path) -> dict[str, Any]:
    """Everything the tables and the page say, as JSON values.

    A row that has not run has no figures. Every mean is over the seeds a row has, with its standard error;
    ``over_floor`` is the paired difference to the table's row of reference, over the seeds that both have; ``closed``
    the share of the way from ReAlign to real images, with the standard error of the difference divided by the mean
    way; there is none where real images are not above ReAlign by two standard errors.
    """
    runs, paper = read_runs(folder), json.loads(PAPER.read_text())
    return {
        "seeds": sorted({seed for found in runs.values() for seed in found}),
        "paper_source": paper["source"],
        "language": json.loads((folder / "language" / "study.json").read_text()),
        "settings": json.loads((folder / "settings.json").read_text()),
        "runs": sum(map(len, runs.values())),
        "cpu_minutes": round(sum(one["cpu_seconds"] for found in runs.values() for one in found.values()) / 60, 1),
        "tables": {name: [_entry(key, name, runs, paper[name]) for key in keys] for name, (_, keys) in TABLES.items()},
        "claims": [_claim(low, high, runs) for low, high in CLAIMS if low in runs and high in runs],
        "forms": {
            key: {form: mean_and_error([one["forms"][form] for one in found.values()]) for form in _forms(found)}
            for key, found in runs.items()
        },
    }


def mean_and_error(values: Sequence[float]) -> list[float | None]:
    """Mean and standard error; no error from a single value.

    Examples
    --------
    >>> mean_and_error([1.0, 3.0]), mean_and_error([1.0])
    ([2.0, 1.0], [1.0, None])
    """
    error = float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None
    return [float(np.mean(values)), error]


def _entry(key: str, table: str, runs: Runs, paper: Mapping[str, float]) -> dict[str, Any]:
    found = runs.get(key, {})
    entry: dict[str, Any] = {
        "key": key,
        "row": _named(key) if table == "scaling" else NAMES[key],
        "runs": len(found),
        "paper": paper.get(key.removesuffix("-then-real") if table == "then_real" else key),
    }
    if not found:
        return entry
    entry |= {
        "average": mean_and_error([one["average"] for one in found.values()]),
        **{group: mean_and_error([one["groups"][group] for one in found.values()]) for group in GROUPS},
    }
    floor, ceiling = FLOORS[table], "image-then-real" if table == "then_real" else "image"
    if floor in runs and floor != key and (both := sorted(found.keys() & runs[floor].keys())):
        difference = [found[seed]["average"] - runs[floor][seed]["average"] for seed in both]
        entry["over_floor"] = mean_and_error(difference)
        if table != "ablation" and ceiling in runs and _alike(key, floor) and not key.startswith("image"):
            way = [runs[ceiling][s]["average"] - runs[floor][s]["average"] for s in both if s in runs[ceiling]]
            if len(way) == len(both) and _is_a_way(way):
                entry["closed"] = [None if v is None else v / float(np.mean(way)) for v in entry["over_floor"]]
    return entry


def _is_a_way(way: Sequence[float]) -> bool:
    """Whether real images are above the row of reference by two standard errors: else there is no share of the way."""
    mean, error = mean_and_error(way)
    assert mean is not None
    return mean > 2 * (error or 0.0)


def _alike(key: str, floor: str) -> bool:
    """Whether two rows are tuned alike, so that one's share of the other's way to real images means something."""
    return key.endswith("-then-real") == floor.endswith("-then-real")


def _claim(low: str, high: str, runs: Runs) -> dict[str, Any]:
    """Whether one row is above another: by two standard errors of the paired difference, or nothing is said."""
    both = sorted(runs[low].keys() & runs[high].keys())
    mean, error = mean_and_error([runs[high][seed]["average"] - runs[low][seed]["average"] for seed in both])
    assert mean is not None
    if error is None:
        verdict = "one seed"
    elif abs(mean) <= 2 * error:
        verdict = "undecided"
    else:
        verdict = "confirmed" if mean > 0 else "contradicted"
    return {"low": low, "high": high, "seeds": both, "difference": [mean, error], "verdict": verdict}


def _forms(found: Mapping[int, dict[str, Any]]) -> list[str]:
    return list(next(iter(found.values()))["forms"])


def markdown(found: Mapping[str, Any]) -> str:
    """The four tables."""
    return "\n".join(f"### {TABLES[name][0]}\n\n{table(found, name)}\n" for name in TABLES)


def table(found: Mapping[str, Any], name: str) -> str:
    """One of the tables in Markdown: accuracies in per cent."""
    floor = NAMES[FLOORS[name]]
    head = ["row", "seeds", *GROUPS, "average", f"over {floor}"]
    head += ["closed"] if name != "ablation" else []
    lines = [[*head, "paper"], ["---", *["---:"] * len(head)]]
    for entry in found["tables"][name]:
        cells = [entry["row"], str(entry["runs"]), *(_percent(entry.get(group)) for group in (*GROUPS, "average"))]
        cells.append(_percent(entry.get("over_floor"), sign=True))
        if name != "ablation":
            cells.append(_share(entry.get("closed")))
        cells.append("" if entry["paper"] is None else f"{entry['paper']:.2f}")
        lines.append(cells)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def claims_table(found: Mapping[str, Any]) -> str:
    """The paper's order, step by step."""
    lines = [["lower", "higher", "difference", "seeds", "verdict"], ["---", "---", "---:", "---:", "---"]]
    lines += [
        [_named(c["low"]), _named(c["high"]), _percent(c["difference"], sign=True), str(len(c["seeds"])), c["verdict"]]
        for c in found["claims"]
    ]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _named(key: str) -> str:
    return NAMES[key] + (", then real" if key.endswith("-then-real") else "")


def forms_table(found: Mapping[str, Any], keys: Sequence[str]) -> str:
    """Accuracy of single forms of questions, for some rows."""
    there = [key for key in keys if key in found["forms"]]
    lines = [["group", "form", *(NAMES[key] for key in there)], ["---", "---", *["---:"] * len(there)]]
    lines += [
        [group, form, *(f"{100 * found['forms'][key][form][0]:.1f}" for key in there)]
        for group, forms in FORMS.items()
        for form in forms
        if all(form in found["forms"][key] for key in there)
    ]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _percent(pair: Sequence[float | None] | None, sign: bool = False) -> str:
    if pair is None or pair[0] is None:
        return "–"
    mean = f"{100 * pair[0]:+.1f}" if sign else f"{100 * pair[0]:.1f}"
    return (mean if pair[1] is None else f"{mean} ± {100 * pair[1]:.1f}").replace("-", "−")


def _share(pair: Sequence[float | None] | None) -> str:
    if pair is None or pair[0] is None:
        return "–"
    mean = f"{pair[0]:.2f}"
    return (mean if pair[1] is None else f"{mean} ± {pair[1]:.2f}").replace("-", "−")
