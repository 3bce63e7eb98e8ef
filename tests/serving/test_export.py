"""Exported files give the model's rows, through the runtimes that are to serve them."""

import importlib
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import anisoalign as aa
from anisoalign.aligners import METHODS
from anisoalign.aligners.saving import aligner_fingerprint
from anisoalign.cli import app
from anisoalign.embeddings import EmbeddingWriter, InputError
from anisoalign.serving import PRECISIONS, TARGETS, export, reader, serving_module

DRAWING = ("c3", "random-target")
CASES = {name: method() for name, method in METHODS.items() if name not in (*DRAWING, "aniso-align")} | {
    f"aniso-align {strength}": aa.AnisoAlign(strength=strength) for strength in (0.0, 0.1, 0.5, 1.0)
}
QUICK = {"refine_steps": 60, "fit_rows": 200}
CASES |= {
    "paper": aa.AnisoAlign.paper(prior_steps=20, **QUICK),
    "paper 0.5": aa.AnisoAlign.paper(strength=0.5, prior_steps=20, **QUICK),
    "refined": aa.AnisoAlign(strength=1.0, terms="init+guide+refine+support+structure", centre="mean", **QUICK),
}


@pytest.fixture(scope="module")
def rows(make_planted):
    data = make_planted(rows=300, dim=16)
    return (3 * data.source).astype(np.float32), data.target.astype(np.float32)


@pytest.fixture(scope="module")
def fitted(rows):
    made = {}

    def fit(name):
        if name not in made:
            made[name] = CASES[name].fit(*rows)
        return made[name]

    return fit


@pytest.mark.parametrize("name", CASES)
def test_the_module_is_the_model(fitted, rows, name):
    model = fitted(name)
    served = serving_module(model)(torch.from_numpy(rows[0])).numpy()
    np.testing.assert_allclose(served, model.transform(rows[0]), atol=1e-5)


FLAWED = (0.0, -0.0, np.nan, np.inf)
"""Values of which a whole row has no direction."""


def without_direction(row):
    """Rows that `transform` refuses: all zero, NaN or infinite, and a good one with one bad value."""
    flawed = [np.full_like(row, value) for value in FLAWED]
    for value in (np.nan, -np.inf):
        flawed.append(row.copy())
        flawed[-1][3] = value
    return np.array(flawed)


@pytest.mark.parametrize("name", CASES)
def test_rows_of_any_length_are_the_models_and_rows_without_direction_are_nan(fitted, rows, name):
    run, model = serving_module(fitted(name)), fitted(name)
    expected = model.transform(rows[0][:1])
    for factor in (1e-37, 1e-25, 1e25, 1e37):
        served = run(torch.from_numpy(rows[0][:1] * np.float32(factor))).numpy()
        np.testing.assert_allclose(served, expected, atol=1e-5)
    flawed = without_direction(rows[0][0])
    served = run(torch.from_numpy(np.concatenate([flawed, rows[0][:1]]))).numpy()
    assert np.isnan(served[:-1]).all()
    np.testing.assert_allclose(served[-1:], expected, atol=1e-5)


@pytest.mark.parametrize("precision", PRECISIONS[1:])
@pytest.mark.parametrize("name", CASES)
def test_smaller_matrices_lose_little_and_not_nothing(fitted, rows, name, precision):
    module, model = serving_module(fitted(name), precision), fitted(name)
    served = module(torch.from_numpy(rows[0])).numpy()
    cosines = np.einsum("ij,ij->i", served, model.transform(rows[0]))
    assert cosines.min() > (0.9999 if precision == "fp16" else 0.999)
    matrices = [value for key, value in module.state_dict().items() if key.endswith("product.weight")]
    assert all(value.dtype == {"fp16": torch.float16, "int8": torch.int8}[precision] for value in matrices)
    if matrices:
        assert np.abs(served - model.transform(rows[0])).max() > 1e-7


@pytest.mark.parametrize("name", DRAWING)
def test_methods_that_draw_are_refused(rows, name):
    with pytest.raises(InputError, match="draws at random"):
        serving_module(METHODS[name]().fit(*rows))


def test_an_archive_gives_the_models_rows_one_or_many(fitted, rows, tmp_path):
    model = fitted("aniso-align 0.5")
    made = export(model, tmp_path / "model.pt2", to="torch-export", source=rows[0])
    assert (made.rows, made.on) == (300, "source")
    assert made.largest_difference < 1e-5
    run = reader(tmp_path / "model.pt2", "torch-export")
    for count in (1, 7):
        np.testing.assert_allclose(run(rows[0][:count]), model.transform(rows[0][:count]), atol=1e-5)
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt2"]


