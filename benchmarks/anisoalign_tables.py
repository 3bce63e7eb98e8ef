"""Tables of docs/how-anisoalign-works.md, from the JSON of the other benchmarks.

    python benchmarks/anisoalign_tables.py

A table stands between `<!-- table NAME -->` and `<!-- end -->`; this script replaces what is between. A test checks
that nothing would change.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "how-anisoalign-works.md"
SETS = ("fashion_clip", "coco_clip", "esc50_clap", "world")
VALUES = {
    "closed": "closed",
    "mixing": "min(penetration, coverage)",
    "mixed_recall_at_10": "mixed R@10",
}


def load(name: str) -> dict[str, Any]:
    """JSON of a benchmark."""
    return json.loads((HERE / f"{name}.json").read_text())


def number(value: float | None, digits: int = 2) -> str:
    """A number with a true minus sign; a dash where there is none."""
    return "–" if value is None else f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "−")


def with_error(pair: Sequence[float] | None, digits: int = 2) -> str:
    """Mean ± standard error."""
    return "–" if pair is None else f"{number(pair[0], digits)} ± {number(pair[1], digits)}"


def lead(pair: Sequence[float], digits: int = 3) -> str:
    """A paired difference, bold where it is positive by two standard errors, with a sign."""
    text = ("+" if pair[0] > 0 else "") + with_error(pair, digits)
    return f"**{text}**" if pair[0] > 2 * pair[1] else text


def table(head: Sequence[str], rows: Sequence[Sequence[str]], text_columns: int = 1) -> str:
    """Markdown."""
    marks = ["---"] * text_columns + ["---:"] * (len(head) - text_columns)
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, marks, *rows])


def points(found: dict[str, Any], shares: bool = True) -> str:
    """Every method of one set; with few repeats shares of a small room say little, and `shares` is off."""
    labelled = any("label_transfer" in record for record in found["methods"])
    closed = shares and any("closed" in record for record in found["methods"])
    paired = any("mixed_recall_at_10" in record for record in found["methods"])
    head = ["method", "Ψ", "Ω", "penetration", "coverage"]
    head += (
        (["R@10", "mixed R@10"] if paired else [])
        + (["label transfer"] if labelled else [])
        + (["closed"] if closed else [])
    )
    rows = []
    for record in found["methods"]:
        keys = ["geometry_consistency", "neighbour_consistency", "target_penetration", "target_coverage"]
        keys += ["recall_at_10", "mixed_recall_at_10"] if paired else []
        row = [record["method"], *(number(record.get(key), 3 if i == 0 else 2) for i, key in enumerate(keys))]
        if labelled:
            transfer = [record["label_transfer"], record["label_transfer_se"]]
            row.append(number(transfer[0], 3) if shares else with_error(transfer, 3))
        if closed:
            row.append(with_error([record["closed"], record["closed_se"]]) if "closed" in record else "–")
        rows.append(row)
    return table(head, rows)


def areas(curves: dict[str, Any]) -> str:
    """Leads in area over both families."""
    rows = []
    for name in SETS:
        for metric, label in VALUES.items():
            found = curves.get(name, {}).get("areas", {}).get(metric)
            if found:
                cells = [
                    lead(found[kind][f"lead_over_{family}"], 4 if kind == "enclosed" else 3)
                    for kind in ("enclosed", "shared")
                    for family in ("transport", "kernel")
                ]
                span = f"{number(found['geometry_from'])} – {number(found['geometry_to'])}"
                rows.append([name, label, *cells[:2], span, *cells[2:]])
    head = [
        "set",
        "value",
        "enclosed, over transport",
        "over kernel",
        "shared Ψ",
        "shared, over transport",
        "over kernel",
    ]
    return table(head, rows, 2)


def floors(curves: dict[str, Any], name: str) -> str:
    """The dial at a required Ψ, against the nearest and the best row of the families."""
    rows = []
    for found in curves[name]["at_geometry"]["closed"]:
        ours = found["ours"]
        row = ["free" if found["floor"] is None else number(found["floor"]), ours["method"], with_error(ours["closed"])]
        for role in ("nearest", "best"):
            rival = found[role]
            mixing = f"{number(rival['target_penetration_lead'][0])} / {number(rival['target_coverage_lead'][0])}"
            row += [rival["method"], lead(rival["closed_lead"]), mixing]
        rows.append(row)
    head = ["Ψ at least", "ours", "closed", "nearest row in Ψ", "lead, closed", "lead, pen. / cov."]
    head += ["best row at that Ψ", "lead, closed", "lead, pen. / cov."]
    return table(head, rows, 2)


def strengths(curves: dict[str, Any]) -> str:
    """What `auto` chose, and what labels and pairs would have chosen."""
    rows = []
    for name in SETS:
        if name not in curves:
            continue
        records = {record["method"]: record for record in curves[name]["methods"]}
        auto, chosen = records["aniso-align auto"], curves[name]["strength"]["strengths_chosen"]
        rows.append(
            [
                name,
                ", ".join(f"{t} ({count})" for t, count in chosen.items()),
                number(auto["geometry_consistency"], 3),
                f"{number(auto['target_penetration'])} / {number(auto['target_coverage'])}",
                with_error([auto["closed"], auto["closed_se"]]) if "closed" in auto else "–",
                _most(records, "closed"),
                number(auto.get("mixed_recall_at_10")),
                _most(records, "mixed_recall_at_10"),
            ]
        )
    titles = ["closed", "most closed, chosen with labels", "mixed R@10", "most, chosen with pairs"]
    return table(["set", "strengths chosen (repeats)", "Ψ", "pen. / cov.", *titles], rows)


def _most(records: dict[str, Any], metric: str) -> str:
    """The strength of the dial at which a metric is highest, that, and Ψ there."""
    dial = {name: found for name, found in records.items() if name.startswith("aniso-align t=") and metric in found}
    if not dial:
        return "–"
    name = max(dial, key=lambda n: dial[n][metric])
    strength = name.removeprefix("aniso-align t=")
    return f"{strength}: {number(dial[name][metric])} at Ψ {number(dial[name]['geometry_consistency'])}"


def few_rows(results: dict[str, Any]) -> str:
    """True balance at the strength that each rule takes, and at the best."""
    rows, names = [], []
    for name in SETS:
        for count, found in results.get(name, {}).items():
            names = list(found)
            rows.append([name, count, *(with_error(value) for value in found.values())])
    return table(["set", "rows a side", *names], rows)


def rotated(curves: dict[str, Any]) -> str:
    """ReAlign beside the rotation alone, strength 0.2."""
    rows = []
    for name in SETS:
        if name not in curves:
            continue
        records = {record["method"]: record for record in curves[name]["methods"]}
        row = [name]
        for method in ("realign", "aniso-align t=0.2"):
            found = records[method]
            row += [
                number(found["geometry_consistency"], 4),
                f"{number(found['target_penetration'])} / {number(found['target_coverage'])}",
                number(found.get("mixed_recall_at_10")),
            ]
        found = records["aniso-align t=0.2"]
        rows.append([*row, with_error([found["closed"], found["closed_se"]]) if "closed" in found else "–"])
    kinds = ("Ψ", "pen. / cov.", "mixed R@10")
    return table(["set", *(f"ReAlign {k}" for k in kinds), *(f"rotated {k}" for k in kinds), "rotated closed"], rows)


def ablation(found: dict[str, Any]) -> str:
    """Every variant of one set."""
    return points(found, shares=False)


def effects(results: dict[str, Any]) -> str:
    """What single parts change, paired."""
    keys = {
        "geometry_consistency": "Ψ",
        "target_penetration": "penetration",
        "target_coverage": "coverage",
        "mixed_recall_at_10": "mixed R@10",
        "label_transfer": "label transfer",
    }
    rows = []
    for name in SETS:
        for effect, changes in results.get(name, {}).get("effects", {}).items():
            rows.append([name, effect, *(lead(changes[key]) if key in changes else "–" for key in keys)])
    return table(["set", "part", *keys.values()], rows, 2)


def claims(found: dict[str, Any]) -> str:
    """Claim by claim."""
    rows = [[c["claim"], c["paper"], c["ours"], c["verdict"], c["reason"]] for c in found["claims"]]
    return table(["claim", "paper", "here", "reproduced", "remarks"], rows, 5)


def on_held_out(found: dict[str, Any]) -> str:
    """The paper's table of alignments, as measured here."""
    keys = (
        "centroid_gap",
        "target_penetration",
        "target_coverage",
        "instance_consistency",
        "geometry_consistency",
        "neighbour_consistency",
        "uncentered_residual_anisotropy",
        "mixed_recall_at_10",
        "label_transfer",
    )
    rows = [
        [name, *(number(scores.get(key, [None])[0], 1 if key.startswith("unc") else 3) for key in keys)]
        for name, scores in found["methods"].items()
    ]
    return table(
        [
            "method",
            "Δμ",
            "penetration",
            "coverage",
            "Φ",
            "Ψ",
            "Ω",
            "residual anisotropy",
            "mixed R@10",
            "label transfer",
        ],
        rows,
    )


