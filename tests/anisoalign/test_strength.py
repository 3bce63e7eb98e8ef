"""How the strength is chosen: by both ends at once, on rows that the fit has not seen."""

import numpy as np
import pytest

from anisoalign.aligners.anisoalign import strength
from anisoalign.aligners.anisoalign.held_out import SPLITS
from anisoalign.aligners.anisoalign.strength import NODES, choose_strength

START = (0.3, 0.3, 0.3)


@pytest.fixture
def chosen(monkeypatch):
    """The choice where Ψ, penetration and coverage at some nodes are told, and all are poor at the others."""
    monkeypatch.setattr(strength, "geometry_consistency", lambda before, after, seed: float(after[0, 0]))
    monkeypatch.setattr(strength, "mixing", lambda target, rows, k: tuple(rows[0, 1:].tolist()))

    def choose(**told):
        at = {float(node.replace("_", ".")): values for node, values in told.items()}

        def fit(fit_y, fit_x):
            return lambda rows: (np.array([at.get(node, START)]) for node in NODES)

        rows = np.random.default_rng(0).normal(size=(100, 3))
        return choose_strength(rows, rows, fit, 0)

    return choose


def test_one_end_alone_is_worth_little(chosen):
    """Geometry whole and targets unreached, or the other way, loses to half of both: no mean of the two says so."""
    for lopsided in ((1.0, 0.2, 0.2), (0.2, 1.0, 1.0)):
        choice = chosen(**{"0_3": lopsided, "0_7": (0.55, 0.55, 0.55)})
        assert choice.strength == 0.7
        assert choice.score[3] == pytest.approx(2 / (1 / 1.0 + 1 / 0.2), abs=1e-4)
        assert choice.score[7] == pytest.approx(0.55, abs=1e-4)


def test_entering_the_targets_and_covering_them_count_alike_and_the_lesser_decides(chosen):
    choice = chosen(**{"0_3": (0.8, 0.9, 0.4), "0_5": (0.8, 0.4, 0.9), "0_7": (0.8, 0.5, 0.5)})
    assert choice.target_reached[3] == choice.target_reached[5] == 0.4
    assert choice.score[3] == choice.score[5]
    assert choice.strength == 0.7


def test_mixing_better_than_by_chance_is_worth_no_more_than_mixing_as_by_chance(chosen):
    choice = chosen(**{"0_3": (0.8, 1.3, 1.2), "0_7": (0.82, 1.0, 1.0)})
    assert choice.target_reached[3] == 1.0
    assert choice.strength == 0.7


def test_a_strength_is_measured_on_a_quarter_that_its_fit_has_not_seen_another_in_each_split(monkeypatch):
    """Rows carry their number, so that those fitted on and those measured are known again."""
    fitted, moved, kept, reached = [], [], [], []

    def numbers(rows):
        return frozenset(rows[:, 0].tolist())

    def fit(fit_y, fit_x):
        fitted.append((numbers(fit_y), numbers(fit_x)))

        def aligned(rows):
            moved.append(numbers(rows))
            return (rows for _ in NODES)

        return aligned

    def geometry(before, after, seed):
        kept.append(numbers(before))
        return 0.5

    def mixed(target, rows, k):
        reached.append(numbers(target))
        return 0.5, 0.5

    monkeypatch.setattr(strength, "geometry_consistency", geometry)
    monkeypatch.setattr(strength, "mixing", mixed)
    source, target = np.arange(100.0)[:, None].repeat(2, axis=1), np.arange(140.0)[:, None].repeat(2, axis=1)
    choose_strength(source, target, fit, 0)
    assert len(fitted) == len(set(moved)) == SPLITS
    for split, (fit_y, fit_x) in enumerate(fitted):
        held_y, held_x = moved[split], reached[split * len(NODES)]
        assert fit_y == set(range(100)) - held_y
        assert len(held_y) == 25
        assert not fit_x & held_x
        assert (len(fit_x), len(held_x)) == (105, 25)  # a quarter of 140, of which as many are measured as of sources
        assert set(kept[split * len(NODES) : (split + 1) * len(NODES)]) == {held_y}
    assert len({fit_x for _, fit_x in fitted}) == SPLITS
