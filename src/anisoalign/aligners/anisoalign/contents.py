"""What a fitted AnisoAlign holds, by its parameters: which parts it has, and of what size they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from anisoalign.aligners.anisoalign.polar_stage import PolarSettings, held_arrays
from anisoalign.aligners.anisoalign.rotation import ROTATIONS
from anisoalign.aligners.anisoalign.settings import parse_terms, polar_settings
from anisoalign.aligners.anisoalign.strength import NODES, is_curve
from anisoalign.aligners.constant import SIDES
from anisoalign.aligners.contents import ENERGY, ORIGINS, Shape, Value, number, whole

if TYPE_CHECKING:
    from anisoalign.aligners.anisoalign.aligner import AnisoAlign


def anisoalign_values(model: AnisoAlign) -> dict[str, Value]:
    """Fitted values that are no arrays, by name."""
    fixed = ROTATIONS if model.rotation == "auto" else (model.rotation,)
    likely = Value("null or a p-value", lambda found: found is None or number(0, 1).fits(found))
    curve = Value("null or the curve that a strength was chosen from", lambda found: found is None or is_curve(found))
    return {
        "n_features_in_": whole(1),
        "provenance_": ORIGINS,
        "constant_sides_": SIDES,
        "rotation_": Value(f"one of {', '.join(fixed)}", lambda found: found in fixed and found != "auto"),
        "rank_": whole(0),
        "strength_": number(0, 1),
        "strength_curve_": curve,
        "source_energy_": ENERGY,
        "source_dimension_": number(0),
        "whole_bound_": number(0),
        "overlap_p_": likely,
        "polar_config_": _polar_config(model),
    }


def _polar_config(model: AnisoAlign) -> Value:
    """The settings and notes of the stages in polar blocks, where there are any."""
    if not _has_stage(model):
        return Value("null: the parameters name no stage in polar blocks", lambda found: found is None)
    wanted = polar_settings(model)
    return Value("what the parameters ask of the stages in polar blocks", lambda found: _agrees(found, wanted))


def _has_stage(model: AnisoAlign) -> bool:
    terms = parse_terms(model.terms)
    return "refine" in terms or (model.initial == "radial" and "init" in terms)


def _agrees(found: Any, wanted: PolarSettings) -> bool:
    """Whether the map is as the parameters want it; what training alone reads may be anything."""
    try:
        settings, notes = PolarSettings.read(found["settings"]), found["notes"]
    except (KeyError, TypeError, ValueError):
        return False
    return isinstance(notes, dict) and settings.of_the_map == wanted.of_the_map


def anisoalign_arrays(model: AnisoAlign) -> dict[str, Shape]:
    """Fitted arrays, by name, once the values are known."""
    d = model.n_features_in_
    terms, radial = parse_terms(model.terms), model.initial == "radial"
    held: dict[str, Shape] = {
        **dict.fromkeys(("target_mean_", "calibration_mean_", "start_source_mean_", "start_target_mean_"), (d,)),
        "calibration_means_": (len(NODES), d),
        "start_scale_": (),
    }
    parts = {
        "rotated": not radial and model.rotation_ != "none",
        "transported": not radial and ("init" in terms or "guide" not in terms),
        "initial": not radial and "guide" in terms,
        "guide": "guide" in terms,
        "restore": "guide" in terms,
    }
    for name in [name for name, there in parts.items() if there]:
        held |= {f"{name}_weight_": (d, d), f"{name}_bias_": (d,)}
        if name in ("transported", "initial"):
            held[f"{name}_shift_"] = (d,)
    if "guide" in terms:
        held["guide_limits_"] = (2,)
    if _has_stage(model):
        settings = polar_settings(model)
        held |= {f"polar_{name}_": shape for name, shape in held_arrays(settings, d, model.rank_, radial).items()}
    return held
