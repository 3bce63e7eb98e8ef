"""Laws of the assembled method that hold of any data, for both presets: strengths, rows, precisions, files, bounds."""

import itertools

import numpy as np
import ot
import pytest
import torch
from aligner_worlds import EXACT, QUICK, distorted
from sklearn.exceptions import NotFittedError

import anisoalign as aa
from anisoalign.aligners.anisoalign import blocks
from anisoalign.aligners.anisoalign.chosen_strength import SMALL
from anisoalign.aligners.anisoalign.coupling import bandwidth_for, coupling
from anisoalign.aligners.anisoalign.path import ROTATED
from anisoalign.aligners.saving import aligner_fingerprint
from anisoalign.diagnostics.alignment import geometry_consistency
from anisoalign.geometry import normalize

KINDS = ("default", "paper", "all parts")
FIT = 300


def make(kind, **changes):
    if kind == "default":
        return aa.AnisoAlign(**changes)
    more = {"terms": "init+guide+refine+prior+phase+support+structure"} if kind == "all parts" else {}
    return (aa.AnisoAlign if kind == "all parts" else aa.AnisoAlign.paper)(**{**QUICK, **more, **changes})


@pytest.fixture(scope="module")
def rows():
    """Sources and targets of different items to fit on, sources of others to transform."""
    source, target, _ = distorted(900, 0)
    return source[:FIT], target[FIT : 2 * FIT], source[2 * FIT :]


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def model(kind, rows):
    return make(kind, strength=0.8).fit(rows[0], rows[1])


def test_the_turn_keeps_more_geometry_than_a_shift_at_any_offset():
    """Everything that lies between the two is the turn, on draws whose offsets grow."""
    gained = []
    for seed in range(8):
        source, target, _ = distorted(600, seed, gap="shift")
        turned = aa.AnisoAlign(rotation="means", strength=ROTATED).fit(source[:200], target[200:400])
        shifted = aa.ReAlign().fit(source[:200], target[200:400])
        test = source[400:]
        kept = [geometry_consistency(test, fitted.transform(test, **EXACT)) for fitted in (turned, shifted)]
        gained.append(kept[0] - kept[1])
    assert min(gained) > 0
    assert np.mean(gained) > 3 * np.std(gained, ddof=1) / np.sqrt(len(gained))


def test_without_strength_a_fitted_model_is_realign(model, rows):
    expected = aa.ReAlign().fit(rows[0], rows[1]).transform(rows[2], **EXACT)
    found = model.at_strength(0.0).transform(rows[2], **EXACT)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(
        model.at_strength(0.0).calibrate(rows[0]).transform(rows[2], **EXACT), expected, rtol=0, atol=1e-12
    )


def test_another_strength_of_a_sampled_fit_is_off_by_less_than_the_sample_is():
    """What a sample's mean is off by is known, since the mean of all rows is."""
    world = distorted(6000, 0)
    source, target = world.source[:4000], world.target[4000:]
    model = aa.AnisoAlign(strength=0.5, fit_rows=400).fit(source, target)
    np.testing.assert_array_equal(model.at_strength(0.5).transform(source), model.transform(source))
    expected = aa.ReAlign().fit(source, target).transform(source, **EXACT)
    off = np.linalg.norm(model.at_strength(0.0).transform(source, **EXACT) - expected, axis=1).max()
    by_chance = model.start_scale_ * np.sqrt(model.source_energy_["energy"] / 400)
    assert off < by_chance / 4


def test_the_strength_of_a_fitted_model_is_that_of_a_fit(kind, model, rows):
    """Exact where calibration means are stored, every tenth; between them they are interpolated."""
    for strength, apart in ((0.1, 1e-9), (0.6, 1e-9), (1.0, 1e-9), (0.13, 2e-3), (0.55, 2e-4)):
        refitted = make(kind, strength=strength).fit(rows[0], rows[1])
        expected = refitted.transform(rows[2], **EXACT)
        copy = model.at_strength(strength)
        np.testing.assert_allclose(copy.transform(rows[2], **EXACT), expected, rtol=0, atol=apart)
        exact = copy.calibrate(rows[0]).transform(rows[2], **EXACT)
        np.testing.assert_allclose(exact, expected, rtol=0, atol=1e-9)


