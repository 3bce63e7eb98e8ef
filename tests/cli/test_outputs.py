"""Pages, results and what is printed: nothing else is lost to them, and no run is lost for them."""

import io
import json
import os
import re
import stat
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import anisoalign as aa
from anisoalign.embeddings import InputError
from anisoalign.report.results import Results, write_results


def both(sides):
    return ("--source", sides.text, "--target", sides.image)


@pytest.mark.parametrize("flag", ["--report", "--results"])
def test_a_pipe_or_a_link_is_not_replaced_by_a_file(run, sides, tmp_path, flag):
    pipe, link, astray = tmp_path / "pipe", tmp_path / "link", tmp_path / "astray"
    os.mkfifo(pipe)  # stands for /dev/null, which root could lose
    (tmp_path / "mine.html").write_text("mine")
    link.symlink_to(tmp_path / "mine.html")
    astray.symlink_to(tmp_path / "nothing")
    for place in (pipe, link, astray):
        ended = run("diagnose", *both(sides), flag, place)
        assert (ended.code, ended.out, str(place) in ended.err) == (2, "", True), ended.err
        with pytest.raises(InputError, match=place.name):
            write_results(place, Results(evaluate={"k": 3}))
    assert stat.S_ISFIFO(pipe.lstat().st_mode)
    assert (link.is_symlink(), astray.is_symlink()) == (True, True)
    assert (link.read_text(), (tmp_path / "nothing").exists()) == ("mine", False)


def test_nothing_is_written_in_the_place_of_what_is_read(run, sides, tmp_path):
    noise, aligned, found = tmp_path / "noise.npy", tmp_path / "aligned.npy", tmp_path / "found.json"
    np.save(noise, np.load(sides.text))
    np.save(aligned, np.load(sides.text))
    assert run("diagnose", *both(sides), "--results", found).code == 0
    (tmp_path / "folder").mkdir()
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    compare = ("compare", *both(sides), "--method", "realign", "--repeats", 1, "--labels", sides.labels)
    for words in (
        ("diagnose", *both(sides), "--report", sides.text),
        ("diagnose", *both(sides), "--results", tmp_path / "folder" / ".." / sides.image.name),
        ("diagnose", *both(sides), "--also", f"noise={noise}", "--report", noise),
        ("diagnose", *both(sides), "--report", tmp_path / "one", "--results", tmp_path / "one"),
        (*compare, "--results", sides.labels),
        ("evaluate", *both(sides), "--aligned", aligned, "--report", aligned),
        ("report", found, "--out", found),
    ):
        ended = run(*words)
        assert (ended.code, ended.out) == (2, ""), words
        assert "is named twice in this command" in ended.err
    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


def test_nothing_is_written_into_a_folder_that_is_read(run, sides, tmp_path):
    shards, pictures, model = (tmp_path / name for name in ("shards", "pictures", "m"))
    shards.mkdir()
    for part, rows in enumerate(np.split(np.load(sides.text), 2)):
        np.save(shards / f"{part}.npy", rows)
    pictures.mkdir()
    for row in range(150):
        Image.new("RGB", (8, 8), (row, 0, 0)).save(pictures / f"{row:03d}.png")
    aa.ReAlign().fit(np.load(sides.text), np.load(sides.image)).save(model)
    (tmp_path / "linked").symlink_to(shards)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    target = ("--target", sides.image)
    evaluate = ("evaluate", *both(sides), "--aligned", sides.text)
    compare = ("compare", *both(sides), "--method", "realign", "--repeats", 1)
    for words, folder in (
        (("diagnose", "--source", shards, *target, "--results", shards / "1.npy"), shards),
        (("diagnose", "--source", shards, *target, "--report", tmp_path / "linked" / "1.npy"), shards),
        (("diagnose", "--source", tmp_path / "linked", *target, "--report", shards / "new.html"), tmp_path / "linked"),
        (("diagnose", *both(sides), "--also", f"more={shards}", "--results", shards / "new.json"), shards),
        ((*evaluate, "--model", model, "--report", model / "model.safetensors"), model),
        ((*evaluate, "--thumbnails", pictures, "--results", pictures / "007.png"), pictures),
        ((*compare, "--thumbnails", pictures, "--report", pictures / "007.png"), pictures),
    ):
        ended = run(*words)
        assert (ended.code, ended.out) == (2, ""), words
        assert f"lies within {folder}, which this command reads" in ended.err, ended.err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.filterwarnings("ignore:.* are the same rows")
