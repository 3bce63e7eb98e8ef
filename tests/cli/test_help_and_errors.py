"""Help with an example for every command; mistakes answered with what was probably meant."""

import json
import shlex

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.main import get_command
from typer.testing import CliRunner

from anisoalign.cli import app
from anisoalign.cli.examples import EXAMPLES

COMMANDS = get_command(app).commands


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_an_example_that_its_options_allow(name):
    help_text = CliRunner().invoke(app, [name, "--help"], prog_name="anisoalign", env={"COLUMNS": "200"}).stdout
    assert EXAMPLES.get(name), f"cli/examples.py has no example of {name}"
    known = {option for parameter in COMMANDS[name].params for option in parameter.opts}
    for line in EXAMPLES[name]:
        assert f"  {line}\n" in help_text
        words = shlex.split(line)
        assert words[:2] == ["anisoalign", name]
        assert {word for word in words if word.startswith("--")} <= known


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("fit", "realing", "--out", "m"), "did you mean realign?"),
        (("fit", "aniso-aling:paper", "--out", "m"), "did you mean aniso-align?"),
        (("fit", "aniso-align:papr", "--out", "m"), "did you mean paper?"),
        (("fit", "c3", "--set", "nois=0.1", "--out", "m"), "did you mean noise?"),
        (("compare", "--method", "gaussian-transport:strenght=0.5"), "did you mean strength?"),
    ],
)
def test_a_misspelt_method_or_parameter_is_told_the_nearest(run, sides, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    ended = run(*words, "--source", sides.text, "--target", sides.image)
    assert (ended.code, said in ended.err) == (2, True), ended.err


def test_a_misspelt_command_is_told_the_nearest(run):
    ended = run("diagnoze")
    assert (ended.code, "diagnose" in ended.err) == (2, True)


def test_a_wrong_path_says_what_was_looked_for_and_what_is_there(run, sides, tmp_path):
    ended = run("diagnose", "--source", tmp_path / "txt.npy", "--target", sides.image)
    assert ended.code == 2
    assert "txt.npy does not exist (looked for embeddings: a file or folder of .npy" in ended.err
    assert "did you mean text.npy?" in ended.err
    ended = run("diagnose", "--source", tmp_path / "elsewhere" / "rows", "--target", sides.image)
    assert f"{tmp_path} holds: image.npy, label.txt, text.npy" in ended.err
    ended = run("transform", tmp_path / "modle", "--source", sides.text, "--out", tmp_path / "z.npy")
    assert "modle does not exist (looked for a saved model: a folder with config.json" in ended.err
    ended = run("compare", "--source", sides.text, "--target", sides.image, "--labels", tmp_path / "lable.txt")
    assert "looked for labels, one a line); did you mean label.txt?" in ended.err
    ended = run("report", tmp_path / "result.json", "--out", tmp_path / "page.html")
    assert (ended.code, "looked for results" in ended.err) == (2, True)
    assert not (tmp_path / "page.html").exists()


def test_report_makes_the_page_of_what_the_commands_wrote(run, sides, tmp_path):
    np.save(tmp_path / "z.npy", np.load(sides.text))
    both = ("--source", sides.text, "--target", sides.image, "--paired")
    assert run("evaluate", *both, "--aligned", tmp_path / "z.npy", "--results", tmp_path / "a.json").code == 0
    methods = ("--method", "realign", "--method", "identity")
    assert run("compare", *both, "--repeats", 1, *methods, "--results", tmp_path / "b.json").code == 0
    ended = run("report", tmp_path / "a.json", tmp_path / "b.json", "--out", tmp_path / "page.html", "--title", "Mine")
    assert ended.code == 0
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<h1>Mine</h1>" in text
    for part in ("methods-table", "costs-table", "figure-projection", "alignment"):
        assert part in text


@pytest.mark.parametrize("command", ["compare", "evaluate"])
def test_captions_and_pictures_that_do_not_fit_are_refused_before_any_work(run, sides, tmp_path, command):
    more = ("--aligned", sides.text) if command == "evaluate" else ()
    (tmp_path / "short.txt").write_text("one\n")
    (tmp_path / "pictures").mkdir()
    both = (command, "--source", sides.text, "--target", sides.image, *more, "--results", tmp_path / "r.json")
    assert "holds 1 captions for 150 rows" in run(*both, "--source-captions", tmp_path / "short.txt").err
    assert "holds 0 images" in run(*both, "--thumbnails", tmp_path / "pictures").err
    assert not (tmp_path / "r.json").exists()


def test_rows_go_by_the_captions_and_paths_that_sets_hold_themselves(run, sides, tmp_path):
    """As sets do that `encode` has written; a file of captions comes before them."""
    for side, column in (("text", "caption"), ("image", "id")):
        words = pa.table({"number": np.arange(150), column: [f"{side} that shows {i}" for i in range(150)]})
        pq.write_table(words, sides.text.with_name(f"{side}.ids.parquet"))
    methods = ("--method", "realign", "--repeats", 1, "--results", tmp_path / "r.json")
    both = ("compare", "--source", sides.text, "--target", sides.image, "--paired", *methods)
    assert run(*both).code == 0
    found = json.loads((tmp_path / "r.json").read_text())["captions"]
    assert found["source"]
    assert all(text == f"text that shows {row}" for row, text in found["source"].items())
    assert found["target"]
    assert all(text == f"image that shows {row}" for row, text in found["target"].items())
    (tmp_path / "lines.txt").write_text("".join(f"line {i}\n" for i in range(150)))
    assert run(*both, "--source-captions", tmp_path / "lines.txt").code == 0
    found = json.loads((tmp_path / "r.json").read_text())["captions"]
    assert all(text == f"line {row}" for row, text in found["source"].items())


def test_ids_that_are_mere_numbers_are_no_captions(run, sides, tmp_path):
    pq.write_table(pa.table({"id": np.arange(150)}), sides.text.with_name("text.ids.parquet"))
    both = ("compare", "--source", sides.text, "--target", sides.image, "--method", "realign", "--repeats", 1)
    assert run(*both, "--results", tmp_path / "r.json").code == 0
    assert "captions" not in json.loads((tmp_path / "r.json").read_text())