@pytest.mark.integration
@pytest.mark.parametrize("to", TARGETS)
@pytest.mark.parametrize("name", CASES)
def test_the_file_is_the_model(fitted, rows, tmp_path, name, to):
    model, file = fitted(name), tmp_path / "model.pt2"
    made = export(model, file, to=to, source=rows[0])
    assert made.largest_difference < 1e-5
    run = reader(file, to)
    assert b"anisoalign/serving" not in file.read_bytes()  # no path of the machine that made it
    for count in (1, 2, 50):
        np.testing.assert_allclose(run(rows[0][:count]), model.transform(rows[0][:count]), atol=1e-5)
    assert np.isnan(run(without_direction(rows[0][0]))).all()
    for factor in (1e-25, 1e25):
        scaled = rows[0][:2] * np.float32(factor)
        np.testing.assert_allclose(run(scaled), model.transform(rows[0][:2]), atol=1e-5)


@pytest.mark.integration
@pytest.mark.parametrize("to", TARGETS)
@pytest.mark.parametrize("precision", PRECISIONS[1:])
@pytest.mark.parametrize("name", ["gaussian-transport", "aniso-align 0.5", "paper", "memory-projection"])
def test_smaller_files_are_smaller_and_state_their_loss(make_planted, tmp_path, name, to, precision):
    data = make_planted(rows=400, dim=384)
    model = CASES[name].__class__(**CASES[name].get_params()).fit(data.source, data.target)
    full = export(model, tmp_path / "full.pt2", to=to, source=data.source)
    made = export(model, tmp_path / "small.pt2", to=to, precision=precision, source=data.source)
    run = reader(tmp_path / "small.pt2", to)
    # The tables of radii of the published method stay float32 in every precision.
    assert made.bytes < ((0.7 if name == "paper" else 0.6) if precision == "fp16" else 0.4) * full.bytes
    exact = model.transform(data.source.astype(np.float32)).astype(np.float64)
    found = run(data.source).astype(np.float64)
    found = np.einsum("ij,ij->i", found, exact) / np.linalg.norm(found, axis=1) / np.linalg.norm(exact, axis=1)
    np.testing.assert_allclose([found.mean(), found.min()], [made.mean_cosine, made.least_cosine], atol=1e-6)
    assert 0.99 < made.least_cosine <= made.mean_cosine < 1 - 1e-12


@pytest.mark.integration
def test_onnx_files_pass_the_checker_and_hold_no_float_copy_of_small_matrices(make_planted, tmp_path):
    import onnx

    data = make_planted(rows=400, dim=128)
    export(aa.WhitenColor().fit(data.source, data.target), tmp_path / "m.onnx", precision="int8")
    model = onnx.load(tmp_path / "m.onnx")
    onnx.checker.check_model(model, full_check=True)
    sizes = {item.name: (item.data_type, int(np.prod(item.dims))) for item in model.graph.initializer}
    assert (onnx.TensorProto.INT8, 128 * 128) in sizes.values()
    assert all(size <= 128 for kind, size in sizes.values() if kind == onnx.TensorProto.FLOAT)
    assert [item.name for item in model.graph.input] == ["embeddings"]
    assert [item.name for item in model.graph.output] == ["aligned"]


def said_by(file, to):
    """What an exported file says of itself, as its runtime reads it."""
    if to == "onnx":
        import onnxruntime

        return onnxruntime.InferenceSession(file).get_modelmeta().custom_metadata_map
    held = {"anisoalign.json": ""}
    torch.export.load(file, extra_files=held)
    return json.loads(held["anisoalign.json"])


@pytest.mark.parametrize("to", [pytest.param("onnx", marks=pytest.mark.integration), "torch-export"])
def test_a_file_says_which_model_side_and_frame_it_is_of(fitted, tmp_path, to):
    model = fitted("realign")
    said = {}
    for name, made in (("a", model), ("b", model), ("target", model.targets()), ("common", model.in_frame("common"))):
        export(made, tmp_path / f"{name}.pt2", to=to)
        said[name] = said_by(tmp_path / f"{name}.pt2", to)
    assert said["a"] == {
        "anisoalign_version": aa.__version__,
        "method": "realign",
        "model": aligner_fingerprint(model),
        "side": "source",
        "frame": "target",
        "width": "16",
        "precision": "fp32",
    }
    assert said["target"] == {**said["a"], "side": "target"}
    assert said["common"] == {
        **said["a"],
        "frame": "common",
        "model": aligner_fingerprint(model.in_frame("common")),
    }
    assert (tmp_path / "a.pt2").read_bytes() == (tmp_path / "b.pt2").read_bytes()