@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_what_stdout_cannot_encode_is_written_in_another_way(run, sides, tmp_path, monkeypatch, encoding):
    def printed(*words):
        stdout = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        with monkeypatch.context() as narrow:
            narrow.setattr(sys, "stdout", stdout)
            assert run(*words).code == 0
        stdout.flush()
        return stdout.buffer.getvalue().decode(encoding)

    methods = ("--method", "realign", "--repeats", 1, "--results", tmp_path / "r.json")
    assert r"\u03a8" in printed("compare", *both(sides), *methods)
    assert (tmp_path / "r.json").exists()
    records = json.loads(printed("diagnose", *both(sides), "--also", f"Bébé Ψ={sides.text}", "--json"))
    assert records[1]["target"] == "Bébé Ψ"


@pytest.mark.filterwarnings("always:.*is shown without its picture")
def test_a_picture_that_cannot_be_read_is_left_out_and_named_once(run, sides, tmp_path):
    (tmp_path / "pictures").mkdir()
    for row in range(150):
        file = tmp_path / "pictures" / f"{row}.png"
        Image.new("RGB", (8, 8), (row, 0, 0)).save(file)
        if row % 2:
            file.write_bytes(file.read_bytes()[:40])
    aa.ReAlign().fit(np.load(sides.text), np.load(sides.image)).save(tmp_path / "m")
    assert run("transform", tmp_path / "m", "--source", sides.text, "--out", tmp_path / "z.npy").code == 0
    words = ("--aligned", tmp_path / "z.npy", "--thumbnails", tmp_path / "pictures", "--results", tmp_path / "r.json")
    ended = run("evaluate", *both(sides), *words)
    assert ended.code == 0, ended.err
    shown = json.loads((tmp_path / "r.json").read_text())
    asked = {n["row"] for entry in shown["views"][0]["neighbours"] for n in entry["after"] if n["side"] == "target"}
    odd = {row for row in asked if row % 2}
    assert odd < asked
    assert {int(row) for row in shown["thumbnails"]} >= asked - odd
    assert all(int(row) % 2 == 0 for row in shown["thumbnails"])
    assert all(ended.err.count(f"{os.sep}{row}.png is shown without its picture") == 1 for row in odd)


def test_predictions_that_cannot_be_written_are_refused_before_the_model_is_looked_for(run, tmp_path):
    (tmp_path / "bench.jsonl").write_text('{"id": "0", "question": "Is it red?", "answer": "yes"}\n')
    said = tmp_path / "no" / "said.jsonl"
    ended = run("score", tmp_path / "none", tmp_path / "bench.jsonl", "--predictions", said)
    assert (ended.code, f"{said} cannot be written" in ended.err) == (2, True), ended.err


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_the_score_is_told_though_the_predictions_are_not_written(run, tmp_path, monkeypatch, more):
    (tmp_path / "bench.jsonl").write_text('{"id": "0", "question": "Is it red?", "answer": "yes"}\n')
    (tmp_path / "goes").mkdir()

    def measure(*arguments, **options):
        (tmp_path / "goes").rmdir()
        kinds = {"yes/no": {"rows": 1, "accuracy": 0.25}}
        return SimpleNamespace(kinds=kinds, groups={}, predictions=["no"], to_dict=lambda: {"kinds": kinds})

    monkeypatch.setattr("anisoalign.mllm.load_mllm", lambda *arguments, **options: None)
    monkeypatch.setattr("anisoalign.mllm.scoring.score", measure)
    words = ("score", tmp_path, tmp_path / "bench.jsonl", "--device", "cpu", *more)
    ended = run(*words, "--predictions", tmp_path / "goes" / "said.jsonl")
    assert (ended.code, "said.jsonl cannot be written" in ended.err) == (2, True), ended.err
    assert "0.25" in ended.out


