"""The assembled method: what it promises of any data, what it recovers where the truth is planted, when it refuses."""

import warnings

import numpy as np
import ot
import pytest
import torch

import anisoalign as aa
from anisoalign.aligners.anisoalign.coupling import bandwidth_for, coupling
from anisoalign.aligners.anisoalign.path import ROTATED, Guide
from anisoalign.aligners.anisoalign.premise import AlignmentWarning
from anisoalign.aligners.saving import aligner_fingerprint
from anisoalign.geometry import normalize
from anisoalign.geometry.rotation import turn_between

EXACT = {"dtype": "float64", "out_dtype": "float64"}
QUICK = {"prior_steps": 20, "refine_steps": 10, "rank": 8}
D, TOPICS = 32, 12


def scenes(n, seed, spread=0.5, noise=0.15):
    """Targets in clusters with a falling spectrum; sources that see them through an anisotropic distortion of a known
    subspace, elsewhere on the sphere; labels."""
    world, rng = np.random.default_rng(7), np.random.default_rng([seed, 1])
    centres = world.normal(size=(TOPICS, D)) * np.linspace(1.5, 0.2, D)
    label = rng.integers(TOPICS, size=n)
    meaning = centres[label] + spread * rng.normal(size=(n, D)) * np.linspace(1.0, 0.3, D)
    frame, _ = np.linalg.qr(world.normal(size=(D, D)))
    shrink = np.ones(D)
    shrink[:10] = np.linspace(0.3, 0.7, 10)  # sources vary too little in ten directions
    offset = 3 * normalize(world.normal(size=(2, D)))
    target = normalize(meaning + offset[0])
    seen = meaning @ frame @ np.diag(shrink) @ frame.T + noise * rng.normal(size=(n, D))
    return normalize(seen + offset[1]), target, label


@pytest.fixture(scope="module")
def unpaired():
    """Sources of some items, targets of others, and test pairs of a third part."""
    source, target, label = scenes(1500, 0)
    return source[:600], target[600:1200], source[1200:], target[1200:], label


@pytest.fixture(scope="module")
def default(unpaired):
    return aa.AnisoAlign(strength=0.7).fit(unpaired[0], unpaired[1])


def quick_paper(**changes):
    return aa.AnisoAlign.paper(**{**QUICK, **changes})


def test_the_turn_is_a_rotation_in_the_plane_of_the_means():
    start, end, other = np.random.default_rng(0).normal(size=(3, 9))
    turn = turn_between(start, end)
    np.testing.assert_allclose(turn.T @ turn, np.eye(9), atol=1e-12)
    assert np.linalg.det(turn) == pytest.approx(1.0)
    plane = np.linalg.qr(np.stack([start, end], axis=1))[0]
    outside = other - plane @ (plane.T @ other)
    np.testing.assert_allclose(turn @ outside, outside, atol=1e-12)
    np.testing.assert_allclose(turn @ start / np.linalg.norm(start), end / np.linalg.norm(end), atol=1e-12)


@pytest.mark.parametrize("pair", [(np.zeros(4), np.ones(4)), (np.ones(4), np.ones(4)), (np.ones(4), -np.ones(4))])
def test_no_plane_no_turn(pair):
    np.testing.assert_array_equal(turn_between(*pair), np.eye(4))


def test_the_turn_keeps_geometry_that_a_shift_loses(unpaired):
    source, target, test, _, _ = unpaired
    turned = aa.AnisoAlign(rotation="means", strength=ROTATED).fit(source, target).transform(test)
    shifted = aa.ReAlign().fit(source, target).transform(test)
    kept = [aa.evaluate(test, target[: len(test)], z).geometry_consistency for z in (turned, shifted)]
    assert kept[0] > 0.99
    assert kept[0] > kept[1] + 0.01


@pytest.mark.parametrize("model", [aa.AnisoAlign(), quick_paper()], ids=["default", "paper"])
def test_strength_0_is_realign_exactly(model, unpaired):
    source, target, test, _, _ = unpaired
    expected = aa.ReAlign().fit(source, target).transform(test, **EXACT)
    fresh = type(model)(**{**model.get_params(), "strength": 0.0}).fit(source, target)
    np.testing.assert_allclose(fresh.transform(test, **EXACT), expected, atol=1e-12)


