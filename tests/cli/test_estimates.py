"""Commands that read and measure say first what they will read, hold and take."""

import re
from collections import Counter

import numpy as np
import pytest

import anisoalign as aa
from anisoalign.cli import estimates
from anisoalign.diagnostics.controls import control_transforms
from anisoalign.embeddings import format_bytes
from anisoalign.geometry import normalize

ROWS, DIM = 150, 12


@pytest.fixture
def aligned(sides, tmp_path):
    """Aligned rows beside the sides."""
    path = tmp_path / "aligned.npy"
    np.save(path, aa.ReAlign().fit(np.load(sides.text), np.load(sides.image)).transform(np.load(sides.text)))
    return path


def plan_of(ended) -> str:
    assert ended.code == 0, ended.err
    (line,) = [line for line in ended.err.splitlines() if line.startswith("plan: ")]
    assert re.search(r"about [0-9.]+ [kMG]?B of memory and [0-9.]+ s, in float", line)
    return line


@pytest.mark.filterwarnings("ignore:.* are the same rows")
@pytest.mark.parametrize(("also", "paired", "passes"), [(0, False, 1), (0, True, 2), (1, False, 2), (2, True, 6)])
def test_a_diagnosis_says_how_often_each_set_is_read(run, sides, aligned, also, paired, passes):
    more = [f"--also=z{number}={aligned}" for number in range(also)]
    ended = run("diagnose", "--source", sides.text, "--target", sides.image, *more, *["--paired"] * paired)
    line = plan_of(ended)
    for name in ("source", "target", *(f"z{number}" for number in range(also))):
        assert f"{passes} over {ROWS} {name} rows" in line
    sizes = [path.stat().st_size for path in (sides.text, sides.image, *[aligned] * also)]
    assert f": read {format_bytes(passes * sum(sizes))};" in line


def test_rows_that_a_sample_leaves_out_are_not_counted(run, sides, aligned):
    line = plan_of(
        run("evaluate", "--source", sides.text, "--target", sides.image, "--aligned", aligned, "--sample", 60)
    )
    assert all(f"60 of {ROWS} {name} rows" in line for name in ("source", "target", "aligned"))
    stored = sum(60 * DIM * np.load(path).itemsize for path in (sides.text, sides.image, aligned))
    assert f": read {format_bytes(stored)};" in line


def test_a_comparison_counts_its_methods_and_splits(run, sides):
    both = ("--source", sides.text, "--target", sides.image, "--repeats", 2, "--sample", 100)
    line = plan_of(run("compare", *both, "--method", "realign", "--method", "mean-shift"))
    assert f"100 of {ROWS} source rows, 100 of {ROWS} target rows" in line
    assert line.endswith("; 2 methods, 2 splits")


def test_a_comparison_with_labels_says_what_its_time_leaves_out(run, sides, tmp_path):
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join("ab"[number % 2] for number in range(ROWS)))
    both = ("--source", sides.text, "--target", sides.image, "--repeats", 1, "--labels", labels)
    assert plan_of(run("compare", *both, "--method", "realign")).endswith(", not counting classifiers")


def test_a_method_named_twice_counts_once_and_a_page_is_told_apart(run, sides, tmp_path):
    both = ("--source", sides.text, "--target", sides.image, "--repeats", 1, "--report", tmp_path / "page.html")
    line = plan_of(run("compare", *both, "--method", "realign", "--method", "realign"))
    assert line.endswith("; 1 methods, 1 splits, not counting the page")


def test_a_fit_of_both_frames_counts_once(run, sides, monkeypatch):
    fit_work, counted = estimates._fit_work, []

    def seen(spec, *rest):
        counted.append(spec)
        return fit_work(spec, *rest)

    monkeypatch.setattr(estimates, "_fit_work", seen)
    methods = ("realign:frame=common", "realign", "mean-shift")
    both = ("--source", sides.text, "--target", sides.image, "--repeats", 1)
    line = plan_of(run("compare", *both, *(word for name in methods for word in ("--method", name))))
    assert line.endswith("; 3 methods, 1 splits")
    assert sorted(counted) == ["mean-shift", "realign"]


