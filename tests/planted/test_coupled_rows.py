"""Rows of a large sample that are coupled stand for all of it, in whatever order the set lies."""

import importlib

import numpy as np
import pytest

fitting = importlib.import_module("anisoalign.aligners.anisoalign.correction_fit")
MOST, ROWS = 100, 1_000


@pytest.fixture
def few_coupled(monkeypatch):
    monkeypatch.setattr(fitting, "COUPLED_ROWS", MOST)


def guided(source: np.ndarray, target: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The step that a guide learned from these samples makes of the rows `at`, before its bound."""
    coupled = fitting.couple([], source, target, neighbours=0.02, balance=0.5)
    guide = fitting.fit_guide(coupled.rows, coupled.barycentres, 0.5, 0.6)
    return at @ guide.weight.T + guide.bias


def test_of_rows_sorted_by_label_every_label_is_coupled_and_as_often_as_it_is_there(make_planted, few_coupled):
    y, x, labels = make_planted(ROWS, 16)
    order = np.argsort(labels, kind="stable")
    coupled = fitting.couple([], y[order], x[order], neighbours=0.02, balance=0.5)
    assert len(coupled.source) == MOST
    taken = labels[order][(y[order][:, None] == coupled.source).all(axis=2).any(axis=1)]
    assert len(taken) == MOST
    for label in np.unique(labels):
        assert np.mean(taken == label) == pytest.approx(np.mean(labels == label), abs=0.02)


def test_of_rows_whose_labels_take_turns_every_label_is_coupled(make_planted, few_coupled):
    """Every tenth row would be of the labels in even places alone."""
    y, x, labels = make_planted(ROWS, 16)
    order = np.argsort(labels, kind="stable").reshape(2, -1).T.ravel()  # one of the first labels, one of the last, …
    coupled = fitting.couple([], y[order], x[order], neighbours=0.02, balance=0.5)
    taken = labels[order][(y[order][:, None] == coupled.source).all(axis=2).any(axis=1)]
    assert set(taken) == set(labels)


def test_a_guide_learned_from_sorted_rows_is_one_learned_from_shuffled_rows(make_planted, few_coupled):
    y, x, labels = make_planted(ROWS, 16)
    order, rng = np.argsort(labels, kind="stable"), np.random.default_rng(0)
    in_order = guided(y[order], x[order], y)
    shuffled = [guided(y[rng.permutation(ROWS)], x[rng.permutation(ROWS)], y) for _ in range(6)]

    def apart(one, other):
        return np.linalg.norm(one - other, axis=1).mean()

    chance = np.mean([apart(one, other) for i, one in enumerate(shuffled) for other in shuffled[:i]])
    assert np.mean([apart(in_order, one) for one in shuffled]) < 1.3 * chance
