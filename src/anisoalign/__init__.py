"""Measure the modality gap of contrastive embeddings and close it without pairs.

>>> import numpy as np
>>> import anisoalign as aa
>>> rng = np.random.default_rng(0)
>>> text, image = rng.normal(size=(200, 16)) + 0.5, rng.normal(size=(300, 16)) - 0.5
>>> aligned = aa.ReAlign().fit(source=text, target=image).transform(text)
>>> bool(aa.diagnose(aligned, image).centroid_gap < 0.05 < aa.diagnose(text, image).centroid_gap)
True
"""

__version__ = "0.1.0"

from anisoalign.aligners import (
    C3,
    Aligner,
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
    oracle,
)
from anisoalign.diagnostics import diagnose, evaluate
from anisoalign.embeddings import InputError, open_embeddings

__all__ = [
    "C3",
    "Aligner",
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
    "diagnose",
    "evaluate",
    "load",
    "open_embeddings",
    "oracle",
]
