"""Neighbours equal a full sort by (cosine rounded to 1e-6, falling; index, rising)."""

import importlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anisoalign.diagnostics.neighbours import neighbours, ranks_of

SEEDS = st.integers(0, 2**32 - 1)


def naive_order(query, pool, skipped=None):
    """Every index of the pool, best first, without the skipped one."""
    cosines = np.rint(np.array([float(np.sum(query * row)) for row in pool]) * 1e6)
    order = sorted(range(len(pool)), key=lambda j: (-cosines[j], j))
    return [j for j in order if j != skipped]


@st.composite
def rows_with_duplicates(draw):
    """Unit rows of a coarse lattice: few distinct directions, many exact ties; or rows without ties."""
    rng = np.random.default_rng(draw(SEEDS))
    n, d = draw(st.integers(4, 30)), draw(st.integers(1, 4))
    rows = rng.integers(-1, 2, size=(n, d)).astype(float) if draw(st.booleans()) else rng.normal(size=(n, d))
    rows[~rows.any(axis=1), 0] = 1.0
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@given(rows_with_duplicates(), st.data())
def test_neighbours_equal_a_full_sort(rows, data):
    k = data.draw(st.integers(1, len(rows) - 1))
    own = np.arange(len(rows))
    expected = [naive_order(row, rows, i)[:k] for i, row in enumerate(rows)]
    np.testing.assert_array_equal(neighbours(rows, rows, k, exclude=own), expected)
    queries = rows[: max(1, len(rows) // 2)]
    np.testing.assert_array_equal(neighbours(queries, rows, k), [naive_order(row, rows)[:k] for row in queries])


@given(rows_with_duplicates(), SEEDS)
def test_ranks_are_positions_in_a_full_sort(rows, seed):
    answers = np.random.default_rng(seed).integers(len(rows), size=len(rows))
    expected = [naive_order(row, rows).index(j) for row, j in zip(rows, answers, strict=True)]
    np.testing.assert_array_equal(ranks_of(rows, rows, answers), expected)


def test_blocks_of_queries_do_not_change_neighbours(monkeypatch):
    rows = np.random.default_rng(0).normal(size=(50, 5))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    own = np.arange(50)
    found, ranks = neighbours(rows, rows, 7, exclude=own), ranks_of(rows, rows, own[::-1].copy())
    monkeypatch.setattr(importlib.import_module("anisoalign.diagnostics.neighbours"), "BLOCK", 150)
    np.testing.assert_array_equal(neighbours(rows, rows, 7, exclude=own), found)
    np.testing.assert_array_equal(ranks_of(rows, rows, own[::-1].copy()), ranks)


def test_cosines_that_round_alike_go_by_index():
    """0.5 and 0.5 + 3e-7 are one cosine: the lower index is first, though it is the farther one."""

    def first(*cosines):
        others = np.tile([[-1.0, 0.0]], (30, 1))
        near = np.array([[cosine, np.sqrt(1 - cosine**2)] for cosine in cosines])
        return neighbours(np.array([[1.0, 0.0]]), np.concatenate([near, others]), 1).item()

    assert first(0.5, 0.5 + 3e-7) == 0
    assert first(0.5 + 3e-7, 0.5) == 0
    assert first(0.5, 0.5 + 3e-6) == 1


@pytest.mark.parametrize("k", [0, 5, -1])
def test_k_out_of_range_is_refused(k):
    with pytest.raises(ValueError, match="k must be between 1 and 4"):
        neighbours(np.eye(5), np.eye(5), k, exclude=np.arange(5))


@pytest.fixture
def by_faiss(monkeypatch):
    """Let faiss search sets of any size, and count that it does."""
    pytest.importorskip("faiss", reason="faiss-cpu is an optional extra")
    module, calls = importlib.import_module("anisoalign.diagnostics.neighbours"), []
    search = module._search_faiss
    monkeypatch.setattr(module, "FAISS_ROWS", 1)
    monkeypatch.setattr(module, "_search_faiss", lambda *given: calls.append(1) or search(*given))
    yield
    assert calls


@pytest.mark.parametrize("excluding", [True, False])
def test_faiss_finds_the_same_sets_away_from_ties(monkeypatch, request, excluding):
    rows = np.random.default_rng(0).normal(size=(300, 12))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    exclude = np.arange(100) if excluding else None
    exact = neighbours(rows[:100], rows, 10, exclude=exclude)
    cosines = np.sort(rows[:100] @ rows.T)[:, ::-1]
    last = 10 if not excluding else 11
    clear = cosines[:, last - 1] - cosines[:, last] > 1e-5
    assert clear.sum() > 90
    request.getfixturevalue("by_faiss")
    found = neighbours(rows[:100], rows, 10, exclude=exclude)
    np.testing.assert_array_equal(np.sort(found)[clear], np.sort(exact)[clear])


def test_faiss_never_returns_the_query_even_among_its_duplicates(by_faiss):
    rows = np.repeat(np.eye(3), 10, axis=0)
    own = np.arange(30)
    found = neighbours(rows, rows, 5, exclude=own)
    assert found.shape == (30, 5)
    assert not (found == own[:, None]).any()
    assert (rows[found] == rows[:, None, :]).all()
    assert all(len(set(row)) == 5 for row in found.tolist())
