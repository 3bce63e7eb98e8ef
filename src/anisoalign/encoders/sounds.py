"""From the bytes of a sound to one channel at the rate an encoder asks for."""

from __future__ import annotations

import io
import os
from math import gcd
from pathlib import Path
from typing import Any

import numpy as np

from anisoalign.embeddings import InputError
from anisoalign.embeddings.errors import one_line
from anisoalign.encoders.unreadable import UnreadableError

DECODING = "channels averaged, resampled by a polyphase filter"
"""What `decode_sound` does, for the provenance of a set."""

LOWEST_RATE, HIGHEST_RATE = 100, 768_000
"""Samples per second outside of which a rate is taken for damaged: adapting it would take hundreds of gigabytes."""


def decode_sound(content: Any, rate: int) -> np.ndarray:
    """Read a path, bytes, or (samples (n,) or (n, channels), rate) as float32 samples at `rate`, shape (m,).

    Samples are floats in −1 … 1, or whole numbers of up to 32 bits, which are divided by their type's range.

    Raises
    ------
    UnreadableError
        With the reason.

    Examples
    --------
    >>> stereo = np.stack([np.ones(8), np.zeros(8)], axis=1)
    >>> decode_sound((stereo, 16_000), 16_000).tolist()[:2]
    [0.5, 0.5]
    """
    try:
        samples, found = content if isinstance(content, tuple) else _read(content)
        samples = _as_floats(samples)
        samples = samples.mean(axis=1) if samples.ndim == 2 else samples
        if not samples.size:
            raise UnreadableError("the sound has no samples")
        if not np.isfinite(samples).all():
            raise UnreadableError("the sound has samples that are not finite")
        return _resampled(samples, int(found), rate)
    except MemoryError as error:
        raise UnreadableError("there is not enough memory for the sound") from error


def _as_floats(samples: Any) -> np.ndarray:
    """Samples as float32; whole numbers divided by the range of their type, from whose middle unsigned ones count."""
    samples = np.asarray(samples)
    if samples.dtype.kind not in "iu":
        return np.asarray(samples, np.float32)
    if samples.dtype.itemsize > 4:  # of Python's numbers too, which may stand for any range
        raise UnreadableError(f"samples of {samples.dtype} do not say their range; give int16, int32 or floats")
    half = 2.0 ** (8 * samples.dtype.itemsize - 1)
    middle = half if samples.dtype.kind == "u" else 0.0
    return ((samples - middle) / half).astype(np.float32)


def _read(content: Any) -> tuple[np.ndarray, int]:
    try:
        import soundfile
    except ImportError as error:
        raise InputError('sounds need soundfile: pip install "anisoalign[encode]"') from error
    file: Any
    if isinstance(content, bytes | bytearray | memoryview):
        size, file = len(content), io.BytesIO(content)
    elif not isinstance(content, str | Path):
        raise UnreadableError(f"{type(content).__name__} is no sound")
    else:
        if not Path(content).is_file():
            raise UnreadableError("there is no such file")
        # soundfile encodes names itself and refuses those that are not UTF-8; Windows has none.
        name = str(content) if os.name == "nt" else os.fsencode(content)
        size, file = Path(content).stat().st_size, name
    if not size:
        raise UnreadableError("the file is empty")
    try:
        return soundfile.read(file, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError, ValueError, TypeError) as error:
        raise UnreadableError(f"this is no sound that libsndfile knows ({one_line(error)})") from error


def _resampled(samples: np.ndarray, found: int, rate: int) -> np.ndarray:
    if not LOWEST_RATE <= found <= HIGHEST_RATE:
        raise UnreadableError(f"a sampling rate of {found} Hz")
    if found == rate:
        return samples
    from scipy.signal import resample_poly

    common = gcd(found, rate)
    return resample_poly(samples, rate // common, found // common).astype(np.float32)