def test_the_dial_moves_rows_continuously(model, rows):
    dial = [model.at_strength(t).transform(rows[2], **EXACT) for t in np.linspace(0, 1, 41)]
    steps = [np.linalg.norm(b - a, axis=1).mean() for a, b in itertools.pairwise(dial)]
    whole = np.linalg.norm(dial[-1] - dial[0], axis=1).mean()
    assert max(steps) < 0.15 * whole


def test_one_row_is_that_row_of_the_set_whatever_is_beside_it(model, rows):
    together = model.transform(rows[2], **EXACT)
    for row in (0, 7, 299):
        np.testing.assert_allclose(model.transform(rows[2][row], **EXACT), together[row], rtol=0, atol=1e-12)
    order = np.random.default_rng(0).permutation(len(together))
    np.testing.assert_allclose(model.transform(rows[2][order], **EXACT), together[order], rtol=0, atol=1e-12)


def test_float32_is_float64_rounded(model, rows):
    exact = model.transform(rows[2], **EXACT)
    rounded = model.transform(rows[2].astype(np.float32), dtype="float32")
    assert rounded.dtype == np.float32
    np.testing.assert_allclose(rounded, exact, rtol=0, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(exact, axis=1), 1.0, rtol=0, atol=1e-12)


def test_lengths_of_rows_do_not_matter(model, rows):
    lengths = np.random.default_rng(0).uniform(0.1, 9.0, size=(FIT, 1))
    found = model.transform(rows[2] * lengths, **EXACT)
    np.testing.assert_allclose(found, model.transform(rows[2], **EXACT), rtol=0, atol=1e-12)


def test_a_model_read_back_is_the_model(kind, model, rows, tmp_path):
    model.save(tmp_path / "m")
    loaded = aa.load(tmp_path / "m")
    assert loaded.get_params() == model.get_params()
    assert aligner_fingerprint(loaded) == aligner_fingerprint(model)
    for options in ({}, EXACT, {"dtype": "float32"}):
        assert loaded.transform(rows[2], **options).tobytes() == model.transform(rows[2], **options).tobytes()
    bounds = [each.transform(rows[2], return_bound=True)[1].tobytes() for each in (model, loaded)]
    assert bounds[0] == bounds[1]
    assert loaded.notes() == model.notes()
    for strength in (0.0, 0.37, 1.0):
        found = [each.at_strength(strength).transform(rows[2]).tobytes() for each in (model, loaded)]
        assert found[0] == found[1]
    loaded.save(tmp_path / "again")
    for file in ("config.json", "model.safetensors"):
        assert (tmp_path / "again" / file).read_bytes() == (tmp_path / "m" / file).read_bytes()


def test_the_seed_is_the_model(kind, model, rows):
    assert aligner_fingerprint(make(kind, strength=0.8).fit(rows[0], rows[1])) == aligner_fingerprint(model)
    if kind != "default":  # nothing is drawn there but held-out rows
        assert aligner_fingerprint(make(kind, strength=0.8, seed=5).fit(rows[0], rows[1])) != aligner_fingerprint(model)


def test_draws_of_others_are_left_alone(kind, rows, tmp_path):
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002 - the state that others may rely on
    before = torch.get_rng_state().clone(), np.random.get_state()[1].copy()  # noqa: NPY002
    make(kind, strength=0.8).fit(rows[0], rows[1]).save(tmp_path / "m")
    aa.load(tmp_path / "m").transform(rows[2])
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002


@pytest.mark.parametrize("fit_rows", [100, 20_000])
def test_shards_give_the_model_of_the_rows_in_memory_where_they_are_sampled_too(
    kind, rows, tmp_path, write_shards, fit_rows
):
    source, target = (part.astype(np.float32) for part in rows[:2])
    paths = (
        write_shards(tmp_path / "text", source, [120, 1, 179]),
        write_shards(tmp_path / "image", target, [299, 1]),
    )
    options = {"strength": 0.8, "fit_rows": fit_rows}
    whole, shards = make(kind, **options).fit(source, target), make(kind, **options).fit(*paths)
    np.testing.assert_allclose(shards.transform(source, **EXACT), whole.transform(source, **EXACT), rtol=0, atol=1e-9)
    shards.transform(paths[0], tmp_path / "out.npy")
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), whole.transform(source), rtol=0, atol=1e-6)


