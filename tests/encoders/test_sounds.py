"""The same sound gives the same samples however it is given; damaged ones are named."""

import struct

import numpy as np
import pytest

from anisoalign.encoders import sounds
from anisoalign.encoders.sounds import decode_sound
from anisoalign.encoders.unreadable import UnreadableError

pytestmark = pytest.mark.integration
RATE = 8000


@pytest.fixture
def wave() -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.9, 0.9, (RATE // 4, 2)).astype(np.float32)


@pytest.mark.parametrize(
    ("subtype", "dtype"), [("PCM_16", np.int16), ("PCM_32", np.int32), ("PCM_U8", np.uint8)], ids=str
)
def test_whole_numbers_are_what_their_file_is(tmp_path, wave, subtype, dtype):
    import soundfile
    from scipy.io import wavfile

    soundfile.write(tmp_path / "a.wav", wave, RATE, subtype=subtype)
    rate, samples = wavfile.read(tmp_path / "a.wav")
    assert samples.dtype == dtype
    found = decode_sound((samples, rate), 12_000)
    np.testing.assert_allclose(found, decode_sound(tmp_path / "a.wav", 12_000), atol=1e-6)
    np.testing.assert_allclose(found, decode_sound((wave, RATE), 12_000), atol=0.02)


def test_numbers_that_do_not_say_their_range_are_refused():
    with pytest.raises(UnreadableError, match="samples of int64 do not say their range; give int16"):
        decode_sound(([0, 100, -100], RATE), RATE)
    assert decode_sound(([0.0, 0.5], RATE), RATE).tolist() == [0, 0.5]


@pytest.mark.parametrize("rate", [1, 10_000_019, 2**31 - 1])
def test_a_damaged_rate_is_named(tmp_path, wave, rate):
    import soundfile

    soundfile.write(tmp_path / "a.wav", wave, RATE)
    raw = bytearray((tmp_path / "a.wav").read_bytes())
    assert raw[24:28] == struct.pack("<I", RATE)
    raw[24:28] = struct.pack("<I", rate)
    with pytest.raises(UnreadableError, match=f"^a sampling rate of {rate} Hz$"):
        decode_sound(bytes(raw), 48_000)


def test_a_sound_that_memory_does_not_hold_is_named(wave, monkeypatch):
    def full(*given):
        raise MemoryError

    monkeypatch.setattr(sounds, "_resampled", full)
    with pytest.raises(UnreadableError, match="there is not enough memory for the sound"):
        decode_sound((wave, RATE), 48_000)