def test_strength_changes_without_refitting(default, unpaired):
    source, target, test, _, _ = unpaired
    for strength in (0.0, 0.2, 0.5, 1.0):
        refitted = aa.AnisoAlign(strength=strength).fit(source, target).transform(test, **EXACT)
        np.testing.assert_allclose(default.at_strength(strength).transform(test, **EXACT), refitted, atol=1e-9)
    between = aa.AnisoAlign(strength=0.43).fit(source, target).transform(test, **EXACT)
    np.testing.assert_allclose(default.at_strength(0.43).transform(test, **EXACT), between, atol=2e-4)
    exact = default.at_strength(0.43).calibrate(source).transform(test, **EXACT)
    np.testing.assert_allclose(exact, between, atol=1e-9)


def test_the_result_is_centred_on_the_targets(default, unpaired):
    source, target = unpaired[:2]
    mean = default.transform(source, **EXACT).mean(axis=0)
    assert np.linalg.norm(mean - target.mean(axis=0)) < 0.02


@pytest.mark.parametrize("kind", ["default", "paper"])
def test_a_model_saved_transforms_to_the_same_bytes(kind, default, unpaired, tmp_path):
    model = default if kind == "default" else quick_paper(initial="transport").fit(unpaired[0], unpaired[1])
    model.save(tmp_path / "model")
    loaded = aa.load(tmp_path / "model")
    for options in ({}, EXACT):
        assert loaded.transform(unpaired[2], **options).tobytes() == model.transform(unpaired[2], **options).tobytes()
    assert (
        loaded.at_strength(0.3).transform(unpaired[2]).tobytes()
        == model.at_strength(0.3).transform(unpaired[2]).tobytes()
    )


def test_one_row_alone_is_that_row_of_the_set(default, unpaired):
    rows = default.transform(unpaired[2], **EXACT)
    np.testing.assert_allclose(default.transform(unpaired[2][5], **EXACT), rows[5], atol=1e-12)


def test_the_same_seed_gives_the_same_model(unpaired):
    source, target = unpaired[:2]
    for make in (aa.AnisoAlign, quick_paper):
        first, again = make(seed=3).fit(source, target), make(seed=3).fit(source, target)
        assert aligner_fingerprint(first) == aligner_fingerprint(again)
    assert aligner_fingerprint(quick_paper(seed=4).fit(source, target)) != aligner_fingerprint(again)


def test_shards_on_disk_give_the_model_of_the_rows_in_memory(unpaired, tmp_path):
    source, target = (rows.astype(np.float32) for rows in unpaired[:2])
    for side, rows in (("text", source), ("image", target)):
        (tmp_path / side).mkdir()
        for part, piece in enumerate(np.array_split(rows, 3)):
            np.save(tmp_path / side / f"{part}.npy", piece)
    whole = aa.AnisoAlign().fit(source, target).transform(source, **EXACT)
    shards = aa.AnisoAlign().fit(tmp_path / "text", tmp_path / "image").transform(source, **EXACT)
    np.testing.assert_allclose(shards, whole, atol=1e-9)


def test_planted_truth_is_recovered_better_than_by_any_closed_form():
    """Held-out paired cosine, less that of each rival, against its standard error over draws.

    Sources are noisy here: undoing a distortion of Gaussian data without noise is what optimal transport is.
    """
    rivals = {
        "realign": aa.ReAlign,
        "mean-shift": aa.MeanShift,
        "standardize": aa.Standardize,
        "transport .5": lambda: aa.GaussianTransport(strength=0.5, shrinkage=0.3),
        "transport": lambda: aa.GaussianTransport(shrinkage=0.3),
        "whiten-color": aa.WhitenColor,
    }
    ahead = {name: [] for name in rivals}
    oracle = []
    for seed in range(5):
        source, target, _ = scenes(1500, seed, spread=0.7, noise=0.6)
        test = slice(1200, None)
        truth = target[test]

        def cosine(model, truth=truth, rows=source[test]):
            return float((model.transform(rows, **EXACT) * truth).sum(axis=1).mean())

        ours = cosine(aa.AnisoAlign(strength=1.0).fit(source[:600], target[600:1200]))
        for name, make in rivals.items():
            ahead[name].append(ours - cosine(make().fit(source[:600], target[600:1200])))
        ridge = aa.oracle.Ridge().fit(source[:600], target[:600])
        oracle.append(float((ridge.transform(source[test]) * truth).sum(axis=1).mean()) - ours)
    for name, lead in ahead.items():
        assert np.mean(lead) > 2 * np.std(lead, ddof=1) / np.sqrt(len(lead)), (name, lead)
    assert np.mean(oracle) > 0