def test_a_demo_looks_for_its_libraries_before_it_begins(run, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "matplotlib" else name)
    ended = run("demo", "--out", tmp_path / "demo", "--rows", 500, "--repeats", 1)
    assert (ended.code, ended.out, list(tmp_path.iterdir())) == (2, "", [])
    assert ended.err == 'anisoalign: matplotlib is not installed: pip install "anisoalign[report]"\n'


def test_a_demo_looks_for_its_place_before_it_begins(run, tmp_path):
    (tmp_path / "file").touch()
    ended = run("demo", "--out", tmp_path / "file" / "demo", "--rows", 500, "--repeats", 1)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"anisoalign: {tmp_path / 'file' / 'demo'} cannot be written: ")


def test_a_model_of_another_width_is_refused_before_anything_is_measured(run, sides, tmp_path):
    rows = np.random.default_rng(0).normal(size=(40, 7))
    aa.ReAlign().fit(rows, rows + 1).save(tmp_path / "m")
    words = ("--aligned", sides.text, "--model", tmp_path / "m", "--results", tmp_path / "r.json")
    ended = run("evaluate", *both(sides), *words)
    assert (ended.code, ended.out, (tmp_path / "r.json").exists()) == (2, "", False)
    assert "source has width 12, the model was fitted on width 7" in ended.err


@pytest.mark.filterwarnings("ignore:58 of 60 source rows repeat another")
def test_sets_of_width_one_have_results(run, tmp_path):
    signs = np.random.default_rng(0).choice([-1.0, 1.0], size=(2, 60, 1))
    for name, rows in zip(("text", "image"), signs, strict=True):
        np.save(tmp_path / f"{name}.npy", rows)
    words = ("--source", tmp_path / "text.npy", "--target", tmp_path / "image.npy", "--aligned", tmp_path / "text.npy")
    ended = run("evaluate", *words, "--results", tmp_path / "r.json")
    assert ended.code == 0, ended.err
    assert np.shape(json.loads((tmp_path / "r.json").read_text())["views"][0]["projection_target"]) == (60, 2)


def test_the_gap_of_a_page_is_computed_in_the_precision_asked_for(run, sides, tmp_path):
    gaps = {}
    for dtype in ("auto", "float64", "float32"):
        words = ("--aligned", sides.text, "--dtype", dtype, "--results", tmp_path / f"{dtype}.json")
        assert run("evaluate", *both(sides), *words).code == 0
        gaps[dtype] = json.loads((tmp_path / f"{dtype}.json").read_text())["diagnose"]
    assert gaps["auto"] == gaps["float64"] != gaps["float32"]


@pytest.mark.parametrize("rate", ["0", "-3", "nan", "inf"])
def test_a_gpu_that_does_nothing_or_everything_plans_no_training(run, tmp_path, rate):
    ended = run("plan", tmp_path / "train.toml", "--tflops", rate)
    assert (ended.code, "--tflops must be a number above 0" in ended.err) == (2, True), ended.err


