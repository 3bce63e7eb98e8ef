"""The example of mixed search runs, both indexes agree, and alignment brings images among the results."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.integration
FILE = Path(__file__).parents[2] / "examples" / "mixed_search.py"


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("mixed_search", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_both_indexes_find_what_exact_search_finds(example):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(300, 12)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    exact = np.argsort(-(rows[:40] @ rows.T), axis=1, kind="stable")[:, :7]
    np.testing.assert_array_equal(example.with_faiss(rows, rows[:40], 7), exact)
    np.testing.assert_array_equal(example.with_lancedb(rows, rows[:40], 7), exact)


def test_no_fit_sees_a_pair_or_an_item_that_asks(example):
    asked = []
    for part in range(example.ROUNDS):
        asking, texts, images = example.split(203, part)
        assert len({*asking, *texts, *images}) == 203 == len(asking) + len(texts) + len(images)
        asked += asking.tolist()
    assert sorted(asked) == list(range(203))


def test_a_query_does_not_find_itself_even_among_duplicates(example):
    rows = np.ones((30, 4), np.float32) / 2
    found = example.first_results(rows, np.array([3, 29]), example.with_faiss)
    assert found.shape == (2, 10)
    assert 3 not in found[0]
    assert 29 not in found[1]


def test_alignment_brings_images_among_the_results(example, tmp_path, monkeypatch):
    monkeypatch.setattr(example, "METHODS", ("identity", "aniso-align"))
    monkeypatch.setattr(example, "DATA", tmp_path)
    results = example.main(tmp_path / "out.json", world_rows=500)
    assert json.loads((tmp_path / "out.json").read_text()) == results
    raw, aligned = (results["world"]["methods"][name] for name in ("identity", "aniso-align"))
    assert raw["faiss"]["text_to_image"] < 0.05
    assert aligned["faiss"]["text_to_image"] > raw["faiss"]["text_to_image"] + 0.1
    assert aligned["faiss"]["image_to_text"] > raw["faiss"]["image_to_text"] + 0.1
    for scores in (raw, aligned):
        assert scores["lancedb"] == pytest.approx(scores["faiss"], abs=0.01)


def test_the_committed_figures_show_the_gain(example):
    results = json.loads(FILE.with_suffix(".json").read_text())
    for name in ("world", "coco_clip"):
        methods = results[name]["methods"]
        assert set(methods) == set(example.METHODS)
        assert methods["aniso-align"]["faiss"]["text_to_image"] > 0.1 > methods["identity"]["faiss"]["text_to_image"]
