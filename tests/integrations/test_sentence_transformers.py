"""An aligner inside a SentenceTransformer: `encode` aligns texts, leaves images, and survives saving."""

import numpy as np
import pytest

import anisoalign as aa
from anisoalign.aligners.anisoalign.premise import AlignmentWarning
from anisoalign.geometry import normalize

pytestmark = pytest.mark.integration
WORDS = ["".join(word) for word in np.random.default_rng(0).choice(list("abcdefgh"), (80, 5))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from tiny_clip import write_tiny_clip

    return write_tiny_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture
def clip(folder):
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(folder), device="cpu", local_files_only=True)


@pytest.fixture(scope="module")
def pictures():
    from PIL import Image

    rng = np.random.default_rng(1)
    return [Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)) for _ in range(70)]


@pytest.fixture
def raw(clip, pictures):
    return clip.encode(WORDS), clip.encode(pictures)


def appended(clip, aligner, modality="text"):
    from anisoalign.integrations.sentence_transformers import Align

    return clip.append(Align(aligner, modality))


@pytest.mark.parametrize("method", [aa.ReAlign, aa.GaussianTransport, lambda: aa.AnisoAlign(strength=0.5, force=True)])
@pytest.mark.filterwarnings("ignore::anisoalign.aligners.anisoalign.premise.AlignmentWarning")
def test_texts_are_aligned_and_images_are_left(clip, raw, pictures, method):
    texts, images = raw
    aligner = method().fit(source=texts, target=images)
    model = appended(clip, aligner)
    encoded = model.encode(WORDS)
    np.testing.assert_allclose(encoded, aligner.transform(texts), atol=1e-5)
    np.testing.assert_array_equal(model.encode(pictures), images)
    assert np.linalg.norm(encoded.mean(0) - normalize(images.astype(np.float64)).mean(0)) < 0.05
    assert (
        np.linalg.norm(normalize(texts.astype(np.float64)).mean(0) - normalize(images.astype(np.float64)).mean(0)) > 0.5
    )
    assert model.get_embedding_dimension() == 16


def test_in_a_common_frame_both_sides_are_mapped(clip, raw, pictures):
    texts, images = raw
    aligner = aa.ReAlign(frame="common").fit(source=texts, target=images)
    model = appended(clip, aligner)
    np.testing.assert_allclose(model.encode(WORDS), aligner.transform(texts), atol=1e-5)
    np.testing.assert_allclose(model.encode(pictures), aligner.targets().transform(images), atol=1e-5)


def test_a_batch_about_one_thing_is_no_drift(clip, raw):
    texts, images = raw
    with pytest.warns(AlignmentWarning):
        aligner = aa.AnisoAlign(strength=0.5, force=True).fit(source=texts, target=images)
    alike = np.argsort(-normalize(texts) @ normalize(texts)[0])[:25]
    with pytest.warns(AlignmentWarning, match="drifted"):
        expected = aligner.transform(texts[alike])
    # Warnings are errors in this suite.
    encoded = appended(clip, aligner).encode([WORDS[row] for row in alike])
    np.testing.assert_allclose(encoded, expected, atol=1e-5)


def test_every_modality_where_asked(clip, raw, pictures):
    texts, images = raw
    aligner = aa.MeanShift().fit(source=images, target=texts)
    np.testing.assert_allclose(appended(clip, aligner, None).encode(pictures), aligner.transform(images), atol=1e-5)


def test_it_is_saved_and_reloaded_with_the_model(clip, raw, pictures, tmp_path):
    from sentence_transformers import SentenceTransformer

    texts, images = raw
    model = appended(clip, aa.GaussianTransport().fit(texts, images))
    expected = model.encode(WORDS)
    model.save(str(tmp_path / "saved"))
    assert not [file for file in (tmp_path / "saved").rglob("*") if file.suffix in (".bin", ".pt", ".pkl", ".pickle")]
    # sentence-transformers asks this of every module that is not its own.
    with pytest.raises(ValueError, match="trust_remote_code"):
        SentenceTransformer(str(tmp_path / "saved"), device="cpu", local_files_only=True)
    again = SentenceTransformer(str(tmp_path / "saved"), device="cpu", local_files_only=True, trust_remote_code=True)
    np.testing.assert_allclose(again.encode(WORDS), expected, atol=1e-6)
    np.testing.assert_allclose(again.encode(pictures), images, atol=1e-6)
    assert again[-1].modality == "text"
    again.save(str(tmp_path / "saved"))  # over itself


def test_a_saved_model_without_its_aligner_says_so(clip, raw, tmp_path):
    import shutil

    from sentence_transformers import SentenceTransformer

    appended(clip, aa.ReAlign().fit(*raw)).save(str(tmp_path / "saved"))
    shutil.rmtree(tmp_path / "saved" / "1_Align" / "aligner")
    with pytest.raises(aa.InputError, match="aligner"):
        SentenceTransformer(str(tmp_path / "saved"), device="cpu", local_files_only=True, trust_remote_code=True)


