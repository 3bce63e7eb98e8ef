"""AnisoAlign on the command line: settings, presets and variants, what fit says, shards, refusals."""

import json
import re
import tomllib

import numpy as np
import pytest

import anisoalign as aa
from anisoalign.geometry import normalize

QUICK = "prior_steps=20,refine_steps=10,rank=8"


def both(sides):
    return ["--source", sides.text, "--target", sides.image]


def said(ended):
    """Standard error on one line, however it was wrapped."""
    return " ".join(ended.err.split())


def test_fit_takes_a_strength_and_says_what_a_person_should_know(run, sides, tmp_path):
    ended = run("fit", "aniso-align", *both(sides), "--set", "strength=0.8", "--out", tmp_path / "most")
    assert re.search(
        r"guarantee: of the sources looked at, the bounded parts turn none by more than [0-9.]+ degrees", said(ended)
    )
    ended = run("fit", "aniso-align", *both(sides), "--set", "strength=0.5", "--out", tmp_path / "m")
    assert ended.code == 0, ended.err
    assert "strength 0.5 of the correction; the rotation is 100% made" in said(ended)
    assert "have no part in a row at this strength" in said(ended)
    model = aa.load(tmp_path / "m")
    assert (model.strength, model.strength_) == (0.5, 0.5)
    ended = run("fit", "aniso-align", *both(sides), "--out", tmp_path / "auto")
    assert re.search(r"chosen on held-out rows: geometry kept [01]\.[0-9]+, target reached [01]\.[0-9]+", said(ended))
    assert re.search(r"recommended here: [a-z-]+, by the harmonic mean of both", said(ended))
    assert not list(tmp_path.glob(".*"))  # no state of a stage is left


def test_fit_takes_a_preset_and_single_parameters_over_it(run, sides, tmp_path):
    ended = run("fit", f"aniso-align:paper,{QUICK}", *both(sides), "--out", tmp_path / "m", "--set", "mixing=identity")
    assert ended.code == 0, ended.err
    expected = aa.AnisoAlign.paper(prior_steps=20, refine_steps=10, rank=8, mixing="identity")
    assert aa.load(tmp_path / "m").get_params() == expected.get_params()
    assert not list(tmp_path.glob(".*"))
    rows = np.load(sides.text)
    assert run("transform", tmp_path / "m", "--source", sides.text, "--out", tmp_path / "z.npy").code == 0
    fitted = expected.fit(rows, np.load(sides.image))
    np.testing.assert_array_equal(np.load(tmp_path / "z.npy"), fitted.transform(rows))


