"""The loops: sums of unit rows, and the affine map onto the sphere, a few rows at a time in the nearest cache.

Rows are float16 or float32 and are not changed. Sums are float32 over a few rows and float64 beyond.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

_FEW = 16
"""Rows that are summed in float32, and that stay in the nearest cache between their norms and their sum."""


def unit_sum(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Norms of rows (m, d), float32 (m,), and Σ_i y_i/‖y_i‖, float64 (d,)."""
    norms, total = np.empty(len(rows), np.float32), np.zeros(rows.shape[1])
    _unit_sum(_bits(rows), norms, total)
    return norms, total


def mapped_sum(rows: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Norms of rows (m, d), and Σ_i Norm(w ⊙ y_i/‖y_i‖ + b), float64 (d,); w and b float32 (d,)."""
    norms, total = np.empty(len(rows), np.float32), np.zeros(rows.shape[1])
    inverses = _mapped_sum(_bits(rows), weight, bias, norms, total)
    return norms, weight * total + inverses * bias


def mapped(rows: np.ndarray, weight: np.ndarray, bias: np.ndarray, shift: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Norms of rows (m, d); Norm(Norm(w ⊙ y_i/‖y_i‖ + b) + shift) goes into `out`, float16 or float32 (m, d)."""
    norms = np.empty(len(rows), np.float32)
    _mapped(_bits(rows), weight, bias, shift, norms, _bits(out))
    return norms


def centred(rows: np.ndarray, out: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Norms of rows (m, d), and Σ_i y_i/‖y_i‖, float64 (d,); the unit rows less their mean go into `out`, float32."""
    norms, total = unit_sum(rows)
    _less(_bits(rows), norms, (total / len(rows)).astype(np.float32), out)
    return norms, total


def units(rows: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Norms of rows (m, d); the rows divided by them go into `out`, float32 (m, d)."""
    norms = np.empty(len(rows), np.float32)
    _divided(_bits(rows), norms, out)
    return norms


def landed_sum(moved: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Σ_i Norm(z_i + b), float64 (d,), of rows z float32 (m, d), which are overwritten."""
    total = np.zeros(moved.shape[1])
    _landed_sum(moved, bias, total)
    return total


def landed(moved: np.ndarray, bias: np.ndarray, shift: np.ndarray, out: np.ndarray) -> None:
    """Norm(Norm(z + b) + shift) of rows z float32 (m, d), overwritten; goes into `out`, float16 or float32 (m, d)."""
    _landed(moved, bias, shift, _bits(out))


def finite(rows: np.ndarray) -> bool:
    """Whether every value of rows (m, d) is finite."""
    return bool(_finite_halves(_bits(rows)) if rows.dtype == np.float16 else np.isfinite(rows).all())


def _bits(values: np.ndarray) -> np.ndarray:
    """Halves as whole numbers, since numba does not compute with them."""
    return values.view(np.uint16) if values.dtype == np.float16 else values


def _widening(context: Any, value: Any) -> Any:
    """A stored value as float32."""
    if value == types.float32:
        return types.float32(value), lambda context, builder, signature, args: args[0]

    def from_half(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fpext(builder.bitcast(args[0], ir.HalfType()), ir.FloatType())

    return types.float32(types.uint16), from_half


def _narrowing(context: Any, value: Any, like: Any) -> Any:
    """A float32 rounded to the type of `like`."""
    if like == types.float32:
        return types.float32(value, like), lambda context, builder, signature, args: args[0]

    def to_half(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(builder.fptrunc(args[0], ir.HalfType()), ir.IntType(16))

    return types.uint16(types.float32, types.uint16), to_half


_widened: Any = intrinsic(_widening)
_narrowed: Any = intrinsic(_narrowing)


def _compiled(function: Any) -> Any:
    """Compile at the first call; kept on disk for the next process where a place for it can be written."""
    # Sums in any order, so that they go several values at a time; NaN and infinity stay what they are.
    options: dict[str, Any] = {
        "nogil": True,
        "error_model": "numpy",
        "fastmath": {"reassoc", "contract", "arcp", "nsz"},
    }
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # numba finds no folder that it may write
        return njit(**options)(function)


@_compiled
def _finite_halves(bits: np.ndarray) -> Any:
    largest = np.uint16(0)
    for i in range(bits.shape[0]):
        for j in range(bits.shape[1]):
            largest = max(largest, np.uint16(bits[i, j] & np.uint16(0x7FFF)))
    return largest < 0x7C00  # NaN and infinity have all bits of the exponent set


@_compiled
def _norm(rows: np.ndarray, i: int) -> Any:
    square = np.float32(0)
    for j in range(rows.shape[1]):
        value = _widened(rows[i, j])
        square += value * value
    return np.sqrt(square)


@_compiled
def _add(rows: np.ndarray, factors: np.ndarray, first: int, last: int, few: np.ndarray) -> None:
    """Add factor times row to `few`, four rows for each time that the sum is read and written."""
    i = first
    while i + 4 <= last:
        a, b, c, e = factors[i], factors[i + 1], factors[i + 2], factors[i + 3]
        for j in range(rows.shape[1]):
            few[j] += (a * _widened(rows[i, j]) + b * _widened(rows[i + 1, j])) + (
                c * _widened(rows[i + 2, j]) + e * _widened(rows[i + 3, j])
            )
        i += 4
    for rest in range(i, last):
        a = factors[rest]
        for j in range(rows.shape[1]):
            few[j] += a * _widened(rows[rest, j])


@_compiled
def _unit_sum(rows: np.ndarray, norms: np.ndarray, total: np.ndarray) -> None:
    m, d = rows.shape
    few, factors = np.empty(d, np.float32), np.empty(m, np.float32)
    for first in range(0, m, _FEW):
        last = min(first + _FEW, m)
        few[:] = 0
        for i in range(first, last):
            norms[i] = _norm(rows, i)
            factors[i] = np.float32(1) / norms[i]
        _add(rows, factors, first, last, few)
        for j in range(d):
            total[j] += few[j]


@_compiled
def _mapped_sum(rows: np.ndarray, weight: np.ndarray, bias: np.ndarray, norms: np.ndarray, total: np.ndarray) -> float:
    """Sum of what multiplies each row before w; returns the sum of what multiplies b."""
    m, d = rows.shape
    few, factors = np.empty(d, np.float32), np.empty(m, np.float32)
    inverses = 0.0
    for first in range(0, m, _FEW):
        last = min(first + _FEW, m)
        few[:] = 0
        for i in range(first, last):
            norms[i] = _norm(rows, i)
            scale, square = np.float32(1) / norms[i], np.float32(0)
            for j in range(d):
                value = scale * _widened(rows[i, j]) * weight[j] + bias[j]
                square += value * value
            inverse = np.float32(1) / np.sqrt(square)
            factors[i] = inverse * scale
            inverses += inverse
        _add(rows, factors, first, last, few)
        for j in range(d):
            total[j] += few[j]
    return inverses


@_compiled
def _less(rows: np.ndarray, norms: np.ndarray, mean: np.ndarray, out: np.ndarray) -> None:
    for i in range(rows.shape[0]):
        scale = np.float32(1) / norms[i]
        for j in range(rows.shape[1]):
            out[i, j] = scale * _widened(rows[i, j]) - mean[j]


@_compiled
def _divided(rows: np.ndarray, norms: np.ndarray, out: np.ndarray) -> None:
    for i in range(rows.shape[0]):
        norms[i] = _norm(rows, i)
        scale = np.float32(1) / norms[i]
        for j in range(rows.shape[1]):
            out[i, j] = scale * _widened(rows[i, j])


@_compiled
def _added(row: np.ndarray, factor: float, bias: np.ndarray) -> Any:
    """Make a row `factor` times itself plus b, and give one over its norm."""
    square = np.float32(0)
    for j in range(len(row)):
        value = factor * row[j] + bias[j]
        row[j] = value
        square += value * value
    return np.float32(1) / np.sqrt(square)


@_compiled
def _landed_sum(moved: np.ndarray, bias: np.ndarray, total: np.ndarray) -> None:
    m, d = moved.shape
    few, factors = np.empty(d, np.float32), np.empty(m, np.float32)
    for first in range(0, m, _FEW):
        last = min(first + _FEW, m)
        few[:] = 0
        for i in range(first, last):
            factors[i] = _added(moved[i], np.float32(1), bias)
        _add(moved, factors, first, last, few)
        for j in range(d):
            total[j] += few[j]


@_compiled
def _landed(moved: np.ndarray, bias: np.ndarray, shift: np.ndarray, out: np.ndarray) -> None:
    for i in range(moved.shape[0]):
        inverse = _added(moved[i], np.float32(1), bias)
        inverse = _added(moved[i], inverse, shift)
        for j in range(moved.shape[1]):
            out[i, j] = _narrowed(inverse * moved[i, j], out[i, j])


@_compiled
def _mapped(
    rows: np.ndarray, weight: np.ndarray, bias: np.ndarray, shift: np.ndarray, norms: np.ndarray, out: np.ndarray
) -> None:
    m, d = rows.shape
    row = np.empty(d, np.float32)
    for i in range(m):
        norms[i] = _norm(rows, i)
        scale, square = np.float32(1) / norms[i], np.float32(0)
        for j in range(d):
            value = scale * _widened(rows[i, j]) * weight[j] + bias[j]
            row[j] = value
            square += value * value
        inverse = _added(row, np.float32(1) / np.sqrt(square), shift)
        for j in range(d):
            out[i, j] = _narrowed(inverse * row[j], out[i, j])
