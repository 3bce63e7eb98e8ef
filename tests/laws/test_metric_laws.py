"""Symmetries and bounds of the metrics: what must change them, and what must not."""

import re
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import anisoalign as aa
from anisoalign.diagnostics import control_transforms, measure_controls, mixing
from anisoalign.diagnostics.cosines import cosines_across
from anisoalign.diagnostics.mixing import binary_entropy, expected_entropy, mixing_of_equals
from anisoalign.geometry import normalize

SEEDS = st.integers(0, 2**32 - 1)
PAIRED = {
    "paired_distance",
    "centered_paired_distance",
    "residual_ratio",
    "residual_anisotropy",
    "residual_effective_dimension",
    "residual_energy_ratio",
    "residual_coverage",
    "residual_coverage_chance",
    "residual_energy_k",
    "residual_energy",
    "residual_spectrum",
    "paired_cosine",
    "paired_cosine_std",
    "histogram_paired",
}
EVEN = {  # the same from either side
    "centroid_gap",
    "spectral_correlation",
    "subspace_overlap",
    "centroid_cosine",
    "paired_cosine_limit",
    "angle_divergence",
    "paired_distance",
    "centered_paired_distance",
    "residual_anisotropy",
    "residual_effective_dimension",
    "residual_energy_ratio",
    "residual_coverage",
    "paired_cosine",
}


@settings(max_examples=5)
@given(SEEDS)
def test_the_gap_has_the_same_size_from_either_side(make_planted, seed):
    y, x, _ = make_planted(60, 8, seed)
    there, back = aa.diagnose(y, x, paired=True).to_dict(), aa.diagnose(x, y, paired=True).to_dict()
    for name in EVEN:
        assert there[name] == pytest.approx(back[name], rel=1e-8), name
    for name in ("mean_energy", "effective_rank", "power_law_exponent"):
        assert there[f"source_{name}"] == pytest.approx(back[f"target_{name}"], rel=1e-8), name
    # The covariance gap is relative to the target's.
    assert there["covariance_gap"] != pytest.approx(back["covariance_gap"], rel=1e-6)


@settings(max_examples=5)
@given(SEEDS)
def test_turning_both_sets_leaves_every_metric(make_planted, turn, seed):
    y, x, _ = make_planted(60, 8, seed)
    z, rotation = aa.ReAlign().fit(y, x).transform(y, out_dtype="float64"), turn(8, seed)
    gap, turned = (aa.diagnose(*s, paired=True).to_dict() for s in ((y, x), (y @ rotation, x @ rotation)))
    for name in gap:
        # The p-value permutes coordinates; a cosine may cross a histogram's edge.
        if name != "subspace_overlap_p" and not name.startswith(("histogram", "angle")):
            assert gap[name] == pytest.approx(turned[name], rel=1e-6, abs=1e-9), name
    scores, turned = (
        aa.evaluate(*s, paired=True).to_dict() for s in ((y, x, z), (y @ rotation, x @ rotation, z @ rotation))
    )
    for name in scores:
        assert scores[name] == pytest.approx(turned[name], rel=1e-9, abs=5e-3 if "neighbour" in name else 1e-9), name


@settings(max_examples=5)
@given(SEEDS)
def test_the_order_of_pairs_does_not_matter(make_planted, seed):
    y, x, labels = make_planted(60, 8, seed)
    z, order = aa.ReAlign().fit(y, x).transform(y, out_dtype="float64"), np.random.default_rng(seed).permutation(60)
    before = aa.evaluate(y, x, z, paired=True).to_dict()
    after = aa.evaluate(y[order], x[order], z[order], paired=True).to_dict()
    for name in before:
        assert before[name] == pytest.approx(after[name], rel=1e-9), name
    apart = aa.diagnose(y, x[order]).to_dict()
    for name, value in aa.diagnose(y, x).to_dict().items():
        if not name.startswith(("histogram", "angle")) and name != "subspace_overlap_p":
            assert value == pytest.approx(apart[name], rel=1e-8, abs=1e-12), name
    assert len(set(labels)) > 1