def test_an_aligner_that_does_not_fit_is_refused(clip):
    from sklearn.exceptions import NotFittedError

    rng = np.random.default_rng(0)
    model = appended(clip, aa.ReAlign().fit(rng.normal(size=(30, 5)), rng.normal(size=(30, 5))))
    with pytest.raises(aa.InputError, match="width 16"):
        model.encode(WORDS[:2])
    with pytest.raises(NotFittedError):
        appended(clip, aa.ReAlign())


@pytest.fixture(scope="module")
def talking(tmp_path_factory):
    """A text model with a chat template: whatever it encodes it makes messages of."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling
    from tiny_clip import write_tiny_talker

    folder = write_tiny_talker(tmp_path_factory.mktemp("talker"))
    body = Transformer(str(folder), model_kwargs={"local_files_only": True})
    return SentenceTransformer(modules=[body, Pooling(16, pooling_mode="mean")], device="cpu")


def test_texts_that_a_model_makes_messages_of_are_aligned(talking):
    assert talking.preprocess(WORDS[:2])["modality"] == "message"
    texts = talking.encode(WORDS)
    aligner = aa.MeanShift().fit(source=texts, target=texts[:, ::-1] + 1)
    np.testing.assert_allclose(appended(talking, aligner).encode(WORDS), aligner.transform(texts), atol=1e-5)


def message_batch(**features):
    import torch

    rows = torch.from_numpy(np.random.default_rng(0).normal(size=(4, 8)).astype(np.float32))
    return {"sentence_embedding": rows, "modality": "message", **features}


@pytest.mark.parametrize("method", [aa.MeanShift, aa.C3])
@pytest.mark.parametrize("modality", ["text", None])
def test_a_zero_row_stays_zero_and_the_others_are_aligned(method, modality):
    import torch

    from anisoalign.integrations.sentence_transformers import Align

    batch = message_batch()
    whole = batch["sentence_embedding"].numpy().copy()
    aligner = method().fit(source=whole, target=whole + 1)
    batch["sentence_embedding"][1] = 0.0
    given = batch["sentence_embedding"]
    found = Align(aligner, modality)(batch)["sentence_embedding"].numpy()
    assert not found[1].any()
    np.testing.assert_allclose(found[[0, 2, 3]], aligner.transform(whole)[[0, 2, 3]], atol=1e-6)
    assert torch.equal(given[1], torch.zeros(8))  # the batch that was given is as it was


@pytest.mark.parametrize(
    ("features", "texts"),
    [
        ({}, [0, 1, 2, 3]),
        ({"pixel_values": "tensor", "num_images_per_sample": [1, 0, 2, 0]}, [1, 3]),
        ({"pixel_values_videos": "tensor", "video_grid_thw": "tensor", "num_videos_per_sample": [0, 1, 1, 1]}, [0]),
        (
            {
                "pixel_values": "tensor",
                "num_images_per_sample": [1, 0, 0, 0],
                "pixel_values_videos": "tensor",
                "num_videos_per_sample": [0, 1, 0, 0],
            },
            [2, 3],
        ),
        ({"input_features": "tensor"}, []),
    ],
)
def test_of_a_batch_of_messages_the_texts_are_aligned(features, texts):
    import torch

    from anisoalign.integrations.sentence_transformers import Align

    made = {key: torch.ones(4, 3) if value == "tensor" else torch.tensor(value) for key, value in features.items()}
    batch = message_batch(**made)
    before = batch["sentence_embedding"].numpy().copy()
    aligner = aa.MeanShift().fit(source=before, target=before + 1)
    found = Align(aligner)(batch)["sentence_embedding"].numpy()
    others = [row for row in range(4) if row not in texts]
    np.testing.assert_array_equal(found[others], before[others])
    np.testing.assert_allclose(found[texts], aligner.transform(before)[texts], atol=1e-6)


def test_messages_that_do_not_show_what_they_hold_are_refused():
    import torch

    from anisoalign.integrations.sentence_transformers import Align

    rows = message_batch()["sentence_embedding"].numpy()
    aligner = aa.MeanShift().fit(source=rows, target=rows + 1)
    with pytest.raises(aa.InputError, match="4 messages, some with input_features: which are text alone cannot be"):
        Align(aligner)(message_batch(input_features=torch.ones(3, 5)))
    with pytest.raises(aa.InputError, match="whether its rows are of 'image' alone cannot be known"):
        Align(aligner, "image")(message_batch(pixel_values=torch.ones(4, 5)))
    # No picture is in it, so that none is moved.
    np.testing.assert_array_equal(Align(aligner, "image")(message_batch())["sentence_embedding"], rows)
