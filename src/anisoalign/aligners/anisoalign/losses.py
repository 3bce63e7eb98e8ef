"""Losses of the refinement beside prior matching (arXiv 2605.07825, Stage II)."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

DIRECTIONS = 64
SUPPORT_LOSSES = ("sliced", "energy", "mmd")


def phase_structure_loss(
    phase: Float[Tensor, "n m"], initial: Float[Tensor, "n m"], radius: Float[Tensor, "n m"], edges: Int[Tensor, "e 2"]
) -> Float[Tensor, ""]:
    """L_Φ = Σ_E ω_kl (1 − cos((θ̂k − θ̂l) − (θ⁰k − θ⁰l))), ω ∝ ρ⁰k ρ⁰l, summing to 1 over the edges of a row.

    The source divides by |E| once more; that is a factor of the loss's weight (`phase_weight`) and is left to it.
    """
    weight = radius[:, edges[:, 0]] * radius[:, edges[:, 1]]
    weight = weight / weight.sum(dim=1, keepdim=True).clamp_min(1e-12)
    moved = phase - initial
    return (weight * (1 - torch.cos(moved[:, edges[:, 0]] - moved[:, edges[:, 1]]))).sum(dim=1).mean()


def sliced_wasserstein(
    rows: Float[Tensor, "n d"], target: Float[Tensor, "k d"], generator: torch.Generator
) -> Float[Tensor, ""]:
    """Mean squared 2-Wasserstein distance of projections on random directions, times d; equal numbers of rows."""
    shape, device = (rows.shape[1], DIRECTIONS), generator.device
    directions = torch.randn(*shape, generator=generator, dtype=torch.float32, device=device).to(rows)
    directions = directions / torch.linalg.vector_norm(directions, dim=0)
    count = min(len(rows), len(target))
    ours = torch.sort(rows[:count] @ directions, dim=0).values
    return (ours - torch.sort(target[:count] @ directions, dim=0).values).square().mean() * rows.shape[1]


def energy_distance(rows: Float[Tensor, "n d"], target: Float[Tensor, "k d"]) -> Float[Tensor, ""]:
    """2 E‖z − x‖ − E‖z − z'‖ − E‖x − x'‖ over different rows (Székely and Rizzo)."""
    across = torch.cdist(rows, target).mean()
    return 2 * across - _mean_distance(rows) - _mean_distance(target)


def kernel_mmd(rows: Float[Tensor, "n d"], target: Float[Tensor, "k d"], bandwidth: float = 0.1) -> Float[Tensor, ""]:
    """Squared maximum mean discrepancy under exp((z·x − 1) / bandwidth), without the diagonals."""

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return torch.exp((a @ b.T - 1) / bandwidth)

    def own(a: Tensor) -> Tensor:
        return (kernel(a, a).sum() - len(a)) / (len(a) * (len(a) - 1))

    return own(rows) + own(target) - 2 * kernel(rows, target).mean()


def support_loss(
    kind: str, rows: Float[Tensor, "n d"], target: Float[Tensor, "k d"], generator: torch.Generator
) -> Float[Tensor, ""]:
    """One of `SUPPORT_LOSSES` between rows and targets."""
    if kind == "sliced":
        return sliced_wasserstein(rows, target, generator)
    return energy_distance(rows, target) if kind == "energy" else kernel_mmd(rows, target)


def structure_loss(rows: Float[Tensor, "n d"], source: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """1 − Ψ: one minus the Pearson correlation of inner products before and after, over the pairs of a batch."""
    above = torch.triu_indices(len(rows), len(rows), offset=1, device=rows.device)
    before = (source @ source.T)[above[0], above[1]]
    after = (rows @ rows.T)[above[0], above[1]]
    before, after = before - before.mean(), after - after.mean()
    return 1 - (before * after).sum() / (before.norm() * after.norm()).clamp_min(1e-12)


def _mean_distance(rows: Tensor) -> Tensor:
    # cdist has no gradient at distance zero: the diagonal is left out
    apart = torch.pdist(rows)
    return apart.mean()