def sensitivity(found: dict[str, Any], which: str) -> str:
    """Lowest and highest Ψ and closed share over all values of each parameter, and the largest noise among these."""
    rows = []
    for name, result in found[which].items():
        dials = {f"{name}, {dial}": result[dial] for dial in ("strength 0.5", "strength 1") if dial in result}
        for where, parameters in (dials or {name: result}).items():
            for parameter, values in parameters.items():
                if not isinstance(values, dict):
                    continue
                cells = []
                for key in ("geometry_consistency", "target_coverage", "closed"):
                    seen = [v[key] for v in values.values() if key in v]
                    noise = [v[f"{key} ±"] for v in values.values() if f"{key} ±" in v]
                    cells.append(f"{number(min(seen))} – {number(max(seen))}" if seen else "–")
                    cells[-1] += f" ± {number(max(noise))}" if noise else ""
                rows.append([where, f"`{parameter}`", ", ".join(values), *cells])
    return table(["set", "parameter", "values", "Ψ", "coverage", "closed"], rows, 3)


def sizes(found: dict[str, Any]) -> str:
    """Rows a side, and rows of the target alone."""
    rows = []
    for kind, by_size in found["by_rows"].items():
        for size, methods in by_size.items():
            cells = [kind, f"{int(size):,}"]
            for name in ("realign", "transport t=0.5", "aniso-align t=0.5", "aniso-align t=1", "paper"):
                one = methods[name]
                cells.append(
                    f"{number(one['geometry_consistency'], 3)} · {number(one['target_penetration'])} / "
                    f"{number(one['target_coverage'])} · {number(one.get('label_transfer'), 3)}"
                )
            rows.append(cells)
    head = ["few rows", "rows", "ReAlign", "transport t=0.5", "AnisoAlign t=0.5", "AnisoAlign t=1", "paper()"]
    return table(head, rows, 2)


