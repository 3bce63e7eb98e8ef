"""Sources outrank targets "whatever they mean" only where they outrank a row's own target."""

import numpy as np
import pytest

import anisoalign as aa


@pytest.mark.parametrize(("meaning", "words"), [(0.2, "whatever they mean"), (4.0, "though not a row's own")])
def test_the_verdict_tells_a_lost_target_from_a_found_one(meaning, words):
    rng = np.random.default_rng(0)
    shared = meaning * rng.normal(size=(400, 16))
    offset = 3.0 * np.eye(16)
    text, image = (shared + offset[i] * 2 + 0.5 * rng.normal(size=(400, 16)) for i in (0, 1))
    gap = aa.diagnose(text, image, paired=True)
    assert (gap.within_source_cosine > gap.paired_cosine) == (meaning == 0.2)
    assert words in gap.verdict()[0]
    assert words not in aa.diagnose(text, image).verdict()[0]
    assert "unrelated sources outrank unrelated targets" in aa.diagnose(text, image).verdict()[0]