def test_which_rows_are_dropped_takes_a_pass_over_all_of_them(run, sides, aligned):
    three = ("--source", sides.text, "--target", sides.image, "--aligned", aligned)
    line = plan_of(run("evaluate", *three, "--sample", 60, "--bad-rows", "drop"))
    stored = sum(np.load(path).nbytes for path in (sides.text, sides.image, aligned))
    assert f": read {format_bytes(stored)};" in line


def test_a_plan_judges_no_row_that_the_command_does_not_use(run, sides, tmp_path):
    """A row that cannot be used lies outside the sample."""
    rows = np.load(sides.text)
    used = aa.embeddings.open_embeddings(sides.text).sample_rows(60, 0)
    rows[np.setdiff1d(np.arange(ROWS), used)[0]] = 0
    path = tmp_path / "one-bad.npy"
    np.save(path, rows)
    both = ("--source", path, "--target", sides.image, "--method", "realign", "--repeats", 1, "--sample", 60)
    plan_of(run("compare", *both))


@pytest.mark.parametrize("command", ["diagnose", "evaluate", "compare", "plan"])
def test_sets_that_do_not_fit_together_are_refused_before_a_plan(run, sides, aligned, tmp_path, command):
    other = tmp_path / "narrow.npy"
    np.save(other, np.load(sides.image)[:, :8])
    more = {"evaluate": ("--aligned", aligned)}.get(command, ())
    ended = run(command, *["realign"] * (command == "plan"), "--source", sides.text, "--target", other, *more)
    assert (ended.code, ended.out, "plan: " in ended.err) == (2, "", False)
    assert "source has width 12, target has width 8" in ended.err


@pytest.mark.parametrize("stored", ["float16", "float32", "float64"])
def test_a_set_of_any_precision_is_converted(run, sides, tmp_path, stored):
    path = tmp_path / "stored.npy"
    np.save(path, np.load(sides.text).astype(stored))
    plan_of(run("convert", path, tmp_path / "out.parquet"))
    assert aa.embeddings.open_embeddings(tmp_path / "out.parquet").dtype == stored


@pytest.mark.parametrize("option", ["--dtype", "--out-dtype"])
def test_a_conversion_says_what_it_will_write(run, sides, tmp_path, option):
    line = plan_of(run("convert", sides.text, tmp_path / "out.parquet", option, "float16"))
    assert f"1 pass over {ROWS} rows: read {format_bytes(sides.text.stat().st_size)}" in line
    assert f", write {format_bytes(ROWS * DIM * 2)};" in line


def test_the_plan_stands_before_what_was_found(run, sides):
    ended = run("diagnose", "--source", sides.text, "--target", sides.image, "--json")
    assert "plan" not in ended.out
    plan_of(ended)


@pytest.mark.parametrize("paired", [False, True])
def test_a_diagnosis_decomposes_what_is_planned(run, tmp_path, monkeypatch, paired):
    done = Counter()
    for name, weight in {"eigh": 1, "eigvalsh": 1 / 3}.items():
        whole = getattr(np.linalg, name)

        def counting(matrix, *rest, whole=whole, weight=weight, **named):
            done["cubes"] += weight * matrix.shape[-1] ** 3
            return whole(matrix, *rest, **named)

        monkeypatch.setattr(np.linalg, name, counting)
    paths = [tmp_path / f"{side}.npy" for side in "yx"]
    for seed, path in enumerate(paths):
        np.save(path, normalize(np.random.default_rng(seed).normal(size=(300, 48)) + 1))
    monkeypatch.setattr(estimates, "_tell", lambda *given, **named: None)
    assert run("diagnose", "--source", paths[0], "--target", paths[1], *["--paired"] * paired).code == 0
    planned = estimates.DECOMPOSED_PAIRED if paired else estimates.DECOMPOSED
    assert done["cubes"] / 48**3 == pytest.approx(planned, abs=1)


@pytest.mark.parametrize(("paired", "planned"), [(False, estimates.CONTROLS), (True, estimates.CONTROLS_PAIRED)])
def test_as_many_controls_are_measured_as_planned(paired, planned):
    rows = normalize(np.random.default_rng(0).normal(size=(60, 4)))
    assert len(control_transforms(rows, rows, paired=paired)) == planned
