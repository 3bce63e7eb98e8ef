"""Two frames: among the targets, or each side less its own mean. What the common one promises, and where it reaches."""

import json

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import anisoalign as aa
from anisoalign.aligners import METHODS
from anisoalign.aligners.modules import serving_module
from anisoalign.aligners.saving import aligner_fingerprint
from anisoalign.cli import app
from anisoalign.report import comparison_markdown

EXACT = {"dtype": "float64", "out_dtype": "float64"}
FRAMED = [name for name, method in METHODS.items() if "frame" in method().get_params()]


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture(scope="module", params=FRAMED)
def models(request, planted):
    options = {"strength": 0.6} if "strength" in METHODS[request.param]().get_params() else {}
    model = METHODS[request.param](**options).fit(planted.source[:150], planted.target)
    return model, model.in_frame("common")


def test_the_common_frame_is_that_of_means_taken_from_both_sides(planted):
    y, x = (unit(rows.astype(np.float64)) for rows in (planted.source, planted.target))
    model = aa.MeanShift(frame="common").fit(y, x)
    np.testing.assert_allclose(model.transform(y, **EXACT), unit(y - y.mean(axis=0)), atol=1e-12)
    np.testing.assert_allclose(model.targets().transform(x, **EXACT), unit(x - x.mean(axis=0)), atol=1e-12)


def test_what_is_taken_is_the_mean_of_aligned_rows(models, planted):
    """Aligned rows and targets of the target's frame, each less its mean before the last step onto the sphere."""
    model, common = models
    y, x = planted.source[:150], unit(planted.target.astype(np.float64))
    shift = 0 if not model.calibrated else model.target_mean_ - model.calibration_mean_
    if model.calibrated:
        before = common.transform(y, **EXACT)  # Norm(z − μ̂), so that z − μ̂ is along it
        moved = model.transform(y, **EXACT)  # Norm(z + μx − μ̂)
        # z lies in the plane of both: Norm(z − μ̂) + c μx is along Norm(z + μx − μ̂) for some c > 0
        off = moved - np.sum(moved * before, axis=1, keepdims=True) * before
        along = model.target_mean_ - np.sum(before * model.target_mean_, axis=1, keepdims=True) * before
        np.testing.assert_allclose(np.sum(unit(off) * unit(along), axis=1), 1, atol=1e-9)
        assert abs(shift).max() < 1
    np.testing.assert_allclose(common.targets().transform(x, **EXACT), unit(x - model.target_mean_), atol=1e-12)
    np.testing.assert_allclose(model.targets().transform(x, **EXACT), x, atol=1e-12)


def test_changing_the_frame_is_fitting_in_it(models, planted, tmp_path):
    model, common = models
    again = type(model)(**{**model.get_params(), "frame": "common"}).fit(planted.source[:150], planted.target)
    np.testing.assert_array_equal(common.transform(planted.source), again.transform(planted.source))
    back = common.in_frame("target")
    np.testing.assert_array_equal(back.transform(planted.source), model.transform(planted.source))
    assert (model.fitted_frame, common.fitted_frame) == ("target", "common")
    common.save(tmp_path / "m")
    loaded = aa.load(tmp_path / "m")
    np.testing.assert_array_equal(loaded.transform(planted.source), common.transform(planted.source))
    np.testing.assert_array_equal(
        loaded.targets().transform(planted.target), common.targets().transform(planted.target)
    )


def test_one_row_a_file_and_an_exported_module_are_in_the_frame(models, planted, tmp_path, write_shards):
    _, common = models
    y = planted.source.astype(np.float32)
    expected = common.transform(y)
    np.testing.assert_allclose(common.transform(y[7]), expected[7], atol=1e-6)
    np.testing.assert_allclose(serving_module(common)(torch.from_numpy(y)).numpy(), expected, atol=1e-5)
    targets = serving_module(common.targets())(torch.from_numpy(planted.target.astype(np.float32))).numpy()
    np.testing.assert_allclose(targets, common.targets().transform(planted.target), atol=1e-5)
    write_shards(tmp_path / "y", y, [100, 200])
    common.transform(tmp_path / "y", tmp_path / "z")
    np.testing.assert_allclose(aa.open_embeddings(tmp_path / "z").read(np.float32), expected, atol=1e-6)


