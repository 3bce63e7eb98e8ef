"""An option that a command has no use for, as it was called, is refused by its name."""

import numpy as np
import pytest

import anisoalign as aa


@pytest.mark.parametrize(
    "option",
    [("--processes", 1), ("--tflops", 9), ("--conversations", 5), ("--tokens", 5), ("--width", 5)],
)
def test_a_plan_of_a_method_takes_no_option_of_a_training(run, sides, option):
    ended = run("plan", "realign", "--source", sides.text, "--target", sides.image, *option)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == f"anisoalign: {option[0]} is for the plan of a training, which SETTINGS.toml describes\n"


@pytest.mark.parametrize(
    "option",
    [
        *(("--source", "y.npy"), ("--target", "x.npy"), ("--source-column", "a"), ("--target-column", "a")),
        *(("--bad-rows", "drop"), ("--norms", "auto"), ("--memory", "1GB"), ("--dtype", "float32")),
    ],
)
def test_a_plan_of_a_training_takes_no_option_of_a_method(run, tmp_path, option):
    (tmp_path / "train.toml").write_text("")
    ended = run("plan", tmp_path / "train.toml", *option)
    assert ended.code == 2
    assert f"anisoalign: {option[0]} is for the plan of a method" in ended.err


@pytest.mark.parametrize(
    "option",
    [
        *(("--source-column", "a"), ("--sample", 2000), ("--bad-rows", "drop"), ("--norms", "normalize")),
        *(("--memory", "1GB"), ("--force",)),
    ],
)
def test_an_export_without_a_source_takes_no_option_of_one(run, tmp_path, option):
    aa.MeanShift().fit(np.eye(3), np.eye(3) + 1).save(tmp_path / "m")
    ended = run("export", tmp_path / "m", "--to", "torch-export", "--out", tmp_path / "m.pt2", *option)
    assert ended.code == 2
    assert f"anisoalign: {option[0]} says how the rows of --source PATH are measured" in ended.err
    assert not (tmp_path / "m.pt2").exists()


@pytest.mark.parametrize(
    ("command", "flag"),
    [
        *((command, f"--{name}") for command in ("evaluate", "compare") for name in ("source-captions", "thumbnails")),
        *(("compare", "--target-captions"), ("evaluate", "--model")),
    ],
)
def test_without_a_page_there_is_no_use_for_what_it_would_show(run, sides, tmp_path, command, flag):
    more = ("--aligned", sides.text) if command == "evaluate" else ("--method", "realign", "--repeats", 1)
    words = (command, "--source", sides.text, "--target", sides.image, *more)
    ended = run(*words, flag, tmp_path / "nothing")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == f"anisoalign: {flag} is shown on a page, and neither --report nor --results asks for one\n"
    ended = run(*words, flag, tmp_path / "nothing", "--results", tmp_path / "r.json")
    assert (ended.code, "is shown on a page" in ended.err) == (2, False)  # there is no such file
