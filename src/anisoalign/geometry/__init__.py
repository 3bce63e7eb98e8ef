"""Pure functions and frozen values of the geometry: sphere, shared frame, polar blocks, spectra, Gaussian maps."""

from anisoalign.geometry.frame import Frame, joint_frame
from anisoalign.geometry.gaussian import gaussian_transport, inverse_sqrt, sqrt_psd
from anisoalign.geometry.polar import to_cartesian, to_polar, wrap
from anisoalign.geometry.spectra import (
    anisotropy,
    effective_dimension,
    effective_rank,
    eigenvalues,
    power_law_exponent,
    principal_subspace,
    spectral_correlation,
    subspace_overlap,
)
from anisoalign.geometry.sphere import normalize

__all__ = [
    "Frame",
    "anisotropy",
    "effective_dimension",
    "effective_rank",
    "eigenvalues",
    "gaussian_transport",
    "inverse_sqrt",
    "joint_frame",
    "normalize",
    "power_law_exponent",
    "principal_subspace",
    "spectral_correlation",
    "sqrt_psd",
    "subspace_overlap",
    "to_cartesian",
    "to_polar",
    "wrap",
]