def test_where_the_gap_is_a_shift_the_default_is_realign_within_noise():
    differences = []
    for seed in range(4):
        _, target, _ = scenes(1500, seed)
        moved = normalize(target + 0.5 * normalize(np.random.default_rng(seed).normal(size=(1, D))))
        source, test_y, test_x = moved[:600], moved[1200:], target[1200:]
        reports = [
            aa.evaluate(test_y, test_x, model.fit(source, target[600:1200]).transform(test_y), paired=True).to_dict()
            for model in (aa.AnisoAlign(seed=seed), aa.ReAlign())
        ]
        names = ("geometry_consistency", "target_penetration", "target_coverage", "paired_cosine", "mixed_recall_at_10")
        differences.append([reports[0][name] - reports[1][name] for name in names])
    worst = np.mean(differences, axis=0)
    assert (worst > -0.03).all(), worst


def unrelated(kind):
    source, target, _ = scenes(400, 0)
    rng = np.random.default_rng(5)
    if kind == "noise":
        return normalize(rng.normal(size=(400, D)) + 1), target
    rotation, _ = np.linalg.qr(rng.normal(size=(D, D)))
    return source @ rotation, target


@pytest.mark.parametrize("kind", ["noise", "rotated"])
def test_sets_that_share_no_geometry_are_refused_unless_forced(kind):
    source, target = unrelated(kind)
    with pytest.raises(aa.InputError, match="share no leading directions"):
        aa.AnisoAlign().fit(source, target)
    with pytest.warns(AlignmentWarning, match="share no leading directions"):
        aa.AnisoAlign(force=True, strength=0.5).fit(source, target)


def test_small_and_repetitive_samples_are_warned_of():
    source, target, _ = scenes(400, 0)
    with pytest.warns(AlignmentWarning, match="25 rows for a frame of 28"):
        aa.AnisoAlign(rank=28, strength=0.5, force=True).fit(source[:25], target)
    with pytest.warns(AlignmentWarning, match="only 40 of 400 sources"):
        aa.AnisoAlign(strength=0.5, force=True).fit(np.repeat(source[:40], 10, axis=0), target)


def test_drifted_rows_are_warned_of_and_fresh_ones_are_not(default):
    for seed in range(10, 30):
        fresh = scenes(200, seed)[0]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            default.transform(fresh)
    with pytest.warns(AlignmentWarning, match="drifted"):
        default.transform(normalize(fresh + 0.3))


@pytest.mark.parametrize("size", [1.0, 1e3])
def test_no_row_turns_further_in_the_guided_step_than_its_bound(default, unpaired, size):
    part = default.correction()
    guide = Guide(part.guide.weight * size, part.guide.bias, step=1.0, bound=0.4)
    rows = torch.from_numpy(unpaired[2])
    cosine = (guide.at(rows.dtype)(rows) * rows).sum(dim=1).clamp(-1, 1)
    step = torch.linalg.vector_norm(guide.delta(rows.dtype)(rows), dim=1)
    assert bool((step <= 0.4 + 1e-12).all())
    assert bool((torch.arccos(cosine) <= torch.arcsin(step.clamp_max(1)) + 1e-7).all())


def test_every_row_has_its_bound(default, unpaired):
    rows, bounds = default.transform(unpaired[2], return_bound=True)
    assert rows.shape == unpaired[2].shape
    assert bounds.shape == (len(rows),)
    assert (bounds <= np.arcsin(default.guide_bound) + 1e-9).all()
    assert default.bound_ < np.pi
    with pytest.raises(aa.InputError, match="in memory"):
        default.transform(unpaired[2], "somewhere", return_bound=True)


