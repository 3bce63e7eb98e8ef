"""Tables and figure of docs/study.md, from benchmarks/study.json.

    make study                                            # writes study/study.json
    python benchmarks/study_page.py --take study/study.json   # replaces benchmarks/study.json by it
    python benchmarks/study_page.py

A table stands between `<!-- table NAME -->` and `<!-- end -->`; this script replaces what is between. A test checks
that nothing would change.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

from anisoalign.mllm.study.rows import ABLATION, SCALING, TABLES, TEXT_ONLY
from anisoalign.mllm.study.tables import claims_table, forms_table, table
from anisoalign_tables import filled

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "study.md"
FIGURE = HERE.parent / "docs" / "figures" / "study.png"
RESULTS = HERE / "study.json"
SHOWN = ("blind", "raw", "mean-shift", "realign", "transport", "paper", "default", "image", "image-told")
"""Rows whose single forms are shown."""


def load() -> dict[str, Any]:
    """The results."""
    return json.loads(RESULTS.read_text(encoding="utf-8"))


def facts(found: dict[str, Any]) -> str:
    """Sizes and spread in one paragraph."""
    sizes, language = found["settings"]["sizes"], found["language"]
    accuracy = language["accuracy_in_words"].values()
    return (
        f"World seeds {', '.join(map(str, found['seeds']))}; {sizes['fitted']:,} images and {sizes['texts']:,} texts "
        f"to fit on; as many captions and about {sizes['per_scene'] * sizes['texts']:,} questions to learn from at ×1; "
        f"{sizes['tuned']:,} real images to tune on; {sizes['per_form']} tested questions of each form. The "
        f"language model has {language['parameters']:,} parameters and answers "
        f"{100 * sum(accuracy) / len(accuracy):.1f} % of questions from a description in words. The "
        f"{found['runs']} runs that the tables hold took {found['cpu_minutes']:.0f} minutes of one core."
    )


def tables() -> dict[str, str]:
    """All that stands between marks, by name."""
    found = load()
    return {
        "facts": facts(found),
        **{name: table(found, name) for name in TABLES},
        "claims": claims_table(found),
        "forms": forms_table(found, SHOWN),
    }


def draw() -> None:
    """Average accuracy of the rows of Tables 1, 2 and 4, with standard errors."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    found = load()
    parts = {
        "Text alone": [row.key for row in TEXT_ONLY],
        "Parts of the published method": [*(row.key for row in ABLATION), "paper"],
        "More text": [
            "realign",
            *(row.key for row in SCALING[:2]),
            "default",
            *(row.key for row in SCALING[2:]),
            "image",
        ],
    }
    entries = {entry["key"]: entry for entries in found["tables"].values() for entry in entries}
    names = {"realign": "ReAlign, text ×1", "default": "AnisoAlign, default, text ×1"}
    figure, axes = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
    for axis, (title, keys) in zip(axes, parts.items(), strict=True):
        shown = [entries[key] for key in keys if entries[key]["runs"]]
        if not shown:
            continue
        labels = [names.get(e["key"], e["row"]) if title == "More text" else e["row"] for e in shown]
        means = [100 * e["average"][0] for e in shown]
        colours = ["#4c72b0" if not e["key"].startswith("image") else "#8c8c8c" for e in shown]
        errors = [100 * (e["average"][1] or 0) for e in shown]
        axis.barh(labels, means, xerr=errors, color=colours, height=0.65, error_kw={"linewidth": 1})
        for place, (mean, error) in enumerate(zip(means, errors, strict=True)):
            axis.text(mean + error + 0.3, place, f"{mean:.1f}", va="center", fontsize=8)
        axis.invert_yaxis()
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("mean of the three groups, %", fontsize=9)
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
        low = min(means) - 3
        axis.set_xlim(low, max(means) + 4)
    figure.savefig(FIGURE, dpi=80, metadata={"Software": None})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--take", type=Path, metavar="JSON", help="results of another run of the study")
    given = parser.parse_args().take
    if given is not None:
        shutil.copyfile(given, RESULTS)
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), tables()), encoding="utf-8")
    draw()
