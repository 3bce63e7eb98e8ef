"""The flags of the contract: common to all commands that read rows, doing what they say or refused with a reason."""

import json
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from anisoalign.aligners import METHODS, ReAlign
from anisoalign.embeddings import convert, format_bytes, open_embeddings, transfer

COMMON = {"--bad-rows", "--memory", "--engine", "--dtype", "--seed"}
SEEDLESS = {"transform", "convert", "plan"}
"""Nothing is drawn there: the draws of a transform are fixed by its model and the number of the row."""
LOCAL = {"plan"}
"""Measured on this machine alone."""


def command(name, sides, tmp_path):
    """Arguments of a command that reads the rows of `sides`."""
    both = ("--source", sides.text, "--target", sides.image)
    return {
        "diagnose": ("diagnose", *both),
        "fit": ("fit", "realign", *both, "--out", tmp_path / "m", "--overwrite"),
        "transform": ("transform", tmp_path / "m", "--source", sides.text, "--out", tmp_path / "z.npy"),
        "evaluate": ("evaluate", *both, "--aligned", sides.text),
        "compare": ("compare", *both, "--repeats", 1, "--method", "mean-shift"),
        "convert": ("convert", sides.text, tmp_path / "c.parquet"),
        "plan": ("plan", "realign", *both),
    }[name]


READERS = ("diagnose", "fit", "transform", "evaluate", "compare", "convert", "plan")


@pytest.mark.parametrize("name", READERS)
def test_the_common_flags_are_there(run, name):
    flags = set(re.findall(r"^ +(--[a-z-]+)", run(name, "--help").out, re.MULTILINE))
    missing = ({"--seed"} if name in SEEDLESS else set()) | ({"--engine"} if name in LOCAL else set())
    assert flags & COMMON == COMMON - missing


@pytest.mark.parametrize("name", [name for name in READERS if name not in LOCAL])
def test_an_engine_that_is_not_installed_is_refused_before_any_work(run, sides, tmp_path, name, monkeypatch):
    ReAlign().fit(np.load(sides.text), np.load(sides.image)).save(tmp_path / "m")
    arguments = command(name, sides, tmp_path)
    before = sorted(tmp_path.iterdir())
    with monkeypatch.context() as without:
        without.setattr("importlib.util.find_spec", lambda name: None)
        ended = run(*arguments, "--engine", "ray")
    assert (ended.code, ended.out) == (2, "")
    assert 'pip install "anisoalign[ray]"' in ended.err
    assert sorted(tmp_path.iterdir()) == before
    assert run(*arguments, "--engine", "local").code == 0


class Placed(ReAlign):
    """A method that takes a device."""

    name = "placed"

    def __init__(self, *, device: str = "auto"):
        self.device = device

    def fit(self, source, target, **options):
        placed.append(self.device)
        return super().fit(source, target, **options)


placed: list[str] = []


@pytest.fixture
def with_placed(monkeypatch):
    monkeypatch.setitem(METHODS, "placed", Placed)
    placed.clear()


def fit(run, sides, tmp_path, method, *more):
    both = ("--source", sides.text, "--target", sides.image)
    return run("fit", method, *both, "--out", tmp_path / "m", "--overwrite", *more)


def test_a_method_that_takes_a_device_gets_it(run, sides, tmp_path, with_placed, monkeypatch):
    (tmp_path / "f.toml").write_text('device = "meta"\n')
    config = ("--config", tmp_path / "f.toml")
    assert fit(run, sides, tmp_path, "placed").code == 0
    assert fit(run, sides, tmp_path, "placed", "--device", "cpu", *config).code == 0
    assert fit(run, sides, tmp_path, "placed", *config).code == 0
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert fit(run, sides, tmp_path, "placed", "--device", "cuda:1").code == 0
    assert placed == ["auto", "cpu", "meta", "cuda:1"]
    ended = fit(run, sides, tmp_path, "placed", "--device", "cuda:2")
    assert (ended.code, "--device cuda:2 is not there: PyTorch finds 2 CUDA" in ended.err) == (2, True)