def test_what_has_one_frame_says_so(planted):
    model = aa.C3().fit(planted.source, planted.target)
    with pytest.raises(TypeError, match="c3 has the target's frame alone"):
        model.in_frame("common")
    with pytest.raises(ValueError, match="frame must be one of target, common, not 'mean'"):
        aa.ReAlign(frame="mean").fit(planted.source, planted.target)
    with pytest.raises(ValueError, match="frame must be one of"):
        aa.AnisoAlign(frame="mean").fit(planted.source, planted.target)
    for keep in ("save", "save_pretrained", "push_to_hub"):
        with pytest.raises(aa.InputError, match="save the model"):
            getattr(model.targets(), keep)("no/where")


def test_commands_map_either_side(planted, tmp_path, write_shards):
    for side, rows in (("text", planted.source), ("image", planted.target)):
        write_shards(tmp_path / side, rows.astype(np.float32), [len(rows)])
    run, model = CliRunner().invoke, aa.ReAlign().fit(planted.source, planted.target)
    model.save(tmp_path / "m")
    for side, flag in (("text", "source"), ("image", "target")):
        words = ["transform", tmp_path / "m", "--source", tmp_path / side, "--out", tmp_path / f"{side}-common"]
        assert run(app, [*map(str, words), "--frame", "common", "--side", flag]).exit_code == 0
    common = model.in_frame("common")
    for side, move, rows in (("text", common, planted.source), ("image", common.targets(), planted.target)):
        found = aa.open_embeddings(tmp_path / f"{side}-common").read(np.float32)
        np.testing.assert_allclose(found, move.transform(rows), atol=1e-6)
    aa.C3().fit(planted.source, planted.target).save(tmp_path / "c3")
    words = ["transform", tmp_path / "c3", "--source", tmp_path / "text", "--out", tmp_path / "z", "--frame", "common"]
    assert isinstance(run(app, list(map(str, words))).exception, aa.InputError)
    assert not (tmp_path / "z").exists()


def test_a_set_remembers_that_it_lies_in_a_common_frame(planted, tmp_path, write_shards):
    write_shards(tmp_path / "y", planted.source.astype(np.float32), [300])
    about = {"encoder": "hf:clip", "modality": "text"}
    (tmp_path / "y" / "manifest.json").unlink(missing_ok=True)
    rows = aa.open_embeddings(tmp_path / "y")
    rows.provenance = about
    model = aa.ReAlign(frame="common").fit(planted.source, planted.target)
    model.transform(rows, tmp_path / "z")
    aligned = aa.open_embeddings(tmp_path / "z")
    assert '"frame": "common"' in json.dumps(aligned.provenance)
    targets = aa.open_embeddings(planted.target.astype(np.float32))
    targets.provenance = {**about, "modality": "image"}
    with pytest.warns(UserWarning, match="the aligned rows lie in a common frame, the targets do not"):
        aa.evaluate(rows, targets, aligned)
    model.provenance_["target"]["provenance"] = targets.provenance
    model.targets().transform(targets, tmp_path / "x")
    aa.evaluate(rows, aa.open_embeddings(tmp_path / "x"), aligned)  # a warning would be an error


def test_files_that_say_nothing_are_told_from_rows_of_a_common_frame(planted, tmp_path):
    for name, rows in (("y", planted.source), ("x", planted.target)):
        np.save(tmp_path / f"{name}.npy", rows.astype(np.float32))
    model = aa.ReAlign(frame="common").fit(tmp_path / "y.npy", tmp_path / "x.npy")
    model.transform(tmp_path / "y.npy", tmp_path / "z.npy")
    targets = model.targets()
    targets.transform(tmp_path / "x.npy", tmp_path / "x-common.npy")
    paths = [tmp_path / f"{name}.npy" for name in ("y", "x", "z")]
    with pytest.warns(UserWarning, match="the aligned rows lie in a common frame, the targets do not say so"):
        assert "frame" not in aa.evaluate(*paths).to_dict()  # raw targets beside them: what is measured is the mistake
    with pytest.warns(UserWarning, match="the targets lie in a common frame, the aligned rows do not say so"):
        aa.evaluate(paths[0], tmp_path / "x-common.npy", paths[0])
    found = aa.evaluate(paths[0], tmp_path / "x-common.npy", paths[2])  # a warning would be an error
    assert found.frame == "common"
    aa.evaluate(paths[0], targets.transform(planted.target), paths[2])  # an array cannot say where it lies
    with pytest.warns(UserWarning, match="the target rows lie in a common frame, the source rows do not say so"):
        aa.diagnose(paths[0], tmp_path / "x-common.npy")
    with pytest.warns(UserWarning, match="the source rows lie in a common frame, the target rows do not say so"):
        aa.diagnose(paths[2], paths[1])
    for pair in ((paths[2], tmp_path / "x-common.npy"), (planted.source, tmp_path / "x-common.npy"), paths[:2]):
        aa.diagnose(*pair)


