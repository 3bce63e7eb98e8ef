"""Sets that say where they come from are held to it; sets that say nothing are not."""

import json
import subprocess
import sys

import numpy as np
import pytest

import anisoalign as aa
from anisoalign.aligners.saving import aligner_fingerprint
from anisoalign.cli.opening import open_set
from anisoalign.cli.options import BadRows, Norms
from anisoalign.embeddings import EmbeddingWriter, InputError, convert, open_embeddings
from anisoalign.embeddings.provenance import same_encoder

A = {"encoder": "hf:a", "fingerprint": "0a" * 8, "revision": None}
B = {"encoder": "hf:b", "fingerprint": "0b" * 8, "revision": None}


@pytest.fixture
def made(tmp_path, make_planted):
    """Maker of a set on disk with a provenance."""
    planted = make_planted(rows=120, dim=16)

    def make(name, provenance, side="source", suffix=""):
        out = tmp_path / f"{name}{suffix}"
        with (
            EmbeddingWriter(out, 16, provenance=provenance) as writer,
            writer.shard(0, rows=120, stem=None if suffix else "emb") as shard,
        ):
            shard.write(getattr(planted, side).astype(np.float32))
        return out

    return make


@pytest.mark.parametrize("suffix", ["", ".npy", ".parquet"])
def test_a_set_says_where_it_comes_from(made, suffix, tmp_path):
    path = made("set", A, suffix=suffix)
    assert open_embeddings(path).provenance == A
    if not suffix:
        assert open_embeddings(path / "emb_000.npy").provenance == A
    for target in ("copy.npy", "copy", "copy.lance"):
        assert convert(path, tmp_path / target).provenance == A
    assert open_embeddings(made("none", None, suffix=suffix)).provenance is None


def test_a_file_replaced_by_one_of_unknown_origin_says_nothing_more(made, tmp_path):
    path = made("set", A, suffix=".npy")
    convert(np.eye(3, dtype=np.float32), path, overwrite=True)
    assert open_embeddings(path).provenance is None


@pytest.mark.parametrize("method", [aa.ReAlign, aa.MemoryProjection, aa.AnisoAlign])
def test_sets_of_two_encoders_are_fitted_only_when_forced(made, method):
    text, image, other = made("text", A), made("image", A, "target"), made("other", B, "target")
    model = method().fit(text, image)
    assert model.provenance_["source"]["provenance"] == model.provenance_["target"]["provenance"] == A
    with pytest.raises(InputError, match=r"source comes from hf:a \(weights 0a0a0a0a\), target from hf:b .*--force"):
        method().fit(text, other)
    assert method().fit(text, other, force=True).provenance_["target"]["provenance"] == B
    method().fit(text, np.load(image / "emb_000.npy"))
    if method is aa.AnisoAlign:
        assert method(force=True).fit(text, other).provenance_


def test_rows_of_another_encoder_are_transformed_only_when_forced(made, tmp_path):
    text, image, other = made("text", A), made("image", A, "target"), made("other", B)
    aa.ReAlign().fit(text, image).save(tmp_path / "model")
    model = aa.load(tmp_path / "model")
    for out in ("z", "z.npy"):
        with pytest.raises(InputError, match=r"source comes from hf:b .*, the model was fitted on sources from hf:a"):
            model.transform(other, tmp_path / out)
        assert not (tmp_path / out).exists()
        model.transform(other, tmp_path / out, force=True)
        assert open_embeddings(tmp_path / out).provenance["encoder"] == "hf:b"
    model.transform(text, tmp_path / "aligned")
    found = open_embeddings(tmp_path / "aligned").provenance
    assert {key: found[key] for key in A} == A
    assert found["aligned_by"]["method"] == "realign"
    model.transform(np.load(other / "emb_000.npy"))
    assert open_embeddings(other).provenance == B


