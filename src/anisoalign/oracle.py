"""Bounds that need pairs, under the name that the library is used by; see `anisoalign.aligners.oracle`."""

from anisoalign.aligners.oracle import ORACLES, Procrustes, ResidualPath, Ridge

__all__ = ["ORACLES", "Procrustes", "ResidualPath", "Ridge"]
