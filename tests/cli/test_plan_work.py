"""The work that a plan of AnisoAlign counts grows as what the fit does."""

import importlib

import pytest

from anisoalign.aligners import AnisoAlign
from anisoalign.aligners.anisoalign.work import Work, sampled_work


def work(rows, dim, **settings):
    return sampled_work(AnisoAlign(**{"strength": 1.0, **settings}), rows, rows, dim)


def test_decompositions_grow_with_the_cube_of_the_width():
    narrow, wide = (work(400, dim).decomposed for dim in (256, 512))
    assert narrow > 256**3
    assert wide == 8 * narrow


def test_the_coupling_grows_with_its_entries_up_to_the_rows_it_takes():
    few, more, most, all_rows = (work(rows, 32).exponentials for rows in (1024, 4096, 20_000, 1_000_000))
    assert few > 40 * 512 * 1024  # the bandwidth is sought by so many looks at so many rows
    assert 4 < more / few < 16
    assert most == all_rows
    assert work(4096, 32, terms="init", rotation="means").exponentials < more / 50


def test_choosing_the_strength_fits_on_three_splits_and_measures_each_strength():
    once, chosen = work(400, 512), work(400, 512, strength="auto")
    assert chosen.decomposed == 4 * once.decomposed
    assert chosen.exponentials > once.exponentials + 3 * 11 * 200**2
    assert work(30, 512, strength="auto").decomposed == work(30, 512).decomposed  # nothing is held out


def test_every_step_of_training_has_a_price():
    paper = {"terms": "init+refine+prior+phase", "initial": "radial", "rotation": "none"}
    few, many = (work(600, 32, prior_steps=steps, refine_steps=100, **paper) for steps in (100, 1100))
    assert many.steps - few.steps == 750  # a quarter is not taken: it stops early
    assert few.steps > 0 == work(600, 32).steps
    assert many.products > 5 * few.products / 2


def test_the_seconds_of_a_plan_hold_all_of_it(monkeypatch):
    module = importlib.import_module("anisoalign.cli.plan")  # the command of its name hides it
    monkeypatch.setattr(module, "_fastest", lambda task: 1.0)
    seconds = [module._seconds(Work(**{kind: 1000}), 8, 1.0) for kind in Work.__dataclass_fields__]
    assert all(value > 0 for value in seconds)
    assert module._seconds(Work(*[1000] * len(seconds)), 8, 1.0) == pytest.approx(sum(seconds))
