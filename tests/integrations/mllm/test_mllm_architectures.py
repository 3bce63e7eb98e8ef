"""Which language models are taken: parts of multimodal checkpoints too, and none that reads tokens alone."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import CHATML, make_gemma, make_llama, make_tokenizer
from training_runs import write_settings
from transformers import Gemma3nTextConfig, OpenAIGPTConfig, OpenAIGPTLMHeadModel

from anisoalign.embeddings import InputError
from anisoalign.mllm import EmbeddingLanguageModel, load_mllm
from anisoalign.mllm.language_models import load_lm

pytestmark = pytest.mark.integration


@pytest.fixture
def gemma(tmp_path):
    """Folder of a multimodal checkpoint, and the model in it."""
    tokenizer = make_tokenizer(CHATML, ("<|im_start|>", "<|im_end|>"))
    whole, folder = make_gemma(tokenizer), tmp_path / "gemma"
    whole.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder, whole


def test_of_a_multimodal_checkpoint_the_language_model_is_loaded(gemma, tmp_path):
    folder, whole = gemma
    ids = torch.arange(20, 40)[None]
    alone = load_lm(folder)
    torch.testing.assert_close(alone(input_ids=ids).logits, whole(input_ids=ids).logits, rtol=0, atol=0)
    assert not any("vision" in name for name, _ in alone.named_parameters())
    alone.save_pretrained(tmp_path / "alone")
    again = load_lm(tmp_path / "alone")
    torch.testing.assert_close(again(input_ids=ids).logits, alone(input_ids=ids).logits, rtol=0, atol=0)


def test_weights_that_are_not_found_are_named_not_drawn(gemma):
    folder, _ = gemma
    weights = load_file(folder / "model.safetensors")
    name = next(name for name in weights if name.endswith("layers.1.mlp.up_proj.weight"))
    save_file({key: value for key, value in weights.items() if key != name}, folder / "model.safetensors")
    with pytest.raises(InputError, match=r"1 weights of the language model are not found: model.layers.1.mlp.up_proj"):
        load_lm(folder)


@pytest.mark.parametrize("learns", ["lora", "full"])
def test_a_multimodal_checkpoint_is_planned_trained_and_asked(world, gemma, run, learns):
    settings = write_settings(world, gemma[0], learns=learns)
    planned = run("plan", settings)
    assert planned.code == 0, planned.err
    ended = run("train", settings, "--out", world.folder / "run")
    assert ended.code == 0, ended.err
    model = load_mllm(world.folder / "run")
    assert isinstance(model.ask("Which shape?", world.image[0], max_new_tokens=4), str)


def test_models_whose_generation_takes_tokens_alone_are_refused_before_training(world, tmp_path, run):
    tokenizer = make_tokenizer(CHATML, ("<|im_start|>", "<|im_end|>"))
    lm = OpenAIGPTLMHeadModel(OpenAIGPTConfig(vocab_size=len(tokenizer), n_embd=16, n_layer=1, n_head=2))
    message = "class OpenAIGPTLMHeadModel cannot be taken: its generation takes tokens alone"
    with pytest.raises(InputError, match=message):
        EmbeddingLanguageModel.from_parts(lm, tokenizer, 16)
    lm.save_pretrained(tmp_path / "gpt")
    tokenizer.save_pretrained(tmp_path / "gpt")
    settings = write_settings(world, tmp_path / "gpt")
    for command in (("plan", settings), ("train", settings, "--out", world.folder / "run")):
        ended = run(*command)
        assert (ended.code, message in ended.err) == (2, True), ended.err
    assert not (world.folder / "run").exists()


def test_models_whose_layers_look_tokens_up_are_refused():
    tokenizer = make_tokenizer(CHATML, ("<|im_start|>", "<|im_end|>"))
    lm = make_llama(tokenizer)
    lm.config = Gemma3nTextConfig(hidden_size_per_layer_input=8)
    with pytest.raises(InputError, match="its layers look up every token themselves"):
        EmbeddingLanguageModel.from_parts(lm, tokenizer, 16)
