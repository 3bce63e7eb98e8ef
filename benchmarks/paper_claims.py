"""The paper's claims one by one, on the embedded world: `AnisoAlign.paper()` against C3 and ReAlign.

    python benchmarks/paper_claims.py             # measures, two draws of scenes; writes paper_claims.json
    python benchmarks/paper_claims.py --judge     # only the verdicts again, from the figures that are there

20,000 images and 20,000 texts of other scenes are fitted, unpaired; 10,000 pairs of yet other scenes are measured,
k = 20, as in the paper, whose encoder (LLM2CLIP-Openai-L-14-336, d = 1280) and pictures are not ours: orders can be
compared, digits cannot.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

import anisoalign as aa
from anisoalign.aligners.registry import parse_method
from anisoalign.diagnostics.alignment import geometry_consistency
from anisoalign.geometry.rotation import turn_between
from protocol import HERE, SCENES, mean_and_error, parser, part_of, quiet, say, scores, transforming, world_rows, write

ROWS = 50_000
DRAWS = 2
METHODS = {
    "raw text": "identity",
    "C3": "c3",
    "ReAlign": "realign",
    "AnisoAlign.paper()": "aniso-align:paper",
    "its initialisation": "aniso-align:paper,terms=init",
    "AnisoAlign()": "aniso-align",
    "random target": "random-target",
}
OURS, FIRST, RANDOM = "AnisoAlign.paper()", "its initialisation", "random target"
PSI = "geometry_consistency"
ANISOTROPY = "uncentered_residual_anisotropy"
PRINTED = {
    "raw text": {
        "centroid_gap": 0.393,
        "instance_consistency": 1,
        "geometry_consistency": 1,
        "neighbour_consistency": 1,
    },
    "C3": {
        "centroid_gap": 0.276,
        "target_penetration": 0.410,
        "target_coverage": 0.075,
        "instance_consistency": 0.899,
        "geometry_consistency": 0.925,
        "neighbour_consistency": 0.840,
    },
    "ReAlign": {
        "centroid_gap": 0.012,
        "target_penetration": 0.357,
        "target_coverage": 0.305,
        "instance_consistency": 0.923,
        "geometry_consistency": 0.836,
    },
    "AnisoAlign.paper()": {
        "centroid_gap": 0.012,
        "target_penetration": 0.372,
        "target_coverage": 0.337,
        "instance_consistency": 0.941,
        "geometry_consistency": 0.983,
        "neighbour_consistency": 0.945,
    },
}
"""The paper's table, held-out pairs."""


def draw(number: int) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    """Metrics of every method and the gap itself, on one draw of scenes."""
    y, x, labels = world_rows(ROWS, SCENES + 100 + number)
    y, x = y.astype(np.float32), x.astype(np.float32)
    part = part_of(y, x, labels, seed=number)
    report = aa.diagnose(y, x, paired=True).to_dict()
    gap = {key: float(value) for key, value in report.items() if isinstance(value, float)}
    turn = turn_between(part.fit_y.mean(axis=0), part.fit_x.mean(axis=0)).T
    turned = transforming(aa.ReAlign().fit(part.fit_y @ turn, part.fit_x))(part.test_y @ turn)
    gap["turned_realign_geometry_consistency"] = geometry_consistency(part.test_y, turned, number)
    found = {}
    for name, spec in METHODS.items():
        model: Any = parse_method(spec).fit(part.fit_y, part.fit_x)
        found[name] = scores(part, lambda rows, model=model: model.transform(rows, dtype="float32"))
        if name == "AnisoAlign.paper()":
            notes = model.polar_config_["notes"]
            gap["prior_held_out_loss"] = min(loss for _, loss in notes["prior_held_out"])
            gap["prior_loss_without_network"] = notes["prior_without_network"]
            gap["bound_degrees"] = float(np.degrees(model.bound_))
            gap["rank"] = float(model.rank_)
        say(f"draw {number}: {name}")
    return found, gap


