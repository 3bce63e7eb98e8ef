"""No parameter is only stored: each, changed alone, changes what rows are mapped to, or is refused where it cannot."""

from functools import cache

import numpy as np
import pytest

import anisoalign as aa
from anisoalign.aligners.anisoalign.premise import AlignmentWarning
from anisoalign.aligners.anisoalign.readers import READERS, idle_parameters
from anisoalign.geometry import normalize

SMALL = {"strength": 0.8, "rank": 8}
STEPS = {"prior_steps": 4, "refine_steps": 3}
DEFAULT = "init+guide"
STAGES = "init+refine+prior+phase+support"
"""The losses by which all that the two stages are told can come to act."""
CHANGED = {
    "strength": (0.4, DEFAULT),
    "terms": ("init", DEFAULT),
    "rank": (4, DEFAULT),
    "frame": ("common", DEFAULT),
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
    "mixing": ("learned", STAGES),
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
PARTIAL = [
    (DEFAULT, "transport", "none"),
    ("init", "transport", "means"),
    ("init", "radial", "none"),
    ("init+guide", "radial", "none"),
    ("guide", "transport", "none"),
    ("refine+prior", "transport", "none"),
    ("init+refine+phase+support", "transport", "full"),
    ("init+refine+support", "radial", "none"),
    ("init+refine", "radial", "none"),
]
"""Terms, initialisation and rotation, of which each leaves parameters unread."""
ELSEWHERE = {
    "force": "whether a fit is refused, in test_aligner_premise.py",
    "device": "where a fit is computed and not what, in test_aligner_settings.py",
}


def aligned(terms, **changes):
    rng = np.random.default_rng(0)
    shape = np.linspace(2.0, 0.5, 10)
    meaning, offset = rng.normal(size=(240, 10)) * shape, rng.normal(size=(2, 10))
    source = normalize(meaning[:120] @ np.diag(np.linspace(0.5, 1.5, 10)) + offset[0])
    target = normalize(meaning[120:] + offset[1])
    steps = {name: count for name, count in STEPS.items() if terms == STAGES}
    model = aa.AnisoAlign(**{**SMALL, **steps, "terms": terms, **changes}).fit(source, target)
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


def idle(terms, initial, rotation):
    return idle_parameters(set(terms.split("+")), initial, rotation)


@pytest.mark.parametrize(("parts", "name"), [(parts, name) for parts in PARTIAL for name in sorted(idle(*parts))])
def test_where_no_part_reads_a_parameter_it_changes_no_byte_and_is_told(parts, name):
    terms, initial, rotation = parts
    usual = {"initial": initial, "rotation": rotation}
    usual |= {step: few for step, few in STEPS.items() if step not in idle(*parts)}
    changed = {**usual, name: CHANGED[name][0]}
    with pytest.warns(AlignmentWarning, match=f"{name}=.* changes nothing where terms=") as told:
        moved = aligned(terms, **changed)
    assert all(part in str(told[0].message) for part in READERS[name])
    assert moved.tobytes() == aligned(terms, **usual).tobytes()


def test_every_parameter_that_not_every_fit_reads_is_left_unread_by_one_above():
    assert set().union(*(idle(*parts) for parts in PARTIAL)) == set(READERS)


@pytest.mark.parametrize("name", sorted(READERS))
def test_the_terms_in_which_a_parameter_acts_are_such_as_read_it(name):
    assert name not in idle(CHANGED[name][1], "transport", "auto")
