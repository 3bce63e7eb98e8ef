"""What no command begins: URIs where files lie on disks, and one command's work in several processes."""

import inspect
import types
import typing
from pathlib import Path

import pytest

from anisoalign.cli import app
from anisoalign.cli.guarding import SHARED
from anisoalign.embeddings import InputError

COMMANDS = {info.callback.__name__: info.callback for info in app.registered_commands}
DISKS = "models lie on disks: name a folder of this machine instead of s3://bucket/a"


def refused(ended, sentence):
    """Exit code 2 and one line that says so, without the usage."""
    assert ended.code == 2, ended.err
    assert ended.out == ""
    assert ended.err.strip().splitlines()[-1] == f"anisoalign: {sentence}", ended.err
    assert "Usage" not in ended.err


def plain_paths():
    """Every argument of every command that is a path and has no parser of its own."""
    for name, command in COMMANDS.items():
        for argument, annotation in typing.get_type_hints(inspect.unwrap(command), include_extras=True).items():
            kind, *about = typing.get_args(annotation) or (annotation,)
            if not any(getattr(option, "parser", None) for option in about) and Path in kinds(kind):
                yield name, argument


def kinds(annotation):
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) in (typing.Union, list):
        return {found for part in typing.get_args(annotation) for found in kinds(part)}
    return {annotation}


@pytest.mark.parametrize(("name", "argument"), list(plain_paths()))
def test_every_path_of_a_disk_refuses_a_uri(name, argument):
    with pytest.raises(InputError, match=r"s3://bucket/a(:|$)"):
        COMMANDS[name](**{argument: Path("s3://bucket/a")})


def test_models_on_uris_are_refused_in_one_sentence(run, sides, tmp_path):
    both = ("--source", sides.text, "--target", sides.image)
    refused(run("fit", "realign", *both, "--out", "s3://bucket/a"), DISKS)
    refused(run("transform", "s3://bucket/a", "--source", sides.text, "--out", tmp_path / "z"), DISKS)
    refused(run("explore", "s3://bucket/a", *both), DISKS)
    ended = run("export", sides.text, "--to", "onnx", "--out", "file:///a/b.onnx")
    refused(ended, "file:///a/b.onnx: export takes a path of this machine here; copy the file, or name another")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["image.npy", "label.txt", "text.npy"]


def test_a_store_that_is_none_is_told_without_the_usage(run, sides, tmp_path):
    assert run("fit", "realign", "--source", sides.text, "--target", sides.image, "--out", tmp_path / "m").code == 0
    ended = run("transform", tmp_path / "m", "--source", sides.text, "--out", "nosuch://bucket/z")
    assert ended.code == 2
    (line,) = ended.err.strip().splitlines()
    assert line.startswith("anisoalign: nosuch://bucket/z cannot be opened")


def test_a_plan_takes_uris(run, sides):
    here = run("plan", "realign", "--source", sides.text, "--target", sides.image, "--json")
    there = run("plan", "realign", "--source", f"file://{sides.text}", "--target", f"file://{sides.image}", "--json")
    assert (here.code, there.code) == (0, 0)
    assert '"source_rows": 150' in there.out


def test_a_page_of_sets_behind_uris(run, sides, tmp_path):
    both = ("--source", f"file://{sides.text}", "--target", f"file://{sides.image}")
    assert run("diagnose", *both, "--results", tmp_path / "r.json").code == 0


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - set(SHARED)))
def test_one_process_does_what_is_not_shared(monkeypatch, name):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match=f"{name} is done by one process"):
        COMMANDS[name]()
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(SystemExit) as ended:
        COMMANDS[name]()
    assert ended.value.code == 2


def test_several_processes_of_a_transform_end_in_one_sentence(run, sides, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    ended = run("evaluate", "--source", sides.text, "--target", sides.image, "--aligned", sides.text)
    refused(
        ended,
        "evaluate is done by one process, and WORLD_SIZE says that 2 were started: leave torchrun out "
        "(those of fit and train share their work)",
    )


@pytest.mark.filterwarnings("ignore:.* are the same rows")
def test_a_tilde_that_the_shell_leaves_is_the_home_of_the_user(run, sides, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    both = ("--source=~/text.npy", "--target=~/image.npy")
    assert run("fit", "realign", *both, "--out=~/m").code == 0
    ended = run("diagnose", *both, "--also", "z=~/image.npy", "--report=~/page.html")
    assert ended.code == 0, ended.err
    assert {"m", "page.html"} <= {path.name for path in tmp_path.iterdir()}
    assert not Path("~").exists()
