"""The fitted map at every strength: from ReAlign to the full correction, without refitting."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from anisoalign.embeddings import Tile
from anisoalign.geometry.sphere import inverse_norms

ROTATED, TRANSPORTED = 0.2, 0.5
"""Strengths at which the rotation and the transport are complete; the guided step follows up to 1."""

Arrays = dict[str, np.ndarray]


class Scaled(NamedTuple):
    """Rows `scale` · `values`: their division by norms is left to the next operation, which saves a sweep."""

    values: Float[Tensor, "m d"]
    scale: Float[Tensor, "m 1"]

    @classmethod
    def of(cls, rows: Float[Tensor, "m d"]) -> Scaled:
        """Rows as they are."""
        return cls(rows, rows.new_ones(len(rows), 1))

    @classmethod
    def read(cls, tile: Tile) -> Scaled:
        """A tile's rows, with what each is to be multiplied with where it was read undivided."""
        values = torch.from_numpy(tile.values)
        return cls.of(values) if tile.scale is None else cls(values, torch.from_numpy(tile.scale)[:, None])

    @classmethod
    def on_sphere(cls, rows: Float[Tensor, "m d"]) -> Scaled:
        """Rows divided by their norms; a zero row stays zero."""
        return cls(rows, inverse_norms(rows))

    def rows(self) -> Float[Tensor, "m d"]:
        """The rows, in memory of their own."""
        return self.values * self.scale

    def rows_(self) -> Float[Tensor, "m d"]:
        """The rows, in the memory of their values."""
        return self.values.mul_(self.scale)


RowMap = Callable[[Tensor], Tensor]
Move = Callable[[Scaled], Scaled]
"""A map that leaves its argument as it is; the values of what it returns are its own."""


def on_rows(move: Move) -> RowMap:
    """The same of rows as they are."""
    return lambda rows: move(Scaled.of(rows)).rows_()


class Part(ABC):
    """A fitted map of rows that can be had in a precision."""

    @abstractmethod
    def move(self, dtype: torch.dtype) -> Move:
        """The map of scaled rows."""

    def at(self, dtype: torch.dtype) -> RowMap:
        """The map of rows as they are."""
        return on_rows(self.move(dtype))


@dataclass(frozen=True)
class Affine(Part):
    """z = Norm(W y + b), followed where `shift` is given by Norm(z + shift)."""

    weight: Float[np.ndarray, "d d"]
    bias: Float[np.ndarray, " d"]
    shift: Float[np.ndarray, " d"] | None = None

    def move(self, dtype: torch.dtype) -> Move:
        """The map in a precision."""
        weight, bias = torch.as_tensor(self.weight, dtype=dtype), torch.as_tensor(self.bias, dtype=dtype)
        shift = None if self.shift is None else torch.as_tensor(self.shift, dtype=dtype)

        def apply(rows: Scaled) -> Scaled:
            moved = torch.mm(rows.values, weight.T)
            landed = Scaled.on_sphere(torch.addcmul(bias, moved, rows.scale, out=moved))
            return landed if shift is None else shifted(landed, shift)

        return apply


