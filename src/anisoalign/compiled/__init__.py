"""Sweeps over rows as they are stored, compiled by numba where the extra `fast` is installed.

What the closed-form methods do to a row is little beside moving it: numpy and torch read a tile and write it again for
each operation, one compiled loop reads it once. Loading the loops takes longer than a small set does, so they are for
large ones.
"""

from __future__ import annotations

import platform
import sys
import warnings
from functools import lru_cache
from importlib.util import find_spec
from types import ModuleType

import numpy as np

FEWEST_VALUES = 1 << 28
"""Values of a set from which on the compiled sweeps are taken: half a million rows of width 512."""


@lru_cache(maxsize=1)
def installed() -> bool:
    """Whether numba is, and can be loaded: one that does not go with the numpy there is told of and left out."""
    if find_spec("numba") is None:
        return False
    try:
        sweeps()
    except (ImportError, AttributeError, SystemError) as error:
        warnings.warn(f"numba is installed but does not load, so large sets take longer: {error}", stacklevel=2)
        return False
    return True


def sweeps() -> ModuleType:
    """The module of compiled loops, which is loaded when it is first needed."""
    from anisoalign.compiled import loops

    return loops


def loaded() -> bool:
    """Whether the loops are loaded already, so that small work may use them too."""
    return f"{__name__}.loops" in sys.modules


def takes(stored: np.ndarray) -> bool:
    """Whether there are loops for rows stored like these: float16 or float32, in order, and numba is installed."""
    if not (stored.flags.c_contiguous and stored.dtype.isnative and stored.ndim == 2):
        return False
    return installed() and (stored.dtype == np.float32 or (stored.dtype == np.float16 and _converts_halves()))


@lru_cache(maxsize=1)
def _converts_halves() -> bool:
    """Whether this processor has an instruction for float16, without which LLVM calls a function that is not there."""
    if platform.machine().lower() in ("aarch64", "arm64"):
        return True
    from llvmlite import binding

    return bool(binding.get_host_cpu_features().get("f16c"))