def test_faults_are_named_and_leave_nothing(fitted, rows, tmp_path):
    model = fitted("realign")
    with pytest.raises(InputError, match="precision must be one of"):
        export(model, tmp_path / "m.pt2", to="torch-export", precision="int4")
    with pytest.raises(InputError, match="onnx or torch-export"):
        export(model, tmp_path / "m.pt2", to="tflite")
    with pytest.raises(InputError, match=r"ends in \.pt2"):
        export(model, tmp_path / "m.onnx", to="torch-export")
    with pytest.raises(InputError, match="width 8"):
        export(model, tmp_path / "m.pt2", to="torch-export", source=np.eye(8))
    assert not list(tmp_path.iterdir())
    (tmp_path / "m.pt2").write_text("mine")
    with pytest.raises(InputError, match="already exists"):
        export(model, tmp_path / "m.pt2", to="torch-export")
    assert (tmp_path / "m.pt2").read_text() == "mine"


def test_a_file_that_differs_from_its_model_is_not_kept(fitted, monkeypatch, tmp_path):
    model = fitted("realign")
    module = importlib.import_module("anisoalign.serving.export")  # not the function of that name
    monkeypatch.setattr(module, "transform_rows", lambda model, rows, **options: np.zeros_like(rows))
    with pytest.raises(RuntimeError, match="differs from its model"):
        export(model, tmp_path / "m.pt2", to="torch-export")
    assert not list(tmp_path.iterdir())


def test_what_float32_costs_at_a_small_temperature_is_no_fault(rows, tmp_path):
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(300, 6)) @ rng.normal(size=(6, 16))
    source, target = (shared + 0.5 * rng.normal(size=(300, 16)) + 2 * rng.normal(size=16) for _ in range(2))
    found = []
    for temperature in (3e-4, 1e-4):
        model = aa.MemoryProjection(temperature=temperature).fit(source, target)
        made = export(model, tmp_path / f"{temperature}.pt2", to="torch-export", source=source)
        found.append(made.largest_difference)
    assert 1e-5 < max(found) < 1e-3


def test_a_file_that_appears_meanwhile_is_left_alone(fitted, monkeypatch, tmp_path):
    module = importlib.import_module("anisoalign.serving.export")
    measured = module._loss

    def appears(*given):
        (tmp_path / "m.pt2").write_text("mine")
        return measured(*given)

    monkeypatch.setattr(module, "_loss", appears)
    for linked in (True, False):
        if not linked:  # as on a file system that has no links
            (tmp_path / "m.pt2").unlink()
            monkeypatch.setattr("os.link", lambda *names: (_ for _ in ()).throw(PermissionError(1, "no links here")))
        with pytest.raises(InputError, match=r"m\.pt2 already exists; it was not there when this run began"):
            export(fitted("realign"), tmp_path / "m.pt2", to="torch-export")
        assert (tmp_path / "m.pt2").read_text() == "mine"
        assert [path.name for path in tmp_path.iterdir()] == ["m.pt2"]


def test_two_exports_to_one_place_do_not_meet_before_the_end(fitted, monkeypatch, tmp_path):
    module = importlib.import_module("anisoalign.serving.export")
    measured = module._loss

    def during(*given):
        monkeypatch.setattr(module, "_loss", measured)
        export(fitted("mean-shift"), tmp_path / "m.pt2", to="torch-export")
        return measured(*given)

    monkeypatch.setattr(module, "_loss", during)
    with pytest.raises(InputError, match="not there when this run began"):
        export(fitted("realign"), tmp_path / "m.pt2", to="torch-export")
    ours = reader(tmp_path / "m.pt2", "torch-export")(np.eye(16, dtype=np.float32))
    np.testing.assert_allclose(ours, fitted("mean-shift").transform(np.eye(16, dtype=np.float32)), atol=1e-5)
    assert [path.name for path in tmp_path.iterdir()] == ["m.pt2"]


def test_a_file_is_placed_where_there_are_no_links(fitted, monkeypatch, tmp_path):
    monkeypatch.setattr("os.link", lambda *names: (_ for _ in ()).throw(PermissionError(1, "no links here")))
    export(fitted("realign"), tmp_path / "m.pt2", to="torch-export")
    assert [path.name for path in tmp_path.iterdir()] == ["m.pt2"]


def test_onnx_needs_its_extra(fitted, monkeypatch, tmp_path):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"anisoalign\[onnx\]"):
        export(fitted("realign"), tmp_path / "m.onnx")


