"""Arguments that are of the wrong kind, told before any work."""

from collections.abc import Collection
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import torch

from anisoalign.embeddings.errors import InputError


def check_whole(**values: Any) -> None:
    """Raise InputError where a value is neither a whole number nor None.

    Examples
    --------
    >>> check_whole(k="10")
    Traceback (most recent call last):
    anisoalign.embeddings.errors.InputError: k must be a whole number, not '10'
    """
    for name, value in values.items():
        if value is not None and (not isinstance(value, Integral) or isinstance(value, bool)):
            raise InputError(f"{name} must be a whole number, not {value!r}")


def check_seed(seed: Any) -> None:
    """Raise InputError for a seed that is no whole number of at least 0.

    Examples
    --------
    >>> check_seed(None)
    Traceback (most recent call last):
    anisoalign.embeddings.errors.InputError: seed must be a whole number of at least 0, not None
    """
    if not isinstance(seed, Integral) or isinstance(seed, bool) or seed < 0:
        raise InputError(f"seed must be a whole number of at least 0, not {seed!r}")


def check_labels(side: str, labels: Collection[Any] | None, rows: int) -> None:
    """Raise InputError where labels are not one a row; a path is none, though it has letters to count.

    Examples
    --------
    >>> check_labels("source", "labels.txt", 10)
    Traceback (most recent call last):
    anisoalign.embeddings.errors.InputError: source labels are one a row, not a path: read_labels('labels.txt') reads it
    """
    if isinstance(labels, str | Path):
        raise InputError(f"{side} labels are one a row, not a path: read_labels({str(labels)!r}) reads it")
    if labels is not None and len(labels) != rows:
        raise InputError(f"{len(labels)} {side} labels for {rows} {side} rows")
    for row, label in enumerate(() if labels is None else labels):
        if _is_missing(label):
            raise InputError(f"{side} labels, row {row}: {label!r} is no label; leave rows without one out")


def _is_missing(label: Any) -> bool:
    """Whether this stands for no label: None, or what numpy and pandas write for a gap, which is equal to nothing."""
    text = str(label).strip()
    return not text or (not isinstance(label, str) and text.lower() in ("none", "nan", "nat", "<na>"))


def type_name(kind: Any) -> str:
    """Name of a type as texts, numpy and torch give it; what is none is named as it is written.

    Examples
    --------
    >>> type_name("float16"), type_name(np.float16), type_name(torch.float16), type_name("half-size")
    ('float16', 'float16', 'float16', 'half-size')
    """
    if isinstance(kind, torch.dtype):
        return str(kind).removeprefix("torch.")
    try:
        return str(kind) if kind is None else np.dtype(kind).name
    except TypeError:
        return str(kind)
