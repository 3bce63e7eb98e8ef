"""The loops: norms, weighted sums, and the affine map onto the sphere, one row at a time in the nearest cache.

Rows are float16 or float32 and are not changed. Sums are float32 over a few rows and float64 beyond.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

_FEW = 32
"""Rows that are summed in float32."""


def norms(rows: np.ndarray) -> np.ndarray:
    """Norms ‖y_i‖ of rows (m, d), float32 (m,); NaN or infinite where a value is."""
    out = np.empty(len(rows), np.float32)
    _norms(_bits(rows), out)
    return out


def finite(rows: np.ndarray) -> bool:
    """Whether every value of rows (m, d) is finite."""
    return bool(_finite_halves(_bits(rows)) if rows.dtype == np.float16 else np.isfinite(rows).all())


def weighted_sum(rows: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Σ_i scale_i y_i of rows (m, d), float64 (d,)."""
    total = np.zeros(rows.shape[1])
    _weighted_sum(_bits(rows), scale, total)
    return total


def mapped_sum(rows: np.ndarray, scale: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Σ_i Norm(w ⊙ scale_i y_i + b) of rows (m, d), float64 (d,); w and b float32 (d,)."""
    lengths = np.empty(len(rows), np.float32)
    _mapped_norms(_bits(rows), scale, weight, bias, lengths)
    inverse = 1 / lengths
    return weight * weighted_sum(rows, inverse * scale) + inverse.sum(dtype=np.float64) * bias


def mapped(
    rows: np.ndarray, scale: np.ndarray, weight: np.ndarray, bias: np.ndarray, shift: np.ndarray, out: np.ndarray
) -> None:
    """Norm(Norm(w ⊙ scale_i y_i + b) + shift) of rows (m, d) into `out`, float16 or float32 (m, d)."""
    _mapped(_bits(rows), scale, weight, bias, shift, _bits(out))


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
def _norms(rows: np.ndarray, out: np.ndarray) -> None:
    for i in range(rows.shape[0]):
        square = np.float32(0)
        for j in range(rows.shape[1]):
            value = _widened(rows[i, j])
            square += value * value
        out[i] = np.sqrt(square)


@_compiled
def _finite_halves(bits: np.ndarray) -> Any:
    largest = np.uint16(0)
    for i in range(bits.shape[0]):
        for j in range(bits.shape[1]):
            largest = max(largest, np.uint16(bits[i, j] & np.uint16(0x7FFF)))
    return largest < 0x7C00  # NaN and infinity have all bits of the exponent set


@_compiled
def _weighted_sum(rows: np.ndarray, scale: np.ndarray, total: np.ndarray) -> None:
    m, d = rows.shape
    few = np.empty(d, np.float32)
    for first in range(0, m, _FEW):
        last = min(first + _FEW, m)
        few[:] = 0
        i = first
        while i + 4 <= last:  # four rows for each time that the sum is read and written
            a, b, c, e = scale[i], scale[i + 1], scale[i + 2], scale[i + 3]
            for j in range(d):
                few[j] += (a * _widened(rows[i, j]) + b * _widened(rows[i + 1, j])) + (
                    c * _widened(rows[i + 2, j]) + e * _widened(rows[i + 3, j])
                )
            i += 4
        for rest in range(i, last):
            a = scale[rest]
            for j in range(d):
                few[j] += a * _widened(rows[rest, j])
        for j in range(d):
            total[j] += few[j]


@_compiled
def _mapped_norms(rows: np.ndarray, scale: np.ndarray, weight: np.ndarray, bias: np.ndarray, out: np.ndarray) -> None:
    for i in range(rows.shape[0]):
        square, factor = np.float32(0), scale[i]
        for j in range(rows.shape[1]):
            value = factor * _widened(rows[i, j]) * weight[j] + bias[j]
            square += value * value
        out[i] = np.sqrt(square)


@_compiled
def _mapped(
    rows: np.ndarray, scale: np.ndarray, weight: np.ndarray, bias: np.ndarray, shift: np.ndarray, out: np.ndarray
) -> None:
    m, d = rows.shape
    row = np.empty(d, np.float32)
    for i in range(m):
        square, factor = np.float32(0), scale[i]
        for j in range(d):
            value = factor * _widened(rows[i, j]) * weight[j] + bias[j]
            row[j] = value
            square += value * value
        inverse = np.float32(1) / np.sqrt(square)
        square = np.float32(0)
        for j in range(d):
            value = inverse * row[j] + shift[j]
            row[j] = value
            square += value * value
        inverse = np.float32(1) / np.sqrt(square)
        for j in range(d):
            out[i, j] = _narrowed(inverse * row[j], out[i, j])
