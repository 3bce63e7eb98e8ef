"""Measure the modality gap of contrastive embeddings and close it without pairs.

>>> import numpy as np
>>> import anisoalign as aa
>>> rng = np.random.default_rng(0)
>>> text, image = rng.normal(size=(200, 16)) + 0.5, rng.normal(size=(300, 16)) - 0.5
>>> aligned = aa.ReAlign().fit(source=text, target=image).transform(text)
>>> bool(aa.diagnose(aligned, image).centroid_gap < 0.05 < aa.diagnose(text, image).centroid_gap)
True
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from anisoalign import oracle
    from anisoalign.aligners import (
        C3,
        Aligner,
        AnisoAlign,
        BlockwiseCovariance,
        GaussianTransport,
        Identity,
        MeanShift,
        MemoryProjection,
        RandomTarget,
        ReAlign,
        Standardize,
        WhitenColor,
        load,
    )
    from anisoalign.comparison import compare
    from anisoalign.diagnostics import diagnose, evaluate
    from anisoalign.embeddings import InputError, open_embeddings

__all__ = [
    "C3",
    "Aligner",
    "AnisoAlign",
    "BlockwiseCovariance",
    "GaussianTransport",
    "Identity",
    "InputError",
    "MeanShift",
    "MemoryProjection",
    "RandomTarget",
    "ReAlign",
    "Standardize",
    "WhitenColor",
    "compare",
    "diagnose",
    "evaluate",
    "load",
    "open_embeddings",
    "oracle",
]

_ROOMS = {
    "compare": "comparison",
    "diagnose": "diagnostics",
    "evaluate": "diagnostics",
    "InputError": "embeddings",
    "open_embeddings": "embeddings",
}


def __getattr__(name: str) -> Any:
    """Load a public name on first use, so that help and errors do not wait for torch."""
    if name not in __all__:
        raise AttributeError(f"module 'anisoalign' has no attribute {name!r}")
    if name == "oracle":
        return import_module("anisoalign.oracle")
    value = getattr(import_module(f"anisoalign.{_ROOMS.get(name, 'aligners')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