def test_without_pairs_what_needs_them_is_absent(planted):
    y, x, _ = planted
    with_pairs, without = aa.diagnose(y, x, paired=True).to_dict(), aa.diagnose(y, x).to_dict()
    assert set(with_pairs) >= PAIRED
    assert set(with_pairs) - set(without) == PAIRED
    for name, value in without.items():
        assert with_pairs[name] == pytest.approx(value), name
    paired = set(aa.evaluate(y, x, y, paired=True).to_dict()) - set(aa.evaluate(y, x, y).to_dict())
    assert paired == {
        "uncentered_residual_anisotropy",
        "paired_cosine",
        "recall_at_1",
        "recall_at_10",
        "reverse_recall_at_1",
        "reverse_recall_at_10",
        "mixed_recall_at_10",
        "reverse_mixed_recall_at_10",
        "raw_mixed_recall_at_10",
        "raw_reverse_mixed_recall_at_10",
        "residual_spectrum_k",
        "residual_spectrum",
    }


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("case", ["planted", "equal", "few", "narrow"])
def test_the_verdict_is_three_sentences_and_says_which_cosine_to_expect(planted, paired, case):
    y, x = {
        "planted": (planted.source, planted.target),
        "equal": (planted.source, planted.source.copy()),
        "few": (planted.source[:2], planted.target[:2]),
        "narrow": (planted.source[:, :2], planted.target[:, :2]),
    }[case]
    report = aa.diagnose(y, x, paired=paired)
    sentences = report.verdict()
    assert len(sentences) == 3
    assert all(sentence.endswith(".") for sentence in sentences)
    expected = report.paired_cosine if paired else report.centroid_cosine
    assert f"cosine {expected:.2f}" in sentences[2]
    assert f"{report.paired_cosine_limit:.2f}" in sentences[2]
    assert "nan" not in str(report)
    assert "None" not in str(report)
    assert str(report).splitlines() == sentences


def test_the_verdict_follows_the_gap(planted):
    y = planted.source
    assert "far apart" in aa.diagnose(y, -y).verdict()[0]
    assert "in the same place" in aa.diagnose(y, y[::-1]).verdict()[0]
    # y and y at right angles to a common centre: paired cosines of 0.25, all alike.
    centre, side = np.sqrt(0.25), np.sqrt(0.75)
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    cone = np.stack([np.full(40, centre), side * np.cos(angles), side * np.sin(angles)], axis=1)
    quarter = np.stack([cone[:, 0], -cone[:, 2], cone[:, 1]], axis=1)
    assert "have cosine 0.25 here, give or take 0.00" in aa.diagnose(cone, quarter, paired=True).verdict()[2]
    assert "have cosine 1.00 here, give or take 0.00" in aa.diagnose(cone, cone.copy(), paired=True).verdict()[2]


@pytest.mark.parametrize(
    ("shared", "words"), [(1.0, "share most of"), (0.75, "share most of"), (0.4, "share part of"), (0.0, "not shown")]
)
def test_the_verdict_on_directions_agrees_with_the_share_that_was_planted(shared, words):
    """Two sets whose leading q directions have exactly the given share in common."""
    rng = np.random.default_rng(3)
    dim, q = 200, 20
    common = round(shared * q)
    axes = [np.arange(q), np.r_[np.arange(common), np.arange(q, 2 * q - common)]]
    sets = []
    for chosen, offset in zip(axes, (4.0, -4.0), strict=True):
        rows = 0.01 * rng.normal(size=(2_000, dim))
        rows[:, chosen] += rng.normal(size=(2_000, q))
        rows[:, -1] += offset
        sets.append(rows)
    gap = aa.diagnose(*sets, q=q)
    assert gap.subspace_overlap == pytest.approx(shared, abs=0.06)
    assert words in gap.verdict()[1]
    assert f"overlap {gap.subspace_overlap:.2f}" in gap.verdict()[1]


