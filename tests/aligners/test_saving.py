"""A saved model is the model; what is no model is refused with a reason."""

import json

import numpy as np
import pytest
import safetensors.torch
import torch
from safetensors.numpy import load_file, save_file

import anisoalign as aa
from anisoalign.aligners import METHODS
from anisoalign.statistics import measure


@pytest.fixture
def saved(planted, tmp_path):
    """A folder with a fitted GaussianTransport."""
    aa.GaussianTransport(rank=5, strength=0.5).fit(planted.source, planted.target).save(tmp_path / "model")
    return tmp_path / "model"


def edit(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    config |= changes
    (folder / "config.json").write_text(json.dumps({key: value for key, value in config.items() if value != "drop"}))


def test_a_loaded_model_gives_the_same_bytes(fitted, planted, tmp_path):
    fitted.save(tmp_path / "model")
    loaded = aa.load(tmp_path / "model")
    assert type(loaded) is type(fitted)
    assert loaded.get_params() == fitted.get_params()
    for options in ({}, {"dtype": "float32"}, {"dtype": "float64", "out_dtype": "float64"}):
        expected = fitted.transform(planted.source, **options)
        assert loaded.transform(planted.source, **options).tobytes() == expected.tobytes()


def test_a_saved_model_is_three_plain_files(fitted, tmp_path):
    fitted.save(tmp_path / "model")
    files = {file.name for file in (tmp_path / "model").iterdir()}
    assert files == {"config.json", "model.safetensors", "README.md"}
    assert [file.name for file in tmp_path.iterdir()] == ["model"]  # nothing half-written is left
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert config["schema_version"] == 1
    assert config["method"] == fitted.name
    assert config["library_version"] == aa.__version__
    card = (tmp_path / "model" / "README.md").read_text()
    assert type(fitted).__name__ in card
    assert ("holds target rows" in card) == fitted.keeps_rows
    assert ("holds no training rows" in card) != fitted.keeps_rows


def test_only_the_methods_that_say_so_keep_rows(fitted, planted, tmp_path):
    fitted.save(tmp_path / "model")
    arrays = load_file(tmp_path / "model" / "model.safetensors")
    assert any(len(np.atleast_1d(array)) == len(planted.target) for array in arrays.values()) == fitted.keeps_rows
    assert {name for name, method in METHODS.items() if method.keeps_rows} == {"memory-projection", "random-target"}


def test_saving_twice_gives_the_same_bytes(fitted, tmp_path):
    for name in ("a", "b"):
        fitted.save(tmp_path / name)
    for file in ("config.json", "model.safetensors", "README.md"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_a_model_may_be_replaced_and_anything_else_is_left_alone(planted, saved, tmp_path):
    aa.ReAlign().fit(planted.source, planted.target).save(saved)
    assert isinstance(aa.load(saved), aa.ReAlign)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    model = aa.MeanShift().fit(planted.source, planted.target)
    for name in ("notes", "file"):
        with pytest.raises(aa.InputError, match="left alone"):
            model.save(tmp_path / name)
    assert (tmp_path / "notes" / "mine.txt").read_text() == (tmp_path / "file").read_text() == "mine"
    with pytest.raises(aa.InputError, match="cannot write the model"):
        model.save(tmp_path / "file" / "model")


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("damage", ["absent", "empty", "cut", "noise", "list"])
def test_a_damaged_model_is_refused(saved, file, damage):
    path, content = saved / file, (saved / file).read_bytes()
    if damage == "absent":
        path.unlink()
    else:
        cut = content[: len(content) // 2]
        path.write_bytes({"empty": b"", "cut": cut, "noise": b"\xff\xfe\x00 noise", "list": b"[1, 2]"}[damage])
    with pytest.raises(aa.InputError, match="model"):
        aa.load(saved)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema_version": 2}, "schema version 2"),
        ({"schema_version": "drop"}, "schema version None"),
        ({"method": "teleport"}, "'teleport'"),
        ({"method": "drop"}, "None"),
        ({"params": {"warp": 9}}, "model"),
        ({"params": "drop"}, "model"),
        ({"fitted": "drop"}, "model"),
        ({"fitted": {}}, "model"),
    ],
)
def test_a_foreign_config_is_refused(saved, changes, message):
    edit(saved, **changes)
    with pytest.raises(aa.InputError, match=message):
        aa.load(saved)


@pytest.mark.parametrize("missing", ["weight_", "bias_"])
def test_weights_of_another_model_are_refused(saved, missing):
    arrays = load_file(saved / "model.safetensors")
    del arrays[missing]
    save_file(arrays, saved / "model.safetensors")
    with pytest.raises(aa.InputError, match="model"):
        aa.load(saved)


@pytest.mark.parametrize(
    ("fitted", "message"),
    [
        ({"calibrated": False}, "'calibrated' is nothing that this gaussian-transport holds"),
        ({"transform": 5}, "'transform' is nothing"),
        ({"__class__": 5}, "'__class__' is nothing"),
        ({"_fitted_with": {}}, "'_fitted_with' is nothing"),
        ({"n_features_in_": "x"}, "n_features_in_ is 'x'"),
        ({"n_features_in_": 1e99}, "n_features_in_ is 1e\\+99"),
        ({"n_features_in_": 17}, "for rows of width 17"),
        ({"provenance_": "x"}, "provenance_"),
        ({"provenance_": {"source": 5}}, "provenance_"),
        ({"bias_": [0.0, 1.0]}, "'bias_' is nothing"),
    ],
)
def test_fitted_values_that_no_fit_leaves_are_refused(saved, fitted, message):
    config = json.loads((saved / "config.json").read_text())
    edit(saved, fitted=config["fitted"] | fitted)
    with pytest.raises(aa.InputError, match=rf"(config\.json|model\.safetensors) is damaged: .*{message}"):
        aa.load(saved)


@pytest.mark.parametrize("changes", [{"method": ["realign"]}, {"fitted": [1]}, {"params": {"frame": "nope"}}])
def test_a_config_of_other_kinds_is_refused(saved, changes):
    edit(saved, **changes)
    with pytest.raises(aa.InputError, match=r"config\.json"):
        aa.load(saved)


@pytest.mark.parametrize("name", ["weight_", "bias_", "target_mean_", "calibration_mean_"])
@pytest.mark.parametrize("damage", [lambda value: value[:5], lambda value: value * np.nan])
def test_arrays_cut_or_without_numbers_are_refused_when_they_are_read(saved, name, damage):
    arrays = load_file(saved / "model.safetensors")
    save_file(arrays | {name: np.ascontiguousarray(damage(arrays[name]))}, saved / "model.safetensors")
    with pytest.raises(aa.InputError, match=rf"model\.safetensors is damaged: {name} "):
        aa.load(saved)


@pytest.mark.parametrize(
    ("method", "damage"),
    [
        (aa.MemoryProjection(), lambda arrays: {"rows_": arrays["rows_"][:, :3].copy()}),
        (aa.RandomTarget(), lambda arrays: {"rows_": arrays["rows_"][:, :3].copy()}),
        (aa.MemoryProjection(), lambda arrays: {"rows_": arrays["rows_"] * np.float32(np.nan)}),
        (aa.AnisoAlign(strength=0.5), lambda arrays: {"start_source_mean_": arrays["start_source_mean_"][:3].copy()}),
    ],
)
def test_a_model_that_maps_no_row_is_refused_when_it_is_read(planted, tmp_path, method, damage):
    method.fit(planted.source, planted.target).save(tmp_path / "m")
    arrays = load_file(tmp_path / "m" / "model.safetensors")
    save_file(arrays | damage(arrays), tmp_path / "m" / "model.safetensors")
    with pytest.raises(aa.InputError, match="damaged"):
        aa.load(tmp_path / "m")


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float8_e4m3fn])
def test_weights_of_a_type_that_numpy_lacks_are_refused(saved, kind):
    arrays = load_file(saved / "model.safetensors")
    cast = {name: torch.from_numpy(array).to(kind) for name, array in arrays.items()}
    safetensors.torch.save_file(cast, saved / "model.safetensors")
    with pytest.raises(aa.InputError, match=r"model\.safetensors is damaged"):
        aa.load(saved)


