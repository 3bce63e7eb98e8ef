"""What a saved model holds, judged when it is read: a damaged file is named then, not when rows are mapped."""

from __future__ import annotations

from collections.abc import Container, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from anisoalign.aligners.base import Aligner
from anisoalign.aligners.contents import Shape
from anisoalign.embeddings import InputError
from anisoalign.embeddings.errors import one_line

LATER = ("frame",)
"""Parameters that saved models may lack, since there were none once; what their defaults say was done then."""
_UNREADABLE = (KeyError, IndexError, TypeError, AttributeError, ValueError, RuntimeError)
"""What operations make of fitted values that do not go together."""


def restore(
    method: type[Aligner], params: Any, arrays: dict[str, np.ndarray], plain: Any, config: Path, weights: Path
) -> Aligner:
    """A model with the parameters of its fit and all that a fit leaves, which has mapped a row.

    Parameters
    ----------
    method : type of Aligner
    params : dict
        Read from `config`.
    arrays : dict
        Fitted arrays, read from `weights`.
    plain : dict
        Other fitted values, read from `config`.
    config, weights : Path
        For messages.

    Raises
    ------
    InputError
        If a parameter or something fitted is missing, is none of the method's, is of another kind or shape or holds
        NaN, or a row cannot be mapped.
    """
    if not isinstance(params, dict) or not isinstance(plain, dict):
        raise InputError(f"{config} is damaged: parameters and fitted values are no tables of names and values")
    model = _unfitted(method, params, config)
    _take_values(model, plain, config)
    _take_arrays(model, arrays, weights)
    model._fitted_with = model.get_params()
    if not model.calibrated or model.calibration_mean_ is not None:  # else `calibrate` is still to come
        _map_one_row(model, weights)
    return model


def _unfitted(method: type[Aligner], params: dict[str, Any], config: Path) -> Aligner:
    """The method with the parameters of its fit, all of them and in their range."""
    model = method()
    if missing := [name for name in model.get_params() if name not in (*LATER, *params)]:
        raise InputError(f"{config} is damaged: it lacks the parameter {missing[0]}")
    try:
        model.set_params(**params)
        model._check_parameters()
    except (TypeError, ValueError) as error:
        raise InputError(f"{config} is damaged: {one_line(error)}") from error
    return model


def _take_values(model: Aligner, plain: dict[str, Any], config: Path) -> None:
    """Give a model its fitted values, those that it should have and no others."""
    held = model._held_values()
    _refuse_foreign(model, plain, held, config)
    for name, found in plain.items():
        if not held[name].fits(found):
            raise InputError(f"{config} is damaged: {name} is {_short(found)}, not {held[name].words}")
        setattr(model, name, found)
    needed = {name: value for name, value in model._held_values().items() if value.needed}
    _refuse_missing(model, plain, needed, config)


def _take_arrays(model: Aligner, arrays: dict[str, np.ndarray], weights: Path) -> None:
    """Give a model its fitted arrays, those that it should have and no others."""
    held = model._held_arrays()
    _refuse_foreign(model, arrays, held, weights)
    _refuse_missing(model, arrays, held, weights)
    for name, found in arrays.items():
        if not _is_of(found.shape, held[name]):
            raise InputError(
                f"{weights} is damaged: {name} has shape {found.shape}, for rows of width {model.n_features_in_}"
            )
        if found.dtype.kind != "f" or not np.isfinite(found).all():
            raise InputError(f"{weights} is damaged: {name} holds NaN or infinity, or whole numbers")
        setattr(model, name, found)


def _refuse_foreign(model: Aligner, found: dict[str, Any], held: Container[str], file: Path) -> None:
    if foreign := [name for name in found if name not in held]:
        raise InputError(f"{file} is damaged: {foreign[0]!r} is nothing that this {model.name} holds")


def _refuse_missing(model: Aligner, found: dict[str, Any], needed: Iterable[str], file: Path) -> None:
    if missing := [name for name in needed if name not in found]:
        raise InputError(f"{file} is damaged: it lacks {missing[0]}, which this {model.name} holds")


def _is_of(shape: tuple[int, ...], wanted: Shape) -> bool:
    return len(shape) == len(wanted) and all(
        n == m if m is not None else n > 0 for n, m in zip(shape, wanted, strict=True)
    )


def _short(found: Any) -> str:
    """A value in a message, which need not be a long one."""
    said = repr(found)
    return said if len(said) <= 60 else f"{said[:60]}…"


def _map_one_row(model: Aligner, weights: Path) -> None:
    """Map a row and say what the fit says, which takes all that a transform, and saving again, need."""
    d = model.n_features_in_
    row = torch.full((1, d), d**-0.5, dtype=torch.float64)
    try:
        mapped = model.mapping(np.dtype(np.float64))(row, np.zeros(1, np.int64))
        model.notes()
    except _UNREADABLE as error:
        raise InputError(f"{weights.parent} is a damaged model: it maps no row: {one_line(error)}") from error
    if mapped.shape != (1, d) or not bool(torch.isfinite(mapped).all()):
        raise InputError(f"{weights} is damaged: a row of width {d} is mapped to no row of numbers of that width")