def test_the_coupling_is_entropic_transport_where_balanced():
    rng = np.random.default_rng(0)
    z, x = normalize(rng.normal(size=(40, 6))), normalize(rng.normal(size=(50, 6)))
    ours = coupling(z, x, 0.3, balance=1.0) / len(z)
    theirs = ot.sinkhorn(np.full(40, 1 / 40), np.full(50, 1 / 50), -z @ x.T, reg=0.3, numItermax=10_000)
    np.testing.assert_allclose(ours, theirs, atol=1e-8)
    plain = np.exp(z @ x.T / 0.3)
    np.testing.assert_allclose(coupling(z, x, 0.3, balance=0.0), plain / plain.sum(axis=1, keepdims=True), atol=1e-12)


@pytest.mark.parametrize("wanted", [3.0, 12.0])
def test_the_bandwidth_gives_the_number_of_neighbours(wanted):
    rng = np.random.default_rng(0)
    z, x = normalize(rng.normal(size=(100, 6))), normalize(rng.normal(size=(50, 6)))
    plan = coupling(z, x, bandwidth_for(z, x, wanted), balance=0.0)
    assert np.exp(-(plan * np.log(plan)).sum(axis=1).mean()) == pytest.approx(wanted, rel=1e-3)


@pytest.mark.parametrize(
    "setting",
    [
        {"strength": "most"},
        {"strength": 1.5},
        {"terms": "init+magic"},
        {"terms": "init+prior"},
        {"initial": "guess"},
        {"mixing": "shaken"},
        {"guide_bound": 0.0},
        {"neighbours": 2.0},
        {"balance": -0.1},
        {"noise": 0.0},
        {"edges": 0},
        {"fit_rows": 1},
        {"phase_bound": -1.0},
    ],
    ids=str,
)
def test_a_bad_setting_is_named_before_any_work(setting, unpaired):
    with pytest.raises(ValueError, match=next(iter(setting))):
        aa.AnisoAlign(**setting).fit("not/read", "not/read")


def test_too_few_rows_to_hold_any_out_take_the_default_strength():
    source, target, _ = scenes(60, 0)
    model = aa.AnisoAlign(force=True, rank=8).fit(source[:30], target[30:])
    assert model.strength_ == 0.5
    assert model.strength_curve_ is None


@pytest.mark.parametrize("mixing", ["identity", "haar", "learned"])
@pytest.mark.parametrize("centre", ["origin", "mean"])
def test_every_form_of_the_paper_trains(mixing, centre, unpaired):
    model = quick_paper(
        mixing=mixing, centre=centre, centred_coupling=True, degree_normalised=True, complement="relative"
    )
    z = model.fit(unpaired[0], unpaired[1]).transform(unpaired[2])
    np.testing.assert_allclose(np.linalg.norm(z, axis=1), 1.0, atol=1e-5)
    assert model.polar_config_["notes"]["prior_held_out"]


def test_the_bounded_parts_promise_nothing_where_they_have_no_part(default, unpaired):
    for strength, acts in ((0.0, False), (0.2, False), (0.5, False), (0.6, True), (1.0, True)):
        model = default.at_strength(strength)
        bounds = model.transform(unpaired[2], return_bound=True)[1]
        assert (model.bound_ > 0) is acts
        assert bool((bounds > 0).any()) is acts
        assert any("have no part in a row" in note for note in model.notes()) is not acts


def test_a_prior_that_learned_nothing_says_so_and_one_that_did_does_not(unpaired):
    model = quick_paper().fit(unpaired[0], unpaired[1])  # a few steps, in which nothing is learned
    (note,) = [note for note in model.notes() if note.startswith("prior: learned nothing")]
    about = model.polar_config_["notes"]
    assert f"{about['prior_without_network']:.3f} without one" in note
    about["prior_held_out"].append([100, about["prior_without_network"] - 1.9 * about["prior_lead_error"]])
    assert any(note.startswith("prior: learned nothing") for note in model.notes())  # a lead within the noise
    about["prior_held_out"].append([200, about["prior_without_network"] - 2.1 * about["prior_lead_error"]])
    assert not any(note.startswith("prior") for note in model.notes())
    del about["prior_lead_error"]  # as in models saved before it was kept
    assert not any(note.startswith("prior") for note in model.notes())
    assert not any(note.startswith("prior") for note in aa.AnisoAlign(strength=0.5).fit(*unpaired[:2]).notes())
