"""Sources outrank targets "whatever they mean" only where they outrank a row's own target."""

import numpy as np
import pytest

import anisoalign as aa
from anisoalign.geometry import normalize


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


def test_in_a_narrow_cone_small_differences_of_cosines_are_none():
    """Encoders whose cosines are all high: texts still outrank images, by cosines that differ by hundredths."""
    rng = np.random.default_rng(3)
    text, image = (normalize(rng.normal(size=(200, 24)) + 3 * np.eye(24)[side]) for side in (0, 1))
    cone = [normalize(np.concatenate([rows, np.full((200, 1), 6.0)], axis=1)) for rows in (text, image)]
    gap = aa.diagnose(*cone)
    assert abs(gap.within_source_cosine - gap.centroid_cosine) < 0.05
    assert "unrelated sources outrank unrelated targets" in str(gap)
    assert "in the same place" not in str(gap)
    same = aa.diagnose(cone[0][:100], cone[0][100:])
    assert "treats both alike" in str(same)