def test_rows_of_another_modality_are_refused_as_sources(made, tmp_path):
    text, image = made("text", {**A, "modality": "text"}), made("image", {**A, "modality": "image"}, "target")
    model = aa.ReAlign().fit(text, image)
    with pytest.raises(InputError, match="source holds image embeddings, the model was fitted on text embeddings"):
        model.transform(image, tmp_path / "z")
    model.transform(image, tmp_path / "z", force=True)


def test_compare_fits_and_is_held_to_it(made):
    text, other = made("text", A), made("other", B, "target")
    with pytest.raises(InputError, match="share no space"):
        aa.compare(text, other, methods=["identity"], repeats=1)
    aa.compare(text, other, methods=["identity"], repeats=1, force=True)


def test_encoders_are_told_apart_by_weights_then_by_name_and_revision():
    assert same_encoder({**A, "encoder": "moved"}, A)
    assert not same_encoder(A, {**A, "fingerprint": "ff"})
    assert same_encoder({"encoder": "x", "revision": "1"}, {"encoder": "x"})
    assert not same_encoder({"encoder": "x", "revision": "1"}, {"encoder": "x", "revision": "2"})
    assert same_encoder({"encoder": "hf:a"}, A)
    assert same_encoder(None, A)


def test_evaluate_and_diagnose_warn_of_two_encoders(made):
    text, image, other = made("text", A), made("image", A, "target"), made("other", B, "target")
    said = r"source comes from hf:a .*, target from hf:b .*: embeddings of different encoders share no space"
    with pytest.warns(UserWarning, match=said):
        aa.diagnose(text, other)
    with pytest.warns(UserWarning, match=said):
        aa.evaluate(text, other, text)
    with pytest.warns(UserWarning, match=r"source comes from hf:a .*, aligned from hf:b"):
        aa.evaluate(text, image, other)
    aa.diagnose(text, image)  # without a warning, which would be an error here
    aa.evaluate(text, image, text)
    aa.diagnose(text, np.load(other / "emb_000.npy"))


