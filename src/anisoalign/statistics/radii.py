"""Distributions of block radii to a stated resolution, mergeable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

WIDTH = 1 / 256
"""Default width of a bin in units of log ρ: radii are known to 0.4 %."""

NO_RADIUS = 1e-12
"""Radii below count as this one; they have no logarithm, and no direction worth keeping."""


@dataclass
class RadiusHistogram:
    """Histogram of log ρ_k for each of m blocks, on a grid fixed by the width alone, so any two can be merged.

    Parameters
    ----------
    width : float
        Width of a bin in log ρ; bin b holds ``width * b <= log ρ < width * (b + 1)``.
    first : int
        Number b of the first bin kept.
    counts : ndarray, shape (m, B), int64
        Radii in each bin from `first` on.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> radius = torch.linspace(1, 3, 2001, dtype=torch.float64)[:, None]
    >>> histogram = RadiusHistogram.empty(1).update(radius)
    >>> histogram.quantiles(np.array([0.25, 0.5])).round(2).tolist()
    [[1.5, 2.0]]
    """

    width: float
    first: int
    counts: Int64[np.ndarray, "m B"]

    @classmethod
    def empty(cls, m: int, width: float = WIDTH) -> Self:
        """Histogram of no rows of m blocks: the identity of `merge`."""
        if not width > 0:
            raise ValueError(f"the width of a bin must be positive, not {width}")
        return cls(width, 0, np.zeros((m, 0), np.int64))

    @property
    def n_blocks(self) -> int:
        """Number m of blocks."""
        return self.counts.shape[0]

    @property
    def n(self) -> int:
        """Rows seen."""
        return int(self.counts[0].sum())

    def update(self, radius: Float[Tensor, "n m"]) -> Self:
        """Take in a tile of radii ρ ≥ 0, shape (n, m), on any device."""
        if len(radius) == 0:
            return self
        # float64: in float32 the edges of bins would move with the radius.
        logs = radius.double().clamp(min=NO_RADIUS).log()
        bins = torch.floor(logs / self.width).long()
        first, last = int(bins.min()), int(bins.max())
        size = last - first + 1
        places = (bins - first) + size * torch.arange(self.n_blocks, device=bins.device)
        counts = torch.bincount(places.flatten(), minlength=size * self.n_blocks).reshape(self.n_blocks, size)
        return self.merge(RadiusHistogram(self.width, first, counts.cpu().numpy()))

    def merge(self, other: RadiusHistogram) -> Self:
        """Combine with the histogram of other rows, in place; exact, since counts are whole numbers."""
        if (other.n_blocks, other.width) != (self.n_blocks, self.width):
            raise ValueError(
                f"a histogram of {self.n_blocks} blocks, width {self.width} cannot take in one of "
                f"{other.n_blocks} blocks, width {other.width}"
            )
        filled = [part for part in (self, other) if part.counts.shape[1]]
        if filled:
            first = min(part.first for part in filled)
            stop = max(part.first + part.counts.shape[1] for part in filled)
            counts = np.zeros((self.n_blocks, stop - first), np.int64)
            for part in filled:
                start = part.first - first
                counts[:, start : start + part.counts.shape[1]] += part.counts
            self.first, self.counts = first, counts
        return self

    def quantiles(self, levels: Float[np.ndarray, " L"]) -> Float64[np.ndarray, "m L"]:
        """Radii below which the given shares of rows lie, shape (m, L); log ρ counts as uniform within a bin.

        Rising with the level. Raises ValueError where no row was seen.
        """
        if self.counts.size == 0:
            raise ValueError("a histogram of no rows has no quantiles")
        below = np.concatenate([np.zeros((self.n_blocks, 1)), self.counts.cumsum(axis=1, dtype=np.float64)], axis=1)
        wanted = np.tile(np.asarray(levels, np.float64) * below[0, -1], (self.n_blocks, 1))
        sums = torch.from_numpy(below)
        found = torch.searchsorted(sums, torch.from_numpy(wanted), right=True).numpy()
        last = torch.searchsorted(sums, sums[:, -1:].contiguous()).numpy() - 1  # bin of the largest radius
        bins = np.clip(found - 1, 0, np.maximum(last, 0))
        counts = np.maximum(np.take_along_axis(self.counts, bins, axis=1), 1)
        inside = (wanted - np.take_along_axis(below, bins, axis=1)) / counts
        return np.exp(self.width * (self.first + bins + inside))

    def arrays(self) -> dict[str, np.ndarray]:
        """All of it as arrays by name, for a safetensors file."""
        return {"width": np.array([self.width]), "first": np.array([self.first]), "counts": self.counts}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """What `arrays` gave, to the last bit."""
        return cls(float(arrays["width"][0]), int(arrays["first"][0]), np.asarray(arrays["counts"]))
