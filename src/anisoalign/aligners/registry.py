"""Methods by the names of the command line, and variants like `gaussian-transport:strength=0.5`."""

from __future__ import annotations

import ast
from typing import Any

from anisoalign.aligners.anisoalign.aligner import AnisoAlign
from anisoalign.aligners.base import Aligner
from anisoalign.aligners.blockwise_covariance import BlockwiseCovariance
from anisoalign.aligners.c3 import C3
from anisoalign.aligners.gaussian_transport import GaussianTransport
from anisoalign.aligners.identity import Identity
from anisoalign.aligners.mean_shift import MeanShift
from anisoalign.aligners.memory_projection import MemoryProjection
from anisoalign.aligners.random_target import RandomTarget
from anisoalign.aligners.realign import ReAlign
from anisoalign.aligners.standardize import Standardize
from anisoalign.aligners.whiten_color import WhitenColor
from anisoalign.embeddings import InputError
from anisoalign.embeddings.absent import did_you_mean

METHODS: dict[str, type[Aligner]] = {
    method.name: method
    for method in (
        Identity,
        MeanShift,
        C3,
        Standardize,
        ReAlign,
        BlockwiseCovariance,
        WhitenColor,
        GaussianTransport,
        MemoryProjection,
        RandomTarget,
        AnisoAlign,
    )
}


def make(name: str, params: dict[str, Any] | None = None, preset: str | None = None) -> Aligner:
    """Unfitted aligner of the given name and parameters, on top of a preset of the method where one is named.

    Raises
    ------
    InputError
        If the method or a parameter is unknown; the message lists those there are.

    Examples
    --------
    >>> make("c3", {"noise": 0.05})
    C3(noise=0.05)
    """
    if name.startswith("oracle-"):
        raise InputError(f"{name} knows the pairs of the fit: compare adds it by itself where rows are paired")
    if name not in METHODS:
        raise InputError(
            f"there is no method {name!r}; the methods are {', '.join(METHODS)}{did_you_mean(name, list(METHODS))}"
        )
    method, params = METHODS[name], params or {}
    if preset is not None and preset not in method.presets:
        presets = f" and no preset of {name}: {', '.join(method.presets)}" if method.presets else ""
        near = did_you_mean(preset, [*method.presets, *(f"{key}=" for key in method().get_params())])
        raise InputError(f"{preset!r} is not of the form name=value{presets}{near}")
    known = method().get_params()
    for key in params:
        if key not in known:
            listed = ", ".join(known) or "none"
            raise InputError(
                f"{name} has no parameter {key!r}; its parameters are: {listed}{did_you_mean(key, list(known))}"
            )
    return method(**{**(method.presets[preset] if preset else {}), **params})


def parse_value(text: str) -> Any:
    """A number, True, False or None where `text` reads as one, `true` and `false` too, else the text itself.

    Examples
    --------
    >>> parse_value("0.5"), parse_value("auto"), parse_value("None"), parse_value("false")
    (0.5, 'auto', None, False)
    """
    text = {"true": "True", "false": "False"}.get(text, text)
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def parse_method(spec: str) -> Aligner:
    """Aligner from `NAME` or `NAME:param=value,param=value`, where a preset may come first.

    Examples
    --------
    >>> parse_method("gaussian-transport:strength=0.5,shrinkage=0.3")
    GaussianTransport(shrinkage=0.3, strength=0.5)
    >>> parse_method("aniso-align:paper,strength=0.5").initial
    'radial'
    """
    name, preset, params = parse_parts(spec)
    return make(name, params, preset)


def parse_parts(spec: str) -> tuple[str, str | None, dict[str, Any]]:
    """Name, preset and parameters of `NAME:preset,param=value,...`.

    Raises
    ------
    InputError
        If a part is no `param=value`, or a parameter is named twice.

    Examples
    --------
    >>> parse_parts("aniso-align:paper,strength=0.5")
    ('aniso-align', 'paper', {'strength': 0.5})
    """
    name, _, rest = spec.partition(":")
    parts = [part for part in rest.split(",") if part]
    preset = parts.pop(0).strip() if parts and "=" not in parts[0] else None
    params: dict[str, Any] = {}
    for key, value in map(parse_setting, parts):
        if key in params:
            raise InputError(f"{spec!r} names {key} twice")
        params[key] = value
    return name, preset, params


def parse_setting(text: str) -> tuple[str, Any]:
    """`name=value` as a pair.

    Raises
    ------
    InputError
        If there is no equals sign.
    """
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise InputError(f"{text!r} is not of the form name=value")
    return key.strip(), parse_value(value.strip())
