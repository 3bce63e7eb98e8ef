"""What AnisoAlign says of data before and after a fit: no shared geometry, small samples, drift; and false alarms."""

import re
import subprocess
import sys
import warnings

import numpy as np
import pytest
from aligner_worlds import QUICK, D, distorted

import anisoalign as aa
from anisoalign.aligners.anisoalign import strength
from anisoalign.aligners.anisoalign.premise import (
    FEWEST,
    AlignmentWarning,
    PremiseError,
    check_premise,
)
from anisoalign.aligners.anisoalign.strength import DEFAULT, WORTH
from anisoalign.aligners.anisoalign.strength import FEWEST as FEWEST_HELD
from anisoalign.aligners.drift import drift, drift_statistics
from anisoalign.geometry import effective_dimension, eigenvalues, normalize
from anisoalign.statistics import Moments

SETS = {"coco_clip": "image.npy", "fashion_clip": "image.npy", "esc50_clap": "audio.npy"}


def p_value(source, target):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AlignmentWarning)
        return check_premise(*(Moments.empty(rows.shape[1]).update(rows) for rows in (source, target)), True, 0)


def alarm(fitted, new):
    """What would be said of new rows, "" for nothing."""
    dimension = fitted.shape[1] * float(effective_dimension(eigenvalues(np.cov(fitted.T, bias=True))))
    return drift(new, fitted.mean(axis=0), drift_statistics(fitted, fitted.mean(axis=0)), dimension)


@pytest.fixture(scope="module")
def real(data_folder):
    """Name -> source and target, unit rows."""
    return {
        name: [normalize(np.load(data_folder / name / file).astype(np.float64)) for file in ("text.npy", target)]
        for name, target in SETS.items()
    }


def test_unrelated_sets_are_refused_and_related_ones_are_not_but_for_the_level_of_the_test():
    """40 worlds each; the level is 1 %, so that more than 3 of 40 accepted would be a broken test (p = 0.0006)."""
    accepted, refused = [], 0
    for seed in range(40):
        source, target, _ = distorted(400, seed)
        rng = np.random.default_rng(seed)
        turned = source @ np.linalg.qr(rng.normal(size=(D, D)))[0]
        noise = normalize(rng.normal(size=(400, D)) + 1)
        accepted += [p_value(turned, target) <= 0.01, p_value(noise, target) <= 0.01]
        refused += p_value(source[:200], target[200:]) > 0.01
    assert sum(accepted[::2]) <= 3
    assert sum(accepted[1::2]) <= 3
    assert refused == 0


@pytest.mark.parametrize("texts", SETS)
@pytest.mark.parametrize("targets", SETS)
def test_texts_of_one_set_against_targets_of_another_are_refused(real, texts, targets):
    source, target = real[texts][0][:300], real[targets][1][:300]
    if texts == targets:
        assert p_value(source, target) <= 0.01
        return
    with pytest.raises(aa.InputError, match=r"share no leading directions .* force=True"):
        aa.AnisoAlign().fit(source, target)


def test_real_sets_that_do_not_belong_together_are_fitted_if_forced(real):
    source, target = real["fashion_clip"][0][:100], real["coco_clip"][1][:100]
    with pytest.warns(AlignmentWarning, match="share no leading directions"):
        model = aa.AnisoAlign(force=True, strength=0.5, rank=64).fit(source, target)
    assert model.overlap_p_ > 0.01
    np.testing.assert_allclose(np.linalg.norm(model.transform(source), axis=1), 1.0, atol=1e-5)


def test_the_premise_is_no_matter_of_size_on_real_sets(real):
    """Down to 25 rows a side, of different items, text and image of one encoder are told to belong together."""
    for name in ("coco_clip", "fashion_clip"):
        source, target = real[name]
        for seed in range(5):
            order = np.random.default_rng(seed).permutation(500)
            assert p_value(source[order[:25]], target[order[25:50]]) <= 0.01


def test_sets_too_small_to_tell_are_not_refused():
    source, target, _ = distorted(400, 0)
    noise = normalize(np.random.default_rng(0).normal(size=(FEWEST - 1, D)))
    assert p_value(noise, target) is None
    assert p_value(source[:, :8], target[:, :8]) is None  # too narrow


def test_a_healthy_fit_says_nothing():
    """Warnings are errors throughout this suite; here several worlds and both presets rely on it."""
    for seed in range(3):
        source, target, _ = distorted(400, seed)
        for model in (aa.AnisoAlign(), aa.AnisoAlign.paper(**QUICK)):
            model.fit(source[:200], target[200:]).transform(source[200:])


@pytest.mark.parametrize(("few", "side"), [(20, "source"), (20, "target"), (28, "source")])
def test_fewer_rows_than_directions_are_warned_of(few, side):
    source, target, _ = distorted(400, 0)
    rows = (source[:few], target[200:]) if side == "source" else (source[:200], target[200 : 200 + few])
    for rank, warned in ((28, True), (few - 2, False)):
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            aa.AnisoAlign(rank=rank, strength=0.5, force=True).fit(*rows)
        assert any(f"{few} rows for a frame of {rank} directions" in str(each.message) for each in said) == warned


