"""The work that a plan of AnisoAlign counts is what a fit does, within a factor of two."""

from collections import Counter
from collections.abc import Iterator
from types import ModuleType

import numpy as np
import pytest
import scipy.linalg
from torch.optim.optimizer import register_optimizer_step_post_hook

from anisoalign.aligners import AnisoAlign
from anisoalign.aligners.anisoalign.strength import NODES
from anisoalign.aligners.anisoalign.work import Work, measured_work, sampled_work
from anisoalign.aligners.rates import seconds_of

FACTOR = 1.75  # less than two, so that what is counted twice, or half, is found
PAPER = {"terms": "init+refine+prior+phase", "initial": "radial", "rotation": "none"}


@pytest.fixture
def done(monkeypatch) -> Iterator[Counter]:
    """What fits do from here on: d³ of decompositions, exponentials, and steps of training.

    Eigenvalues alone take a third of the time that they take with their vectors, a few vectors a half, singular vectors
    twice as long. A plan counts with its exponentials the sweeps around them, which here are less than half.
    """
    found: Counter = Counter()

    def cubes(room: ModuleType, name: str, weight: float) -> None:
        whole = getattr(room, name)

        def counting(matrix, *rest, **named):
            found["decomposed"] += weight * matrix.shape[-1] ** 3
            return whole(matrix, *rest, **named)

        monkeypatch.setattr(room, name, counting)

    def exponential(values, *rest, **named):
        found["exponentials"] += np.size(values)
        return whole_exponential(values, *rest, **named)

    whole_exponential = np.exp
    for name, weight in {"eigh": 1, "eigvalsh": 1 / 3, "svd": 2}.items():
        cubes(np.linalg, name, weight)
    cubes(scipy.linalg, "eigh", 0.5)
    monkeypatch.setattr(np, "exp", exponential)
    steps = register_optimizer_step_post_hook(lambda *given: found.update(steps=1))
    yield found
    steps.remove()


def fitted(make_planted, rows: int, dim: int, **settings) -> Work:
    """A real fit, and the plan of it."""
    y, x, _ = make_planted(rows, dim)
    model = AnisoAlign(**{"strength": 1.0, "force": True, **settings}).fit(y, x)
    return sampled_work(model, rows, rows, dim)


def agree(done: Counter, plan: Work | Counter, *kinds: str) -> None:
    counted = plan if isinstance(plan, Counter) else Counter(vars(plan))
    for kind in kinds:
        assert done[kind] / FACTOR < counted[kind] < FACTOR * done[kind], (kind, done[kind], counted[kind])


@pytest.mark.parametrize("dim", [32, 96])
def test_a_fit_decomposes_what_the_plan_says(make_planted, done, dim):
    plan = fitted(make_planted, 200, dim)
    agree(done, plan, "decomposed")
    assert plan.steps == done["steps"] == 0


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {**PAPER, "terms": "init"},
        {"initial": "radial"},
        {"rank": 10},
        {"rotation": "means"},
        {"rotation": "none", "terms": "init"},
        {"terms": "init+guide+refine+phase", "refine_steps": 1},
    ],
    ids=lambda settings: "-".join(map(str, settings.values())) or "default",
)
def test_each_part_is_planned_by_what_it_decomposes(make_planted, done, settings):
    plan = fitted(make_planted, 200, 96, **settings)
    assert plan.decomposed == pytest.approx(done["decomposed"], rel=0.05)


def test_choosing_the_strength_decomposes_what_the_plan_says(make_planted, done):
    plan = fitted(make_planted, 200, 96, strength="auto")
    assert plan.decomposed == pytest.approx(done["decomposed"], rel=0.05)


@pytest.mark.filterwarnings("ignore::anisoalign.aligners.anisoalign.premise.AlignmentWarning")
@pytest.mark.parametrize("settings", [{}, {"rank": 10}, {"strength": "auto"}], ids=str)
def test_few_rows_in_many_dimensions_are_planned_in_their_span(make_planted, done, settings):
    plan = fitted(make_planted, 50, 200, **settings)
    assert plan.decomposed == pytest.approx(done["decomposed"], rel=0.05)
    assert plan.decomposed < sampled_work(AnisoAlign(**{"strength": 1.0, **settings}), 500, 500, 200).decomposed / 2


@pytest.mark.parametrize("rows", [300, 1200])
def test_a_fit_couples_what_the_plan_says(make_planted, done, rows):
    agree(done, fitted(make_planted, rows, 16), "exponentials")


def test_of_more_rows_than_are_coupled_the_plan_counts_those_that_are(make_planted, done, monkeypatch):
    for module in ("work", "correction_fit"):
        monkeypatch.setattr(f"anisoalign.aligners.anisoalign.{module}.COUPLED_ROWS", 200)
    agree(done, fitted(make_planted, 1000, 16), "exponentials")


def test_more_rows_than_a_sample_has_are_no_more_work():
    most, more = (sampled_work(AnisoAlign(), rows, rows, 32) for rows in (20_000, 1_000_000))
    assert most == more


def test_a_fit_that_couples_nothing_is_planned_without(make_planted, done):
    plan = fitted(make_planted, 1000, 16, terms="init", rotation="means")
    assert done["exponentials"] == 0
    assert plan.exponentials < 40 * 512 * 1000 / 100


def test_choosing_the_strength_adds_what_the_plan_says(make_planted, done):
    told, once = fitted(make_planted, 400, 48), done.copy()
    done.clear()
    chosen = fitted(make_planted, 400, 48, strength="auto")
    swept = Counter(exponentials=measured_work(400, 48).times(len(NODES)).exponentials)  # neighbours: no exponential
    agree(done - once, Counter(vars(chosen)) - Counter(vars(told)) - swept, "decomposed", "exponentials")


def test_a_fit_of_too_few_rows_to_choose_its_strength_chooses_none(make_planted, done):
    agree(done, fitted(make_planted, 30, 48, strength="auto"), "decomposed")


@pytest.mark.parametrize(("strength", "prior", "refine"), [(1.0, 60, 20), (1.0, 20, 60), ("auto", 12, 6)])
def test_training_takes_the_steps_that_the_plan_says(make_planted, done, strength, prior, refine):
    steps = {"prior_steps": prior, "refine_steps": refine}
    agree(done, fitted(make_planted, 200, 16, strength=strength, **steps, **PAPER), "steps")


def test_the_seconds_of_a_plan_hold_all_of_it(monkeypatch):
    monkeypatch.setattr("anisoalign.aligners.rates._fastest", lambda task: 1.0)
    seconds = [seconds_of(Work(**{kind: 1000}), 8, 1.0) for kind in Work.__dataclass_fields__]
    assert all(value > 0 for value in seconds)
    assert seconds_of(Work(*[1000] * len(seconds)), 8, 1.0) == pytest.approx(sum(seconds))
