"""What a fitted AnisoAlign says of itself, in sentences."""

from __future__ import annotations

import math
from typing import Any

from anisoalign.aligners.anisoalign.path import ROTATED
from anisoalign.aligners.anisoalign.premise import SIGNIFICANT
from anisoalign.aligners.anisoalign.strength import FEWEST, TRANSPORTED, WORTH

SIMPLE = ("mean-shift", "realign", "gaussian-transport", "aniso-align")
"""The simplest first."""


def of_strength(model: Any) -> list[str]:
    """The strength in use, how far the rotation is made, and what the strength was chosen by."""
    given = model.fitted_with
    turns = model.correction().rotated is not None
    turned = min(1.0, model.strength_ / ROTATED) if turns else 0.0
    found = [f"strength {model.strength_:g} of the correction; the rotation is {turned:.0%} made"]
    if given["rotation"] == "auto" and given["initial"] != "radial" and not turns:
        found.append("no rotation: held-out sources come nearer to targets by a translation")
    curve = model.strength_curve_
    if curve is None and given["strength"] == "auto":
        found.append(f"not chosen: fewer than {FEWEST} different rows of a set are too few to hold any out")
    if curve is None or model.strength_ not in curve["strengths"]:
        return found
    kept, reached = curve["geometry_consistency"], curve["target_reached"]
    at = curve["strengths"].index(model.strength_)
    if given["strength"] == "auto":
        found.append(
            f"chosen on {_held_out(curve)}: geometry kept {kept[at]:.2f}, target reached {reached[at]:.2f} "
            f"(ReAlign: {kept[0]:.2f}, {reached[0]:.2f})"
        )
        found.append(recommendation(curve, at))
    return found


def _held_out(curve: dict[str, Any]) -> str:
    """The rows that the strength was chosen on, in words."""
    repeated = curve.get("repeated_sources", 0)
    if not repeated:
        return "held-out rows"
    return f"held-out rows of only {curve['sources'] - repeated:,} different sources, copies of which were fitted on"


def recommendation(curve: dict[str, Any], at: int) -> str:
    """The method whose balance of geometry kept and target reached is best; a simpler one where little lies between.

    None where most sources repeat, since the target reached is told by neighbours.
    """
    repeated = curve.get("repeated_sources", 0)  # models that were saved before it was kept have none
    if repeated:
        return (
            f"no method is recommended here: {repeated:,} of {curve['sources']:,} sources repeat another, and among "
            "copies mixing hardly tells one method from another; compare with labels tells by label transfer"
        )
    scores = {**curve["rivals"], "realign": curve["score"][0]}
    if at > 0:
        scores["aniso-align"] = curve["score"][at]
    best = max(scores.values())
    simplest = next(name for name in SIMPLE if scores.get(name, 0.0) >= best - WORTH)
    said = ", ".join(f"{_spelt(name)} {scores[name]:.2f}" for name in SIMPLE if name in scores)
    return f"recommended here: {_spelt(simplest)}, by the harmonic mean of both, at best 1: {said}"


def _spelt(name: str) -> str:
    """A method as the command line takes it, at the strength that was scored."""
    return f"{name}:strength={TRANSPORTED:g}" if name == "gaussian-transport" else name


def of_premise(model: Any) -> list[str]:
    """Whether the sets share leading directions."""
    p = model.overlap_p_
    if p is None:
        return []
    if p > SIGNIFICANT:
        return [f"premise not met: leading directions shared no more than by chance, permutation p = {p:.3f}; forced"]
    return [f"premise: leading directions shared beyond chance, permutation p = {p:.3f}"]


def of_bounds(model: Any) -> list[str]:
    """The guarantee, what the refinement made of it, and whether the drift may overshoot."""
    if not model.correction().acts_at(model.strength_):
        return ["guarantee: the bounded parts (guided step, refinement) have no part in a row at this strength"]
    found = ["guarantee: none, phase_bound and complement_bound are too wide for these rows"]
    if model.bound_ < math.pi:
        found = [
            f"guarantee: of the sources looked at, the bounded parts turn none by more than "
            f"{math.degrees(model.bound_):.1f} degrees; transform(..., return_bound=True) gives each row's limit"
        ]
    about = {} if model.polar_config_ is None else model.polar_config_["notes"]
    if "realised_degrees" in about:
        (mean, most), (moved, furthest) = about["realised_degrees"], about["realised_complement_move"]
        found.append(
            f"realised: the refinement turned fitted sources by {mean:.1f} degrees on average and {most:.1f} at most, "
            f"and moved their part in V by {moved:.2g} and {furthest:.2g}"
        )
    sure = 1 / about["drift_lipschitz"] if about.get("drift_lipschitz") else math.inf
    if "prior" in model.fitted_with["terms"] and about.get("drift_step", 0.0) > sure:
        found.append(
            f"drift_step {about['drift_step']:g} is above 1/L = {sure:.2g}, up to which the drift is sure not to "
            "overshoot; drift_step='auto' takes that"
        )
    return found


def of_prior(model: Any) -> list[str]:
    """Where the prior knows no more of held-out targets than a score without a network does, within two errors."""
    about = {} if model.polar_config_ is None else model.polar_config_["notes"]
    if "prior_without_network" not in about:
        return []
    learned, without = min(loss for _, loss in about["prior_held_out"]), about["prior_without_network"]
    noise = 2 * (about.get("prior_lead_error") or 0.0)  # models that were saved before it was kept have none
    if without - learned > noise:
        return []
    return [
        f"prior: learned nothing beyond a score without a network: loss {learned:.3f} on held-out targets, "
        f"{without:.3f} without one, noise of the difference {noise:.3f}; more targets or prior_steps may help"
    ]
