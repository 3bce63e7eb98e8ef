"""What a saved model holds, judged when it is read: a damaged file is named then, not when rows are mapped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from anisoalign.aligners.base import FRAMES, Aligner
from anisoalign.embeddings import InputError

_MEANS = ("bias_", "target_mean_", "calibration_mean_", "source_mean_")
"""Fitted arrays of shape (d,)."""


def restore(model: Aligner, arrays: dict[str, np.ndarray], plain: Any, config: Path, weights: Path) -> None:
    """Give an unfitted model its fitted attributes, and map a row by it.

    Parameters
    ----------
    model : Aligner
        With the parameters of its fit.
    arrays : dict
        Fitted arrays, read from `weights`.
    plain : dict
        Other fitted values, read from `config`.
    config, weights : Path
        For messages.

    Raises
    ------
    InputError
        If an attribute is none that a fit leaves, is of another shape or holds NaN, or a row cannot be mapped.
    """
    if not isinstance(plain, dict):
        raise InputError(f"{config} is damaged: its fitted values are no table of names and values")
    for file, values in ((weights, arrays), (config, plain)):
        for name, value in values.items():
            if not _is_fitted(model, name):
                raise InputError(f"{file} is damaged: {name!r} is nothing that a fitted {model.name} holds")
            setattr(model, name, value)
    _check_plain(model, config)
    _check_arrays(model, weights)
    model._fitted_with = model.get_params()
    if not model.calibrated or model.calibration_mean_ is not None:  # else `calibrate` is still to come
        _map_one_row(model, weights)


def _is_fitted(model: Aligner, name: str) -> bool:
    """Whether a name is that of a fitted attribute: no method, property or constant of the class, nor a private one."""
    return name.endswith("_") and not name.startswith("_") and not hasattr(type(model), name)


def _check_plain(model: Aligner, config: Path) -> None:
    width, origins = getattr(model, "n_features_in_", None), getattr(model, "provenance_", {})
    if type(width) is not int or width < 1:
        raise InputError(f"{config} is damaged: the width n_features_in_ is {width!r}, not a number of at least 1")
    if not isinstance(origins, dict) or not all(isinstance(side, dict) for side in origins.values()):
        raise InputError(f"{config} is damaged: provenance_ does not say, side by side, what the model was fitted on")
    frame = model.get_params().get("frame", "target")
    if frame not in FRAMES:
        raise InputError(f"{config} is damaged: the frame is one of {', '.join(FRAMES)}, not {frame!r}")


def _check_arrays(model: Aligner, weights: Path) -> None:
    """Raise InputError for arrays of another width, or with NaN or infinity in them."""
    d = model.n_features_in_
    shapes: dict[str, tuple[tuple[int, ...], ...]] = {"weight_": ((), (d,), (d, d)), **dict.fromkeys(_MEANS, ((d,),))}
    for name, allowed in shapes.items():
        value = getattr(model, name, None)
        if value is None:
            continue  # whether it is needed, a row will show
        if not isinstance(value, np.ndarray) or value.shape not in allowed:
            raise InputError(f"{weights} is damaged: {name} has shape {np.shape(value)}, for rows of width {d}")
        if not np.isfinite(value).all():
            raise InputError(f"{weights} is damaged: {name} holds NaN or infinity")


def _map_one_row(model: Aligner, weights: Path) -> None:
    """Map a row, which takes all that a transform needs."""
    d = model.n_features_in_
    row = torch.full((1, d), d**-0.5, dtype=torch.float64)
    try:
        mapped = model.mapping(np.dtype(np.float64))(row, np.zeros(1, np.int64))
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, RuntimeError) as error:
        raise InputError(f"{weights.parent} is a damaged model: it maps no row: {error}") from error
    if mapped.shape != (1, d) or not bool(torch.isfinite(mapped).all()):
        raise InputError(f"{weights} is damaged: a row of width {d} is mapped to no row of numbers of that width")
