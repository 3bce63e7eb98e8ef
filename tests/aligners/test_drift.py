"""Rows that are not like the fitted sources are told of, by every method that moments determine."""

import warnings

import numpy as np
import pytest

import anisoalign as aa
from anisoalign.aligners.drift import AlignmentWarning
from anisoalign.geometry import normalize
from anisoalign.integrations.batches import transform_batch

METHODS = (
    aa.MeanShift,
    aa.C3,
    aa.ReAlign,
    aa.Standardize,
    aa.BlockwiseCovariance,
    aa.WhitenColor,
    aa.GaussianTransport,
)


@pytest.fixture(scope="module")
def sides():
    """Fitted texts and images, and fresh ones: unit rows about two centres, 24 directions."""
    rng = np.random.default_rng(0)
    scales, centres = 0.9 ** np.arange(24), rng.normal(size=(2, 24)) * 0.4
    rows = [normalize(rng.normal(size=(3000, 24)) * scales + centre) for centre in centres]
    return rows[0][:2000], rows[1][:2000], rows[0][2000:], rows[1][2000:]


def silent(act):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return act()


@pytest.mark.parametrize("method", METHODS)
def test_images_mapped_as_texts_mixed_columns_and_rows_mapped_twice_are_told_of(sides, method, tmp_path):
    text, image, fresh, others = sides
    method().fit(text, image).save(tmp_path / "model")
    model = aa.load(tmp_path / "model")
    aligned = silent(lambda: model.transform(fresh))
    silent(lambda: model.transform(fresh[:50]))
    with pytest.warns(AlignmentWarning, match="drifted .* lie where targets do"):
        model.transform(others)
    with pytest.warns(AlignmentWarning, match="drifted .* mapped already not again"):
        model.transform(aligned)
    with pytest.warns(AlignmentWarning, match="drifted .* mixed, map each side by itself"):
        model.transform(np.concatenate([fresh, others]))
    silent(lambda: model.transform(others[0]))
    silent(lambda: transform_batch(model, others))
    silent(lambda: model.targets().transform(others))


def test_files_are_looked_at_in_a_few_places(sides, tmp_path):
    text, image, fresh, others = sides
    model = aa.ReAlign().fit(text, image)
    for name, rows in {"fresh": fresh, "mixed": np.concatenate([fresh, others])}.items():
        np.save(tmp_path / f"{name}.npy", np.tile(rows, (6, 1)).astype(np.float32))
    silent(lambda: model.transform(tmp_path / "fresh.npy", tmp_path / "a.npy"))
    with pytest.warns(AlignmentWarning, match="drifted"):
        model.transform(tmp_path / "mixed.npy", tmp_path / "b.npy")


def test_captions_side_by_side_are_no_drift():
    rng = np.random.default_rng(1)

    def captions(images):
        about = np.repeat(rng.normal(size=(images, 64)) * 0.97 ** np.arange(64), 5, axis=0)
        return normalize(about + 0.3 * rng.normal(size=about.shape) + 0.5)

    for method in METHODS:
        model = method().fit(captions(100), captions(100) - 0.2)
        silent(lambda model=model: [model.transform(captions(100)) for _ in range(5)])


def test_rows_mapped_into_a_common_frame_are_told_of_when_they_are_mapped_again(sides):
    text, image, fresh, _ = sides
    model = aa.GaussianTransport(frame="common").fit(text, image)
    with pytest.warns(AlignmentWarning, match="mapped already not again"):
        model.transform(model.transform(fresh))


def test_rows_of_another_kind_ask_for_another_fit_and_not_for_the_other_side(sides):
    text, image, fresh, _ = sides
    away = 2 * text.mean(axis=0) - image.mean(axis=0)
    for method in (aa.AnisoAlign(strength=0.5), aa.ReAlign()):
        model = method.fit(text, image)
        with pytest.warns(AlignmentWarning, match="drifted from the fitted sources: .*; fit again"):
            model.transform(normalize(fresh + away))


def test_a_model_without_what_the_check_needs_says_nothing(sides):
    text, image, _, others = sides
    model = aa.ReAlign().fit(text, image)
    for name in ("source_mean_", "source_energy_", "source_dimension_"):
        delattr(model, name)
    silent(lambda: model.transform(others))
    silent(lambda: aa.Identity().fit(text, image).transform(others))
    silent(lambda: aa.ReAlign().fit(text[:19], image[:19]).transform(others))
