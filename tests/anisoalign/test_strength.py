"""How the strength is chosen: by both ends at once, on rows that the fit has not seen."""

import threading
from concurrent.futures import CancelledError

import numpy as np
import pytest

from anisoalign.aligners import AnisoAlign
from anisoalign.aligners.anisoalign import chosen_strength, correction_fit, strength
from anisoalign.aligners.anisoalign.held_out import aligned_at, sample_of
from anisoalign.aligners.anisoalign.strength import FEWEST, FOLDS, NODES, choose_strength
from anisoalign.geometry import normalize

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


def test_every_row_is_measured_once_by_a_fit_that_has_not_seen_it(monkeypatch):
    """Rows carry their number, so that those fitted on and those measured are known again."""
    fitted, moved, kept, reached = [], [], [], []

    def numbers(rows):
        return rows[:, 0].tolist()

    def fit(fit_y, fit_x):
        fitted.append((set(numbers(fit_y)), set(numbers(fit_x))))

        def aligned(rows):
            moved.append(numbers(rows))
            return (rows for _ in NODES)

        return aligned

    def geometry(before, after, seed):
        kept.append((numbers(before), numbers(after)))
        return 0.5

    def mixed(target, rows, k):
        reached.append((numbers(target), numbers(rows), k))
        return 0.5, 0.5

    monkeypatch.setattr(strength, "geometry_consistency", geometry)
    monkeypatch.setattr(strength, "mixing", mixed)
    source, target = (normalize(np.random.default_rng(n).normal(size=(n, 3))) for n in (100, 140))
    source[:, 0], target[:, 0] = np.arange(100.0), np.arange(140.0)
    choose_strength(source, target, fit, 0)
    assert len(fitted) == len(moved) == FOLDS
    for (fit_y, fit_x), held in zip(fitted, moved, strict=True):
        assert fit_y == set(range(100)) - set(held)
        assert len(fit_x) == 115  # as many targets are held out as sources
    measured = [number for held in moved for number in held]
    assert sorted(measured) == list(range(100))
    assert kept == [(measured, measured)] * len(NODES)
    targets = reached[0][0]
    assert len(set(targets)) == 100
    for fold, (_, fit_x) in enumerate(fitted):
        assert not fit_x & set(targets[fold * 25 : (fold + 1) * 25])
    assert reached == [(targets, measured, 5)] * len(NODES)


@pytest.mark.parametrize("side", [0, 1])
def test_of_a_few_rows_over_and_over_no_strength_is_chosen(side):
    rows = np.random.default_rng(0).normal(size=(400, 3))
    sets = [rows, rows]
    sets[side] = rows[np.arange(400) % (FEWEST - 1)]
    assert choose_strength(*sets, lambda *given: pytest.fail("nothing is to be held out"), 0) is None


@pytest.mark.parametrize("rows", [40, 60, 100])
def test_few_rows_far_from_targets_are_not_said_to_reach_them(rows):
    """Among twenty rows ten neighbours are of both kinds however far these are apart."""
    rng = np.random.default_rng(rows)
    source, target = (normalize(rng.normal(size=(rows, 16)) + 4 * np.eye(16)[axis]) for axis in (0, 1))
    choice = choose_strength(source, target, lambda *fitted: lambda held: (held for _ in NODES), 0)
    assert choice.target_reached[0] < 0.05


def test_folds_fitted_side_by_side_choose_what_folds_one_after_the_other_do(make_planted, monkeypatch):
    """To the last bit, and no fold's fit is another's."""
    source, target, _ = make_planted(150, 8)
    curves, threads = [], set()
    whole = chosen_strength.aligned_at

    def watched(*given):
        threads.add(threading.get_ident())
        return whole(*given)

    monkeypatch.setattr(chosen_strength, "aligned_at", watched)
    for cores in (1, 4):
        monkeypatch.setattr(chosen_strength, "cores", lambda cores=cores: cores)
        threads.clear()
        curves.append(AnisoAlign(force=True).fit(source, target).strength_curve_)
        assert (len(threads) > 1) == (cores > 1)
    assert curves[0] == curves[1]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_folds_under_way_end_where_one_is_given_up(error):
    """Each is a whole fit, of a minute where rows are wide: nobody waits for what is not wanted any more."""
    leaving, ended = threading.Event(), []

    def fit(fit_y, fit_x):
        if not ended and threading.current_thread().name.endswith("_0"):
            raise error
        ended.append(leaving.wait(timeout=60))
        raise CancelledError

    rows = np.random.default_rng(0).normal(size=(100, 3))
    with pytest.raises(error):
        choose_strength(rows, rows, fit, 0, workers=2, leaving=leaving)
    assert all(ended)


def test_a_fit_that_nobody_waits_for_ends_before_its_next_part(make_planted, monkeypatch):
    source, target, _ = make_planted(100, 8)
    leaving = threading.Event()
    whole = correction_fit.couple
    monkeypatch.setattr(correction_fit, "couple", lambda *given: leaving.set() or whole(*given))
    monkeypatch.setattr(correction_fit, "fit_guide", lambda *given: pytest.fail("went on"))
    with pytest.raises(CancelledError):
        aligned_at(AnisoAlign(rotation="full"), sample_of(normalize(source), normalize(target)), NODES, leaving)


@pytest.mark.parametrize(
    ("terms", "rows", "dim", "at_once"),
    [("init", 400, 512, 3), ("init+refine", 400, 512, 1), ("init", 9000, 512, 1), ("init", 5000, 1024, 1)],
)
def test_folds_that_train_networks_or_hold_many_values_are_fitted_one_by_one(monkeypatch, terms, rows, dim, at_once):
    monkeypatch.setattr(chosen_strength, "cores", lambda: 3)
    assert chosen_strength.folds_at_once(AnisoAlign(terms=terms), rows, dim) == at_once
