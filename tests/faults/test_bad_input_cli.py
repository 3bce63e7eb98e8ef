"""Bad input ends with exit code 2, one clear message, and nothing written."""

import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

pytestmark = pytest.mark.filterwarnings("ignore:source and target are the same rows")

ROWS, DIM = 120, 8


class Ended(NamedTuple):
    """How a process ended, as the fixture `run` has it."""

    code: int
    out: str
    err: str


@pytest.fixture
def good(tmp_path: Path) -> Path:
    folder = tmp_path / "good"
    folder.mkdir()
    for i in range(3):
        np.save(folder / f"part_{i}.npy", np.random.default_rng(i).normal(size=(ROWS // 3, DIM)).astype(np.float32))
    return folder


def spoil_truncated(folder: Path) -> str:
    file = folder / "part_1.npy"
    file.write_bytes(file.read_bytes()[:-100])
    return r"part_1\.npy is truncated"


def spoil_width(folder: Path) -> str:
    np.save(folder / "part_1.npy", np.ones((5, DIM + 1), np.float32))
    return r"part_1\.npy.*9"


def spoil_dtype(folder: Path) -> str:
    np.save(folder / "part_1.npy", np.ones((5, DIM), np.float64))
    return r"part_1\.npy.*float64"


def spoil_row(value: float, word: str):
    def spoil(folder: Path) -> str:
        rows = np.load(folder / "part_1.npy")
        rows[7] = value
        np.save(folder / "part_1.npy", rows)
        return rf"part_1\.npy.*row 7 .*{word}"

    return spoil


def spoil_empty(folder: Path) -> str:
    for file in folder.iterdir():
        file.unlink()
    return "good"


def spoil_no_array(folder: Path) -> str:
    (folder / "part_1.npy").write_text("this is a letter to my aunt")
    return r"part_1\.npy is not a \.npy array"


def spoil_pickle(folder: Path) -> str:
    for file in folder.glob("*.npy"):
        file.unlink()
    (folder / "part_0.pkl").write_bytes(pickle.dumps([{"id": 1, "embed": [1.0, 2.0]}]))
    return "--allow-pickle"


FAULTS = {
    "truncated": spoil_truncated,
    "width": spoil_width,
    "dtype": spoil_dtype,
    "nan": spoil_row(np.nan, "NaN"),
    "infinite": spoil_row(np.inf, "infinite"),
    "zero": spoil_row(0.0, "zero"),
    "empty folder": spoil_empty,
    "no array": spoil_no_array,
    "pickle": spoil_pickle,
}


def refused(ended, message: str) -> None:
    """Exit code 2, one message that fits, no traceback, nothing on stdout."""
    assert ended.code == 2, ended.err
    assert "Traceback" not in ended.err
    assert ended.out == ""
    last = [line for line in ended.err.splitlines() if line.startswith("anisoalign: ")]
    assert len(last) == 1
    assert re.search(message, last[0]), last[0]


@pytest.mark.parametrize("fault", FAULTS)
def test_fit_refuses_and_leaves_nothing(run, good, tmp_path, fault):
    np.save(tmp_path / "target.npy", np.random.default_rng(9).normal(size=(50, DIM)).astype(np.float32))
    message = FAULTS[fault](good)
    before = sorted(tmp_path.rglob("*"))
    ended = run(
        "fit", "gaussian-transport", "--source", good, "--target", tmp_path / "target.npy", "--out", tmp_path / "m"
    )
    refused(ended, message)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("fault", ["truncated", "nan", "no array"])
def test_transform_refuses_and_leaves_nothing(run, good, tmp_path, fault):
    assert run("fit", "realign", "--source", good, "--target", good, "--out", tmp_path / "m").code == 0
    message = FAULTS[fault](good)
    before = sorted(tmp_path.rglob("*"))
    refused(run("transform", tmp_path / "m", "--source", good, "--out", tmp_path / "z"), message)
    assert sorted(tmp_path.rglob("*")) == before


def test_bad_rows_are_dropped_counted_and_listed_if_asked(run, good, tmp_path):
    spoil_row(np.nan, "NaN")(good)
    both = ("--source", good, "--target", good, "--bad-rows", "drop")
    ended = run("fit", "realign", *both, "--out", tmp_path / "m")
    assert ended.code == 0
    assert "1 bad row(s) dropped" in ended.err
    assert "part_1.npy, row 7: holds NaN" in ended.err
    arguments = ("--source", good, "--bad-rows", "drop", "--out", tmp_path / "z")
    ended = run("transform", tmp_path / "m", *arguments)
    assert f"all of them: {tmp_path / 'z' / 'manifest.json'}" in ended.err
    ended = run("transform", tmp_path / "m", *arguments[:-1], tmp_path / "z.npy")
    assert f"all of them: {tmp_path / 'z.npy.dropped.json'}" in ended.err
    assert [item["row"] for item in json.loads((tmp_path / "z.npy.dropped.json").read_text())["dropped"]] == [
        ROWS // 3 + 7
    ]
    assert sum(len(np.load(file)) for file in (tmp_path / "z").glob("*.npy")) == ROWS - 1
    ended = run("evaluate", *both, "--aligned", tmp_path / "z", "--paired", "--json")
    assert ended.code == 0, ended.err
    ended = run("convert", good, tmp_path / "c", "--bad-rows", "drop")
    assert ended.code == 0
    assert "part_1.npy, row 7: holds NaN" in ended.err


def test_labels_of_the_wrong_length_are_refused(run, good, tmp_path):
    (tmp_path / "label.txt").write_text("cat\ndog\n")
    both = ("--source", good, "--target", good)
    refused(run("compare", *both, "--labels", tmp_path / "label.txt"), r"label\.txt holds 2 labels for 120 rows")
    labels = ("--source-labels", tmp_path / "label.txt", "--target-labels", tmp_path / "label.txt")
    refused(run("evaluate", *both, "--aligned", good, *labels), "2 labels for 120 rows")


def test_an_output_that_cannot_be_written_is_refused_before_any_work(run, good, tmp_path):
    # Even root cannot write into /proc, so this holds for every user on Linux.
    place = Path("/proc/anisoalign-test")
    if os.geteuid() != 0:
        (tmp_path / "locked").mkdir(mode=0o500)
        place = tmp_path / "locked" / "out"
    both = ("--source", good, "--target", good)
    refused(run("fit", "realign", *both, "--out", place), "cannot")
    assert run("fit", "realign", *both, "--out", tmp_path / "m").code == 0
    refused(run("transform", tmp_path / "m", "--source", good, "--out", place), "anisoalign")


def test_a_pickle_that_would_run_code_does_not(run, tmp_path):
    witness = tmp_path / "witness"

    class Evil:
        def __reduce__(self):
            return (os.system, (f"touch {witness}",))

    (tmp_path / "evil.pkl").write_bytes(pickle.dumps([{"id": 0, "embed": Evil()}]))
    for arguments in (
        ("convert", tmp_path / "evil.pkl", tmp_path / "out"),
        ("convert", tmp_path / "evil.pkl", tmp_path / "out", "--allow-pickle"),
        ("diagnose", "--source", tmp_path / "evil.pkl", "--target", tmp_path / "evil.pkl"),
    ):
        refused(run(*arguments), "pickle|pkl")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["evil.pkl"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fit", "magic"), "there is no method 'magic'.*realign"),
        (("fit", "oracle-ridge"), "knows the pairs of the fit: compare adds it by itself"),
        (("fit", "c3", "--set", "loudness=2"), "c3 has no parameter 'loudness'.*noise"),
        (("fit", "c3", "--set", "noise"), "name=value"),
        (("fit", "c3", "--set", "noise=-1"), "noise must be"),
        (("fit", "gaussian-transport", "--set", "strength=2"), r"strength must lie in \[0, 1\]"),
        (("fit", "gaussian-transport", "--set", "rank=-3"), "rank must be"),
        (("fit", "whiten-color", "--set", "shrinkage=much"), "shrinkage must be"),
        (("fit", "random-target", "--set", "memory=-1"), "memory must be"),
        (("fit", "realign", "--device", "cuda"), "realign is fitted on the CPU"),
        (("fit", "realign", "--device", "tpu"), "auto, cpu, cuda or cuda:N"),
    ],
)
def test_bad_usage_is_refused(run, good, tmp_path, arguments, message):
    refused(run(*arguments, "--source", good, "--target", good, "--out", tmp_path / "m"), message)
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    ("fault", "arguments", "message"),
    [
        ("nan", ["realign"], r"row 7 .*NaN"),
        (None, ["memory-projection", "--set", "memory=much"], "memory must be"),  # no types are checked before that
    ],
)
def test_a_process_of_its_own_ends_with_exit_code_2(good, tmp_path, fault, arguments, message):
    if fault:
        FAULTS[fault](good)
    shutil.copytree(good, tmp_path / "target")
    command = ["fit", *arguments, "--source", good, "--target", tmp_path / "target", "--out", tmp_path / "m"]
    ended = subprocess.run([sys.executable, "-m", "anisoalign", *command], capture_output=True, text=True, check=False)
    refused(Ended(ended.returncode, ended.stdout, ended.stderr), message)


def test_a_width_that_the_model_does_not_know_is_refused(run, good, tmp_path):
    run("fit", "realign", "--source", good, "--target", good, "--out", tmp_path / "m")
    np.save(tmp_path / "wide.npy", np.ones((5, DIM + 1)))
    ended = run("transform", tmp_path / "m", "--source", tmp_path / "wide.npy", "--out", tmp_path / "z")
    refused(ended, "width 9.*width 8")


def test_a_damaged_model_is_refused(run, good, tmp_path):
    model = tmp_path / "m"
    run("fit", "realign", "--source", good, "--target", good, "--out", model)
    (model / "model.safetensors").write_bytes(b"\x00" * 10)
    refused(run("transform", model, "--source", good, "--out", tmp_path / "z"), "damaged")
    refused(
        run("transform", tmp_path / "none", "--source", good, "--out", tmp_path / "z"),
        "looked for a saved model",
    )
