"""Encoders give what a plain loop over the model gives, and load real folders of the Hugging Face library."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_encoders import caption, picture

from anisoalign.embeddings import InputError
from anisoalign.encoders import open_encoder
from anisoalign.encoders.preparing import SoundPreparation

pytestmark = pytest.mark.integration

PICTURES = ("clip", "siglip", "siglip2")
RATE = 8000


def plain_loop(folder, kind, items):
    """Embeddings one item at a time, by the library's own processors and model, as its documentation shows."""
    from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

    model, tokenizer = AutoModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
    found = []
    for item in items:
        if kind == "image":
            inputs = processor(images=[item.convert("RGB")], return_tensors="pt")
        else:
            padding = "max_length" if "siglip" in model.config.model_type else False
            limit = model.config.text_config.max_position_embeddings
            options = {"truncation": True, "max_length": limit, "padding": padding}
            inputs = tokenizer([item], return_tensors="pt", **options)
        with torch.no_grad():
            made = getattr(model, f"get_{kind}_features")(**inputs).pooler_output
        found.append(made[0] / made[0].norm())
    return torch.stack(found).numpy()


@pytest.mark.parametrize("kind", PICTURES)
def test_pictures_and_texts_equal_a_plain_loop(model_folder, kind):
    folder = model_folder(kind)
    encoder = open_encoder(f"hf:{folder}")
    images = [picture(seed, 30 + 7 * seed, 60 - 3 * seed) for seed in range(7)]
    texts = [caption(seed) for seed in range(7)] + ["a cat and a dog " * 40]
    for modality, items in (("image", images), ("text", texts)):
        found = encoder.encode(items, modality, batch_size=3)
        assert (found.dtype, found.shape) == (np.float32, (len(items), encoder.width))
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
        np.testing.assert_allclose(found, plain_loop(folder, modality, items), atol=1e-5)
    assert encoder.modalities == {"image", "text"}
    assert encoder.encode([], "text").shape == (0, encoder.width)


@pytest.mark.parametrize("kind", PICTURES)
def test_the_batch_size_changes_rounding_only(model_folder, kind):
    encoder = open_encoder(str(model_folder(kind)))
    texts = [caption(seed) for seed in range(9)]
    np.testing.assert_allclose(encoder.encode(texts, "text", 1), encoder.encode(texts, "text", 9), atol=1e-6)


@pytest.mark.parametrize("fused", [False, True])
def test_sounds_equal_a_plain_loop_and_do_not_depend_on_their_batch(model_folder, fused):
    from transformers import ClapFeatureExtractor, ClapModel

    folder = model_folder("clap", fused=fused)
    encoder = open_encoder(str(folder))
    rng = np.random.default_rng(0)
    sounds = [rng.normal(size=n).astype(np.float32) for n in (300, 5000, RATE, RATE + 40, 3 * RATE)]
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    found = encoder.encode([(sound, RATE) for sound in sounds], "audio")
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002 - others' draws are left alone
    model, extractor = ClapModel.from_pretrained(folder), ClapFeatureExtractor.from_pretrained(folder)
    for row, sound in zip(found[:3], sounds[:3], strict=True):
        inputs = extractor([sound], sampling_rate=RATE, return_tensors="pt")
        with torch.no_grad():
            made = model.get_audio_features(inputs["input_features"].float(), torch.tensor([[False]])).pooler_output
        np.testing.assert_allclose(row, made[0].numpy(), atol=1e-5)
    alone = np.concatenate([encoder.encode([(sound, RATE)], "audio") for sound in sounds])
    np.testing.assert_allclose(found, alone, atol=1e-5)
    np.testing.assert_array_equal(found, encoder.encode([(sound, RATE) for sound in sounds], "audio"))
    preparation = encoder.preparation("audio")
    assert isinstance(preparation, SoundPreparation)
    assert preparation.stack([preparation.one((sound, RATE)) for sound in sounds]).truncated == 2


def test_clap_reads_texts_as_a_plain_loop_does(model_folder):
    folder = model_folder("clap", fused=False)
    texts = [caption(seed) for seed in range(5)] + ["sounds like rain " * 30]
    found = open_encoder(str(folder)).encode(texts, "text")
    from transformers import AutoModel, AutoTokenizer

    model, tokenizer = AutoModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    for row, text in zip(found, texts, strict=True):
        with torch.no_grad():
            made = model.get_text_features(**tokenizer([text], truncation=True, max_length=64, return_tensors="pt"))
        np.testing.assert_allclose(row, made.pooler_output[0].numpy(), atol=1e-5)


@pytest.mark.parametrize("kind", [*PICTURES, "clap"])
def test_texts_beyond_the_limit_are_counted(model_folder, kind):
    options = {"fused": False} if kind == "clap" else {}
    preparation = open_encoder(str(model_folder(kind, **options))).preparation("text")
    texts = ["a cat", "red rain " * 2000, "x" * 100_000, "\N{CAT FACE}" * 30]
    expected = sum(len(preparation.tokenizer(text)["input_ids"]) > preparation.limit for text in texts)
    assert preparation.stack(texts).truncated == expected >= 1
    assert preparation.stack(texts).inputs["input_ids"].shape[1] == preparation.limit


