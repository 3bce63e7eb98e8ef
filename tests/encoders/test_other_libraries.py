"""sentence-transformers, LLM2CLIP and open_clip, each against a plain loop over its own model."""

import json
import shutil
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from tiny_encoders import byte_letters, caption, picture

from anisoalign.embeddings import InputError
from anisoalign.embeddings.provenance import same_encoder
from anisoalign.encoders import open_encoder

pytestmark = pytest.mark.integration


def unit(rows) -> np.ndarray:
    rows = np.asarray(rows, np.float64)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def text_model(folder: Path) -> Path:
    """A sentence-transformers model of texts: BERT, mean pooling."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizer

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"##{n}" for n in range(10)), "a", "photo", "cat", "dog"]
    words += ["of", "the", "red", "green", "rain", *map(str, range(10))]
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=20,
    )
    torch.manual_seed(0)
    BertModel(config).save_pretrained(folder / "bert")
    vocab = {word: number for number, word in enumerate(words)}
    BertTokenizer(vocab, model_max_length=20).save_pretrained(folder / "bert")
    SentenceTransformer(modules=[Transformer(str(folder / "bert")), Pooling(16)]).save(str(folder / "st"))
    return folder / "st"


def test_a_model_of_sentences(tmp_path):
    from sentence_transformers import SentenceTransformer

    folder = text_model(tmp_path)
    encoder = open_encoder(str(folder))
    assert (type(encoder).__name__, encoder.modalities) == ("SentenceTransformerEncoder", {"text"})
    texts = [caption(seed) for seed in range(7)] + ["red rain " * 50]
    expected = unit(SentenceTransformer(str(folder)).encode(texts, convert_to_numpy=True))
    np.testing.assert_allclose(encoder.encode(texts, "text", batch_size=3), expected, atol=1e-5)
    preparation = encoder.preparation("text")
    assert preparation.stack(texts).truncated == 1
    assert encoder.provenance("text")["encoder"] == "st:st"
    with pytest.raises(InputError, match="embeds text, not image"):
        encoder.encode([picture(0)], "image")


def test_a_clip_of_sentence_transformers(model_folder, tmp_path):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import CLIPModel

    SentenceTransformer(modules=[CLIPModel(str(model_folder("clip")))]).save(str(tmp_path / "st"))
    encoder = open_encoder(f"st:{tmp_path / 'st'}")
    assert encoder.modalities >= {"image", "text"}
    plain = open_encoder(str(model_folder("clip")))
    images, texts = [picture(seed) for seed in range(5)], [caption(seed) for seed in range(5)]
    np.testing.assert_allclose(encoder.encode(texts, "text"), plain.encode(texts, "text"), atol=1e-5)
    np.testing.assert_allclose(encoder.encode(images, "image"), plain.encode(images, "image"), atol=1e-5)


def test_texts_are_counted_beside_the_model_and_not_with_its_tokenizer(tmp_path):
    encoder = open_encoder(str(text_model(tmp_path)))
    preparation, tokenizer = encoder.preparation("text"), encoder.model.tokenizer
    long = "red rain " * 50
    tokenizer([long], truncation=True, max_length=20)
    before = tokenizer.backend_tokenizer.truncation
    assert before is not None
    assert preparation.stack([long, "a cat"]).truncated == 1
    assert tokenizer.backend_tokenizer.truncation == before
    # Threads change nothing of what they share: Rust refuses to change what another thread reads.
    shared = preparation.counter.backend_tokenizer
    assert (shared.truncation, shared.padding) == (None, None)


VISION_CODE = """
import torch
from transformers import CLIPVisionConfig, CLIPVisionModel, PretrainedConfig, PreTrainedModel


class SmallConfig(PretrainedConfig):
    model_type = "small_llm2clip"

    def __init__(self, vision=None, text_width=32, projection_dim=12, **more):
        self.vision, self.text_width, self.projection_dim = vision or {}, text_width, projection_dim
        super().__init__(**more)

    @property
    def vision_config(self):
        return CLIPVisionConfig(**self.vision)


class SmallModel(PreTrainedModel):
    config_class = SmallConfig

    def __init__(self, config):
        super().__init__(config)
        self.vision = CLIPVisionModel(config.vision_config)
        self.image_projection = torch.nn.Linear(config.vision_config.hidden_size, config.projection_dim)
        self.text_adapter = torch.nn.Linear(config.text_width, config.projection_dim)
        self.post_init()

    def get_image_features(self, pixel_values):
        return self.image_projection(self.vision(pixel_values).pooler_output)

    def get_text_features(self, pooled):
        return self.text_adapter(pooled)
