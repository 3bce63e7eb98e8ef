"""Circular statistics of phases: means of blocks, correlations of pairs of blocks, energies (arXiv 2605.07825)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from jaxtyping import Complex128, Float, Float64
from torch import Tensor


@dataclass
class PhaseStatistics:
    """Mergeable circular moments of m polar blocks: what Stage I knows of a set besides its rows.

    The products of a tile are taken in the tile's own precision, as in `Moments`; the sums are float64.

    Parameters
    ----------
    n : int
        Rows seen.
    first : ndarray, shape (m,), complex128
        Sum of e^{iθ_k}.
    pairs : ndarray, shape (m, m), complex128
        Sum of e^{i(θ_k − θ_l)}.
    energy : ndarray, shape (m,), float64
        Sum of ρ_k².

    Examples
    --------
    >>> import torch
    >>> from anisoalign.geometry import to_polar
    >>> radius, phase = to_polar(torch.randn(500, 4, generator=torch.Generator().manual_seed(0)) + 3.0)
    >>> statistics = PhaseStatistics.empty(2).update(radius[:100], phase[:100])
    >>> statistics = statistics.merge(PhaseStatistics.empty(2).update(radius[100:], phase[100:]))
    >>> [round(angle, 1) for angle in statistics.anchor.tolist()]  # about atan2(3, 3)
    [0.8, 0.8]
    """

    n: int
    first: Complex128[np.ndarray, " m"]
    pairs: Complex128[np.ndarray, "m m"]
    energy: Float64[np.ndarray, " m"]

    @classmethod
    def empty(cls, m: int) -> Self:
        """Statistics of no rows of m blocks: the identity of `merge`."""
        return cls(0, np.zeros(m, np.complex128), np.zeros((m, m), np.complex128), np.zeros(m))

    @property
    def n_blocks(self) -> int:
        """Number m of blocks."""
        return len(self.first)

    def update(self, radius: Float[Tensor, "n m"], phase: Float[Tensor, "n m"]) -> Self:
        """Take in a tile of radii and phases (radians), shape (n, m) each, on any device."""
        if len(phase) == 0:
            return self
        unit = torch.polar(torch.ones_like(phase), phase)
        pairs = unit.T @ unit.conj()
        energy = radius.square().sum(dim=0)
        return self.merge(
            PhaseStatistics(
                len(phase),
                unit.sum(dim=0).to("cpu", torch.complex128).numpy(),
                pairs.to("cpu", torch.complex128).numpy(),
                energy.to("cpu", torch.float64).numpy(),
            )
        )

    def merge(self, other: PhaseStatistics) -> Self:
        """Combine with the statistics of other rows, in place."""
        if other.n_blocks != self.n_blocks:
            raise ValueError(f"phase statistics of {self.n_blocks} and of {other.n_blocks} blocks cannot be merged")
        self.n += other.n
        self.first = self.first + other.first
        self.pairs = self.pairs + other.pairs
        self.energy = self.energy + other.energy
        return self

    @property
    def mean(self) -> Complex128[np.ndarray, " m"]:
        """m_k = E e^{iθ_k}, shape (m,)."""
        return self.first / max(self.n, 1)

    @property
    def anchor(self) -> Float64[np.ndarray, " m"]:
        """ψ_k = arg E e^{iθ_k}, shape (m,), radians."""
        return np.angle(self.first)

    @property
    def weight(self) -> Float64[np.ndarray, " m"]:
        """α_k = E ρ_k² / Σ_u E ρ_u², shape (m,), of sum 1; all alike where there is no energy."""
        total = self.energy.sum()
        return self.energy / total if total > 0 else np.full_like(self.energy, 1 / self.n_blocks)

    def coupling(self, centred: bool) -> Complex128[np.ndarray, "m m"]:
        """M_kl = E e^{i(θ_k − θ_l)}, or with `centred` M_kl − m_k m̄_l; shape (m, m), Hermitian.

        Where every block points somewhere, |M_kl| is almost |m_k||m_l| and says little of how blocks go
        together; the centred form takes that part away.
        """
        pairs = self.pairs / max(self.n, 1)
        return pairs - np.multiply.outer(self.mean, self.mean.conj()) if centred else pairs

    def arrays(self) -> dict[str, np.ndarray]:
        """All of it as real arrays by name, for a safetensors file, which knows no complex128."""
        return {
            "n": np.array([self.n], dtype=np.int64),
            "first": np.stack([np.real(self.first), np.imag(self.first)], axis=-1),
            "pairs": np.stack([np.real(self.pairs), np.imag(self.pairs)], axis=-1),
            "energy": self.energy,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """What `arrays` gave, to the last bit."""
        first, pairs = (np.ascontiguousarray(arrays[name]).view(np.complex128)[..., 0] for name in ("first", "pairs"))
        return cls(int(arrays["n"][0]), first, pairs, np.asarray(arrays["energy"]))