def test_the_energy_told_is_that_of_the_leading_directions(planted):
    y, x, _ = planted
    gap = aa.diagnose(y, x, paired=True)
    y, x = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (y, x))
    rest = (x - x.mean(axis=0)) - (y - y.mean(axis=0))
    values = np.sort(np.linalg.eigvalsh(rest.T @ rest))[::-1]
    count = gap.residual_effective_dimension * gap.dim
    below, above = (values[: int(edge)].sum() / values.sum() for edge in (np.floor(count), np.ceil(count)))
    told = re.search(r"(\d+)% of the dimensions hold (\d+)% of what is left", gap.verdict()[1])
    assert int(told[1]) == round(100 * gap.residual_effective_dimension)
    assert 100 * below - 2 <= int(told[2]) <= 100 * above + 2


def test_equal_sets_have_no_gap(planted):
    y = planted.source
    report = aa.diagnose(y, y.copy(), paired=True)
    assert report.centroid_gap == report.covariance_gap == report.paired_distance == 0.0
    assert report.subspace_overlap == pytest.approx(1.0)
    assert report.spectral_correlation == pytest.approx(1.0)
    # A residual that is nowhere has no shape.
    assert report.residual_ratio is None
    assert report.residual_coverage is None


@settings(max_examples=10)
@given(SEEDS, st.integers(3, 60), st.integers(2, 10))
def test_no_pairing_averages_above_the_limit(make_planted, seed, rows, dim):
    y, x, _ = make_planted(rows, dim, seed)
    limit, rng = aa.diagnose(y, x).paired_cosine_limit, np.random.default_rng(seed)
    from scipy.optimize import linear_sum_assignment

    best = linear_sum_assignment(-(y @ x.T))[1]
    for pairing in [best, np.arange(rows), *(rng.permutation(rows) for _ in range(5))]:
        assert (y * x[pairing]).sum(axis=1).mean() <= limit + 1e-9


@settings(max_examples=10)
@given(SEEDS)
def test_the_limit_is_reached_by_sets_that_are_one_map_apart(make_planted, seed):
    y = make_planted(40, 6, seed).source
    assert aa.diagnose(y, y.copy()).paired_cosine_limit == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize(("n", "m", "k"), [(3, 3, 2), (5, 3, 3), (2, 6, 4), (4, 4, 7)])
def test_mixing_is_one_on_average_over_all_labellings(n, m, k):
    """Every way to call n of the rows target: the mean is 1 to the last digits, by symmetry."""
    rows = np.random.default_rng(n + 10 * k).normal(size=(n + m, 4))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    found = []
    for target in combinations(range(n + m), n):
        inside = np.isin(np.arange(n + m), target)
        found.append(mixing(rows[inside], rows[~inside], k))
    if (n, m, k) == (4, 4, 7):  # every neighbour is drawn: the entropy is what it is
        assert all(pair == pytest.approx((1.0, 1.0)) for pair in found)
    np.testing.assert_allclose(np.mean(found, axis=0), 1.0, rtol=1e-12)


def test_mixing_of_random_labels_is_one_in_expectation():
    rng, found = np.random.default_rng(0), []
    for _ in range(30):
        rows = rng.normal(size=(150, 6))
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        found.append(mixing(rows[:90], rows[90:], 10))
    mean, error = np.mean(found, axis=0), np.std(found, axis=0, ddof=1) / np.sqrt(30)
    assert (error < 0.02).all()
    assert (abs(mean - 1.0) < 3.0 * error).all()


def test_one_neighbour_is_never_mixed(planted):
    y, x, _ = planted
    with pytest.raises(ValueError, match="k must be at least 2 for mixing"):
        mixing(x, y, 1)
    with pytest.raises(aa.InputError, match="k must be between 2 and 299, not 1"):
        aa.evaluate(y, x, y, k=1)