@pytest.mark.parametrize("noise", [0.0, 5e-6])
@pytest.mark.parametrize(("distinct", "warned"), [(50, True), (99, True), (101, False)])
def test_sources_that_are_mostly_the_same_are_warned_of(distinct, warned, noise):
    """Also where texts were encoded in other batches, which changes last digits."""
    source, target, _ = distorted(400, 0)
    repeated = source[np.arange(200) % distinct] + noise * np.random.default_rng(0).normal(size=(200, D))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        aa.AnisoAlign(strength=0.5, rank=8).fit(repeated, target[200:])
    messages = [str(each.message) for each in said if issubclass(each.category, AlignmentWarning)]
    assert messages == (
        [f"only {distinct} of 200 sources looked at are different: what is learned rests on those"] * warned
    )


def test_prompts_of_classes_are_warned_of(real):
    """2,000 sounds, 50 texts: "This is a sound of X."."""
    source, target = real["esc50_clap"]
    with pytest.warns(AlignmentWarning, match="only 50 of 400 sources"):
        aa.AnisoAlign(strength=0.5, rank=32).fit(source[::5], target[1::5])


@pytest.mark.parametrize(("fitted", "new"), [(60, 20), (60, 2000), (200, 200), (600, 40), (2000, 2000)])
def test_fresh_samples_raise_no_false_alarm(fitted, new):
    alarms = [alarm(distorted(fitted, 0)[0], _fresh(new, seed)) for seed in range(60)]
    assert alarms == [""] * 60


def _fresh(n, seed):
    """Another sample of the law of `distorted(..., 0)`."""
    rows = distorted(6000, 0)[0]
    return rows[np.random.default_rng([seed, 9]).choice(6000, n, replace=False)]


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize(("fitted", "new"), [(40, 20), (200, 20), (250, 250)])
def test_fresh_samples_of_real_sets_raise_no_false_alarm(real, name, fitted, new):
    for rows in real[name]:
        for seed in range(40):
            order = np.random.default_rng(seed).permutation(len(rows))
            assert alarm(rows[order[:fitted]], rows[order[fitted : fitted + new]]) == ""


def test_two_narrow_clusters_raise_no_false_alarm():
    """All variance in one direction is where an estimate of sampling error is at its worst."""
    centres = normalize(np.random.default_rng(0).normal(size=(2, D)))
    for seed in range(100):
        rng = np.random.default_rng(seed)
        fitted, new = (normalize(centres[rng.integers(2, size=n)] + 0.02 * rng.normal(size=(n, D))) for n in (200, 100))
        assert alarm(fitted, new) == ""


