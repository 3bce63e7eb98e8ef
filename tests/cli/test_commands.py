"""Each command does what the contract says, on small sets."""

import json
import re

import numpy as np
import pytest
from safetensors.numpy import load_file

import anisoalign as aa
from anisoalign.aligners import METHODS


def both(sides):
    return ["--source", sides.text, "--target", sides.image]


def test_diagnose_json_is_one_flat_object(run, sides):
    ended = run("diagnose", *both(sides), "--paired", "--json")
    record = json.loads(ended.out)
    assert ended.code == 0
    assert not any(isinstance(value, dict) for value in record.values())
    text, image = np.load(sides.text), np.load(sides.image)
    assert record["centroid_gap"] == pytest.approx(np.linalg.norm(text.mean(0) - image.mean(0)), abs=1e-6)
    assert record["paired_cosine"] == pytest.approx((text * image).sum(1).mean(), abs=1e-6)
    assert {"control_mean_shift_centroid_gap", "control_residual_path_1.00_target_coverage"} <= record.keys()


def test_diagnose_without_pairs_says_nothing_of_pairs(run, sides):
    record = json.loads(run("diagnose", *both(sides), "--json").out)
    assert not [key for key in record if "residual" in key or key.startswith("paired_distance")]
    assert "paired_cosine" not in record
    assert "histogram_paired" not in record


def test_diagnose_ends_in_three_sentences_on_the_cosine_of_pairs(run, sides):
    out = " ".join(run("diagnose", *both(sides), "--paired").out.split())
    assert "The two sets lie far apart" in out
    assert re.search(r"A source row and its own target row have cosine -?\d\.\d\d here", out)


def test_diagnose_of_several_sets_gives_all_pairs(run, sides, tmp_path):
    np.save(tmp_path / "noise.npy", np.random.default_rng(1).normal(size=(80, 12)))
    records = json.loads(run("diagnose", *both(sides), "--also", f"noise={tmp_path / 'noise.npy'}", "--json").out)
    names = [(r["source"], r["target"]) for r in records]
    assert names == [("source", "target"), ("source", "noise"), ("target", "noise")]


@pytest.mark.parametrize("method", list(METHODS))
def test_fit_and_transform_every_method(run, sides, tmp_path, method):
    model, out = tmp_path / "model", tmp_path / "aligned.npy"
    assert run("fit", method, *both(sides), "--out", model).code == 0
    assert run("transform", model, "--source", sides.text, "--out", out).code == 0
    aligned = np.load(out)
    assert aligned.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(aligned, axis=1), 1.0, atol=1e-6)
    expected = METHODS[method]().fit(np.load(sides.text), np.load(sides.image)).transform(np.load(sides.text))
    np.testing.assert_array_equal(aligned, expected)


def test_fit_takes_settings_from_the_line_over_those_of_a_file(run, sides, tmp_path):
    (tmp_path / "c3.toml").write_text("noise = 0.5\nseed = 3\n")
    arguments = ("fit", "c3", *both(sides), "--out", tmp_path / "m", "--config", tmp_path / "c3.toml")
    assert run(*arguments, "--set", "noise=0.1").code == 0
    assert aa.load(tmp_path / "m").get_params() == {"noise": 0.1, "seed": 3}
    assert run(*arguments, "--seed", 0, "--overwrite").code == 0
    assert aa.load(tmp_path / "m").get_params() == {"noise": 0.5, "seed": 0}


def test_a_model_is_replaced_where_that_is_asked_for_and_nothing_else(run, sides, tmp_path):
    assert run("fit", "realign", *both(sides), "--out", tmp_path / "m").code == 0
    ended = run("fit", "mean-shift", *both(sides), "--out", tmp_path / "m")
    assert (ended.code, len(ended.err.splitlines())) == (2, 1)  # before the sets are looked at
    assert "m already exists; choose another name, or ask to replace it (`--overwrite`)" in ended.err
    assert aa.load(tmp_path / "m").name == "realign"
    assert run("fit", "mean-shift", *both(sides), "--out", tmp_path / "m", "--overwrite").code == 0
    assert aa.load(tmp_path / "m").name == "mean-shift"
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.tex").write_text("...")
    assert run("fit", "realign", *both(sides), "--out", precious, "--overwrite").code == 2
    assert [p.name for p in precious.iterdir()] == ["thesis.tex"]


def test_transform_writes_the_format_asked_for(run, sides, tmp_path):
    run("fit", "realign", *both(sides), "--out", tmp_path / "m")
    base = ("transform", tmp_path / "m", "--source", sides.text)
    assert run(*base, "--out", tmp_path / "z.safetensors", "--out-dtype", "float16").code == 0
    assert load_file(tmp_path / "z.safetensors")["embeddings"].dtype == np.float16
    assert run(*base, "--out", tmp_path / "folder", "--format", "parquet").code == 0
    assert (tmp_path / "folder" / "manifest.json").is_file()
    assert run(*base, "--out", tmp_path / "folder").code == 2  # it exists
    assert run(*base, "--out", tmp_path / "folder", "--overwrite").code == 0