@pytest.mark.parametrize(("k", "targets", "others"), [(1, 2, 3), (2, 1, 4), (3, 3, 3), (4, 2, 5), (5, 5, 0)])
def test_expected_entropy_is_the_mean_over_all_draws(k, targets, others):
    labels = np.array([1.0] * targets + [0.0] * others)
    drawn = [labels[list(choice)].mean() for choice in combinations(range(len(labels)), k)]
    assert expected_entropy(k, targets, others) == pytest.approx(np.mean(binary_entropy(np.array(drawn))), abs=1e-12)


@settings(max_examples=10)
@given(SEEDS)
def test_mixing_swaps_its_two_sides(make_planted, seed):
    y, x, _ = make_planted(40, 5, seed)
    there, back = mixing(x, y[:30], 7), mixing(y[:30], x, 7)
    assert there.target_penetration == pytest.approx(back.target_coverage, rel=1e-12)
    assert there.target_coverage == pytest.approx(back.target_penetration, rel=1e-12)


def test_sets_apart_do_not_mix_at_all():
    rng = np.random.default_rng(0)
    centre = np.array([9.0, 0, 0, 0])
    x, y = rng.normal(size=(40, 4)) + centre, rng.normal(size=(40, 4)) - centre
    x, y = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (x, y))
    assert mixing(x, y, 5) == (0.0, 0.0)


@settings(max_examples=5)
@given(SEEDS)
def test_random_replacement_reaches_the_target_and_loses_the_meaning(make_planted, seed):
    y, x, _ = make_planted(400, 10, seed)
    z = aa.RandomTarget(seed=seed % 1000).fit(y, x).transform(y)
    raw, random = aa.evaluate(y, x, y, paired=True, k=20), aa.evaluate(y, x, z, paired=True, k=20)
    # The target is reached, save that some targets are drawn twice and others never ...
    assert random.centroid_gap < 0.1 * raw.centroid_gap
    assert random.target_penetration > 0.85
    assert random.target_coverage > 0.85
    # ... and nothing of the source is left.
    assert abs(random.geometry_consistency) < 0.1
    assert abs(random.neighbour_consistency - 20 / 399) < 0.03
    assert random.recall_at_10 < 3 * 10 / 400 + 0.02
    assert random.paired_cosine == pytest.approx(float(x.mean(axis=0) @ x.mean(axis=0)), abs=0.05)


@settings(max_examples=5)
@given(SEEDS)
def test_identity_keeps_all_meaning(make_planted, seed):
    y, x, _ = make_planted(100, 6, seed)
    scores = aa.evaluate(y, x, aa.Identity().fit(y, x).transform(y, out_dtype="float64"))
    assert scores.instance_consistency == pytest.approx(1.0)
    assert scores.geometry_consistency == pytest.approx(1.0)
    assert scores.neighbour_consistency == 1.0


def test_perfect_alignment_scores_perfectly(planted):
    y, x, labels = planted
    scores = aa.evaluate(y, x, x, paired=True, source_labels=labels)
    assert scores.centroid_gap == 0.0
    assert scores.recall_at_1 == scores.reverse_recall_at_1 == scores.mixed_recall_at_10 == 1.0
    assert scores.reverse_mixed_recall_at_10 == 1.0
    assert scores.paired_cosine == pytest.approx(1.0)
    shuffled = aa.evaluate(y, x, x[np.random.default_rng(0).permutation(len(x))], paired=True, source_labels=labels)
    assert shuffled.recall_at_10 < 0.15
    assert shuffled.label_transfer < scores.label_transfer - 0.3


def test_the_controls_do_what_they_are_there_for(planted):
    y, x, _ = planted
    found = measure_controls(y, x, paired=True)
    assert found["identity"]["geometry_consistency"] == pytest.approx(1.0)
    assert found["mean_shift"]["centroid_gap"] < 0.2 * found["identity"]["centroid_gap"]
    # Matching the distribution alone says nothing about meaning.
    assert found["random_target"]["target_penetration"] > 0.85
    assert abs(found["random_target"]["geometry_consistency"]) < 0.1
    moved = control_transforms(y, x, paired=True)
    path = [moved[f"residual_path_{alpha:.2f}"] for alpha in (0.0, 0.25, 0.5, 0.75, 1.0)]
    np.testing.assert_allclose(path[0], moved["mean_shift"], atol=1e-12)
    paired = [(z * x).sum(axis=1).mean() for z in path]
    assert paired == sorted(paired)
    assert not [name for name in measure_controls(y, x) if name.startswith("residual")]