@pytest.mark.parametrize(("per", "within"), [(5, 0.5), (5, 1.0), (25, 0.5)])
def test_captions_beside_each_other_of_new_images_are_no_drift(per, within):
    """Rows of one image are alike, so that their mean is less sure than that of as many independent rows."""

    def captions(rng, rows):
        images = rng.normal(size=(rows // per, D)) * np.arange(1, D + 1.0) ** -0.5
        noise = rng.normal(size=(rows, D)) * np.arange(1, D + 1.0) ** -0.5
        return normalize(np.repeat(images, per, axis=0) + within * noise + 2 * np.eye(D)[3])

    for seed in range(20):
        rng = np.random.default_rng(seed)
        fitted, new = captions(rng, 1200), captions(rng, 600)
        assert alarm(fitted, new) == ""
        assert "mean is" in alarm(fitted, normalize(new + 0.4 * np.eye(D)[7]))


def test_drift_is_seen_and_named():
    rows, fresh = distorted(600, 0)[0], _fresh(300, 1)
    mean = rows.mean(axis=0)
    for seed in range(20):
        away = normalize(np.random.default_rng(seed).normal(size=(1, D)))
        assert "mean is 0." in alarm(rows, normalize(fresh + 0.3 * away))
    assert "energy" in alarm(rows, mean + 1.5 * (fresh - fresh.mean(axis=0)))
    assert "energy" in alarm(rows, mean + 0.5 * (fresh - fresh.mean(axis=0)))


def test_images_passed_for_texts_are_seen_as_drift(real):
    for source, target in real.values():
        assert alarm(source[:200], target[200:300]) != ""


def test_a_model_warns_of_drift_in_memory_and_from_files_and_still_transforms(tmp_path):
    source, target, _ = distorted(600, 0)
    model = aa.AnisoAlign(strength=0.5).fit(source[:300], target[300:])
    moved = normalize(source[300:] + 0.3 * normalize(np.ones((1, D))))
    with pytest.warns(AlignmentWarning, match="drifted from the fitted sources") as said:
        aligned = model.transform(moved)
    assert len(said) == 1
    np.save(tmp_path / "moved.npy", moved)
    with pytest.warns(AlignmentWarning, match="drifted"):
        model.transform(tmp_path / "moved.npy", tmp_path / "z.npy")
    np.testing.assert_allclose(np.load(tmp_path / "z.npy"), aligned, atol=1e-6)
    model.transform(moved[: FEWEST - 1])  # too few to tell
    model.transform(moved[0])


def test_a_warning_points_at_the_line_that_called(tmp_path):
    """In a process of its own: what checks shapes in this suite stands between a caller and the library."""
    script = """
import warnings
import numpy as np
import anisoalign as aa
warnings.simplefilter("always")
rows = np.random.default_rng(0).normal(size=(400, 24)) * np.linspace(2, 0.5, 24) + 1
def work():
    model = aa.AnisoAlign(strength=0.5, rank=8).fit(rows[:200], rows[200:] - 2)
    model.transform(rows + 1)  # line 9
    aa.AnisoAlign(strength=0.5, force=True).fit(rows[:200], np.random.default_rng(1).normal(size=(200, 24)))  # 10
    aa.AnisoAlign(strength=0.5, rank=8).fit(rows[np.arange(200) % 60], rows[200:] - 2)  # line 11
work()
"""
    (tmp_path / "caller.py").write_text(script)
    ended = subprocess.run([sys.executable, tmp_path / "caller.py"], capture_output=True, text=True, check=True)
    assert re.findall(r"caller\.py:([0-9]+): AlignmentWarning", ended.stderr) == ["9", "10", "11"], ended.stderr


def test_the_strength_is_chosen_from_as_many_rows_as_can_be_held_out():
    source, target, _ = distorted(400, 0)
    for rows_y, rows_x in ((FEWEST_HELD - 1, 100), (100, FEWEST_HELD - 1), (FEWEST_HELD, FEWEST_HELD)):
        model = aa.AnisoAlign(rank=8, force=True).fit(source[:rows_y], target[200 : 200 + rows_x])
        chosen = min(rows_y, rows_x) >= FEWEST_HELD
        assert (model.strength_curve_ is not None) == chosen
        assert chosen or model.strength_ == DEFAULT
    curve = model.strength_curve_
    told = {"strength", "strengths", "geometry_consistency", "target_reached", "score", "rivals"}
    assert set(curve) == told | {"sources", "repeated_sources"}
    assert (curve["sources"], curve["repeated_sources"]) == (FEWEST_HELD, 0)
    best = curve["strengths"][int(np.argmax(curve["score"]))]
    assert model.strength_ == curve["strength"]
    assert model.strength_ in (0.0, best)


def test_the_simplest_method_that_does_as_well_is_recommended():
    source, target, _ = distorted(400, 0)
    for change, wanted in (({}, None), ({"mean-shift": 1.0}, "mean-shift"), ({"gaussian-transport": 1.0}, "gaussian-")):
        model = aa.AnisoAlign(rank=8).fit(source[:200], target[200:])
        curve = model.strength_curve_
        curve["rivals"] |= change
        scores = {**curve["rivals"], "aniso-align": curve["score"][curve["strengths"].index(model.strength_)]}
        (note,) = [note for note in model.notes() if note.startswith("recommended here")]
        named = note.removeprefix("recommended here: ").split(",")[0]
        assert named.startswith(wanted or "")
        assert wanted or scores.get(named, curve["score"][0]) >= max(scores.values()) - WORTH


@pytest.mark.parametrize(("gain", "taken"), [(0.0, False), (0.005, False), (0.05, True)])
def test_realign_is_left_only_for_a_clear_lead(monkeypatch, gain, taken):
    monkeypatch.setattr(strength, "geometry_consistency", lambda before, after, seed: float(after[0, 0]))
    monkeypatch.setattr(strength, "mixing", lambda target, rows, k: (1.0, float(rows[0, 0])))

    def fit(fit_y, fit_x):
        return lambda rows: (np.full((2, 2), 0.8 + gain * (node == 0.7)) for node in strength.NODES)

    rows = np.random.default_rng(0).normal(size=(100, 2))
    choice = strength.choose_strength(rows, rows, fit, 0)
    assert choice.strength == (0.7 if taken else 0.0)
    assert choice.score[7] == pytest.approx(0.8 + gain)


@pytest.mark.parametrize("side", ["source", "target"])
def test_rows_that_are_all_the_same_are_refused_to_the_last_bit(side):
    same, other = np.eye(32)[np.zeros(100, int)], normalize(np.random.default_rng(0).normal(size=(100, 32)))
    rows = {"source": same, "target": other} if side == "source" else {"source": other, "target": same}
    with pytest.raises(PremiseError, match=f"all {side} rows are the same"):
        aa.AnisoAlign(strength=0.5).fit(**rows)


def test_a_strength_that_could_not_be_chosen_is_told():
    world = distorted(60, 0, "turn")
    model = aa.AnisoAlign(force=True).fit(world.source[:30], world.target[30:])
    assert model.strength_ == DEFAULT
    assert any(note.startswith("not chosen: fewer than 40 different rows") for note in model.notes())
    assert not any(note.startswith("not chosen") for note in model.at_strength(0.3).notes())
