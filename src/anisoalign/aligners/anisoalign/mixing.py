"""Orthogonal mixing of the frame, so that blocks do not depend on the order of eigenvectors (arXiv 2605.07825)."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

STEPS = 150
RATE = 0.02
MOST_ROWS = 2048
"""Rows a side that "learned" is worth being given: phase statistics of more are as stable."""


def mixing_matrix(
    kind: str,
    rank: int,
    seed: int,
    target: Float[Tensor, "n r"] | None = None,
    source: Float[Tensor, "k r"] | None = None,
) -> Float[np.ndarray, "r r"]:
    """R of Q ← QR, orthogonal.

    Parameters
    ----------
    kind : {"identity", "haar", "learned"}
        "haar" is a seeded uniform draw. "learned" starts there and makes the phase statistics stable: the circular
        means and pair correlations of the blocks should agree between two halves of the target, and between target
        and source.
    target, source : Tensor, shapes (n, r), (k, r)
        Coordinates Qᵀz of samples, for "learned".

    Examples
    --------
    >>> mixing = mixing_matrix("haar", 4, 0)
    >>> bool(np.allclose(mixing.T @ mixing, np.eye(4)))
    True
    """
    if kind == "identity":
        return np.eye(rank)
    if kind not in ("haar", "learned"):
        raise ValueError(f"mixing must be 'identity', 'haar' or 'learned', not {kind!r}")
    normal = np.random.default_rng([seed, rank]).normal(size=(rank, rank))
    basis, upper = np.linalg.qr(normal)
    haar = basis * np.sign(np.diag(upper))
    if kind == "haar":
        return haar
    if target is None or source is None:
        raise ValueError("learned mixing needs coordinates of both sets")
    return _learn(haar, target.double(), source.double())


def instability(
    mixing: Float[Tensor, "r r"], target: Float[Tensor, "n r"], source: Float[Tensor, "k r"]
) -> Float[Tensor, ""]:
    """Mean squared disagreement of phase statistics, between halves of the target and between the sets."""
    ours, theirs = _pair_means(target[0::2] @ mixing), _pair_means(target[1::2] @ mixing)
    return (ours - theirs).abs().square().mean() + (
        (ours + theirs) / 2 - _pair_means(source @ mixing)
    ).abs().square().mean()


def _pair_means(coordinates: Tensor) -> Tensor:
    """E e^{iθ_k} in the first column, E e^{i(θ_k − θ_l)} beside it; shape (m, m + 1), complex."""
    blocks = torch.complex(coordinates[:, 0::2], coordinates[:, 1::2])
    unit = blocks / blocks.abs().clamp_min(1e-12)
    return torch.cat([unit.mean(dim=0)[:, None], unit.T @ unit.conj() / len(unit)], dim=1)


def _learn(start: np.ndarray, target: Tensor, source: Tensor) -> np.ndarray:
    """Gradient descent over rotations R = R₀ exp(S), S skew, by Adam on S."""
    first = torch.from_numpy(start)
    free = torch.zeros_like(first, requires_grad=True)
    optimizer = torch.optim.Adam([free], lr=RATE / len(first) ** 0.5)
    for _ in range(STEPS):
        loss = instability(first @ torch.linalg.matrix_exp(free - free.T), target, source)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return (first @ torch.linalg.matrix_exp(free - free.T)).detach().numpy()
