"""A single vector is mapped as within its set, without work that is not its own, never by a map that is outdated."""

import copy
import pickle

import numpy as np
import pytest

import anisoalign as aa
from anisoalign.aligners import METHODS
from anisoalign.aligners.anisoalign.correction import Correction
from anisoalign.embeddings import EmbeddingSet, InputError


@pytest.fixture(scope="module")
def rows(make_planted):
    data = make_planted(rows=300, dim=16)
    return (2 * data.source).astype(np.float32), data.target.astype(np.float32)


@pytest.fixture
def model(rows):
    return aa.AnisoAlign(strength=0.5).fit(*rows)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_one_row_is_what_it_is_in_its_set(rows, name, dtype, monkeypatch):
    model = METHODS[name](**({"strength": 0.5} if name == "aniso-align" else {})).fit(*rows)
    source = rows[0].astype(dtype)
    whole = model.transform(source)
    monkeypatch.setattr(EmbeddingSet, "__init__", None)  # opening a set takes longer than mapping a row
    one = model.transform(source[3], first_row=3)
    assert one.dtype == whole.dtype
    np.testing.assert_allclose(one, whole[3], atol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_one_bad_row_is_refused_as_in_a_set(model, value):
    with pytest.raises(InputError, match="row 0"):
        model.transform(np.full(16, value, np.float32))
    with pytest.raises(InputError, match="width"):
        model.transform(np.ones(8, np.float32))


def test_the_map_is_put_together_once(model, rows, monkeypatch):
    made = []
    from_arrays = Correction.from_arrays
    monkeypatch.setattr(Correction, "from_arrays", lambda *parts: made.append(1) or from_arrays(*parts))
    for _ in range(5):
        model.transform(rows[0][0])
    assert len(made) == 1


def test_no_map_is_outdated(model, rows):
    before = model.transform(rows[0][0])
    other = model.at_strength(0.0)
    assert np.abs(other.transform(rows[0][0]) - before).max() > 1e-3
    np.testing.assert_array_equal(model.transform(rows[0][0]), before)
    model.strength_, model.calibration_mean_ = 0.0, other.calibration_mean_
    np.testing.assert_array_equal(model.transform(rows[0][0]), other.transform(rows[0][0]))
    model.fit(rows[1], rows[0])
    fresh = aa.AnisoAlign(strength=0.5).fit(rows[1], rows[0])
    np.testing.assert_array_equal(model.transform(rows[0][0]), fresh.transform(rows[0][0]))


def test_a_model_that_has_served_can_be_sent_and_copied_and_saved(model, rows, tmp_path):
    fresh = aa.AnisoAlign(strength=0.5).fit(*rows)
    expected = model.transform(rows[0][0])
    for other in (pickle.loads(pickle.dumps(model)), copy.copy(model), copy.deepcopy(model)):
        np.testing.assert_array_equal(other.transform(rows[0][0]), expected)
    model.save(tmp_path / "served")
    fresh.save(tmp_path / "fresh")
    for file in ("config.json", "model.safetensors"):
        assert (tmp_path / "served" / file).read_bytes() == (tmp_path / "fresh" / file).read_bytes()
