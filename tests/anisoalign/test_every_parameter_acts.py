"""No parameter is only stored: each, changed alone, changes what rows are mapped to."""

from functools import cache

import numpy as np
import pytest

import anisoalign as aa
from anisoalign.geometry import normalize

SMALL = {"strength": 0.8, "rank": 8, "prior_steps": 4, "refine_steps": 3}
DEFAULT = "init+guide"
STAGES = "init+refine+prior+phase+support"
"""The losses by which all that the two stages are told can come to act."""
CHANGED = {
    "strength": (0.4, DEFAULT),
    "terms": ("init", DEFAULT),
    "rank": (4, DEFAULT),
    "shrinkage": (0.5, DEFAULT),
    "rotation": ("means", DEFAULT),
    "initial": ("radial", DEFAULT),
    "initial_strength": (1.0, DEFAULT),
    "restore_strength": (0.0, DEFAULT),
    "guide_shrinkage": (0.6, DEFAULT),
    "guide_step": (0.2, DEFAULT),
    "guide_bound": (0.05, DEFAULT),
    "neighbours": (0.2, DEFAULT),
    "balance": (0.0, DEFAULT),
    "mixing": ("haar", STAGES),
    "centre": ("mean", STAGES),
    "phase_bound": (0.1, STAGES),
    "radius_bound": (0.1, STAGES),
    "complement_bound": (0.1, STAGES),
    "complement": ("coordinate", STAGES),
    "edges": (1, STAGES),
    "drift_step": (0.5, STAGES),
    "phase_weight": (5.0, STAGES),
    "noise": (0.5, STAGES),
    "centred_coupling": (True, STAGES),
    "degree_normalised": (True, STAGES),
    "support": ("energy", STAGES),
    "prior_steps": (3, STAGES),
    "refine_steps": (2, STAGES),
    "fit_rows": (60, DEFAULT),
    "seed": (1, STAGES),
}
"""Another value of each parameter, and terms in which it acts."""
ELSEWHERE = {
    "force": "whether a fit is refused, in test_aligner_premise.py",
    "device": "where a fit is computed and not what, in test_aligner_settings.py",
}


def aligned(terms, **changes):
    rng = np.random.default_rng(0)
    shape = np.linspace(2.0, 0.5, 10)
    meaning, offset = rng.normal(size=(240, 10)) * shape, rng.normal(size=(2, 10))
    source = normalize(meaning[:120] @ np.diag(np.linspace(0.5, 1.5, 10)) + offset[0])
    model = aa.AnisoAlign(**{**SMALL, "terms": terms, **changes}).fit(source, normalize(meaning[120:] + offset[1]))
    return model.transform(source, out_dtype="float64")


unchanged = cache(aligned)


@pytest.mark.parametrize("name", sorted(aa.AnisoAlign().get_params().keys() - ELSEWHERE.keys()))
def test_a_parameter_changed_alone_changes_what_rows_are_mapped_to(name):
    assert name in CHANGED, f"no other value of {name} is known here, nor terms in which it acts"
    value, terms = CHANGED[name]
    rows = aligned(**{"terms": terms, name: value})
    assert np.abs(rows - unchanged(terms)).max() > 1e-6


@pytest.mark.parametrize("terms", [DEFAULT, STAGES])
def test_what_is_changed_by_nothing_stays(terms):
    """So that the differences above are the parameters' own."""
    np.testing.assert_allclose(aligned(terms), unchanged(terms), rtol=0, atol=1e-9)
