"""sentence-transformers and LLM2CLIP, each against a plain loop over its own model."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny_encoders import byte_letters, caption, picture, unit

from anisoalign.embeddings import InputError
from anisoalign.embeddings.provenance import same_encoder
from anisoalign.encoders import open_encoder

pytestmark = pytest.mark.integration


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


def test_sentences_get_the_prompt_that_the_model_puts_before_them(tmp_path):
    from sentence_transformers import SentenceTransformer

    folder = text_model(tmp_path)
    prompts = {"prompts": {"passage": "the photo of "}, "default_prompt_name": "passage"}
    SentenceTransformer(str(folder), **prompts).save(str(tmp_path / "prompted"))
    encoder, model = open_encoder(f"st:{tmp_path / 'prompted'}"), SentenceTransformer(str(tmp_path / "prompted"))
    texts = [caption(seed) for seed in range(5)]
    np.testing.assert_allclose(encoder.encode(texts, "text"), unit(model.encode(texts)), atol=1e-5)
    assert np.abs(encoder.encode(texts, "text") - unit(model.encode(texts, prompt=""))).max() > 1e-3
    assert encoder.provenance("text")["preprocessing"]["prompt"] == "the photo of "
    assert "prompt" not in open_encoder(f"st:{folder}").provenance("text")["preprocessing"]
    just_fits = "cat " * 18  # and two special tokens are 20
    assert open_encoder(f"st:{folder}").preparation("text").stack([just_fits]).truncated == 0
    assert encoder.preparation("text").stack([just_fits]).truncated == 1


def test_sentences_are_cut_to_the_width_that_the_model_was_saved_with(tmp_path):
    from sentence_transformers import SentenceTransformer

    SentenceTransformer(str(text_model(tmp_path)), truncate_dim=8).save(str(tmp_path / "short"))
    encoder, texts = open_encoder(f"st:{tmp_path / 'short'}"), [caption(seed) for seed in range(3)]
    expected = SentenceTransformer(str(tmp_path / "short")).encode(texts)
    assert expected.shape == (3, encoder.width) == (3, 8)
    np.testing.assert_allclose(encoder.encode(texts, "text"), unit(expected), atol=1e-5)


def test_weights_saved_in_half_precision_are_computed_with_in_full(tmp_path):
    from sentence_transformers import SentenceTransformer

    SentenceTransformer(str(text_model(tmp_path))).to(torch.bfloat16).save(str(tmp_path / "half"))
    encoder, texts = open_encoder(f"st:{tmp_path / 'half'}"), [caption(seed) for seed in range(5)]
    assert {value.dtype for value in encoder.model.parameters()} == {torch.float32}
    full = SentenceTransformer(str(tmp_path / "half"), model_kwargs={"dtype": torch.float32})
    np.testing.assert_allclose(encoder.encode(texts, "text"), unit(full.encode(texts)), atol=1e-6)


@pytest.mark.parametrize("routed", [False, True])
def test_a_module_whose_weights_are_a_pickle_is_refused(tmp_path, routed):
    from safetensors.torch import load_file
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Dense, Router
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    text_model(tmp_path)
    modules = [Transformer(str(tmp_path / "bert")), Pooling(16), Dense(16, 8)]
    modules = [Router.for_query_document(modules, modules)] if routed else modules
    SentenceTransformer(modules=modules).save(str(tmp_path / "dense"))
    spec = f"st:{tmp_path / 'dense'}"
    assert open_encoder(spec).width == 8
    (folder, *_) = sorted(place for place in (tmp_path / "dense").iterdir() if place.name.endswith("Dense"))
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match=rf"{folder.name}/pytorch_model\.bin: .*--allow-pickle"):
        open_encoder(spec)
    assert open_encoder(spec, allow_pickle=True).width == 8


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


def test_llm2clip_takes_the_processor_that_a_tower_brings_or_none(llm2clip):
    def prepared():
        spec = f"llm2clip:{llm2clip / 'vision'}+{llm2clip / 'llama'}"
        return open_encoder(spec, trust_remote_code=True).provenance("image")["preprocessing"]

    file = llm2clip / "vision" / "preprocessor_config.json"
    size = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    own = {"image_processor_type": "CLIPImageProcessor", "image_mean": [0.5] * 3, "image_std": [0.5] * 3, **size}
    file.write_text(json.dumps(own))
    assert prepared()["image_mean"] == (0.5, 0.5, 0.5)
    file.write_text(json.dumps(own)[:-10])
    with pytest.raises(InputError, match=r"vision cannot be loaded: .*preprocessor_config\.json"):
        prepared()
    code = "from transformers import CLIPImageProcessorPil\n\n\nclass Mine(CLIPImageProcessorPil):\n    pass\n"
    (llm2clip / "vision" / "mine.py").write_text(code)
    file.write_text(
        json.dumps({**own, "image_processor_type": "Mine", "auto_map": {"AutoImageProcessor": "mine.Mine"}})
    )
    found = prepared()
    assert (found["processor"], found["image_mean"]) == ("Mine", (0.5, 0.5, 0.5))


def test_a_hub_that_does_not_answer_does_not_say_that_a_processor_is_missing(monkeypatch):
    import huggingface_hub as hub

    from anisoalign.encoders.llm2clip import _is_without

    def silent(*given, **options):
        raise hub.errors.LocalEntryNotFoundError("no connection")

    monkeypatch.setattr(hub, "hf_hub_download", silent)
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda *given, **options: None)
    assert not _is_without("org/tower", "preprocessor_config.json", "main")
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda *given, **options: hub._CACHED_NO_EXIST)
    assert _is_without("org/tower", "preprocessor_config.json", "main")


@pytest.mark.parametrize(
    ("device", "dtype", "expected"),
    [("cuda", "float32", "float32"), ("cuda", "float16", "bfloat16"), ("cpu", "bfloat16", "float32")],
)
def test_llm2clip_halves_its_language_model_only_where_it_may(monkeypatch, device, dtype, expected):
    from anisoalign.encoders import llm2clip as module
    from anisoalign.encoders.opening import OpeningSettings

    asked = []

    def load(name, settings, dtype):
        asked.append(dtype)
        return SimpleNamespace(to=lambda place: torch.nn.Identity()), None

    monkeypatch.setattr(module, "load_model", load)
    assert module._TextSide("llama", OpeningSettings(torch.device(device), getattr(torch, dtype), False, False)).model
    assert asked == [getattr(torch, expected)]


def test_llm2clip_says_what_its_language_model_was_rounded_to(llm2clip):
    encoder = open_encoder(f"llm2clip:{llm2clip / 'vision'}+{llm2clip / 'llama'}", trust_remote_code=True)
    assert encoder.provenance("text")["text_encoder"]["weights_dtype"] == "float32"
    encoder.language_model.bfloat16()  # as on a GPU, where products may be in float16 all the same
    assert encoder.provenance("text")["text_encoder"]["weights_dtype"] == "bfloat16"
    assert "text_encoder" not in encoder.provenance("image")


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
