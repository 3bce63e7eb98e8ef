"""Distributions of cosines within and across sets."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

BINS = 200
_ALL_PAIRS_ROWS = 5_000
_SAMPLED_PAIRS = 1_000_000


@dataclass(frozen=True)
class CosineHistogram:
    """Counts of cosines in `BINS` equal bins of [−1, 1], with their mean and standard deviation."""

    counts: Int[np.ndarray, " bins"]
    mean: float
    std: float

    @classmethod
    def of(cls, cosines: Float[np.ndarray, " n"]) -> CosineHistogram:
        """Histogram of the given cosines; rounding beyond ±1 falls into the outer bins."""
        counts, _ = np.histogram(np.clip(cosines, -1.0, 1.0), bins=BINS, range=(-1.0, 1.0))
        return cls(counts, float(np.mean(cosines)), float(np.std(cosines)))

    @classmethod
    def within(cls, rows: Float[np.ndarray, "n d"]) -> CosineHistogram:
        """Of two rows of a set, by `row_pairs`."""
        return cls.of(cosines_within(rows))

    @classmethod
    def across(cls, x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "m d"], seed: int = 0) -> CosineHistogram:
        """Of a row of either set, never those of one number, by `cosines_across`."""
        return cls.of(cosines_across(x, y, seed))

    @classmethod
    def paired(cls, x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "n d"]) -> CosineHistogram:
        """Of rows of one number."""
        return cls.of(np.einsum("nd,nd->n", x, y))


@dataclass
class CosineTally:
    """A `CosineHistogram` of cosines that come a tile at a time, none of which is kept.

    Deviations are squared about the mean of their tile, so that cosines nearly all alike lose no digits.

    Examples
    --------
    >>> tally = CosineTally()
    >>> for tile in ([0.5, 0.7], [0.9]):
    ...     tally.add(np.array(tile))
    >>> round(tally.histogram().mean, 12), int(tally.histogram().counts.sum())
    (0.7, 3)
    """

    counts: Int[np.ndarray, " bins"] = field(default_factory=lambda: np.zeros(BINS, np.int64))
    number: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, cosines: Float[np.ndarray, " n"]) -> None:
        """Count one tile."""
        if not len(cosines):
            return
        self.counts += CosineHistogram.of(cosines).counts
        mean, variance = np.mean(cosines, dtype=np.float64), np.var(cosines, dtype=np.float64)
        number, step = self.number + len(cosines), float(mean - self.mean)
        self.squares += len(cosines) * (float(variance) + step**2 * self.number / number)
        self.mean += step * len(cosines) / number
        self.number = number

    def histogram(self) -> CosineHistogram:
        """Of all that were counted."""
        return CosineHistogram(self.counts, self.mean, (self.squares / self.number) ** 0.5)


def row_pairs(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Pairs i < j of row numbers: all up to 5,000 rows, beyond that a seeded sample of 10⁶.

    Examples
    --------
    >>> i, j = row_pairs(4)
    >>> len(i), bool((i < j).all())
    (6, True)
    """
    if rows <= _ALL_PAIRS_ROWS:
        return np.triu_indices(rows, k=1)
    generator = np.random.default_rng(seed)
    first = generator.integers(0, rows, _SAMPLED_PAIRS)
    second = generator.integers(0, rows - 1, _SAMPLED_PAIRS)
    second += second >= first
    return np.minimum(first, second), np.maximum(first, second)


def cosines_within(rows: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " p"]:
    """Cosines of two rows of a set, by `row_pairs`."""
    return cosines_of_pairs(rows, *row_pairs(len(rows)))


def cosines_of_pairs(rows: Float[np.ndarray, "n d"], i: np.ndarray, j: np.ndarray) -> Float[np.ndarray, " p"]:
    """y_i·y_j for the given pairs, shape (p,); by one GEMM where the pairs are all of a small set."""
    if len(i) * 2 >= len(rows) * (len(rows) - 1):
        return (rows @ rows.T)[i, j]
    step = max(1, (1 << 23) // rows.shape[1])
    parts = [np.einsum("pd,pd->p", rows[i[a : a + step]], rows[j[a : a + step]]) for a in range(0, len(i), step)]
    return np.concatenate(parts)


def cosines_across(x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "m d"], seed: int = 0) -> np.ndarray:
    """Cosines of unpaired rows across two sets, a seeded sample of at most 10⁶; equal row numbers avoided."""
    generator = np.random.default_rng(seed)
    count = min(_SAMPLED_PAIRS, len(x) * len(y))
    i = generator.integers(0, len(x), count)
    j = generator.integers(0, len(y), count)
    if (i == j).all():  # a few rows: all there are
        i, j = np.divmod(np.arange(len(x) * len(y)), len(y))
    apart = i != j
    i, j = i[apart], j[apart]
    step = max(1, (1 << 23) // x.shape[1])
    parts = [np.einsum("pd,pd->p", x[i[a : a + step]], y[j[a : a + step]]) for a in range(0, len(i), step)]
    return np.concatenate(parts)


def angle_divergence(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " m"]) -> float:
    """Jensen–Shannon divergence, in bits, of the angles of two lists of cosines, in bins of a degree; 0 equal, 1 apart.

    Angles and not cosines are counted, so that sets in narrow cones, whose cosines are all nearly 1, are told apart.

    Examples
    --------
    >>> narrow, wide = np.array([0.999, 0.9985]), np.array([0.996, 0.9955])  # 2.6 and 3.1, 5.1 and 5.4 degrees
    >>> angle_divergence(narrow, wide), angle_divergence(narrow, narrow)
    (1.0, 0.0)
    """
    from scipy.spatial.distance import jensenshannon

    counts = [np.histogram(np.degrees(np.arccos(c.clip(-1.0, 1.0))), bins=180, range=(0.0, 180.0))[0] for c in (x, y)]
    return float(jensenshannon(*counts, base=2) ** 2)
