"""Small language models with random weights and a byte-level or word tokenizer, made on the spot."""

from __future__ import annotations

import tokenizers
import torch
from tokenizers import decoders, models, pre_tokenizers, trainers
from transformers import (
    FalconConfig,
    FalconForCausalLM,
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from anisoalign.worlds.vocabulary import WORDS

CORPUS = [
    " ".join(WORDS),
    "Describe the image. What colour is the shape? Which shape is it? yes no there is one of the",
    "user assistant system question answer",
]

CHATML = (
    "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}"
    "{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"
)
"""The template of Qwen 2, without its default system message."""


def make_tokenizer(template: str | None = None, specials: tuple[str, ...] = ()) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer trained on the world's words, as Llama 3 and Qwen have."""
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    special = ["<s>", "</s>", "<pad>", *specials]
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator([line for text in CORPUS for line in (text, " " + text)], trainer)
    made = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<s>",
        eos_token=specials[-1] if specials else "</s>",
        pad_token="<pad>",
        additional_special_tokens=list(specials),
    )
    made.chat_template = template
    return made


def small(tokenizer: PreTrainedTokenizerFast, width: int = 32, layers: int = 2) -> dict[str, int]:
    """Sizes that all of the models have."""
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }


def make_llama(tokenizer: PreTrainedTokenizerFast, seed: int = 0, width: int = 32, layers: int = 2) -> LlamaForCausalLM:
    """A Llama of a few ten thousand parameters."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        **small(tokenizer, width, layers),
        intermediate_size=2 * width,
        num_key_value_heads=2,
        max_position_embeddings=512,
        bos_token_id=tokenizer.bos_token_id,
    )
    return LlamaForCausalLM(config).eval()


def make_qwen(tokenizer: PreTrainedTokenizerFast, seed: int = 0) -> Qwen3ForCausalLM:
    """A Qwen 3 of a few ten thousand parameters, input and output embeddings tied."""
    torch.manual_seed(seed)
    config = Qwen3Config(
        **small(tokenizer),
        intermediate_size=64,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=None,
    )
    return Qwen3ForCausalLM(config).eval()


def make_opt(tokenizer: PreTrainedTokenizerFast) -> OPTForCausalLM:
    """An OPT, whose layers drop values by probabilities of their own."""
    torch.manual_seed(0)
    config = OPTConfig(
        **small(tokenizer),
        word_embed_proj_dim=32,
        ffn_dim=64,
        max_position_embeddings=512,
        dropout=0.3,
        bos_token_id=tokenizer.bos_token_id,
    )
    return OPTForCausalLM(config).eval()


def make_gpt2(tokenizer: PreTrainedTokenizerFast, positions: int) -> GPT2LMHeadModel:
    """A GPT-2, which looks its positions up."""
    torch.manual_seed(0)
    config = GPT2Config(**small(tokenizer), n_positions=positions, bos_token_id=tokenizer.bos_token_id)
    return GPT2LMHeadModel(config).eval()


def make_falcon(tokenizer: PreTrainedTokenizerFast) -> FalconForCausalLM:
    """A Falcon, whose layers drop values by probabilities of their configuration."""
    torch.manual_seed(0)
    config = FalconConfig(
        **small(tokenizer),
        hidden_dropout=0.3,
        bos_token_id=tokenizer.bos_token_id,
    )
    return FalconForCausalLM(config).eval()


def make_gemma(tokenizer: PreTrainedTokenizerFast) -> Gemma3ForConditionalGeneration:
    """A Gemma 3 with a vision tower, the language model a part of it, as its larger checkpoints are."""
    torch.manual_seed(0)
    text = {
        **small(tokenizer),
        "intermediate_size": 64,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 512,
        "sliding_window": 16,
        "bos_token_id": None,
    }
    vision = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 28,
        "patch_size": 14,
    }
    config = Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=4)
    return Gemma3ForConditionalGeneration(config).eval()
