"""One short file a method, over one small base."""

from anisoalign.aligners import oracle
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
from anisoalign.aligners.registry import METHODS, make, parse_method
from anisoalign.aligners.saving import load
from anisoalign.aligners.standardize import Standardize
from anisoalign.aligners.whiten_color import WhitenColor

__all__ = [
    "C3",
    "METHODS",
    "Aligner",
    "AnisoAlign",
    "BlockwiseCovariance",
    "GaussianTransport",
    "Identity",
    "MeanShift",
    "MemoryProjection",
    "RandomTarget",
    "ReAlign",
    "Standardize",
    "WhitenColor",
    "load",
    "make",
    "oracle",
    "parse_method",
]
