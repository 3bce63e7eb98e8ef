"""Bounds that need pairs: what could be reached if each source's own target were known."""

from anisoalign.aligners.oracle.procrustes import Procrustes
from anisoalign.aligners.oracle.residual_path import ResidualPath
from anisoalign.aligners.oracle.ridge import Ridge

ORACLES = {oracle.name: oracle for oracle in (Procrustes, Ridge)}

__all__ = ["ORACLES", "Procrustes", "ResidualPath", "Ridge"]
