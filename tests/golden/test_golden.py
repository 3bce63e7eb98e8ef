"""Every number of golden.json, by the Python API and by the command line, to 1e-5 relative or 1e-6 absolute."""

import json
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

import anisoalign as aa
from anisoalign.diagnostics.gap import GapReport

SETS = {"coco_clip": "image.npy", "esc50_clap": "audio.npy", "fashion_clip": "image.npy"}
ALIGNED = ("coco_clip", "fashion_clip")
METHODS = {"identity": "identity", "mean_shift": "mean-shift", "realign": "realign"}


def assert_agrees(found: dict, golden: dict) -> None:
    """Every golden number is there and agrees."""
    wrong = {
        name: (found.get(name), value)
        for name, value in golden.items()
        if found.get(name) is None or abs(found[name] - value) > max(1e-5 * abs(value), 1e-6)
    }
    assert not wrong, f"found, golden: {wrong}"


@pytest.fixture(scope="module")
def golden(data_folder) -> dict:
    return json.loads((data_folder / "golden.json").read_text())


@pytest.fixture(scope="module")
def paths(data_folder):
    return {name: (data_folder / name / "text.npy", data_folder / name / target) for name, target in SETS.items()}


def run(*arguments: object, process: bool = False) -> str:
    """What a command prints on stdout, in this process or as users call it; it must exit with 0."""
    arguments = [str(argument) for argument in arguments]
    if process:
        command = [sys.executable, "-m", "anisoalign", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout
    from anisoalign.cli import app

    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    return result.stdout


def test_the_file_is_understood(golden):
    """Nothing in golden.json goes untested."""
    assert set(golden) == set(SETS)
    for name, numbers in golden.items():
        assert set(numbers) == {"q", "k", "gap", "realign_scale", *(METHODS if name in ALIGNED else ())}


@pytest.mark.parametrize("name", SETS)
def test_gap_by_api(golden, paths, name):
    source, target = paths[name]
    report = aa.diagnose(source, target, paired=True)
    assert_agrees(report.to_dict(), {"q": golden[name]["q"], **golden[name]["gap"]})
    if "subspace_overlap" not in golden[name]["gap"]:
        assert report.subspace_overlap_q < golden[name]["q"]  # which lies beyond the rank, and so without a number
        assert aa.diagnose(source, target, q=golden[name]["q"]).subspace_overlap is None
    assert isinstance(report, GapReport)


@pytest.mark.parametrize("name", SETS)
def test_realign_scale(golden, paths, name):
    assert_agrees({"scale": aa.ReAlign().fit(*paths[name]).scale_}, {"scale": golden[name]["realign_scale"]})


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ALIGNED)
def test_alignment_by_api(golden, paths, name, method):
    source, target = (np.load(path) for path in paths[name])
    aligned = aa.aligners.make(METHODS[method]).fit(source, target).transform(source, out_dtype="float64")
    scores = aa.evaluate(source, target, aligned, paired=True)
    assert_agrees(scores.to_dict(), {"k": golden[name]["k"], **golden[name][method]})


@pytest.mark.filterwarnings("ignore:1,950 of 2,000 source rows repeat another")  # prompts of classes
@pytest.mark.parametrize("name", SETS)
def test_gap_by_command_line(golden, paths, name):
    source, target = paths[name]
    printed = run("diagnose", "--source", source, "--target", target, "--paired", "--json")
    assert_agrees(json.loads(printed), {"q": golden[name]["q"], **golden[name]["gap"]})


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ALIGNED)
def test_alignment_by_command_line(golden, paths, tmp_path, name, method):
    source, target = paths[name]
    model, aligned = tmp_path / "model", tmp_path / "aligned.npy"
    run("fit", METHODS[method], "--source", source, "--target", target, "--out", model)
    run("transform", model, "--source", source, "--out", aligned)
    printed = run("evaluate", "--source", source, "--target", target, "--aligned", aligned, "--paired", "--json")
    assert_agrees(json.loads(printed), {"k": golden[name]["k"], **golden[name][method]})


def test_the_commands_as_processes_of_their_own(golden, paths, tmp_path):
    source, target = paths["coco_clip"]
    model, aligned, both = tmp_path / "model", tmp_path / "aligned.npy", ("--source", source, "--target", target)
    run("fit", "realign", *both, "--out", model)
    run("transform", model, "--source", source, "--out", aligned)
    assert_agrees(json.loads(run("diagnose", *both, "--paired", "--json", process=True)), golden["coco_clip"]["gap"])
    scores = json.loads(run("evaluate", *both, "--aligned", aligned, "--paired", "--json", process=True))
    assert_agrees(scores, golden["coco_clip"]["realign"])
    fitted = json.loads((model / "config.json").read_text())["fitted"]
    assert_agrees(fitted, {"scale_": golden["coco_clip"]["realign_scale"]})
