"""Cosines of sampled pairs, and their histograms: of the sets they say, and of their pairs alone."""

import tracemalloc

import numpy as np
import pytest

import anisoalign as aa
from anisoalign.diagnostics.alignment import geometry_consistency
from anisoalign.diagnostics.cosines import BINS, CosineHistogram, CosineTally, angle_divergence, row_pairs
from anisoalign.embeddings import open_embeddings

ROWS, SAMPLED = 6_000, 1_000_000


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def counted(cosines: np.ndarray) -> list[int]:
    return np.histogram(cosines, BINS, (-1, 1))[0].tolist()


def test_all_pairs_are_taken_up_to_5000_rows_and_a_million_beyond():
    assert len(row_pairs(5_000)[0]) == 5_000 * 4_999 // 2
    assert len(row_pairs(5_001)[0]) == SAMPLED


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_sampled_pairs_are_of_two_rows_in_order_and_follow_the_seed(seed):
    i, j = row_pairs(ROWS, seed)
    assert len(i) == len(j) == SAMPLED
    assert (i < j).all()  # no row with itself, which would have cosine 1 before and after
    assert i.min() == 0
    assert j.max() == ROWS - 1
    np.testing.assert_array_equal(np.stack([i, j]), np.stack(row_pairs(ROWS, seed)))
    assert (row_pairs(ROWS, seed + 1)[0] != i).mean() > 0.9


