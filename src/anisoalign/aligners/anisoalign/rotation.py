"""The first step: a rotation that brings sources to the targets' mean and directions, estimated without pairs."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from anisoalign.geometry.rotation import rotation_towards, turn_between
from anisoalign.statistics import Moments

ROTATIONS = ("auto", "full", "means", "none")


def turn_of_means(source: Moments, target: Moments, rotation: str) -> Float[np.ndarray, "d d"]:
    """The smallest rotation that gives the sources' mean the direction of the targets'; the identity for "none"."""
    return np.eye(source.dim) if rotation == "none" else turn_between(source.mean, target.mean)


def fit_rotation(
    coupled: Float[np.ndarray, "d d"],
    transported: Float[np.ndarray, "d d"],
    fixed: Float[np.ndarray, " d"],
    space: int | None = None,
) -> Float[np.ndarray, "d d"]:
    """Rotation about the targets' mean direction, from two estimates of the cross-covariance C and the identity.

    One estimate is that of the coupling, between sources and the barycentres of their targets; it knows which target
    a source speaks of and is noisy where rows are few. The other is that of Gaussian optimal transport, T Σy; it
    knows second moments alone and is smooth. The identity is what a contrastive encoder was trained for. Each is
    divided by its nuclear norm, which makes it the best alignment that it could ask for, and all three weigh the same.

    Parameters
    ----------
    coupled : ndarray, shape (d, d)
        Cross-covariance, times any number, of the barycentres of coupled targets with sources after the turn of means.
    transported : ndarray, shape (d, d)
        T Σy of all turned sources.
    fixed : ndarray, shape (d,)
        Direction of the targets' mean.
    space : int, optional
        Dimension of the space, where the rows are seen in coordinates of their span.
    """
    mixed = sum((unit(part) for part in (coupled, transported)), np.eye(len(fixed)) / (space or len(fixed)))
    return rotation_towards(mixed, fixed)


def unit(matrix: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "d d"]:
    """A matrix divided by its nuclear norm, the largest tr(Rᵀ C) of any orthogonal R; zeros stay."""
    norm = float(np.sqrt(np.linalg.eigvalsh(matrix.T @ matrix).clip(0.0)).sum())
    return matrix / norm if norm > 0 else matrix