"""


@pytest.fixture
def llm2clip(tmp_path):
    """A vision side with code of its own, and a small Llama with the special tokens of Llama 3."""
    import importlib.util

    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaModel, PreTrainedTokenizerFast

    source = tmp_path / "small_code.py"
    source.write_text(VISION_CODE)
    spec = importlib.util.spec_from_file_location("small_code", source)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    tower = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    torch.manual_seed(0)
    config = module.SmallConfig(vision={**tower, "image_size": 32, "patch_size": 8})
    module.SmallModel(config).save_pretrained(tmp_path / "vision")
    shutil.copy(source, tmp_path / "vision" / "small_code.py")
    saved = json.loads((tmp_path / "vision" / "config.json").read_text())
    saved["auto_map"] = {"AutoConfig": "small_code.SmallConfig", "AutoModel": "small_code.SmallModel"}
    (tmp_path / "vision" / "config.json").write_text(json.dumps(saved))
    special = ["<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>", "<|end_of_text|>"]
    tokenizer = Tokenizer(models.BPE({letter: n for n, letter in enumerate(byte_letters())}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end_of_text|>")
    fast.add_special_tokens({"additional_special_tokens": special[:3]})
    fast.save_pretrained(tmp_path / "llama")
    llama = LlamaConfig(
        vocab_size=len(fast), hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2
    )
    LlamaModel(llama).save_pretrained(tmp_path / "llama")
    return tmp_path


def test_llm2clip_runs_its_code_only_when_told(llm2clip):
    spec = f"llm2clip:{llm2clip / 'vision'}+{llm2clip / 'llama'}"
    with pytest.raises(InputError, match="--trust-remote-code"):
        open_encoder(spec)
    encoder = open_encoder(spec, trust_remote_code=True)
    assert (encoder.width, encoder.modalities) == (12, {"image", "text"})
    images = encoder.encode([picture(seed) for seed in range(3)], "image")
    np.testing.assert_allclose(np.linalg.norm(images, axis=1), 1, atol=1e-6)
    about = encoder.provenance("text")
    assert about["text_encoder"]["name"] == "llama"
    assert about["fingerprint"] == encoder.provenance("image")["fingerprint"]


def test_llm2clip_loads_its_text_side_for_texts_alone(llm2clip):
    whole = open_encoder(f"llm2clip:{llm2clip / 'vision'}+{llm2clip / 'llama'}", trust_remote_code=True)
    encoder = open_encoder(f"llm2clip:{llm2clip / 'vision'}+{llm2clip / 'absent'}", trust_remote_code=True)
    pictures = [picture(seed) for seed in range(3)]
    np.testing.assert_array_equal(encoder.encode(pictures, "image"), whole.encode(pictures, "image"))
    of_images = encoder.provenance("image")
    assert "text_encoder" not in of_images
    assert same_encoder(of_images, whole.provenance("text"))
    with pytest.raises(InputError, match="absent"):
        encoder.encode(["a red cat"], "text")
    assert whole.language_model is whole.language_model  # loaded once


def test_llm2clip_reads_pictures_as_its_own_tower_does(llm2clip):
    from transformers import CLIPImageProcessorPil

    encoder = open_encoder(f"llm2clip:{llm2clip / 'vision'}+{llm2clip / 'llama'}", trust_remote_code=True)
    # The checkpoints bring no processor: CLIP's means and deviations, at the side that the tower reads.
    processor = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    pictures = [picture(seed, width=40 + 3 * seed) for seed in range(5)]
    found = encoder.encode(pictures, "image", batch_size=2)
    for row, image in zip(found, pictures, strict=True):
        with torch.no_grad():
            expected = encoder.model.get_image_features(**processor(images=image, return_tensors="pt"))
        np.testing.assert_allclose(row, unit(expected)[0], atol=1e-6)
    assert np.ptp(found, axis=0).max() > 1e-3  # pictures that differ give rows that differ


def test_llm2clip_averages_the_states_of_the_text_and_its_end(llm2clip):
    from transformers import AutoTokenizer, LlamaModel

    encoder = open_encoder(f"llm2clip:{llm2clip / 'vision'}+{llm2clip / 'llama'}", trust_remote_code=True)
    texts = [caption(seed) for seed in range(4)] + ["x" * 900]
    found = encoder.encode(texts, "text")
    model, tokenizer = LlamaModel.from_pretrained(llm2clip / "llama"), AutoTokenizer.from_pretrained(llm2clip / "llama")
    for row, text in zip(found[:4], texts[:4], strict=True):
        whole = f"<|start_header_id|>user<|end_header_id|>\n\n{text}<|eot_id|>"
        ids = tokenizer(whole, return_tensors="pt")["input_ids"]
        tail = len(tokenizer(f"{text}<|eot_id|>")["input_ids"])
        with torch.no_grad():
            mean = model(ids).last_hidden_state[0, -tail:].mean(0, keepdim=True)
            expected = encoder.model.get_text_features(mean)
        np.testing.assert_allclose(row, unit(expected)[0], atol=1e-5)
    assert encoder.preparation("text").stack(texts).truncated == 1


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
