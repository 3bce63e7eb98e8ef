"""Random numbers that depend on nothing but a key, a row and a stream.

A counter-based generator: hashing (key, row, stream) gives the draw, so row ``i`` is the same in whatever
batch, process or order it is asked for. The hash is the finaliser of SplitMix64.
"""

import zlib

import numpy as np

_GOLDEN = 0x9E3779B97F4A7C15
_MASK = 0xFFFFFFFFFFFFFFFF


def key(seed: int, *names: str) -> int:
    """Return the 64-bit key of a seed and any number of names."""
    value = seed & _MASK
    for name in ("anisoalign.worlds", *names):
        value = _mix_int((value + zlib.crc32(name.encode()) * _GOLDEN) & _MASK)
    return value


def bits(key: int, rows: np.ndarray, stream: int) -> np.ndarray:
    """Return 64 random bits for each row, uint64 of the shape of ``rows``."""
    counters = rows.astype(np.uint64) * np.uint64(_GOLDEN)
    counters += np.uint64(_mix_int((key + (stream + 1) * _GOLDEN) & _MASK))
    return _mix(counters)


def uniform(key: int, rows: np.ndarray, stream: int) -> np.ndarray:
    """Return one uniform draw in [0, 1) for each row, float64."""
    return (bits(key, rows, stream) >> np.uint64(11)) * 2.0**-53


def uniforms(key: int, rows: np.ndarray, stream: int, width: int) -> np.ndarray:
    """Return ``width`` independent uniform draws for each row, float64 (n, width)."""
    return np.stack([uniform(key, rows, (stream << 8) + column) for column in range(width)], axis=1)


def integers(key: int, rows: np.ndarray, stream: int, high: int, width: int) -> np.ndarray:
    """Return ``width`` draws from 0 … high − 1 for each row, int64 (n, width)."""
    return (uniforms(key, rows, stream, width) * high).astype(np.int64)


def choices(key: int, rows: np.ndarray, stream: int, probabilities: tuple[float, ...]) -> np.ndarray:
    """Return one index for each row, drawn with the given probabilities, int64 (n,)."""
    edges = np.cumsum(probabilities)
    drawn = np.searchsorted(edges / edges[-1], uniform(key, rows, stream), side="right")
    return np.minimum(drawn, len(probabilities) - 1)


def _mix(value: np.ndarray) -> np.ndarray:
    value ^= value >> np.uint64(30)
    value *= np.uint64(0xBF58476D1CE4E5B9)
    value ^= value >> np.uint64(27)
    value *= np.uint64(0x94D049BB133111EB)
    value ^= value >> np.uint64(31)
    return value


def _mix_int(value: int) -> int:
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)