def test_half_precision_is_close_and_recorded(model_folder):
    folder = str(model_folder("clip"))
    texts = [caption(seed) for seed in range(6)]
    full, half = open_encoder(folder), open_encoder(folder, dtype="bfloat16")
    assert half.provenance("text")["dtype"] == "bfloat16"
    difference = np.abs(full.encode(texts, "text") - half.encode(texts, "text")).max()
    assert 0 < difference < 0.03
    assert half.fingerprint == full.fingerprint


def test_values_that_overflow_are_refused(model_folder):
    encoder = open_encoder(str(model_folder("clip")))
    encoder.model.text_projection.weight.mul_(1e30).mul_(1e30)
    with pytest.raises(InputError, match=r"not finite in float32; compute in bfloat16 or float32"):
        encoder.encode(["a cat"], "text")


def test_weights_tell_encoders_apart_wherever_they_lie(model_folder, tmp_path):
    copy = shutil.copytree(model_folder("clip"), tmp_path / "moved")
    found = [open_encoder(str(folder)) for folder in (model_folder("clip"), copy, model_folder("clip", seed=1))]
    assert found[0].fingerprint == found[1].fingerprint != found[2].fingerprint
    about = found[1].provenance("image")
    assert (about["encoder"], about["modality"], about["width"], about["normalized"]) == ("hf:moved", "image", 24, True)
    assert about["preprocessing"]["crop_size"] == {"height": 32, "width": 32}
    assert str(tmp_path) not in json.dumps(about)
    assert about["versions"]["transformers"]


def test_what_cannot_be_encoded_is_named(model_folder):
    encoder = open_encoder(str(model_folder("clip")))
    with pytest.raises(InputError, match="embeds image and text, not audio"):
        encoder.encode([b""], "audio")
    with pytest.raises(InputError, match="image 1 cannot be encoded: this is no picture"):
        encoder.encode([picture(0), b"text"], "image")
    with pytest.raises(InputError, match="text 0 cannot be encoded: the text is empty"):
        encoder.encode([" "], "text")


def test_models_that_are_none_are_refused(model_folder, tmp_path):
    from transformers import BertConfig, BertModel

    with pytest.raises(InputError, match="neither a folder nor a name with a schema"):
        open_encoder(str(tmp_path / "none"))
    with pytest.raises(InputError, match="holds no model"):
        open_encoder(str(tmp_path))
    with pytest.raises(InputError, match="cannot be loaded"):
        open_encoder(f"hf:{tmp_path}")
    with pytest.raises(InputError, match="computes in"):
        open_encoder(str(model_folder("clip")), dtype="int8")
    with pytest.raises(InputError, match="CUDA device"):
        open_encoder(str(model_folder("clip")), device="cuda:99")
    config = BertConfig(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1, vocab_size=9)
    BertModel(config).save_pretrained(tmp_path / "bert")
    with pytest.raises(InputError, match="a bert model, which has no joint space"):
        open_encoder(str(tmp_path / "bert"))


def test_a_pickle_is_read_only_when_asked(model_folder, tmp_path):
    folder = shutil.copytree(model_folder("clip"), tmp_path / "old")
    from transformers import CLIPModel

    torch.save(CLIPModel.from_pretrained(folder).state_dict(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match="--allow-pickle"):
        open_encoder(str(folder))
    opened = open_encoder(str(folder), allow_pickle=True)
    assert opened.fingerprint == open_encoder(str(model_folder("clip"))).fingerprint


def test_code_of_a_model_runs_only_when_asked(model_folder, tmp_path):
    folder = custom_code(model_folder("clip"), tmp_path / "own")
    with pytest.raises(InputError, match="code of its own, which is not run unless you say so: --trust-remote-code"):
        open_encoder(str(folder))
    assert not (tmp_path / "ran").exists()
    encoder = open_encoder(str(folder), trust_remote_code=True)
    assert (tmp_path / "ran").exists()
    np.testing.assert_allclose(
        encoder.encode(["a cat"], "text"), open_encoder(str(model_folder("clip"))).encode(["a cat"], "text"), atol=1e-6
    )


def custom_code(original: Path, folder: Path) -> Path:
    """A model whose classes come with it and leave a mark when they are imported."""
    shutil.copytree(original, folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "own_clip", "auto_map": {"AutoConfig": "own.OwnConfig", "AutoModel": "own.OwnModel"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own.py").write_text(
        "from pathlib import Path\nfrom transformers import CLIPConfig, CLIPModel\n\n"
        f"Path({str(folder.parent / 'ran')!r}).touch()\n\n\n"
        "class OwnConfig(CLIPConfig):\n    model_type = 'own_clip'\n\n\n"
        "class OwnModel(CLIPModel):\n    config_class = OwnConfig\n"
    )
    return folder
