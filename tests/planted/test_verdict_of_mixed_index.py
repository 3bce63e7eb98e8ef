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


@pytest.mark.parametrize("moved", ["both", "sources"])
def test_sets_whose_means_agree_are_kept_apart_all_the_same_where_each_finds_its_own(moved):
    """Directions of their own in which either varies: means say nothing of who is near."""
    rng = np.random.default_rng(4)
    text, image = rng.normal(size=(300, 24)), rng.normal(size=(300, 24))
    text[:, :12] *= 0.1
    image[:, 12:] *= 0.1
    if moved == "sources":
        image[:, 0] += 2.0
    gap = aa.diagnose(text, image)
    assert gap.within_source_cosine < gap.centroid_cosine + 0.05
    pool = np.concatenate([normalize(image), normalize(text)])
    cosines = pool @ pool.T - 3 * np.eye(600)
    own = np.arange(600) < 300
    shares = [own[np.argsort(-cosines[i])[:10]].mean() for i in range(600)]
    assert gap.mixed_target_share_at_10 == pytest.approx(np.mean(shares[300:]))
    assert gap.mixed_source_share_at_10 == pytest.approx(1 - np.mean(shares[:300]))
    assert "keeps the two apart" in gap.verdict()[0]
    assert "alike" not in gap.verdict()[0]


def test_the_covariance_gap_of_two_samples_of_one_law_is_as_large_as_it_says():
    rng = np.random.default_rng(5)
    gaps = [
        aa.diagnose(*(rng.normal(size=(rows, 40)) * np.linspace(2, 0.2, 40) + 0.3 for rows in (150, 90)))
        for _ in range(20)
    ]
    seen, said = (np.mean([getattr(gap, name) for gap in gaps]) for name in ("covariance_gap", "covariance_gap_chance"))
    assert said == pytest.approx(seen, rel=0.1)
    assert 0.3 < seen < 1.0
    assert f"would show {gaps[0].covariance_gap_chance:.0%}" in gaps[0].verdict()[1]
