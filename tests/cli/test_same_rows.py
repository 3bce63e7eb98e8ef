"""One set given as source and as target: a fit is refused, what only measures says so."""

import pytest

SAID = "--source and --target name the same rows"


def test_a_fit_of_a_set_onto_itself_is_refused(run, sides, tmp_path):
    (tmp_path / "link.npy").symlink_to(sides.text)
    for target in (sides.text, tmp_path / "link.npy"):
        ended = run("fit", "realign", "--source", sides.text, "--target", target, "--out", tmp_path / "m")
        assert (ended.code, SAID in ended.err) == (2, True)
        assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("rest", [("diagnose",), ("compare", "--method", "realign", "--repeats", 1)])
def test_a_measurement_of_a_set_against_itself_says_so(run, sides, rest):
    ended = run(*rest, "--source", sides.text, "--target", sides.text)
    assert (ended.code, SAID in ended.err) == (0, True)
    assert SAID not in run(*rest, "--source", sides.text, "--target", sides.image).err