@pytest.mark.parametrize(("n", "m"), [(400, 60), (60, 400), (200, 200)])
def test_mixing_of_equals_ranks_a_mixture_above_clumps_whatever_the_sizes(n, m):
    rng = np.random.default_rng([n, m])
    target, mixed, clumps = rng.normal(size=(n, 3)), rng.normal(size=(m, 3)), rng.normal(size=(m, 3)) * 0.5 + 0.5
    perfect, worse = (mixing_of_equals(target, rows, k=10) for rows in (mixed, clumps))
    assert min(perfect) == pytest.approx(1.0, abs=0.06)
    assert max(worse) < min(perfect) - 0.03


def test_mixing_of_equals_is_mixing_where_sets_are_equal(make_planted):
    world = make_planted(rows=120)
    found, expected = (measure(world.target, world.source, 10) for measure in (mixing_of_equals, mixing))
    assert found == pytest.approx(expected)


@pytest.mark.parametrize(("n", "m"), [(60, 1200), (1200, 60)])
def test_controls_are_a_scale_whatever_the_sizes_of_the_sets(n, m):
    """Sources in a clump, as prompts are, far from all targets: none is reached, though few lie among many."""
    rng = np.random.default_rng([n, m])
    target = normalize(rng.normal(size=(n, 16)) + 4 * np.eye(16)[0])
    source = normalize(0.2 * rng.normal(size=(m, 16)) + 4 * np.eye(16)[1])
    found = measure_controls(source, target)
    assert found["identity"]["geometry_consistency"] == pytest.approx(1.0)
    assert max(found["identity"][side] for side in ("target_penetration", "target_coverage")) < 0.05
    for side in ("target_penetration", "target_coverage"):
        assert found["random_target"][side] == pytest.approx(1.0, abs=0.1)


def test_sets_of_unequal_length_are_told_of(planted):
    aa.evaluate(planted.source[:90], planted.target[:100], planted.source[:90])
    for n, m in ((60, 100), (100, 60)):
        with pytest.warns(UserWarning, match=f"{n} aligned and {m} target rows.*take as many of both"):
            aa.evaluate(planted.source[:n], planted.target[:m], planted.source[:n])


@pytest.mark.parametrize("paired", [False, True])
def test_label_transfer_is_told_beside_that_of_raw_rows_by_the_same_training(planted, paired):
    y, x, labels = planted
    known = {"paired": paired, "source_labels": labels, "target_labels": labels}
    moved, raw = (aa.evaluate(y, x, rows, **known) for rows in (aa.MeanShift().fit(y, x).transform(y), y))
    assert raw.raw_label_transfer == raw.label_transfer
    assert moved.raw_label_transfer == raw.label_transfer
    assert moved.label_transfer != moved.raw_label_transfer
    assert "raw_label_transfer" not in aa.evaluate(y, x, y, paired=paired).to_dict()


def test_labels_of_pairs_are_compared_as_text(planted):
    numbers = np.arange(100) % 4
    options = {"paired": True, "source_labels": numbers}
    rows = planted.source[:100], planted.target[:100], planted.source[:100]
    report = aa.evaluate(*rows, target_labels=[str(n) for n in numbers], **options)
    assert report == aa.evaluate(*rows, target_labels=numbers, **options)


def test_two_rows_a_side_have_cosines_across_whatever_the_seed():
    rows = np.eye(2)
    assert all(len(cosines_across(rows, rows, seed)) for seed in range(60))
    assert not any(cosines_across(rows, rows, seed).any() for seed in range(60))  # never a row with its own number