def test_no_folder_is_no_model(tmp_path):
    with pytest.raises(aa.InputError, match="looked for a saved model"):
        aa.load(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(aa.InputError, match="is not a saved model"):
        aa.load(tmp_path / "file")


def test_a_model_is_neither_written_to_nor_read_from_a_uri(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = aa.ReAlign().fit(np.eye(4), np.eye(4) + 1)
    with pytest.raises(aa.InputError, match=r"models lie on disks: .* instead of s3://bucket/model"):
        model.save("s3://bucket/model")
    with pytest.raises(aa.InputError, match="lie on disks"):
        aa.load("s3://bucket/model")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
def test_a_file_that_is_missing_is_named(saved, file):
    (saved / file).unlink()
    with pytest.raises(aa.InputError, match=f"model is not a saved model: {file} is missing"):
        aa.load(saved)


def test_a_model_that_waits_for_its_calibration_is_saved_and_read_back(planted, tmp_path):
    y, x = (measure(rows, "full") for rows in (planted.source, planted.target))
    waiting = aa.ReAlign().fit_from_statistics(y, x)
    waiting.save(tmp_path / "m")
    read = aa.load(tmp_path / "m").calibrate(planted.source)
    expected = waiting.calibrate(planted.source).transform(planted.source)
    assert read.transform(planted.source).tobytes() == expected.tobytes()