@pytest.mark.parametrize("stage", ["stage I", "stage II"])
def test_an_interrupted_fit_goes_on_to_the_same_model(rows, tmp_path, stage):
    options = {**QUICK, "prior_steps": 250, "refine_steps": 250, "strength": 0.8}
    seen = []

    def stop(*at):
        seen.append(at)
        if at[:2] == (stage, 170):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        aa.AnisoAlign.paper(**options).fit(rows[0], rows[1], stages=stop, checkpoint=tmp_path / "state")
    seen = []
    resumed = aa.AnisoAlign.paper(**options)
    resumed.fit(rows[0], rows[1], stages=lambda *at: seen.append(at), checkpoint=tmp_path / "state")
    assert seen[0] == {"stage I": ("stage I", 101, 250), "stage II": ("stage II", 151, 250)}[stage]
    assert aligner_fingerprint(resumed) == aligner_fingerprint(aa.AnisoAlign.paper(**options).fit(rows[0], rows[1]))


def test_a_state_of_other_settings_is_not_taken_up(rows, tmp_path):
    options = {**QUICK, "refine_steps": 120, "strength": 0.8, "checkpoint": tmp_path / "state"}
    checkpoint = options.pop("checkpoint")

    def stop(*at):
        if at[:2] == ("stage II", 100):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        aa.AnisoAlign.paper(**options).fit(rows[0], rows[1], stages=stop, checkpoint=checkpoint)
    other, seen = options | {"phase_bound": 0.2}, []
    model = aa.AnisoAlign.paper(**other)
    model.fit(rows[0], rows[1], stages=lambda *at: seen.append(at), checkpoint=checkpoint)
    assert ("stage II", 1, 120) in seen
    assert aligner_fingerprint(model) == aligner_fingerprint(aa.AnisoAlign.paper(**other).fit(rows[0], rows[1]))


def test_a_checkpoint_is_a_folder(rows, tmp_path):
    (tmp_path / "state").write_text("mine")
    with pytest.raises(aa.InputError, match="state is a file: the states of the stages are kept in a folder"):
        aa.AnisoAlign.paper(**QUICK).fit(rows[0], rows[1], checkpoint=tmp_path / "state")
    assert (tmp_path / "state").read_text() == "mine"


def test_an_interrupted_fit_leaves_the_model_as_it_was(rows):
    def stop(*at):
        raise KeyboardInterrupt

    read = []

    def stop_late(count):
        read.append(count)
        if sum(read) > 2 * len(source):  # both were measured: this is the pass of the calibration
            raise KeyboardInterrupt

    source, target = rows[0][::2] * np.linspace(1, 2, rows[0].shape[1]), rows[1][::2]
    fresh, model = aa.AnisoAlign.paper(**QUICK), aa.AnisoAlign.paper(**QUICK).fit(rows[0], rows[1])
    before = aligner_fingerprint(model)
    for each, when in itertools.product((fresh, model), ({"stages": stop}, {"progress": stop_late})):
        read.clear()
        with pytest.raises(KeyboardInterrupt):
            each.fit(source, target, **when)
    assert aligner_fingerprint(model) == before
    with pytest.raises(NotFittedError):
        fresh.transform(rows[0])


def test_generators_of_gpus_are_left_alone(rows, monkeypatch):
    def fail(seed):
        raise AssertionError

    monkeypatch.setattr(torch.cuda, "manual_seed_all", fail)
    aa.AnisoAlign.paper(**QUICK).fit(rows[0], rows[1])


def test_the_generator_of_the_process_is_not_borrowed_either(rows, tmp_path, monkeypatch):
    """Not even to be given back: fits in other threads, and others' draws, would meanwhile see another state."""

    def fail(*given, **named):
        raise AssertionError

    for name in ("fork_rng", "set_rng_state"):
        monkeypatch.setattr(torch.random, name, fail)
    model = aa.AnisoAlign.paper(**QUICK).fit(rows[0], rows[1])
    model.save(tmp_path / "m")
    aa.load(tmp_path / "m").transform(rows[2])