def cost(found: dict[str, Any]) -> str:
    """Seconds and peak memory of fits."""
    rows = [
        [c["preset"], f"{c['rows']:,}", str(c["dim"]), str(c["rank"]), number(c["seconds"], 1), f"{c['megabytes']:,}"]
        for c in found["cost"]
    ]
    return table(["preset", "rows a side", "d", "rank", "seconds", "MB beyond the rows"], rows)


def tables() -> dict[str, str]:
    """All tables by name."""
    curves, parts, paper = load("anisoalign_curves"), load("anisoalign_ablation"), load("paper_claims")
    made = {
        "rotated": rotated(curves),
        "dial": points(curves["fashion_clip"]),
        "areas": areas(curves),
        "floors": floors(curves, "fashion_clip"),
        "strengths": strengths(curves),
        "few rows": few_rows(load("few_rows")),
        "ablation world": ablation(parts["world"]),
        "ablation fashion_clip": ablation(parts["fashion_clip"]),
        "effects": effects(parts),
        "claims": claims(paper),
        "held out": on_held_out(paper),
    }
    if not (HERE / "anisoalign_sensitivity.json").is_file():
        return made
    found = load("anisoalign_sensitivity")
    return made | {
        "around default": sensitivity(found, "around_default"),
        "around paper": sensitivity(found, "around_paper"),
        "sizes": sizes(found),
        "cost": cost(found),
    }


def filled(page: str, made: Mapping[str, str]) -> str:
    """A page with every table replaced by that of its name.

    Raises
    ------
    KeyError
        If the page names a table there is not.
    """
    pattern = re.compile(r"(<!-- table (.+?) -->\n).*?(<!-- end -->)", re.DOTALL)
    return pattern.sub(lambda m: f"{m[1]}\n{made[m[2]]}\n\n{m[3]}", page)


if __name__ == "__main__":
    from protocol import parser  # here, since a test loads this file from elsewhere

    parser(__doc__).parse_args()
    PAGE.write_text(filled(PAGE.read_text(), tables()))
