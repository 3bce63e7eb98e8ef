"""open_clip against a plain loop over its own model; where it does not import, by a stub of what we use of it."""

import json
import sys
from pickle import UnpicklingError
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from tiny_encoders import caption, picture, unit

from anisoalign.embeddings import InputError
from anisoalign.encoders import open_encoder

pytestmark = pytest.mark.integration


def test_open_clip_from_a_folder(tmp_path):
    reason = "open_clip does not import here: it needs torchvision"
    open_clip = pytest.importorskip("open_clip", reason=reason, exc_type=ImportError)
    from safetensors.torch import save_file

    vision = {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8}
    text = {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
    settings = {"embed_dim": 20, "vision_cfg": vision, "text_cfg": text}
    torch.manual_seed(0)
    model = open_clip.CLIP(**settings)
    about = {"mean": [0.5] * 3, "std": [0.5] * 3}
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": settings, "preprocess_cfg": about}))
    save_file(model.state_dict(), tmp_path / "open_clip_model.safetensors")
    encoder = open_encoder(str(tmp_path))
    texts = [caption(seed) for seed in range(4)] + ["red rain " * 40]
    with torch.no_grad():
        expected = unit(model.eval().encode_text(open_clip.tokenize(texts, context_length=16)))
    np.testing.assert_allclose(encoder.encode(texts, "text"), expected, atol=1e-5)
    assert encoder.preparation("text").stack(texts).truncated == 1
    assert encoder.encode([picture(0)], "image").shape == (1, 20)


class Linear(torch.nn.Module):
    """The part of open_clip's models that we stand on, so plain that a picture's embedding can be worked out."""

    context_length = 6

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.of_pixels, self.of_tokens = torch.nn.Linear(3 * 4 * 4, 10), torch.nn.Linear(6, 10)

    def encode_image(self, pixels):
        return self.of_pixels(pixels.flatten(1))

    def encode_text(self, tokens):
        return self.of_tokens(tokens.float())


def corners(image):
    """A transform for evaluation: 4 × 4 pixels of an RGB image, about zero."""
    if image.width == 99:
        raise ValueError("99 pixels\nare too many")
    return torch.from_numpy(np.array(image.resize((4, 4)), np.float32)).permute(2, 0, 1) / 255 - 0.5


def letters(texts, context_length=6):
    """A tokenizer as open_clip's: numbers of letters, an end that is left where a text is cut, and zeros."""
    tokens = [[*map(ord, text[: context_length - 1]), 1] for text in texts]
    return torch.tensor([row + [0] * (context_length - len(row)) for row in tokens])


@pytest.fixture
def open_clip_stub(monkeypatch, tmp_path):
    """Where open_clip finds a model of a folder, without open_clip."""
    module = ModuleType("open_clip")
    module.create_model_from_pretrained = lambda name, pretrained, device: (Linear(), corners)
    module.get_tokenizer = lambda name: letters
    monkeypatch.setitem(sys.modules, "open_clip", module)
    (tmp_path / "open_clip_config.json").write_text("{}")
    (tmp_path / "open_clip_model.safetensors").write_bytes(b"")
    return tmp_path


def test_open_clip_reads_pictures_and_texts_as_a_plain_loop_over_its_model_does(open_clip_stub):
    encoder, model = open_encoder(str(open_clip_stub)), Linear()
    assert (encoder.width, encoder.modalities) == (10, {"image", "text"})
    pictures = [*(picture(seed) for seed in range(4)), picture(4).convert("L")]
    found = encoder.encode(pictures, "image", batch_size=2)
    for row, image in zip(found, pictures, strict=True):
        with torch.no_grad():
            expected = model.encode_image(corners(image.convert("RGB"))[None])
        np.testing.assert_allclose(row, unit(expected)[0], atol=1e-6)
    texts = ["cat", "puppy", "a long one", "rain"]  # of which the second just fits
    with torch.no_grad():
        expected = unit(model.encode_text(letters(texts)))
    np.testing.assert_allclose(encoder.encode(texts, "text", batch_size=3), expected, atol=1e-6)
    assert encoder.preparation("text").stack(texts).truncated == 1


def test_a_picture_that_open_clips_transform_refuses_is_named(open_clip_stub):
    encoder = open_encoder(str(open_clip_stub))
    with pytest.raises(InputError, match=r"image 1 cannot be encoded: open_clip's transform refused it: 99 pixels are"):
        encoder.encode([picture(0), picture(1, width=99)], "image")


@pytest.mark.parametrize("allow", [False, True])
def test_open_clip_is_told_the_tag_which_says_how_pictures_are_prepared(open_clip_stub, monkeypatch, allow):
    library, asked = sys.modules["open_clip"], []

    def create(name, pretrained, device):
        asked.append((name, pretrained))
        return Linear(), corners

    monkeypatch.setattr(library, "create_model_from_pretrained", create)
    library.get_pretrained_cfg = lambda model, tag: {"hf_hub": "timm/tiny/"} if tag == "webli" else {}
    library.download_pretrained = lambda settings: "/cache/open_clip_model.safetensors"
    open_encoder("open_clip:tiny-SigLIP/webli", allow_pickle=allow)
    assert asked == [("tiny-SigLIP", "webli")]
    library.download_pretrained = lambda settings: "/cache/tiny.pt"
    if not allow:
        with pytest.raises(InputError, match="--allow-pickle"):
            open_encoder("open_clip:tiny-SigLIP/webli")
        with pytest.raises(InputError, match="knows no weights 'other' of tiny-SigLIP"):
            open_encoder("open_clip:tiny-SigLIP/other")


def test_open_clip_takes_no_pickle_from_the_hub_unasked(open_clip_stub):
    library = sys.modules["open_clip"]
    on_hub = {"org/safe": "/cache/open_clip_model.safetensors", "org/pickled": "/cache/open_clip_pytorch_model.bin"}
    library.pretrained = SimpleNamespace(download_pretrained_from_hf=on_hub.__getitem__)
    assert open_encoder("open_clip:hf-hub:org/safe").width == 10
    with pytest.raises(InputError, match="--allow-pickle"):
        open_encoder("open_clip:hf-hub:org/pickled")
    assert open_encoder("open_clip:hf-hub:org/pickled", allow_pickle=True).width == 10


@pytest.mark.parametrize("error", [RuntimeError("Error(s):\n\tMissing"), UnpicklingError("Error(s): Missing")])
def test_weights_that_do_not_fit_the_model_are_named(open_clip_stub, monkeypatch, error):
    def create(name, pretrained, device):
        raise error

    (open_clip_stub / "open_clip_model.safetensors").rename(open_clip_stub / "tiny.pth")
    monkeypatch.setattr(sys.modules["open_clip"], "create_model_from_pretrained", create)
    with pytest.raises(InputError, match=r"tiny\.pth cannot be loaded: Error\(s\).*: Missing$"):
        open_encoder(str(open_clip_stub), allow_pickle=True)


def test_open_clip_takes_no_pickle_from_a_folder_unasked(open_clip_stub):
    (open_clip_stub / "open_clip_pytorch_model.bin").write_bytes(b"")
    assert open_encoder(str(open_clip_stub)).width == 10
    # Without a name of its own, open_clip reads the pickle beside it.
    (open_clip_stub / "open_clip_model.safetensors").rename(open_clip_stub / "model.safetensors")
    with pytest.raises(InputError, match="--allow-pickle"):
        open_encoder(str(open_clip_stub))
    (open_clip_stub / "open_clip_pytorch_model.bin").unlink()
    assert open_encoder(str(open_clip_stub)).width == 10


def test_open_clip_says_what_it_needs(tmp_path):
    try:
        import open_clip  # noqa: F401
    except ImportError:
        with pytest.raises(InputError, match=r'pip install "anisoalign\[open-clip\]"'):
            open_encoder("open_clip:ViT-B-32/laion2b_s34b_b79k")
    else:
        with pytest.raises(InputError, match="names no weights"):
            open_encoder("open_clip:ViT-B-32")
