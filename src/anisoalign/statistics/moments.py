"""Count, mean and centred second moment: everything the closed-form aligners need to know of a set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import numpy as np
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file

from anisoalign.embeddings.model_folder import tensors_into
from anisoalign.places import expanded

Order = Literal["mean", "diagonal", "full"]
"""How much of the second moment is kept: nothing, its diagonal, or the whole matrix."""

SCHEMA_VERSION = 1
EXACT = float(np.finfo(np.float64).eps)
"""Rounding of float64, and of a file of before moments remembered theirs."""
SAFETY = 16.0
"""Twice what rounding was seen to make of ε ‖Σ‖_F."""
SAME = 1e-12
"""Trace of unit rows up to which all are the same one, but for rounding."""
_KEY = "anisoalign_moments"
"""The one entry of a file's metadata: the order of several is not fixed, and equal moments are equal files."""


@dataclass
class Moments:
    """Mergeable first and second moments of rows in R^d.

    The tile's products are taken in the tile's own precision, everything that outlives a tile is
    float64, and tiles are combined by the formula of Chan, Golub and LeVeque (1983), so neither the
    number of rows nor their distance from the origin costs digits.

    Parameters
    ----------
    n : int
        Rows seen.
    mean : ndarray, shape (d,), float64
        Their mean.
    m2 : ndarray or None
        Centred second moment *sum*: (d, d) for order "full", (d,) for "diagonal", None for "mean".
    rounding : float
        Relative size of what rounding does to Σ, the largest of all tiles: ε of the precision of the products, or where
        that is larger, `rounding_of` the values as they were stored.
    within : int
        Dimension of the space, where the rows are seen in coordinates of their own span; 0 where these are all.

    Examples
    --------
    >>> import numpy as np
    >>> rows = np.random.default_rng(0).normal(size=(100, 3))
    >>> whole = Moments.empty(3).update(rows)
    >>> parts = Moments.empty(3).update(rows[:40]).merge(Moments.empty(3).update(rows[40:]))
    >>> bool(np.allclose(whole.covariance, parts.covariance, rtol=1e-12))
    True
    >>> bool(np.allclose(whole.covariance, np.cov(rows.T, bias=True)))
    True
    """

    n: int
    mean: Float[np.ndarray, " d"]
    m2: np.ndarray | None
    rounding: float = EXACT
    within: int = 0

    @classmethod
    def empty(cls, dim: int, order: Order = "full", rounding: float = EXACT, within: int = 0) -> Self:
        """Moments of no rows: the identity of `merge`; `rounding` is that of the rows to come, as they are stored."""
        shape = {"mean": None, "diagonal": (dim,), "full": (dim, dim)}[order]
        return cls(0, np.zeros(dim), None if shape is None else np.zeros(shape), rounding, within)

    @property
    def dim(self) -> int:
        """Width d of the rows."""
        return self.mean.shape[0]

    @property
    def space(self) -> int:
        """Dimension of the space that the rows lie in, of which mean eigenvalues are means over."""
        return self.within or self.dim

    @property
    def order(self) -> Order:
        """How much of the second moment is kept."""
        if self.m2 is None:
            return "mean"
        return "full" if self.m2.ndim == 2 else "diagonal"

    def update(
        self, rows: Float[np.ndarray, "m d"], overwrite: bool = False, scale: Float[np.ndarray, " m"] | None = None
    ) -> Self:
        """Take in a tile of rows (m, d); float32 or float64, left as it is unless it may be overwritten.

        With `scale`, row i counts as ``scale[i] * rows[i]``: for a mean alone that costs no sweep over the rows.
        """
        if len(rows) == 0:
            return self
        # The sum as one BLAS call; float32 sums of a few thousand unit rows err by 1e-7.
        factors = np.ones(len(rows), rows.dtype) if scale is None else scale
        mean, rounding = (factors @ rows).astype(np.float64) / len(rows), float(np.finfo(rows.dtype).eps)
        if self.m2 is None:
            return self.merge(Moments(len(rows), mean, None, rounding))
        if scale is not None:
            rows, overwrite = rows * scale[:, None], True
        # Centred first: float32 products would lose the digits that a large mean takes.
        centred = np.subtract(rows, mean.astype(rows.dtype), out=rows if overwrite else None)
        # `centred.T @ centred` goes to BLAS syrk: half the operations of a GEMM.
        m2 = centred.T @ centred if self.m2.ndim == 2 else np.einsum("ij,ij->j", centred, centred)
        return self.merge(Moments(len(rows), mean, m2, rounding))

    def merge(self, other: Moments) -> Self:
        """Combine with the moments of other rows, in place; associative and commutative up to rounding."""
        if other.dim != self.dim or other.order != self.order:
            raise ValueError(
                f"moments of width {self.dim}, order {self.order!r} cannot take in moments of "
                f"width {other.dim}, order {other.order!r}"
            )
        self.rounding = max(self.rounding, other.rounding)
        n = self.n + other.n
        if n == 0:
            return self
        delta = other.mean - self.mean
        if self.m2 is not None:
            assert other.m2 is not None
            spread = delta * np.sqrt(self.n / n * other.n)
            self.m2 += other.m2
            self.m2 += np.multiply.outer(spread, spread) if self.m2.ndim == 2 else spread**2
        self.mean = self.mean + delta * (other.n / n)
        self.n = n
        return self

    @property
    def covariance(self) -> Float[np.ndarray, "d d"]:
        """Σ, shape (d, d), divided by n."""
        if self.m2 is None or self.m2.ndim != 2:
            raise ValueError(f"moments of order {self.order!r} hold no covariance; collect them with order='full'")
        return (self.m2 + self.m2.T) / (2 * max(self.n, 1))

    @property
    def variance(self) -> Float[np.ndarray, " d"]:
        """Diagonal of Σ, shape (d,)."""
        if self.m2 is None:
            raise ValueError("moments of order 'mean' hold no variances; collect them with order='diagonal'")
        return (self.m2 if self.m2.ndim == 1 else np.diagonal(self.m2)) / max(self.n, 1)

    @property
    def trace(self) -> float:
        """Tr Σ; where no second moment is kept, 1 − ‖μ‖², which is exact for unit rows."""
        if self.m2 is None:
            return max(0.0, 1.0 - float(self.mean @ self.mean))  # equal rows round to either side of 0
        return float(self.variance.sum())

    @property
    def varies(self) -> bool:
        """Whether unit rows are more than one row over and over, but for rounding.

        Examples
        --------
        >>> import numpy as np
        >>> rows = np.full((3, 4), 0.5)
        >>> Moments.empty(4).update(rows).varies, Moments.empty(4).update(np.eye(4)).varies
        (False, True)
        """
        return self.trace > max(SAME, SAFETY * self.rounding)

    @property
    def noise(self) -> float:
        """Variance along a direction up to which it may be rounding and no more: 16 · rounding · ‖Σ‖_F; order "full".

        Products of precision ε err by some ε √(Σ_ii Σ_jj) in each entry. Where the errors are independent, the
        largest eigenvalue of them all is about 2 ε tr Σ / √d; where a few rows repeat, up to 8 ε λ1 was seen. ‖Σ‖_F is
        no less than tr Σ / √d and λ1. The usual d ε λ1 would be as large as true eigenvalues are.

        Examples
        --------
        >>> import numpy as np
        >>> rows = np.repeat(np.random.default_rng(0).normal(size=(4, 64)).astype(np.float32), 1000, axis=0)
        >>> moments = Moments.empty(64).update(rows)
        >>> int((np.linalg.eigvalsh(moments.covariance) > moments.noise).sum())  # of four points about their mean
        3
        """
        if self.trace <= SAME:
            return self.trace  # of one row over and over, all of it
        return SAFETY * self.rounding * float(np.linalg.norm(self.covariance))

    def rotated(self, rotation: Float[np.ndarray, "d d"]) -> Moments:
        """Moments of the rows R y, of order "full"."""
        turned = self.n * (rotation @ self.covariance @ rotation.T)
        return Moments(self.n, rotation @ self.mean, turned, self.rounding, self.within)

    def save(self, path: str | Path) -> None:
        """Write to a safetensors file."""
        arrays = {"n": np.array([self.n], dtype=np.int64), "mean": self.mean, "rounding": np.array([self.rounding])}
        if self.m2 is not None:
            arrays["m2"] = np.ascontiguousarray(self.m2)
        path = expanded(path)
        with tensors_into(path):
            save_file(arrays, str(path), {_KEY: str(SCHEMA_VERSION)})

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read back what `save` wrote, to the last bit.

        Raises
        ------
        ValueError
            If the file is not one of moments, or of another schema version.
        """
        path = expanded(path)
        try:
            with safe_open(str(path), framework="numpy") as file:
                about = file.metadata() or {}
        except SafetensorError as error:
            raise ValueError(f"{path} is no safetensors file: {error}") from error
        if about.get(_KEY) != str(SCHEMA_VERSION):
            raise ValueError(f"{path} holds no moments of schema version {SCHEMA_VERSION}")
        arrays = load_file(str(path))
        rounding = float(arrays["rounding"][0]) if "rounding" in arrays else EXACT
        return cls(int(arrays["n"][0]), arrays["mean"], arrays.get("m2"), rounding)


def rounding_of(stored: np.dtype) -> float:
    """Variance that rounding to a type adds to a value, as a share of its square: ε²/12, of steps of ε at most.

    Examples
    --------
    >>> import numpy as np
    >>> f"{rounding_of(np.dtype('float16')):.0e}"
    '8e-08'
    """
    return float(np.finfo(stored).eps) ** 2 / 12