def test_a_command_warns_in_one_line(made, tmp_path):
    text, other = made("text", A), made("other", B, "target")
    words = ["evaluate", "--source", text, "--target", other, "--aligned", text, "--results", tmp_path / "r.json"]
    command = [sys.executable, "-m", "anisoalign", *map(str, words)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = [line for line in ended.stderr.splitlines() if "share no space" in line]
    assert len(lines) == 1
    assert lines[0].startswith("anisoalign: warning: source comes from hf:a")


def test_a_fit_on_rows_that_were_moved_before_warns_and_what_it_maps_is_held_to_them(made, tmp_path):
    text, image = made("text", A), made("image", A, "target")
    aa.ReAlign().fit(text, image).transform(text, tmp_path / "once")
    aa.MeanShift().fit(text, image).transform(text, tmp_path / "other")
    with pytest.warns(UserWarning, match="source was aligned before, by realign .*: a model fitted on it is for rows"):
        model = aa.ReAlign().fit(tmp_path / "once", image)
    with pytest.warns(UserWarning, match="target was aligned before, by realign"):
        aa.ReAlign().fit(text, tmp_path / "once")
    model.transform(tmp_path / "once", tmp_path / "as fitted")  # without a warning, which would be an error here
    with pytest.warns(UserWarning, match=r"sources were aligned before, by realign .*, and source was not"):
        model.transform(text, tmp_path / "plain")
    with pytest.warns(
        UserWarning, match=r"source was aligned before, by mean-shift .*: the model's sources by realign"
    ):
        model.transform(tmp_path / "other", tmp_path / "moved by another")


def test_rows_that_were_moved_before_are_moved_again_with_a_warning(made, tmp_path):
    text, image = made("text", A), made("image", A, "target")
    model = aa.ReAlign().fit(text, image)
    model.transform(text, tmp_path / "once")
    with pytest.warns(UserWarning, match=r"source was aligned before, by realign \(model [0-9a-f]{16}\): it is moved"):
        model.transform(tmp_path / "once", tmp_path / "twice")


@pytest.mark.parametrize("suffix", ["", ".npy", ".parquet", ".safetensors", ".arrow"])
def test_rows_of_no_known_encoder_say_which_model_moved_them(made, tmp_path, suffix):
    text, image = made("text", None), made("image", None, "target")
    model = aa.ReAlign().fit(text, image)
    model.transform(text, tmp_path / f"z{suffix}")
    by = {"method": "realign", "model": aligner_fingerprint(model)[:16], "frame": "target", "side": "source"}
    assert open_embeddings(tmp_path / f"z{suffix}").provenance == {"aligned_by": by}
    assert convert(tmp_path / f"z{suffix}", tmp_path / "copy.npy").provenance == {"aligned_by": by}
    model.in_frame("common").targets().transform(image, tmp_path / f"x{suffix}")
    found = open_embeddings(tmp_path / f"x{suffix}").provenance["aligned_by"]
    assert (found["method"], found["frame"], found["side"]) == (by["method"], "common", "target")
    with pytest.warns(UserWarning, match="source was aligned before, by realign .*: it is moved again"):
        model.transform(tmp_path / f"z{suffix}", tmp_path / "twice")
    with pytest.warns(UserWarning, match="source was aligned before, by realign .*: a model fitted on it"):
        again = aa.ReAlign().fit(tmp_path / f"z{suffix}", image)
    again.save(tmp_path / "again")
    assert aa.load(tmp_path / "again").provenance_["source"]["provenance"] == {"aligned_by": by}


def test_a_lance_dataset_says_which_model_moved_its_rows(made, tmp_path):
    pytest.importorskip("lance", reason="the library that writes Lance is optional")
    text = made("text", None)
    aa.ReAlign().fit(text, made("image", None, "target")).transform(text, tmp_path / "z.npy")
    assert convert(tmp_path / "z.npy", tmp_path / "z.lance").provenance["aligned_by"]["method"] == "realign"


def test_moved_rows_of_no_known_encoder_go_with_those_of_any(made, tmp_path):
    """Which model moved rows says nothing of their encoder, and hides no difference between the encoders of others."""
    moved = {"aligned_by": {"method": "realign", "model": "0c"}}
    assert same_encoder(moved, A)
    assert same_encoder({"aligned_by": {}}, moved)
    text, other, aligned = made("text", A), made("other", B, "target"), made("aligned", moved)
    with pytest.warns(UserWarning, match=r"source comes from hf:a .*, target from hf:b"):
        aa.evaluate(text, other, aligned)
    with pytest.warns(UserWarning, match=r"target comes from hf:b .*, aligned from hf:a"):
        aa.evaluate(aligned, other, text)


def test_a_provenance_names_an_encoder_or_a_model(made, tmp_path):
    path = made("set", A, suffix=".npy")
    for wrong in (
        {},
        [],
        {"model": "x"},
        {"aligned_by": "realign"},
        {"encoder": 5, "aligned_by": {}},
        {"encoder": None},
    ):
        (tmp_path / "set.npy.provenance.json").write_text(json.dumps(wrong))
        with pytest.raises(InputError, match=r"set\.npy\.provenance\.json names no encoder, nor a model that moved"):
            open_embeddings(path)


def test_a_command_says_which_model_moved_the_rows_that_it_reads(made, tmp_path, capsys):
    text, image = made("text", A), made("image", None, "target")
    aa.ReAlign().fit(text, image).transform(text, tmp_path / "z.npy")
    aa.ReAlign().fit(text, image).targets().transform(image, tmp_path / "x.npy")
    for path, said in (("z.npy", "made by hf:a (weights 0a0a0a0a); aligned by realign"), ("x.npy", "by realign")):
        open_set(tmp_path / path, "source", None, BadRows.error, Norms.auto, None)
        (line,) = capsys.readouterr().err.splitlines()
        assert said in line
    assert "made by" not in line
