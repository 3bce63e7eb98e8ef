"""One set given as source and as target, which may be a control, is told of."""

import pytest

SAID = "--source and --target name the same rows"


def test_a_fit_of_a_set_onto_itself_says_so(run, sides, tmp_path):
    (tmp_path / "link.npy").symlink_to(sides.text)
    for name, target in (("a", sides.text), ("b", tmp_path / "link.npy")):
        ended = run("fit", "realign", "--source", sides.text, "--target", target, "--out", tmp_path / name)
        assert (ended.code, SAID in ended.err) == (0, True)


@pytest.mark.parametrize("rest", [("diagnose",), ("compare", "--method", "realign", "--repeats", 1)])
def test_a_measurement_of_a_set_against_itself_says_so(run, sides, rest):
    ended = run(*rest, "--source", sides.text, "--target", sides.text)
    assert (ended.code, SAID in ended.err) == (0, True)
    assert SAID not in run(*rest, "--source", sides.text, "--target", sides.image).err
