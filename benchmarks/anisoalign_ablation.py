"""Which part of AnisoAlign does what: the ablation of the paper's Table 4 in terms of geometry, and ours.

    python benchmarks/anisoalign_ablation.py

The paper trained a language model on each variant; here each is measured as an alignment, on disjoint rows. Variants
are given as `anisoalign compare --method` takes them. All at full strength unless a strength is named, so that rows
differ in one part only. Writes anisoalign_ablation.json.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from anisoalign.aligners.registry import parse_method
from protocol import Part, Table, mean_and_error, parser, quiet, real, say, transforming, world, write

PAPER = {
    "initialisation": "aniso-align:paper,terms=init",
    "+ refinement": "aniso-align:paper,terms=init+refine",
    "+ refinement, prior loss": "aniso-align:paper,terms=init+refine+prior",
    "+ refinement, phase loss": "aniso-align:paper,terms=init+refine+phase",
    "+ refinement, both (paper)": "aniso-align:paper",
    "+ refinement, support loss": "aniso-align:paper,terms=init+refine+support",
    "same, relative bound in V": "aniso-align:paper,terms=init+refine+support,complement=relative",
}
OURS = {
    "means turned": "aniso-align:rotation=means,strength=0.2",
    "rotation": "aniso-align:strength=0.2",
    "means turned, transport": "aniso-align:rotation=means,strength=0.5",
    "rotation, transport": "aniso-align:strength=0.5",
    "rotation, guide": "aniso-align:terms=guide,strength=1.0",
    "means turned, transport, guide": "aniso-align:rotation=means,strength=1.0",
    "rotation, transport, guide": "aniso-align:strength=1.0",
    "same, strength by itself (default)": "aniso-align",
    "rotation, transport, refinement (support, structure)": (
        "aniso-align:terms=init+refine+support+structure,strength=1.0"
    ),
    "all parts": "aniso-align:terms=init+guide+refine+support+structure,strength=1.0",
}
WEIGHTY = ("geometry_consistency", "target_penetration", "target_coverage", "mixed_recall_at_10", "label_transfer")


def measure(parts: Iterable[Part]) -> tuple[Table, dict[str, Any]]:
    """All variants on every repeat, and how far the refinement's prior beats the best score without a network."""
    table, notes = Table(), []
    for part in parts:
        maps = {"realign": transforming(parse_method("realign").fit(part.fit_y, part.fit_x))}
        for name, spec in {**PAPER, **OURS}.items():
            model: Any = parse_method(spec).fit(part.fit_y, part.fit_x)
            maps[name] = transforming(model)
            if spec == "aniso-align:paper":
                found = model.polar_config_["notes"]
                held = min(loss for _, loss in found["prior_held_out"])
                notes.append([held, found["prior_without_network"], float(np.degrees(model.bound_)), model.rank_])
        table.add(part, maps)
    held, without, bound, rank = np.array(notes).T if notes else np.zeros((4, 0))
    return table, {
        "prior_held_out_loss": mean_and_error(held),
        "prior_loss_without_network": mean_and_error(without),
        "paper_bound_degrees": mean_and_error(bound),
        "paper_rank": mean_and_error(rank),
    } if notes else {}


def effects(table: Table) -> dict[str, Any]:
    """Paired differences that single parts make."""
    pairs = {
        "refinement without a loss": ("initialisation", "+ refinement"),
        "phase loss alone": ("initialisation", "+ refinement, phase loss"),
        "prior loss": ("initialisation", "+ refinement, prior loss"),
        "support loss": ("initialisation", "same, relative bound in V"),
        "phase loss beside the prior": ("+ refinement, prior loss", "+ refinement, both (paper)"),
        "rotation beyond the means": ("means turned", "rotation"),
        "the same before the transport": ("means turned, transport", "rotation, transport"),
        "transport": ("rotation", "rotation, transport"),
        "guide": ("rotation, transport", "rotation, transport, guide"),
        "refinement after the guide": ("rotation, transport, guide", "all parts"),
    }
    keys = [key for key in (*WEIGHTY, "closed") if table.has(key)]
    return {
        effect: {key: mean_and_error(table.values(after, key) - table.values(before, key)) for key in keys}
        for effect, (before, after) in pairs.items()
    }


def main() -> None:
    parser(__doc__).parse_args()
    quiet()
    sets: dict[str, Iterable[Part]] = {
        "world": world(5, 3_000),
        "fashion_clip": real("fashion_clip", 5),
        "coco_clip": real("coco_clip", 5),
        "esc50_clap": real("esc50_clap", 3),
    }
    results: dict[str, Any] = {"specs": {**PAPER, **OURS}}
    for name, parts in sets.items():
        table, prior = measure(parts)
        if table.repeats:
            results[name] = {
                **table.protocol,
                "methods": table.records(),
                "effects": effects(table),
                "stage_one": prior,
            }
            say(f"{name}: {table.repeats} repeats")
    write("anisoalign_ablation", results)


if __name__ == "__main__":
    main()