@dataclass(frozen=True)
class Guide(Part):
    """Bounded step towards the estimate of the targets that a row speaks of: z + δ, ‖δ‖ ≤ `bound`, onto the sphere.

    δ = step · (b(z) − z), shortened where it is longer than `bound`, with b(z) = Norm(W z + c).

    Parameters
    ----------
    weight, bias : ndarray, shapes (d, d) and (d,)
        W and c, of `coupling.regress`.
    step, bound : float
        Share of the way, and the longest step; rows are unit, so a row turns by at most arcsin(bound).
    """

    weight: Float[np.ndarray, "d d"]
    bias: Float[np.ndarray, " d"]
    step: float
    bound: float

    def delta(self, dtype: torch.dtype) -> RowMap:
        """The bounded step δ of unit rows."""
        step = self._step(dtype)
        return lambda rows: step(Scaled.of(rows), rows).rows_()

    def _step(self, dtype: torch.dtype) -> Callable[[Scaled, Tensor], Scaled]:
        """δ of rows that are given scaled and as they are."""
        estimate = Affine(self.weight, self.bias).move(dtype)

        def apply(scaled: Scaled, rows: Tensor) -> Scaled:
            way = estimate(scaled).rows_().sub_(rows)
            length = torch.linalg.vector_norm(way, dim=1, keepdim=True).mul_(self.step)
            return Scaled(way, self.step * self.bound / length.clamp_min_(self.bound))

        return apply

    def move(self, dtype: torch.dtype) -> Move:
        """The map in a precision."""
        step = self._step(dtype)

        def apply(scaled: Scaled) -> Scaled:
            rows = scaled.rows()
            return Scaled.on_sphere(rows.addcmul_(*step(scaled, rows)))

        return apply


@dataclass(frozen=True)
class Start(Part):
    """Where the dial begins: Norm(μx + s (y − μy)), ReAlign before its calibration."""

    source_mean: Float[np.ndarray, " d"]
    target_mean: Float[np.ndarray, " d"]
    scale: float

    def move(self, dtype: torch.dtype) -> Move:
        """The map in a precision."""
        bias = torch.as_tensor(self.target_mean - self.scale * self.source_mean, dtype=dtype)
        return lambda rows: Scaled.on_sphere(torch.addcmul(bias, rows.values, rows.scale, value=self.scale))

    def rotated(self, rotation: Float[np.ndarray, "d d"]) -> Affine:
        """Norm(μx + s R (y − μy))."""
        weight = self.scale * rotation
        return Affine(weight, self.target_mean - weight @ self.source_mean)


@dataclass(frozen=True)
class Dial:
    """Stations between ReAlign and the full correction; between two of them rows are blended on the sphere.

    Parameters
    ----------
    strengths : tuple of float
        Where the stations lie, ascending from 0 to 1.
    """

    strengths: tuple[float, ...]

    def between(self, strength: float) -> tuple[int, float]:
        """The station at or before a strength, and the share of the way to the next.

        Examples
        --------
        >>> Dial((0.0, 0.25, 1.0)).between(0.625)
        (1, 0.5)
        >>> Dial((0.0, 0.25, 1.0)).between(1.0)
        (2, 0.0)
        """
        last = max(i for i, at in enumerate(self.strengths) if at <= strength)
        if last == len(self.strengths) - 1:
            return last, 0.0
        start, end = self.strengths[last : last + 2]
        return last, (strength - start) / (end - start)


@dataclass(frozen=True)
class Leg:
    """How a station is reached: by a move from the source rows, or from those at an earlier station."""

    origin: int | None
    move: Move


def visit(legs: list[Leg], station: int, rows: Scaled, seen: dict[int, Scaled]) -> Scaled:
    """Rows at a station; what was `seen` on the way there is not computed twice."""
    if station not in seen:
        leg = legs[station]
        seen[station] = leg.move(rows if leg.origin is None else visit(legs, leg.origin, rows, seen))
    return seen[station]


def in_turn(steps: Sequence[Move]) -> Move:
    """The steps, one after the other."""

    def apply(rows: Scaled) -> Scaled:
        for step in steps:
            rows = step(rows)
        return rows

    return apply


def blend(start: Scaled, end: Scaled, share: float) -> Scaled:
    """Norm((1 − u) a + u b): a point between two stations, in the memory of the rows at the first."""
    mixed = start.values.mul_(start.scale * (1 - share))
    return Scaled.on_sphere(mixed.addcmul_(end.values, end.scale, value=share))


def shifted(rows: Scaled, shift: Float[Tensor, " d"]) -> Scaled:
    """Norm(z + shift), in the memory of the rows' values."""
    return Scaled.on_sphere(torch.addcmul(shift, rows.values, rows.scale, out=rows.values))