@pytest.mark.parametrize("closed", ["2>&-", ">&-", ">&- 2>&-"])
def test_what_is_said_to_a_closed_stream_goes_nowhere(sides, closed):
    command = [sys.executable, "-m", "anisoalign", "diagnose", *map(str, both(sides)), "--json"]
    ended = subprocess.run(["sh", "-c", f'exec "$@" {closed}', "sh", *command], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    if closed == "2>&-":
        assert json.loads(ended.stdout)["rows_source"] == 150
    else:
        assert (ended.stdout, "Traceback" in ended.stderr) == ("", False)


def test_views_of_a_common_frame_show_its_method_among_targets_as_they_are(run, sides, tmp_path):
    within = []
    for method in ("mean-shift:frame=common", "mean-shift"):
        both = ("--source", sides.text, "--target", sides.image, "--paired", "--repeats", 2)
        methods = ("--method", "identity", "--method", method)
        assert run("compare", *both, *methods, "--results", tmp_path / f"{len(within)}.json").code == 0
        (view,) = json.loads((tmp_path / f"{len(within)}.json").read_text())["views"]
        within.append(view["mean_within_aligned"])
    assert within[0] == pytest.approx(within[1])


def test_the_commands_that_a_page_gives_run_and_put_both_sides_into_one_frame(run, sides, tmp_path, monkeypatch):
    methods = ("--method=identity", "--method=mean-shift", "--method=mean-shift:frame=common")
    assert (
        run("compare", *both(sides), "--paired", "--repeats", 3, *methods, "--report", tmp_path / "page.html").code == 0
    )
    blocks = re.findall(r'<pre class="take"><code>(.*?)</code></pre>', (tmp_path / "page.html").read_text(), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    places = {"TEXT": sides.text, "IMAGE": sides.image}
    commands = [[places.get(word, word) for word in line.split()[1:]] for line in "\n".join(blocks).splitlines()]
    assert [command[0] for command in commands].count("fit") == 1
    written = [command[command.index("--out") + 1] for command in commands if command[0] == "transform"]
    assert written == ["aligned", "aligned2", "targets2"]
    for command in commands:
        ended = run(*command)
        assert ended.code == 0, ended.err
    plain, texts, images = (aa.open_embeddings(tmp_path / name).take(range(150)).values for name in written)
    assert np.abs(texts.mean(axis=0)).max() < 0.1 > np.abs(images.mean(axis=0)).max()
    assert np.abs(plain.mean(axis=0)).max() > 0.2


def in_a_common_frame(run, sides, folder, fitted="target"):
    """Both sides in the common frame of a model fitted on them: the options of an evaluation."""
    both = ("--source", sides.text, "--target", sides.image)
    assert run("fit", "realign", *both, "--out", folder / "m", "--set", f"frame={fitted}").code == 0
    for side, path in (("source", sides.text), ("target", sides.image)):
        there = ("--frame", "common", "--side", side)
        assert run("transform", folder / "m", "--source", path, "--out", folder / f"{side}.npy", *there).code == 0
    return "--source", sides.text, "--target", folder / "target.npy", "--aligned", folder / "source.npy", "--paired"


@pytest.mark.parametrize("how", ["sets", "option", "model"])
def test_a_page_of_a_common_frame_compares_nothing_across_frames(run, sides, tmp_path, how):
    for path, kind in ((sides.text, "text"), (sides.image, "image")) if how == "sets" else ():
        about = json.dumps({"encoder": "hf:clip", "modality": kind})
        path.with_name(f"{path.stem}.provenance.json").write_text(about)
    rows = in_a_common_frame(run, sides, tmp_path, "common" if how == "model" else "target")
    more = {"option": ("--frame", "common"), "model": ("--model", tmp_path / "m")}.get(how, ())
    out = ("--results", tmp_path / "r.json", "--report", tmp_path / "page.html")
    ended = run("evaluate", *rows, *more, *out, "--source-labels", sides.labels)
    assert (ended.code, "in a common frame, each side less its own mean" in ended.out) == (0, True), ended.err
    found = json.loads((tmp_path / "r.json").read_text())
    assert "diagnose" not in found  # of raw sources and targets less their mean it would be a gap that is none
    assert found["evaluate"]["frame"] == found["views"][0]["frame"] == "common"
    assert "label_transfer" in found["evaluate"]
    assert not [key for key in found["evaluate"] if key.startswith("raw_")]
    view = found["views"][0]
    assert abs(view["mean_within_source"]) < 0.1  # raw texts are at 0.8
    assert not view["phases"]["polar_stage"]
    assert "All rows lie in a common frame" in (tmp_path / "page.html").read_text()


def test_files_say_in_which_frame_they_lie_and_arrays_cannot(run, sides, tmp_path):
    rows = in_a_common_frame(run, sides, tmp_path)
    assert json.loads(run("evaluate", *rows, "--json").out)["frame"] == "common"
    arrays = [np.load(path) for path in rows[1:6:2]]
    found = aa.evaluate(*arrays).to_dict()
    assert "frame" not in found
    assert found["raw_mixed_target_share_at_10"] >= 0
    with pytest.raises(InputError, match="frame must be target or common, not 'mean'"):
        aa.evaluate(*arrays, frame="mean")