def test_evaluate_agrees_with_python(run, sides, tmp_path):
    run("fit", "realign", *both(sides), "--out", tmp_path / "m")
    run("transform", tmp_path / "m", "--source", sides.text, "--out", tmp_path / "z.npy")
    labels = ("--source-labels", sides.labels, "--target-labels", sides.labels)
    ended = run("evaluate", *both(sides), "--aligned", tmp_path / "z.npy", "--paired", *labels, "--json")
    names = sides.labels.read_text().splitlines()
    expected = aa.evaluate(
        sides.text, sides.image, tmp_path / "z.npy", paired=True, source_labels=names, target_labels=names
    )
    assert json.loads(ended.out) == expected.to_dict()
    table = run("evaluate", *both(sides), "--aligned", tmp_path / "z.npy", "--k", 5).out
    assert "penetration" in table.lower()


def test_compare_json_has_one_flat_object_a_method(run, sides):
    ended = run(
        "compare", *both(sides), "--paired", "--labels", sides.labels, "--repeats", 4, "--json",
        "--method", "mean-shift", "--method", "gaussian-transport:strength=0.5,rank=6",
    )  # fmt: skip
    records = {record["method"]: record for record in json.loads(ended.out)}
    assert {"realign", "mean-shift", "gaussian-transport:strength=0.5,rank=6", "oracle-ridge", "real-target"} == set(
        records
    ) - {"oracle-procrustes"}
    assert records["realign"]["label_transfer"] >= records["real-target"]["label_transfer"] - 0.02
    assert not any("closed" in record for record in records.values()), "there is no way to close"
    assert records["mean-shift"]["rows_fit_source"] == 60
    assert records["mean-shift"]["label_transfer_se"] >= 0.0


def test_compare_prints_a_table_and_writes_a_page(run, sides, tmp_path):
    page = tmp_path / "page.html"
    ended = run("compare", *both(sides), "--repeats", 2, "--method", "realign", "--method", "c3", "--report", page)
    assert "realign" in ended.out
    assert page.read_text().lstrip().lower().startswith("<!doctype html>")


def test_convert_goes_there_and_back(run, sides, tmp_path):
    assert run("convert", sides.text, tmp_path / "a.parquet").code == 0
    assert run("convert", tmp_path / "a.parquet", tmp_path / "b.npy").code == 0
    np.testing.assert_array_equal(np.load(tmp_path / "b.npy"), np.load(sides.text))


def test_plan_counts_passes_and_bytes(run, sides):
    record = json.loads(run("plan", "realign", *both(sides), "--json").out)
    assert (record["passes_over_source"], record["passes_over_target"]) == (3, 1)
    assert record["read_bytes"] == 3 * sides.text.stat().st_size + sides.image.stat().st_size
    assert record["operations"] == 0
    assert json.loads(run("plan", "gaussian-transport", *both(sides), "--json").out)["operations"] > 0


def test_a_plan_counts_what_is_read_again_and_held_for_the_stages(run, sides):
    def planned(*changes):
        return json.loads(run("plan", "aniso-align:paper", *both(sides), *changes, "--json").out)

    whole, sampled = planned(), planned("--set", "fit_rows=10")
    assert [(r["passes_over_source"], r["passes_over_target"]) for r in (whole, sampled)] == [(3, 1), (4, 2)]
    assert sampled["read_bytes"] == 4 * sides.text.stat().st_size + 2 * sides.image.stat().st_size
    assert whole["memory_bytes"] - sampled["memory_bytes"] > 0


def test_env_names_versions(run):
    record = json.loads(run("env", "--json").out)
    assert record["anisoalign"] == aa.__version__
    assert record["cores"] >= 1


def test_help_loads_no_torch(tmp_path):
    import subprocess
    import sys

    code = (
        "import sys; sys.argv = ['anisoalign', '--help']\n"
        "from anisoalign.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "assert 'torch' not in sys.modules and 'sklearn' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, stdout=subprocess.DEVNULL)


def test_importing_the_package_loads_nothing_heavy(tmp_path):
    import subprocess
    import sys

    code = (
        "import sys, anisoalign as aa; aa.ReAlign, aa.diagnose, aa.compare\n"
        "assert not {'transformers', 'ray', 'matplotlib', 'faiss', 'datasets'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)


def test_a_demo_takes_no_folder_that_holds_other_things(run, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("...")
    assert run("demo", "--out", tmp_path / "mine").code == 2