def test_every_pair_is_drawn_as_often_as_any_other():
    """Counts in the cells of a grid over both rows, against the number of pairs that a cell has."""
    i, j = row_pairs(ROWS, seed=3)
    cells, side = 20, ROWS // 20
    counts = np.bincount(i // side * cells + j // side, minlength=cells**2).reshape(cells, cells)
    pairs = np.triu(np.full((cells, cells), side**2), 1) + np.diag([side * (side - 1) // 2] * cells)
    share = pairs / pairs.sum()
    off = (counts - SAMPLED * share) / np.sqrt(SAMPLED * np.clip(share, 1e-12, None))
    assert counts[share == 0].sum() == 0
    assert np.abs(off[share > 0]).max() < 4.5  # the largest of 210 is about 3


def geometry_of_all_pairs(y: np.ndarray, z: np.ndarray) -> float:
    """Pearson correlation over all pairs i < j in closed form: Σ_ij (y_i·y_j)(z_i·z_j) = ‖YᵀZ‖²."""
    n = len(y)
    pairs = n * (n - 1) / 2

    def product(a, b):  # over pairs of two rows: cosines of a row with itself are 1
        return (np.square(a.T @ b).sum() - n) / 2 / pairs

    means = [(np.square(rows.sum(axis=0)).sum() - n) / 2 / pairs for rows in (y, z)]
    spread = np.sqrt((product(y, y) - means[0] ** 2) * (product(z, z) - means[1] ** 2))
    return (product(y, z) - means[0] * means[1]) / spread


def test_the_geometry_of_6000_rows_is_that_of_all_their_pairs_within_the_noise_of_a_million():
    rng = np.random.default_rng(0)
    y = unit(rng.normal(size=(ROWS, 8)) + 0.5)
    z = unit(y + 0.4 * rng.normal(size=y.shape))
    few = slice(0, 300)
    assert geometry_consistency(y[few], z[few]) == pytest.approx(geometry_of_all_pairs(y[few], z[few]), abs=1e-12)
    found, expected = geometry_consistency(y, z), geometry_of_all_pairs(y, z)
    noise = (1 - expected**2) / np.sqrt(SAMPLED)
    assert 0.3 < expected < 0.9
    assert abs(found - expected) < 4 * noise
    assert geometry_consistency(y, z, seed=1) != found


def test_the_divergence_of_angles_is_0_of_equal_sets_1_of_disjoint_ones_and_half_way_as_by_hand():
    low, high = CosineHistogram.of(np.full(7, -0.5)), CosineHistogram.of(np.full(3, 0.5))
    both = CosineHistogram.of(np.array([-0.5, 0.5]))
    assert angle_divergence(low, low) == 0.0
    assert angle_divergence(low, high) == pytest.approx(1.0)
    # P = (1/2, 1/2), Q = (1, 0), their middle (3/4, 1/4): H(M) − H(P)/2 − H(Q)/2 with H(P) = 1 and H(Q) = 0.
    assert angle_divergence(both, low) == pytest.approx(0.75 * np.log2(4 / 3) + 0.25 * np.log2(4) - 0.5)
    assert angle_divergence(low, both) == pytest.approx(angle_divergence(both, low))


@pytest.fixture
def sets() -> tuple[np.ndarray, np.ndarray]:
    """60 rows a side, the source's cosines high, the target's low, the pairs' nearly 1 in part."""
    rng = np.random.default_rng(5)
    source = unit(rng.normal(size=(60, 16)) + 1.0)
    return source, unit(rng.normal(size=(60, 16)) + 0.5 * source)


def test_histograms_within_sets_and_of_pairs_are_those_of_numpy(sets):
    y, x = sets
    gap = aa.diagnose(y, x, paired=True)
    upper = np.triu_indices(60, 1)
    assert gap.histogram_within_source == counted((y @ y.T)[upper])
    assert gap.histogram_within_target == counted((x @ x.T)[upper])
    assert gap.histogram_paired == counted((y * x).sum(axis=1))
    assert gap.within_source_cosine == pytest.approx((y @ y.T)[upper].mean())
    assert gap.within_target_cosine == pytest.approx((x @ x.T)[upper].mean())
    assert gap.within_source_cosine > gap.within_target_cosine + 0.1  # so that a mix-up would show
    p, q = (np.array(h) / sum(h) for h in (gap.histogram_within_source, gap.histogram_within_target))
    middle, entropy = (p + q) / 2, lambda share: -sum(s * np.log2(s) for s in share if s > 0)
    assert gap.angle_divergence == pytest.approx(entropy(middle) - entropy(p) / 2 - entropy(q) / 2)


def test_cosines_of_pairs_counted_in_tiles_are_those_of_all_and_none_is_kept(sets):
    y, x = (np.tile(rows, (400, 1)) for rows in sets)
    x += 0.1 * np.random.default_rng(0).normal(size=x.shape)
    x = unit(x)
    cosines = np.einsum("ij,ij->i", y, x)
    tally = CosineTally()
    for start in range(0, len(cosines), 1009):
        tally.add(cosines[start : start + 1009])
    found, expected = tally.histogram(), CosineHistogram.of(cosines)
    assert (found.mean, found.std) == pytest.approx((expected.mean, expected.std), abs=1e-14)
    np.testing.assert_array_equal(found.counts, expected.counts)
    alike = CosineTally()
    for _ in range(3):
        alike.add(np.ones(5))
    assert (alike.histogram().mean, alike.histogram().std) == (1.0, 0.0)
    many = aa.diagnose(y, x, paired=True)
    assert (many.paired_cosine, many.paired_cosine_std) == pytest.approx((expected.mean, expected.std), abs=1e-12)
    assert many.histogram_paired == expected.counts.tolist()


def test_what_a_paired_diagnosis_keeps_does_not_grow_with_the_rows(monkeypatch):
    monkeypatch.setattr("anisoalign.diagnostics.diagnosing.HISTOGRAM_ROWS", 50)
    kept = []
    for rows in (1_200_000, 3_600_000):
        source = np.ones((rows, 2), np.float32)
        target = source.copy()
        tracemalloc.start()
        aa.diagnose(source, target, paired=True, dtype="float32")
        kept.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert kept[1] < kept[0] + 2.4e6  # a byte for each further row


def test_of_pairs_in_part_unusable_histograms_are_of_those_that_both_sides_keep(sets):
    y, x = (rows.copy() for rows in sets)
    y[[3, 50]], x[[7, 50, 59]] = np.nan, 0.0
    good = np.setdiff1d(np.arange(60), [3, 7, 50, 59])
    dropping = (open_embeddings(rows, bad_rows="drop") for rows in (y, x))
    assert aa.diagnose(*dropping, paired=True) == aa.diagnose(y[good], x[good], paired=True)


def test_the_histogram_across_is_a_sample_of_the_pairs_that_do_not_belong_together(sets):
    y, x = sets
    found = np.array(aa.diagnose(y, x).histogram_across)
    apart = (y @ x.T)[~np.eye(60, dtype=bool)]
    share = np.array(counted(apart)) / len(apart)
    drawn = found.sum()
    assert 0.95 * 3600 < drawn <= 3600
    assert found[share == 0].sum() == 0
    coarse = np.stack([found, drawn * share]).reshape(2, 20, BINS // 20).sum(axis=2)
    assert (np.abs(coarse[0] - coarse[1]) < 4 * np.sqrt(coarse[1]) + 1).all()
    # Where each row is its own pair, only pairs have cosine 1.
    same = aa.diagnose(y, y.copy(), paired=True)
    assert same.histogram_paired[-1] == 60
    assert same.histogram_across[-1] == 0