def test_a_comparison_holds_rows_against_targets_of_their_frame(planted):
    names = ["mean-shift", "mean-shift:frame=common"]
    result = aa.compare(planted.source, planted.target, paired=True, methods=names, repeats=2)
    shifted, common = (record for record in result.to_dicts() if record["method"] in names)
    assert common["target_coverage"] > 0.5  # against targets as they are it would be near none
    assert common["centroid_gap"] < 0.5
    assert shifted["method"] == names[0]


def test_frames_are_held_against_each_other_by_ranks_and_hits_alone(planted):
    names = ["mean-shift", "realign", "mean-shift:frame=common", "realign:frame=common"]
    options = {"paired": True, "source_labels": planted.labels, "target_labels": planted.labels, "repeats": 3}
    records = aa.compare(planted.source, planted.target, methods=names, **options).to_dicts()
    marked = {key for r in records for key in r if key.endswith("_mark") and r["method"].endswith("=common")}
    within = ("instance_consistency", "geometry_consistency", "neighbour_consistency", "balance", "paired_cosine")
    assert marked
    assert not marked & {f"{key}_mark" for key in (*within, "centroid_gap", "uncentered_residual_anisotropy")}
    for key in within:
        assert [r for r in records if r.get(f"{key}_mark") == "best"], key  # of those among the targets
    alone = aa.compare(planted.source, planted.target, methods=names[2:], repeats=3).to_dicts()
    assert [r for r in alone if r.get("geometry_consistency_mark") == "best"]
    text = comparison_markdown(records)
    assert "methods of a common frame take none in Ψ, Ω, residual anisotropy and label transfer." in text
    assert "common frame" not in comparison_markdown(alone)


def test_the_targets_of_the_targets_side_are_itself(planted):
    targets = aa.MeanShift(frame="common").fit(planted.source, planted.target).targets()
    np.testing.assert_array_equal(targets.targets().transform(planted.target), targets.transform(planted.target))


def test_the_targets_side_changes_its_frame_with_its_model(planted):
    model = aa.ReAlign().fit(planted.source, planted.target)
    expected = model.in_frame("common").targets().transform(planted.target)
    np.testing.assert_array_equal(model.targets().in_frame("common").transform(planted.target), expected)


@pytest.mark.parametrize("name", FRAMED)
@pytest.mark.parametrize("side", ["source", "target"])
@pytest.mark.parametrize("kind", [np.float64, np.float32, np.float16])
@pytest.mark.filterwarnings("ignore::anisoalign.aligners.drift.AlignmentWarning")
def test_of_a_side_that_does_not_vary_nothing_is_left_in_a_common_frame(planted, tmp_path, name, side, kind):
    sets = {"source": planted.source.astype(kind), "target": planted.target.astype(kind)}
    sets[side] = np.repeat(sets[side][:1], 30, axis=0)
    forced = {"force": True, "terms": "init", "rotation": "means"} if name == "aniso-align" else {}
    with pytest.raises(aa.InputError, match=f"all {side} rows are the same: less their mean"):
        METHODS[name](frame="common", **forced).fit(**sets)
    model = METHODS[name](**forced).fit(**sets)
    model.save(tmp_path / "m")
    for fitted in (model, aa.load(tmp_path / "m")):
        fitted.transform(sets["source"])
        with pytest.raises(aa.InputError, match=f"all {side} rows are the same"):
            fitted.in_frame("common")
    again = model.fit(planted.source, planted.target).in_frame("common")
    assert np.isfinite(again.transform(planted.source)).all()


def test_a_model_that_knows_nothing_of_its_targets_has_a_side_for_them(planted):
    model = aa.ReAlign().fit(planted.source, planted.target)
    model.provenance_ = {}
    model.targets().transform(planted.target)


def test_models_saved_before_there_were_frames_are_known_by_the_same_digits(planted):
    model = aa.ReAlign().fit(planted.source, planted.target)
    digits = aligner_fingerprint(model)
    del model._fitted_with["frame"]
    assert aligner_fingerprint(model) == digits
    assert aligner_fingerprint(model.in_frame("common")) != digits