def judge(gap: dict[str, list[float]], methods: dict[str, dict[str, list[float]]]) -> list[dict[str, str]]:
    """Each claim with the paper's figure, ours, a verdict by a stated rule, and what was found about it."""

    def of(method: str, key: str, digits: int = 3) -> str:
        return shown(methods[method][key][0], digits)

    def value(method: str, key: str) -> float:
        return methods[method][key][0]

    def about(key: str, digits: int = 3) -> str:
        return shown(gap[key][0], digits)

    def three(key: str) -> str:
        return f"C3 {of('C3', key)}, ReAlign {of('ReAlign', key)}, paper() {of(OURS, key)}"

    def best(key: str) -> bool:
        return value(OURS, key) > max(value("C3", key), value("ReAlign", key))

    penetration, coverage = "target_penetration", "target_coverage"

    def balance(method: str) -> float:
        pair = value(method, penetration), value(method, coverage)
        return min(pair) / max(pair)

    more = [value(OURS, key) > value("ReAlign", key) for key in (penetration, coverage)]
    wide = f"{about('covariance_gap', 2)} here against 0.066"
    judged = [
        (
            "spectra correlate",
            "0.845",
            about("spectral_correlation"),
            gap["spectral_correlation"][0] > 0.8,
            "weak evidence: unrelated sets correlate as well",
        ),
        (
            "leading subspaces overlap far above chance",
            "0.441, chance 0.100",
            f"{about('subspace_overlap')}, chance {about('subspace_overlap_chance')}, p {about('subspace_overlap_p')}",
            gap["subspace_overlap"][0] > 3 * gap["subspace_overlap_chance"][0],
            "",
        ),
        (
            "removing the mean difference leaves most of the distance",
            "0.89",
            about("residual_ratio", 2),
            gap["residual_ratio"][0] > 0.5,
            f"the means are further apart here ({about('centroid_gap', 2)} against 0.392) and take a larger share; "
            f"what is left is {about('centered_paired_distance', 2)} of {about('paired_distance', 2)}",
        ),
        (
            "what is left is anisotropic",
            "28.6",
            about("residual_anisotropy", 1),
            gap["residual_anisotropy"][0] > 5,
            f"{about('residual_coverage', 2)} of it lies in a fifth of the directions",
        ),
        (
            "and of low effective dimension",
            "0.284 d",
            f"{about('residual_effective_dimension')} d",
            gap["residual_effective_dimension"][0] < 0.5,
            "",
        ),
        (
            "centroid gap near zero after alignment",
            "0.012 (ReAlign 0.012, C3 0.276)",
            three("centroid_gap"),
            value(OURS, "centroid_gap") < 0.02 * gap["centroid_gap"][0],
            "",
        ),
        (
            "C3 enters the target but does not cover it",
            "0.410 / 0.075",
            f"{of('C3', penetration)} / {of('C3', coverage)}",
            value("C3", coverage) < value("C3", penetration) / 3,
            "",
        ),
        (
            "penetration and coverage balanced",
            "0.372 / 0.337",
            f"{of(OURS, penetration)} / {of(OURS, coverage)}",
            "yes" if balance(OURS) > 0.8 else "in part" if balance(OURS) > balance("ReAlign") else "no",
            f"the smaller is {shown(balance(OURS), 2)} of the larger, {shown(balance('ReAlign'), 2)} for ReAlign; "
            f"covariances differ far more (gap {wide}), which radii of blocks with phases kept cannot mend: a "
            "likely cause, not tested apart",
        ),
        (
            "and both above ReAlign",
            "0.357 / 0.305",
            f"{of('ReAlign', penetration)} / {of('ReAlign', coverage)}",
            "yes" if all(more) else "in part" if any(more) else "no",
            f"the prior asks for likely phases, no loss for rows that lie where targets lie; initialisation alone: "
            f"{of(FIRST, penetration)} / {of(FIRST, coverage)}; `AnisoAlign()`: "
            f"{of('AnisoAlign()', penetration)} / {of('AnisoAlign()', coverage)}",
        ),
        (
            "Φ above C3 and ReAlign",
            "0.941 (0.899, 0.923)",
            three("instance_consistency"),
            best("instance_consistency"),
            "the mean difference sets most of Φ for all; the refinement takes some of the rest "
            f"({of(FIRST, 'instance_consistency')} before it)",
        ),
        (
            "Ψ near one",
            "0.983",
            of(OURS, "geometry_consistency"),
            value(OURS, "geometry_consistency") > 0.95,
            "",
        ),
        (
            "Ψ above C3 and ReAlign",
            "0.983 (0.925, 0.836)",
            three("geometry_consistency"),
            best("geometry_consistency"),
            "ReAlign loses next to nothing here, so there is nothing to win back; the refinement moves phases and "
            f"costs Ψ ({of(FIRST, 'geometry_consistency')} before it). ReAlign after a turn of the means: "
            f"{about('turned_realign_geometry_consistency', 4)}",
        ),
        (
            "Ω above C3",
            "0.945 (0.840)",
            f"{of(OURS, 'neighbour_consistency')} (C3 {of('C3', 'neighbour_consistency')})",
            value(OURS, "neighbour_consistency") > value("C3", "neighbour_consistency"),
            f"ReAlign, for which the paper gives none, has {of('ReAlign', 'neighbour_consistency')}",
        ),
        (
            "what separates aligned rows from their own images is less anisotropic than after ReAlign",
            "no figure",
            f"ReAlign {of('ReAlign', ANISOTROPY, 1)}, paper() {of(OURS, ANISOTROPY, 1)}",
            value(OURS, ANISOTROPY) < value("ReAlign", ANISOTROPY),
            "slightly",
        ),
        (
            "the target's phases have structure that a network learns",
            "no figure",
            f"held-out loss {about('prior_held_out_loss')}, best score without a network "
            f"{about('prior_loss_without_network')}",
            gap["prior_held_out_loss"][0] < gap["prior_loss_without_network"][0],
            "",
        ),
        (
            "matching the distribution alone destroys meaning",
            "no figure",
            f"random targets: {of(RANDOM, penetration)} / {of(RANDOM, coverage)}, Ψ {of(RANDOM, PSI)}",
            value(RANDOM, penetration) > 0.9 and abs(value(RANDOM, "geometry_consistency")) < 0.05,
            "",
        ),
        (
            "a bounded refinement moves no row far",
            "no figure",
            f"{about('bound_degrees', 0)} degrees, which is no bound",
            gap["bound_degrees"][0] < 90,
            "a bound of αv on each of d coordinates allows a move of αv √d, longer than the row itself",
        ),
    ]
    return [
        {"claim": claim, "paper": paper, "ours": ours, "verdict": verdict(holds), "reason": found}
        for claim, paper, ours, holds, found in judged
    ]


def verdict(holds: bool | str) -> str:
    """A rule's answer in words."""
    return holds if isinstance(holds, str) else "yes" if holds else "no"


def shown(value: float, digits: int) -> str:
    """A number with a true minus sign, never minus nought."""
    return f"{value + 0.0:.{digits}f}".replace("-", "−")


def measured() -> dict[str, Any]:
    """All figures, means and standard errors over the draws."""
    draws = [draw(number) for number in range(DRAWS)]
    methods = {
        name: {key: mean_and_error(np.array([found[name][key] for found, _ in draws])) for key in draws[0][0][name]}
        for name in METHODS
    }
    gap = {key: mean_and_error(np.array([found[key] for _, found in draws])) for key in draws[0][1]}
    return {"rows": ROWS, "draws": DRAWS, "gap": gap, "methods": methods, "printed": PRINTED}


def main() -> None:
    given = parser(__doc__)
    given.add_argument("--judge", action="store_true", help="only the verdicts again, from the figures that are there")
    judged = given.parse_args().judge
    quiet()
    results = json.loads((HERE / "paper_claims.json").read_text()) if judged else measured()
    results["claims"] = judge(results["gap"], results["methods"])
    write("paper_claims", results)


if __name__ == "__main__":
    main()