@pytest.mark.parametrize("within", [torch.no_grad, torch.inference_mode])
def test_networks_train_where_the_caller_wants_no_gradients(rows, within):
    steps = {**QUICK, "prior_steps": 3, "refine_steps": 3}
    expected = aa.AnisoAlign.paper(**steps).fit(rows[0], rows[1])
    with within():
        found = aa.AnisoAlign.paper(**steps).fit(rows[0], rows[1])
    assert aligner_fingerprint(found) == aligner_fingerprint(expected)


def test_the_default_precision_of_torch_is_not_that_of_the_networks(rows):
    steps = {**QUICK, "terms": "init+refine+prior+phase+support", "prior_steps": 3, "refine_steps": 3}
    expected = aa.AnisoAlign.paper(**steps).fit(rows[0], rows[1])
    torch.set_default_dtype(torch.float64)
    try:
        found = aa.AnisoAlign.paper(**steps).fit(rows[0], rows[1])
    finally:
        torch.set_default_dtype(torch.float32)
    assert aligner_fingerprint(found) == aligner_fingerprint(expected)


def test_what_is_sampled_is_small_here():
    """These sets are all below what makes a fit take more threads, so that bytes can be compared."""
    assert FIT < SMALL


def angles(a, b):
    a, b = torch.nn.functional.normalize(a, dim=1), torch.nn.functional.normalize(b, dim=1)
    return 2 * torch.asin(((a - b).norm(dim=1) / 2).clamp(max=1.0))


@pytest.mark.parametrize("size", [1.0, 1e3, -1e3])
@pytest.mark.parametrize("bound", [0.05, 0.6])
def test_the_guided_step_of_a_model_keeps_to_the_bound_it_gives(rows, size, bound):
    model = aa.AnisoAlign(strength=0.8, guide_bound=bound, guide_step=1.0).fit(rows[0], rows[1])
    model.guide_weight_ = model.guide_weight_ * size  # an adversary's weights
    given = model.transform(rows[2], return_bound=True)[1]
    parts = model.correction()
    before = parts.initial.at(torch.float64)(torch.from_numpy(rows[2].copy()))
    turned = angles(before, parts.guide.at(torch.float64)(before.clone())).numpy()
    assert (turned <= given + 1e-9).all()
    assert (given <= np.arcsin(bound) + 1e-12).all()
    assert turned.max() > 0.4 * np.arcsin(bound)  # the bound is no empty one


@pytest.mark.parametrize("complement", ["relative", "coordinate"])
@pytest.mark.parametrize("initial", ["radial", "transport"])
def test_the_refinement_of_a_model_keeps_to_the_bound_it_gives(rows, initial, complement):
    tight = {"phase_bound": 0.2, "radius_bound": 0.1, "complement_bound": 0.02}
    model = make("paper", initial=initial, complement=complement, **tight).fit(rows[0], rows[1])
    for name in [name for name in vars(model) if name.startswith("polar_refinement")]:
        array = getattr(model, name)
        setattr(model, name, np.random.default_rng(0).normal(size=array.shape).astype(array.dtype) * 1e3)
    given = model.transform(rows[2], return_bound=True)[1]
    parts = model.correction()
    now = torch.from_numpy(rows[2].copy())
    for part in itertools.takewhile(lambda part: part is not parts.polar, parts.parts()):
        now = part.at(torch.float64)(now)
    stage = parts.polar.cast(torch.float64)
    start = stage.initialise(now)
    turned = angles(stage.unnormalised(start), stage.unnormalised(stage.refine(start))).numpy()
    assert (turned <= given + 1e-9).all()
    assert 0.02 < turned.max() <= given.max() < 0.5


def test_bounds_come_row_by_row(model, rows):
    aligned, bounds = model.transform(rows[2], return_bound=True)
    assert bounds.shape == (len(aligned),)
    assert ((bounds >= 0) & (bounds <= np.pi)).all()
    assert aligned.tobytes() == model.transform(rows[2]).tobytes()
    one, its = model.transform(rows[2][3], return_bound=True)
    assert (one.shape, its.shape) == (rows[2][3].shape, (1,))
    assert its[0] == pytest.approx(bounds[3], abs=1e-12)
    assert model.bound_ >= model.transform(rows[0], return_bound=True)[1].max() - 1e-12