def test_a_device_that_is_not_there_is_refused(run, sides, tmp_path, with_placed, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for device in ("cuda", "cuda:0"):
        ended = fit(run, sides, tmp_path, "placed", "--device", device)
        assert (ended.code, "finds 0 CUDA device(s)" in ended.err) == (2, True)
    assert (placed, (tmp_path / "m").exists()) == ([], False)


def test_a_closed_form_runs_on_the_cpu_and_says_so(run, sides, tmp_path):
    for device in ("auto", "cpu"):
        assert fit(run, sides, tmp_path, "realign", "--device", device).code == 0
    ended = fit(run, sides, tmp_path, "realign", "--device", "cuda")
    assert (ended.code, "realign is fitted on the CPU: leave --device cuda out" in ended.err) == (2, True)
    ended = fit(run, sides, tmp_path, "realign", "--device", "tpu")
    assert (ended.code, "auto, cpu, cuda or cuda:N, not 'tpu'" in ended.err) == (2, True)


def test_fit_and_transform_state_their_plan_first(run, sides, tmp_path):
    text, image = (sides.text.stat().st_size, sides.image.stat().st_size)
    ended = fit(run, sides, tmp_path, "realign")
    (line,) = [line for line in ended.err.splitlines() if line.startswith("plan: ")]
    assert "2 pass(es) over 150 source rows and 1 over 150 target rows" in line
    assert f"read {format_bytes(2 * text + image)};" in line
    assert re.search(r"of memory and [0-9.]+ s, in float64$", line)
    assert ended.err.index("plan: ") < ended.err.index("fitted ")
    ended = run("transform", tmp_path / "m", "--source", sides.text, "--out", tmp_path / "z", "--out-dtype", "float16")
    (line,) = [line for line in ended.err.splitlines() if line.startswith("plan: ")]
    assert f"1 pass(es) over 150 source rows: read {format_bytes(text)}, write {format_bytes(150 * 12 * 2)};" in line


def test_transform_of_the_other_side_speaks_of_targets(run, sides, tmp_path):
    fit(run, sides, tmp_path, "realign")
    for kind, path in (("text", sides.text), ("img", sides.image)):
        convert(path, tmp_path / "clip" / f"{kind}_emb", "npy")
    words = ["transform", tmp_path / "m", "--side", "target", "--frame", "common"]
    ended = run(*words, "--source", tmp_path / "clip", "--out", tmp_path / "x")
    assert ended.code == 0, ended.err
    assert "target: 150 x 12" in ended.err
    assert "plan: 1 pass(es) over 150 target rows: read" in ended.err
    assert "source" not in ended.err
    run(*words, "--source", sides.image, "--out", tmp_path / "of images")  # which a folder of both sides stands for
    found = [open_embeddings(tmp_path / name).read().tobytes() for name in ("x", "of images")]
    assert found[0] == found[1]
    pq.write_table(pa.table({"a": [[1.0]], "b": [[1.0]]}), tmp_path / "two.parquet")
    ended = run(*words, "--source", tmp_path / "two.parquet", "--out", tmp_path / "y")
    assert "say which with `--source-column`" in ended.err


@pytest.mark.parametrize("method", list(METHODS))
def test_every_method_has_a_plan(run, sides, method):
    both = ("--source", sides.text, "--target", sides.image)
    record = json.loads(run("plan", method, *both, "--json").out)
    keeps = METHODS[method].keeps_rows
    assert record["passes_over_source"] == (1 if keeps else 3 if METHODS[method].calibrated else 2)
    assert (record["operations"] > 0) == (METHODS[method].order == "full" or method == "memory-projection")
    assert record["seconds"] >= 0


@pytest.mark.filterwarnings("ignore:source and target are the same rows")
def test_plan_refuses_what_a_fit_would_and_accepts_what_it_would(run, tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    rows = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)
    np.save(folder / "a.npy", np.concatenate([rows, np.zeros((1, 8), np.float32)]))
    np.save(folder / "b.npy", rows / np.linalg.norm(rows, axis=1, keepdims=True))
    both = ("--source", folder, "--target", folder)
    for verb in (("plan", "realign"), ("fit", "realign", "--out", tmp_path / "m")):
        assert "norms are mixed" in run(*verb, *both).err
        assert "row 50" in run(*verb, *both, "--norms", "normalize").err
        flags = (*both, "--norms", "normalize", "--bad-rows", "drop")
        ended = run(*verb, *flags, "--memory", "10kB")
        assert (ended.code, "the memory budget is 10.0 kB" in ended.err) == (2, True)
        assert run(*verb, *flags, "--memory", "1MB").code == 0


COSTS = ("fit_seconds", "transform_rows_per_second", "model_bytes")
"""What differs from run to run."""


def test_compare_computes_in_the_precision_asked_for(run, sides):
    arguments = ("compare", "--source", sides.text, "--target", sides.image, "--repeats", 1, "--json")
    found = {}
    for dtype in ("auto", "float64", "float32"):
        ended = run(*arguments, "--dtype", dtype, "--method", "gaussian-transport", "--method", "realign")
        found[dtype] = [{key: value for key, value in row.items() if key not in COSTS} for row in json.loads(ended.out)]
    assert found["auto"] == found["float64"] != found["float32"]


@pytest.mark.filterwarnings("ignore:source and target are the same rows")
def test_a_continued_transform_counts_and_lists_all_dropped_rows(run, tmp_path, monkeypatch):
    folder = tmp_path / "set"
    folder.mkdir()
    for i in range(4):
        rows = np.random.default_rng(i).normal(size=(30, 8)).astype(np.float32)
        rows[i] = np.nan if i in (0, 3) else rows[i]
        np.save(folder / f"part_{i}.npy", rows)
    model = ReAlign().fit(open_embeddings(folder, bad_rows="drop"), open_embeddings(folder, bad_rows="drop"))
    model.save(tmp_path / "m")
    done = 0

    def interrupt(count):
        nonlocal done
        done += count
        if done > 30:
            raise KeyboardInterrupt

    monkeypatch.setattr(transfer, "cores", lambda: 0)  # one shard after another
    with pytest.raises(KeyboardInterrupt):
        model.transform(open_embeddings(folder, bad_rows="drop"), tmp_path / "z", progress=interrupt)
    assert [path.name for path in (tmp_path / "z.partial").glob("*.npy")] == ["part_000.npy"]
    ended = run("transform", tmp_path / "m", "--source", folder, "--out", tmp_path / "z", "--bad-rows", "drop")
    assert ended.code == 0, ended.err
    assert "2 bad row(s) dropped" in ended.err
    assert "part_0.npy, row 0: holds NaN" in ended.err
    assert "part_3.npy, row 3: holds NaN" in ended.err
    assert "118 rows in" in ended.err


def test_the_plan_of_aniso_align_counts_what_is_trained():
    from anisoalign.aligners import parse_method
    from anisoalign.aligners.costs import estimate
    from anisoalign.embeddings import open_embeddings

    rows = open_embeddings(np.random.default_rng(0).normal(size=(300, 32)))
    given, chosen, paper = (
        estimate(parse_method(f"aniso-align:{spec}"), rows, rows, "auto", transform=False)["operations"]
        for spec in ("strength=0.5", "strength=auto", "paper")
    )
    assert given < chosen < paper


def test_auto_takes_the_cpu_for_what_no_gpu_does(run, sides, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    for name in ("c3", "realign"):
        METHODS[name]().fit(np.load(sides.text), np.load(sides.image)).save(tmp_path / name)
    for name, *more in (("c3",), ("realign", "--out-dtype", "float64"), ("realign", "--dtype", "float64")):
        words = ("transform", tmp_path / name, "--source", sides.text, "--overwrite", "--out", tmp_path / "z.npy")
        assert run(*words, *more, "--device", "auto").code == 0
        assert run(*words, *more, "--device", "cuda").code == 2