def test_the_command_states_the_loss(fitted, rows, tmp_path):
    fitted("gaussian-transport").save(tmp_path / "m")
    np.save(tmp_path / "rows.npy", rows[0])
    words = (
        f"export {tmp_path}/m --to torch-export --precision int8 --out {tmp_path}/m.pt2 --source {tmp_path}/rows.npy"
    )
    ended = subprocess.run([sys.executable, "-m", "anisoalign", *words.split()], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert "int8" in ended.stdout
    assert "on 300 rows (source): cosine 0.99" in ended.stdout


def test_the_other_side_is_measured_on_targets_and_speaks_of_them(fitted, rows, tmp_path):
    fitted("realign").save(tmp_path / "m")
    holed = rows[1].copy()
    holed[7] = np.nan
    for kind, values in (("text_emb", rows[0]), ("img_emb", holed)):  # clip-retrieval's layout, of both sides
        (tmp_path / "both" / kind).mkdir(parents=True)
        np.save(tmp_path / "both" / kind / f"{kind}_0.npy", values)
    words = ["export", tmp_path / "m", "--to", "torch-export", "--out", tmp_path / "m.pt2", "--side", "target"]
    words += ["--frame", "common", "--source", tmp_path / "both"]
    ended = CliRunner().invoke(app, list(map(str, words)))
    assert str(ended.exception).startswith(f"target: {tmp_path / 'both' / 'img_emb' / 'img_emb_0.npy'}, shard 0, row 7")
    ended = CliRunner().invoke(app, [*map(str, words), "--bad-rows", "drop"])
    assert ended.exit_code == 0, ended.stderr
    assert "on 299 rows (target): cosine 1.0" in ended.stdout
    assert "target: 300 x 16" in ended.stderr
    assert "source" not in ended.stderr


def test_a_sample_of_another_encoder_is_refused_unless_forced(rows, tmp_path):
    def stored(name, values, encoder, modality):
        about = {"encoder": encoder, "fingerprint": encoder * 8, "modality": modality}
        with (
            EmbeddingWriter(tmp_path / name, 16, provenance=about) as writer,
            writer.shard(0, rows=len(values)) as shard,
        ):
            shard.write(values)
        return tmp_path / name

    text, image = stored("text", rows[0], "0a", "text"), stored("image", rows[1], "0a", "image")
    model = aa.ReAlign().fit(text, image)
    for source, said in (
        (stored("other", rows[0], "0b", "text"), "source comes from 0b .* fitted on sources from 0a .*--force"),
        (image, "holds image embeddings, the model was fitted on text embeddings as sources; --force"),
    ):
        with pytest.raises(InputError, match=said):
            export(model, tmp_path / "m.pt2", to="torch-export", source=source)
        assert not (tmp_path / "m.pt2").exists()
        assert export(model, tmp_path / "m.pt2", to="torch-export", source=source, force=True).on == "source"
        (tmp_path / "m.pt2").unlink()
    assert export(model, tmp_path / "m.pt2", to="torch-export", source=text).on == "source"


def test_weights_beyond_float16_are_refused_rather_than_written_as_infinity(rows, tmp_path):
    model = aa.WhitenColor().fit(*rows)
    model.weight_, model.bias_ = 1e6 * model.weight_, 1e6 * model.bias_  # the same map: rows are divided by their norms
    with pytest.raises(InputError, match="beyond float16"):
        export(model, tmp_path / "m.pt2", to="torch-export", precision="fp16")
    assert not list(tmp_path.iterdir())
    assert export(model, tmp_path / "m.pt2", to="torch-export", precision="int8").least_cosine > 0.99


def test_more_weights_than_one_onnx_file_holds_are_refused(fitted, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.import_module("anisoalign.serving.export"), "LARGEST_ONNX", 1000)
    with pytest.raises(InputError, match="more than one ONNX file holds"):
        export(fitted("gaussian-transport"), tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_bad_rows_of_the_sample_are_left_out_where_that_is_asked_for(fitted, rows, tmp_path):
    fitted("realign").save(tmp_path / "m")
    holed = rows[0].copy()
    holed[7] = np.nan
    np.save(tmp_path / "rows.npy", holed)
    words = [sys.executable, "-m", "anisoalign", "export", tmp_path / "m", "--to", "torch-export"]
    words += ["--out", tmp_path / "m.pt2", "--source", tmp_path / "rows.npy"]
    ended = subprocess.run([*map(str, words)], capture_output=True, text=True)
    assert ended.returncode == 2
    assert "row 7" in ended.stderr
    ended = subprocess.run([*map(str, words), "--bad-rows", "drop"], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert "1 bad row(s) dropped" in ended.stderr
