"""Parameters of AnisoAlign: what they may be, and what the stages make of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from anisoalign.aligners.anisoalign.losses import SUPPORT_LOSSES
from anisoalign.aligners.anisoalign.polar_stage import PolarSettings
from anisoalign.aligners.anisoalign.readers import idle_parameters, unread
from anisoalign.aligners.anisoalign.refinement import Bounds
from anisoalign.aligners.anisoalign.rotation import ROTATIONS
from anisoalign.aligners.anisoalign.score_prior import PriorSettings
from anisoalign.aligners.parameters import FRAMES, at_least, in_unit_interval, is_number, one_of
from anisoalign.aligners.shrinking import check_shrinkage
from anisoalign.devices import find_device
from anisoalign.embeddings import InputError
from anisoalign.geometry.frame import resolve_rank

LOSSES = ("prior", "phase", "support", "structure")
TERMS = ("init", "guide", "refine", *LOSSES)
LARGEST_SEED = 2**63 - 1
_CHOICES = {
    "rotation": ROTATIONS,
    "initial": ("transport", "radial"),
    "mixing": ("identity", "haar", "learned"),
    "centre": ("origin", "mean"),
    "complement": ("relative", "coordinate"),
    "support": SUPPORT_LOSSES,
    "frame": FRAMES,
}


def parse_terms(terms: str) -> set[str]:
    """Terms of "init+refine+prior".

    Raises
    ------
    ValueError
        If one is unknown, or a loss is named without "refine", which it would train.

    Examples
    --------
    >>> sorted(parse_terms("init+guide"))
    ['guide', 'init']
    """
    named = {part.strip() for part in terms.split("+")} if isinstance(terms, str) else {repr(terms)}
    unknown = sorted(named - set(TERMS))
    if unknown:
        raise ValueError(f"terms has no part {', '.join(unknown)}; its parts are {', '.join(TERMS)}")
    if named & set(LOSSES) and "refine" not in named:
        raise ValueError(f"terms names no refine for the loss of {', '.join(sorted(named & set(LOSSES)))} to train")
    return named


def has_polar(model: Any) -> bool:
    """Whether a stage in polar blocks is among the parts, as it is where the initialisation is radial."""
    return model.initial == "radial" or "refine" in parse_terms(model.terms)


def check_settings(model: Any) -> None:
    """Raise ValueError for a parameter out of range, or a device that is not there, before any work."""
    check_values(model)
    _check_device(model.device)


def check_values(model: Any) -> None:
    """Raise ValueError for a parameter out of range; the device is one of the machine of the fit."""
    parse_terms(model.terms)
    for name, allowed in _CHOICES.items():
        one_of(name, getattr(model, name), allowed)
    if model.strength != "auto":
        if isinstance(model.strength, str):
            raise ValueError(f"strength must lie in [0, 1] or be 'auto', not {model.strength!r}")
        in_unit_interval("strength", model.strength)
    resolve_rank(np.ones(1), model.rank)
    for name in ("shrinkage", "guide_shrinkage"):
        check_shrinkage(getattr(model, name), name)
    for name in ("initial_strength", "restore_strength", "guide_step", "guide_bound", "neighbours", "balance"):
        in_unit_interval(name, getattr(model, name))
    if model.guide_bound == 0 or model.neighbours == 0:
        raise ValueError("guide_bound and neighbours must be above 0; leave guide out of terms to go without it")
    for name, word in (
        *((name, "") for name in ("phase_bound", "radius_bound", "complement_bound")),
        ("drift_step", "auto"),
        ("phase_weight", "source"),
    ):
        value = getattr(model, name)
        if (value != word or not word) and not (is_number(value) and value >= 0):
            words = f" or {word!r}" if word else ""
            raise ValueError(f"{name} must be a number of at least 0{words}, not {value!r}")
    if not (is_number(model.noise) and model.noise > PriorSettings.noise_low):
        raise ValueError(f"noise must be a number above {PriorSettings.noise_low}, not {model.noise!r}")
    for name in ("centred_coupling", "degree_normalised", "force"):
        if not isinstance(getattr(model, name), bool | np.bool_):
            raise ValueError(f"{name} must be True or False, not {getattr(model, name)!r}")
    for name, least in (("edges", 1), ("prior_steps", 1), ("refine_steps", 1), ("fit_rows", 2), ("seed", 0)):
        at_least(name, getattr(model, name), least)
    if model.seed > LARGEST_SEED:
        raise ValueError(f"seed must be below 2**63, which generators take, not {model.seed!r}")


def unread_settings(model: Any) -> list[str]:
    """A sentence for each parameter that was changed and that no part of a fit will read."""
    idle = idle_parameters(parse_terms(model.terms), model.initial, model.rotation)
    return unread(model.get_params(), _usual(model), idle)


def _usual(model: Any) -> list[dict[str, Any]]:
    """Values nobody chose: the defaults, and those of a preset that begins as the model does, which come along."""
    presets = [values for values in model.presets.values() if values["initial"] == model.initial]
    return [type(model)().get_params(), *presets]


def _check_device(device: Any) -> None:
    """Refused as other parameters are: by an error of the programmer's, not of the input's."""
    try:
        find_device(device)
    except InputError as error:
        raise ValueError(str(error)) from error


def polar_settings(model: Any) -> PolarSettings:
    """What Stages I and II are told."""
    terms = parse_terms(model.terms)
    return PolarSettings(
        losses=tuple(term for term in LOSSES if term in terms),
        refine="refine" in terms,
        centre=model.centre,
        bounds=Bounds(model.phase_bound, model.radius_bound, model.complement_bound, model.complement == "coordinate"),
        neighbours=int(model.edges),
        centred_coupling=bool(model.centred_coupling),
        degree_normalised=bool(model.degree_normalised),
        prior=PriorSettings(noise_high=model.noise, steps=int(model.prior_steps)),
        drift_step=model.drift_step,
        phase_weight=model.phase_weight,
        support=model.support,
        steps=int(model.refine_steps),
    )