def test_a_set_of_files_has_no_bounds(model, rows, tmp_path):
    with pytest.raises(aa.InputError, match="in memory; leave out=PATH away"):
        model.transform(rows[2], tmp_path / "z.npy", return_bound=True)
    assert not (tmp_path / "z.npy").exists()


@pytest.mark.parametrize("balance", [0.3, 0.5, 0.8])
@pytest.mark.parametrize("bandwidth", [0.3, 0.1])
def test_the_coupling_is_semi_unbalanced_transport(balance, bandwidth):
    """An independent solver of the same problem: sources exact, targets relaxed by ρ = h·balance / (1 − balance)."""
    rng = np.random.default_rng(0)
    z, x = normalize(rng.normal(size=(40, 6))), normalize(rng.normal(size=(50, 6)))
    relaxed = bandwidth * balance / (1 - balance)
    theirs = ot.unbalanced.sinkhorn_unbalanced(
        np.full(40, 1 / 40), np.full(50, 1 / 50), -z @ x.T,
        reg=bandwidth, reg_m=(np.inf, relaxed), numItermax=20_000, stopThr=1e-14,
    )  # fmt: skip
    np.testing.assert_allclose(coupling(z, x, bandwidth, balance) / 40, theirs, rtol=0, atol=1e-10)


def test_the_coupling_is_entropic_transport_where_balanced():
    rng = np.random.default_rng(0)
    z, x = normalize(rng.normal(size=(40, 6))), normalize(rng.normal(size=(50, 6)))
    ours = coupling(z, x, 0.3, balance=1.0) / len(z)
    theirs = ot.sinkhorn(np.full(40, 1 / 40), np.full(50, 1 / 50), -z @ x.T, reg=0.3, numItermax=10_000)
    np.testing.assert_allclose(ours, theirs, atol=1e-8)
    plain = np.exp(z @ x.T / 0.3)
    np.testing.assert_allclose(coupling(z, x, 0.3, balance=0.0), plain / plain.sum(axis=1, keepdims=True), atol=1e-12)


def test_balance_evens_out_how_often_targets_are_used():
    source, target, _ = distorted(500, 0)
    z = aa.ReAlign().fit(source[:200], target[200:]).transform(source[:200], **EXACT)
    plans = [coupling(z, target[200:], 0.1, balance) for balance in (0.0, 0.25, 0.5, 0.75, 1.0)]
    for plan in plans:
        np.testing.assert_allclose(plan.sum(axis=1), 1.0, rtol=0, atol=1e-12)
    uneven = [float(plan.mean(axis=0).std() * 300) for plan in plans]
    assert all(later < earlier for earlier, later in itertools.pairwise(uneven))
    np.testing.assert_allclose(plans[-1].mean(axis=0) * 300, 1.0, rtol=0, atol=1e-3)


@pytest.mark.parametrize("wanted", [2.0, 8.0, 40.0])
def test_the_bandwidth_gives_the_number_of_neighbours_on_clustered_rows_too(wanted):
    source, target, _ = distorted(500, 0)
    z = aa.ReAlign().fit(source[:200], target[200:]).transform(source[:200], **EXACT)
    plan = coupling(z, target[200:], bandwidth_for(z, target[200:], wanted), 0.0)
    entropy = -(plan * np.log(np.maximum(plan, 1e-300))).sum(axis=1).mean()
    assert np.exp(entropy) == pytest.approx(wanted, rel=1e-3)


def test_blocks_are_only_how_the_sample_is_walked_through(kind, rows, model, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK", 64)
    again = make(kind, strength=0.8).fit(rows[0], rows[1])
    np.testing.assert_allclose(again.transform(rows[2], **EXACT), model.transform(rows[2], **EXACT), atol=1e-6)
    assert again.bound_ == pytest.approx(model.bound_, abs=1e-6)


def test_a_sample_in_float32_fits_what_one_in_float64_does(rows):
    """Sets too large for float64 give their sample in float32; `dtype` asks for it at any size."""
    fine, coarse = (aa.AnisoAlign().fit(rows[0], rows[1], dtype=dtype) for dtype in ("float64", "float32"))
    assert coarse.strength_ == fine.strength_
    np.testing.assert_allclose(coarse.transform(rows[2], **EXACT), fine.transform(rows[2], **EXACT), atol=1e-4)
