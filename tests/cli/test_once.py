"""An option that takes one value is refused where it is repeated, and one that is made to be repeated is not."""

import json

import pytest

from anisoalign.cli import app
from anisoalign.cli.once import OnceCommand


@pytest.mark.parametrize(
    ("option", "values"),
    [("--source", ("text", "image")), ("--seed", (1, 2)), ("--dtype", ("auto", "auto")), ("--source-column", "ab")],
)
def test_a_value_given_twice_is_refused_and_nothing_is_fitted(run, sides, tmp_path, option, values):
    given = {"--source": sides.text, "--target": sides.image, "--out": tmp_path / "m"}
    given.pop(option, None)
    values = [getattr(sides, str(value), value) for value in values]
    ended = run(
        "fit", "realign", *(word for pair in given.items() for word in pair), option, values[0], option, values[1]
    )
    assert (ended.code, ended.out) == (2, "")
    assert f"{option} takes one value and is given 2 times" in ended.err
    assert not (tmp_path / "m").exists()


def test_a_transform_maps_no_second_set_instead_of_the_first(run, sides, tmp_path):
    twice = ("--source", sides.text, f"--source={sides.image}")
    ended = run("transform", tmp_path, *twice, "--out", tmp_path / "z.npy")
    assert ended.code == 2
    assert "--source takes one value" in ended.err


def test_all_commands_look_for_it():
    assert {command.cls for command in app.registered_commands} == {OnceCommand}


def test_options_made_to_be_repeated_and_flags_may_be(run, sides):
    both = ("--source", sides.text, "--target", sides.image)
    methods = ("--method", "realign", "--method", "mean-shift")
    ended = run("compare", *both, "--repeats", 1, *methods, "--json", "--json")
    assert ended.code == 0
    assert [record["method"] for record in json.loads(ended.out)] == ["realign", "mean-shift"]


def test_help_is_given_all_the_same(run):
    assert run("fit", "realign", "--seed", 1, "--seed", 2, "--help").code == 0