def test_compare_understands_variants(run, sides):
    specs = [
        "aniso-align:terms=init+guide,strength=0.5",
        f"aniso-align:paper,{QUICK}",
        "aniso-align:rotation=none,initial_strength=0.25,rank=0.9,shrinkage=auto",
    ]
    methods = [part for spec in specs for part in ("--method", spec)]
    labels = ("--labels", sides.labels)
    ended = run("compare", *both(sides), "--paired", *labels, "--repeats", 1, "--json", *methods)
    assert ended.code == 0, ended.err
    records = {record["method"]: record for record in json.loads(ended.out)}
    assert set(specs) <= set(records)
    assert len({records[spec]["geometry_consistency"] for spec in specs}) == 3
    for spec in specs:
        assert all(np.isfinite(v) for v in records[spec].values() if isinstance(v, float)), spec


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("aniso-align:papre", "no preset of aniso-align: paper"),
        ("aniso-align:terms=init+magic", "terms has no part magic; its parts are init, guide, refine"),
        ("aniso-align:terms=init+prior", "no refine for the loss of prior"),
        ("aniso-align:terms=init+magic,fit_rows=10", "terms has no part magic"),
        ("aniso-align:fit_rows=1", "fit_rows must be a whole number of at least 2"),
        ("aniso-align:strenght=0.5", "aniso-align has no parameter 'strenght'"),
        ("aniso-align:strength=2", r"strength must lie in \[0, 1\]"),
        ("aniso-align:rank=0", "rank must be"),
        ("aniso-align:shrinkage=oas", "shrinkage must be"),
        ("aniso-align:device=tpu", "device must be auto, cpu, cuda or cuda:N, not 'tpu'"),
        ("realign:paper", "'paper' is not of the form name=value"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_reason(run, sides, tmp_path, spec, message):
    for verb in (("fit", spec, "--out", tmp_path / "m"), ("compare", "--repeats", 1, "--method", spec)):
        ended = run(*verb, *both(sides))
        assert (ended.code, ended.out) == (2, "")
        assert re.search(message, said(ended)), ended.err
    assert not (tmp_path / "m").exists()


@pytest.mark.filterwarnings("always::anisoalign.aligners.anisoalign.premise.AlignmentWarning")
@pytest.mark.filterwarnings("ignore:source rows have cosine")
def test_sets_that_share_no_geometry_are_refused_unless_forced(run, tmp_path):
    rng = np.random.default_rng(0)
    for side in ("text", "image"):
        frame = np.linalg.qr(rng.normal(size=(24, 24)))[0]
        rows = normalize(rng.normal(size=(200, 24)) * 0.8 ** np.arange(24) @ frame + 0.2)
        np.save(tmp_path / f"{side}.npy", rows.astype(np.float32))
    arguments = ("fit", "aniso-align", "--source", tmp_path / "text.npy", "--target", tmp_path / "image.npy")
    ended = run(*arguments, "--out", tmp_path / "m")
    assert (ended.code, (tmp_path / "m").exists()) == (2, False)
    assert "share no leading directions beyond chance" in said(ended)
    assert "force=True (--force) fits all the same" in said(ended)
    ended = run(*arguments, "--out", tmp_path / "m", "--set", "force=True")
    assert (ended.code, (tmp_path / "m").exists()) == (0, True)
    assert "anisoalign: warning: source and target share no leading directions" in said(ended)
    assert "premise not met" in said(ended)
    assert "shared beyond chance" not in said(ended)
    assert "premise not met" in (tmp_path / "m" / "README.md").read_text()
    table = ("compare", "--repeats", "2", "--json", *arguments[2:], "--method", "aniso-align")
    ended = run(*table, "--method", "mean-shift", "--method", "realign")
    assert ended.code == 0
    assert [record["method"] for record in json.loads(ended.out)] == ["mean-shift", "realign"]
    assert "left out, aniso-align: source and target share no leading directions" in said(ended)
    assert run(*table, "--method", "mean-shift", "--report", tmp_path / "page.html").code == 0
    ended = run(*table, "--paired")
    assert (ended.code, ended.out) == (2, "")
    assert "aniso-align: source and target share no leading directions" in said(ended)
    assert "force=true it is measured" in said(ended)
    ended = run(*table[:-1], "aniso-align:force=true,strength=0.2")
    assert ended.code == 0
    assert len(json.loads(ended.out)) == 1


def test_shards_on_disk_give_the_model_of_one_file(run, sides, tmp_path, write_shards):
    text = write_shards(tmp_path / "texts", np.load(sides.text), [50, 1, 99])
    image = write_shards(tmp_path / "images", np.load(sides.image), [149, 1])
    for spec in ("aniso-align", f"aniso-align:paper,{QUICK}"):
        for name, files in (("one", both(sides)), ("many", ["--source", text, "--target", image])):
            ended = run("fit", spec, *files, "--out", tmp_path / f"{name}-{len(spec)}")
            assert ended.code == 0, ended.err
        one, many = (aa.load(tmp_path / f"{name}-{len(spec)}") for name in ("one", "many"))
        rows = np.load(sides.text)
        np.testing.assert_allclose(many.transform(rows), one.transform(rows), rtol=0, atol=1e-6)


def test_settings_are_read_from_a_file(run, sides, tmp_path):
    (tmp_path / "a.toml").write_text('strength = 0.3\nterms = "init"\nrotation = "means"\n')
    assert tomllib.loads((tmp_path / "a.toml").read_text())["rotation"] == "means"
    ended = run("fit", "aniso-align", *both(sides), "--config", tmp_path / "a.toml", "--out", tmp_path / "m")
    assert ended.code == 0, ended.err
    model = aa.load(tmp_path / "m")
    assert (model.strength, model.terms, model.rotation) == (0.3, "init", "means")


def test_what_the_stages_kept_is_removed_and_nothing_else(run, sides, tmp_path):
    states = tmp_path / ".m.stages"
    states.mkdir()
    for name in ("prior.partial", "mine"):
        (states / name).write_text(name)
    quick = ("--set", "prior_steps=5", "--set", "refine_steps=5", "--set", "rank=4")
    assert run("fit", "realign", *both(sides), "--out", tmp_path / "other").code == 0
    assert run("fit", "aniso-align:paper", *both(sides), *quick, "--out", tmp_path / "m", "--force").code == 0
    assert [file.name for file in states.iterdir()] == ["mine"]
    assert run("fit", "aniso-align:paper", *both(sides), *quick, "--out", tmp_path / "n", "--force").code == 0
    assert not (tmp_path / ".n.stages").exists()
