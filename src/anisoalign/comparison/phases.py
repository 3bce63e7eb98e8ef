"""Where rows sit on the phases that a prior of targets knows: anchors, couplings, before and after."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from anisoalign.aligners import AnisoAlign
from anisoalign.aligners.anisoalign.polar_stage import PolarStage
from anisoalign.aligners.anisoalign.potential import PhasePotential, build_potential
from anisoalign.geometry import joint_frame
from anisoalign.geometry.polar import to_polar
from anisoalign.statistics import Moments
from anisoalign.statistics.phases import PhaseStatistics

BLOCKS = 24
"""Blocks shown, those with the most of the target's energy first."""
COUPLINGS = 40
_RANK = 0.9
_EDGES = 4


def phase_view(
    source: Float[np.ndarray, "m d"],
    target: Float[np.ndarray, "n d"],
    aligned: Float[np.ndarray, "m d"],
    model: Any = None,
) -> dict[str, Any] | None:
    """Target phases block by block as the prior of Stage I sees them, and where sources and aligned rows point.

    In the frame of the model's polar stage where it has one; otherwise in the joint frame of the two sets about the
    origin, with centred couplings.

    Returns
    -------
    dict or None
        ``polar_stage`` says whether the frame is the model's own. ``blocks`` is a list, heaviest first, of number,
        weight α and, for target, source and aligned rows, the mean direction (radians) and its length in [0, 1].
        ``couplings`` lists [k, l, A, η] between these blocks, strongest first. ``potential_source``, `…_aligned` and
        `…_target` are mean potentials Ψ; the target's own is what an aligned set should come to. None for rows of one
        dimension.
    """
    if target.shape[1] < 2:
        return None
    stage = model.correction().polar if isinstance(model, AnisoAlign) else None
    basis, centre = _frame(source, target, stage)
    phases = {
        name: _polar(rows, basis, centre)
        for name, rows in (("target", target), ("source", source), ("aligned", aligned))
    }
    stats = {name: PhaseStatistics.empty(basis.shape[1] // 2).update(*polar) for name, polar in phases.items()}
    potential = _potential(stats["target"], stage)
    chosen = np.argsort(-stats["target"].weight, kind="stable")[:BLOCKS].tolist()
    view: dict[str, Any] = {
        "polar_stage": stage is not None,
        "number_of_blocks": len(stats["target"].weight),
        "blocks": [_block(k, stats) for k in chosen],
        "couplings": _couplings(potential, chosen),
    }
    for name, (_, phase) in phases.items():
        view[f"potential_{name}"] = round(float(potential(phase).mean()), 4)
    for name in ("source", "aligned"):
        off = np.abs(np.angle(stats[name].mean * stats["target"].mean.conj()))
        view[f"offset_{name}"] = round(float(stats["target"].weight @ off), 4)
    return view


def _frame(source: np.ndarray, target: np.ndarray, stage: PolarStage | None) -> tuple[np.ndarray, np.ndarray]:
    if stage is not None:
        return stage.basis.double().numpy(), stage.centre.double().numpy()
    y, x = (Moments.empty(rows.shape[1]).update(np.asarray(rows, np.float64)) for rows in (source, target))
    basis = joint_frame(x.covariance, y.covariance, rank=_RANK).basis
    even = max(2, basis.shape[1] // 2 * 2)
    return joint_frame(x.covariance, y.covariance, rank=even).basis, np.zeros(target.shape[1])


def _polar(rows: np.ndarray, basis: np.ndarray, centre: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    return to_polar(torch.from_numpy((np.asarray(rows, np.float64) - centre) @ basis))


def _potential(stats: PhaseStatistics, stage: PolarStage | None) -> PhasePotential:
    if stage is None:
        return build_potential(stats, _EDGES, centred=True, degree_normalised=False)
    settings = stage.settings
    return build_potential(stats, settings.neighbours, settings.centred_coupling, settings.degree_normalised)


def _block(k: int, stats: dict[str, PhaseStatistics]) -> dict[str, Any]:
    found: dict[str, Any] = {"block": k, "weight": round(float(stats["target"].weight[k]), 5)}
    for name, seen in stats.items():
        found[f"{name}_phase"] = round(float(np.angle(seen.mean[k])), 4)
        found[f"{name}_length"] = round(float(np.abs(seen.mean[k])), 4)
    return found


def _couplings(potential: PhasePotential, chosen: list[int]) -> list[list[float]]:
    pairs, strengths, offsets = potential.edges.tolist(), potential.strength.tolist(), potential.offset.tolist()
    found = [
        [*pair, round(strength, 4), round(offset, 4)]
        for pair, strength, offset in zip(pairs, strengths, offsets, strict=True)
        if set(pair) <= set(chosen)
    ]
    return sorted(found, key=lambda edge: (-edge[2], edge[:2]))[:COUPLINGS]
