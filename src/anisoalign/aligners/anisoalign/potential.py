"""The periodic potential of target phases and its drift (arXiv 2605.07825, Stage I)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from anisoalign.geometry.polar import wrap
from anisoalign.statistics.phases import PhaseStatistics


@dataclass(frozen=True)
class PhasePotential:
    """Ψ(φ) = Σ α_k (1 − cos(φ_k − ψ_k)) + Σ_E A_kl (1 − cos(φ_k − φ_l − η_kl)).

    Parameters
    ----------
    anchor, weight : Tensor, shape (m,)
        ψ, radians, and α.
    edges : Tensor, shape (e, 2)
        Block pairs (k, l), each once.
    strength, offset : Tensor, shape (e,)
        A_kl and η_kl, radians.

    Examples
    --------
    >>> one = torch.tensor([0.0, 0.0])
    >>> potential = PhasePotential(one, one + 0.5, torch.tensor([[0, 1]]), torch.tensor([1.0]), torch.tensor([0.0]))
    >>> potential.drift(torch.zeros(1, 2)).tolist()
    [[0.0, 0.0]]
    """

    anchor: Float[Tensor, " m"]
    weight: Float[Tensor, " m"]
    edges: Int[Tensor, "e 2"]
    strength: Float[Tensor, " e"]
    offset: Float[Tensor, " e"]

    def __call__(self, phase: Float[Tensor, "n m"]) -> Float[Tensor, " n"]:
        """Ψ of each row."""
        alone = (self.weight * (1 - torch.cos(phase - self.anchor))).sum(dim=-1)
        return alone + (self.strength * (1 - torch.cos(self._apart(phase)))).sum(dim=-1)

    def drift(self, phase: Float[Tensor, "n m"]) -> Float[Tensor, "n m"]:
        """∇Ψ, over the edges alone: O(m + e) a row."""
        pull = self.strength * torch.sin(self._apart(phase))
        alone = self.weight * torch.sin(phase - self.anchor)
        return alone.index_add(-1, self.edges[:, 0], pull).index_add(-1, self.edges[:, 1], -pull)

    def drifted(self, phase: Float[Tensor, "n m"], step: float) -> Float[Tensor, "n m"]:
        """Wrap(φ − τ ∇Ψ(φ))."""
        return wrap(phase - step * self.drift(phase))

    @property
    def lipschitz(self) -> float:
        """Bound of the drift's Lipschitz constant, max_k (α_k + 2 Σ_l A_kl)."""
        load = torch.zeros_like(self.weight)
        load.index_add_(0, self.edges.flatten(), self.strength.repeat_interleave(2))
        return float((self.weight + 2 * load).max())

    def tensors(self) -> tuple[Tensor, ...]:
        """All that it is made of."""
        return self.anchor, self.weight, self.edges, self.strength, self.offset

    def to(self, like: Tensor) -> PhasePotential:
        """The same potential in another precision or place."""
        return PhasePotential(
            self.anchor.to(like),
            self.weight.to(like),
            self.edges.to(like.device),
            self.strength.to(like),
            self.offset.to(like),
        )

    def _apart(self, phase: Tensor) -> Tensor:
        return phase[..., self.edges[:, 0]] - phase[..., self.edges[:, 1]] - self.offset


def build_potential(stats: PhaseStatistics, edges_each: int, centred: bool, degree_normalised: bool) -> PhasePotential:
    """Potential of measured phases: for each block an edge to the `edges_each` others with the largest |M_kl|.

    Parameters
    ----------
    edges_each : int
        p; the union over blocks is taken, undirected.
    centred : bool
        Couple by M_kl − m_k m̄_l. The source's M_kl, about the origin, is almost the product of two means.
    degree_normalised : bool
        Divide A_kl by sqrt(deg_k deg_l), so that hubs do not dominate the drift.
    """
    coupling = stats.coupling(centred)
    size = np.abs(coupling)
    np.fill_diagonal(size, -1.0)
    blocks, p = len(size), min(edges_each, len(size) - 1)
    chosen = np.argsort(-size, axis=1, kind="stable")[:, :p]
    pairs = np.stack([np.repeat(np.arange(blocks), p), chosen.ravel()], axis=1)
    edges = np.unique(np.sort(pairs, axis=1), axis=0).reshape(-1, 2)
    found = coupling[edges[:, 0], edges[:, 1]]
    strength = np.abs(found)
    if degree_normalised:
        degree = np.bincount(edges.ravel(), minlength=blocks)
        strength = strength / np.sqrt(degree[edges[:, 0]] * degree[edges[:, 1]])
    return PhasePotential(
        torch.from_numpy(stats.anchor),
        torch.from_numpy(stats.weight),
        torch.from_numpy(edges),
        torch.from_numpy(strength),
        torch.from_numpy(np.angle(found)),
    )
