"""A comparison prints as the table that the command line shows, in plain text."""

import numpy as np

import anisoalign as aa


def test_each_method_has_a_line_with_its_numbers():
    rng = np.random.default_rng(0)
    text, image = rng.normal(size=(100, 8)) + 1, rng.normal(size=(100, 8)) - 1
    result = aa.compare(text, image, methods=["identity", "realign", "mean-shift"], repeats=2)
    head, *lines = str(result).splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["identity", "realign", "mean-shift"]
    assert "Ψ geometry kept" in head
    for line, record in zip(lines[:3], result.to_dicts(), strict=True):
        assert f"{record['geometry_consistency']:.3f} ± {record['geometry_consistency_se']:.3f}" in line
    assert "*" in str(result)
    assert "MethodScores" not in str(result)
