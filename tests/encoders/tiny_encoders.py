"""Small models with random weights, saved as the Hugging Face library and others save real ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

WORDS = ["a", "the", "red", "green", "cat", "dog", "photo", "of", "in", "on", "with", "sounds", "like", "rain", "and"]


def byte_letters() -> list[str]:
    """The letters that stand for the 256 bytes in byte-level vocabularies."""
    from tokenizers.pre_tokenizers import ByteLevel

    return sorted(ByteLevel.alphabet())


def clip(folder: Path, seed: int = 0, width: int = 24) -> Path:
    """CLIP with its image processor and its own byte-level tokenizer."""
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

    letters = byte_letters()
    names = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    vocab = {name: number for number, name in enumerate(names)}
    tower = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    ids = {"bos_token_id": vocab["<|startoftext|>"], "eos_token_id": vocab["<|endoftext|>"]}
    config = CLIPConfig(
        text_config={**tower, "vocab_size": len(vocab), "max_position_embeddings": 40, **ids},
        vision_config={**tower, "image_size": 32, "patch_size": 8},
        projection_dim=width,
    )
    torch.manual_seed(seed)
    CLIPModel(config).save_pretrained(folder)
    CLIPTokenizer(vocab, [], model_max_length=40).save_pretrained(folder)
    size = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    CLIPImageProcessorPil(**size).save_pretrained(folder)
    return folder


def siglip(folder: Path, seed: int = 0) -> Path:
    """SigLIP with a SentencePiece tokenizer trained on a few words."""
    import sentencepiece
    from transformers import SiglipConfig, SiglipImageProcessorPil, SiglipModel, SiglipTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "words.txt").write_text("\n".join(" ".join(WORDS[i:] + WORDS[:i]) for i in range(len(WORDS))))
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "words.txt"), model_prefix=str(folder / "spiece"), vocab_size=32, minloglevel=2
    )
    tower = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = SiglipConfig(
        text_config={**tower, "vocab_size": 32, "max_position_embeddings": 16, "projection_size": 32},
        vision_config={**tower, "image_size": 32, "patch_size": 8},
    )
    torch.manual_seed(seed)
    SiglipModel(config).save_pretrained(folder)
    SiglipTokenizer(str(folder / "spiece.model"), model_max_length=16).save_pretrained(folder)
    SiglipImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def siglip2(folder: Path, seed: int = 0) -> Path:
    """SigLIP 2, whose pictures keep their shape and whose tokenizer falls back to bytes."""
    from transformers import Siglip2Config, Siglip2ImageProcessorPil, Siglip2Model, Siglip2Tokenizer

    names = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁"]
    names += [chr(code) for code in range(ord("a"), ord("z") + 1)]
    vocab = {name: number for number, name in enumerate(names)}
    tower = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = Siglip2Config(
        text_config={**tower, "vocab_size": len(vocab), "max_position_embeddings": 64, "projection_size": 32},
        vision_config={**tower, "num_patches": 16, "patch_size": 8},
    )
    torch.manual_seed(seed)
    Siglip2Model(config).save_pretrained(folder)
    Siglip2Tokenizer(vocab, [], model_max_length=64).save_pretrained(folder)
    Siglip2ImageProcessorPil(patch_size=8, max_num_patches=16).save_pretrained(folder)
    return folder


def clap(folder: Path, seed: int = 0, fused: bool = False) -> Path:
    """CLAP, with or without feature fusion."""
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel, RobertaTokenizer

    names = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *byte_letters()]
    vocab = {name: number for number, name in enumerate(names)}
    config = ClapConfig(
        text_config={
            "vocab_size": len(vocab),
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 64,
            "max_position_embeddings": 66,
            "pad_token_id": 1,
        },
        audio_config={
            "spec_size": 256,
            "num_mel_bins": 64,
            "patch_embeds_hidden_size": 8,
            "hidden_size": 16,
            "depths": [1, 1],
            "num_attention_heads": [2, 2],
            "window_size": 4,
            "patch_size": 16,
            "patch_stride": [16, 16],
            "enable_fusion": fused,
            "fusion_type": "aff_2d" if fused else None,
        },
        projection_dim=20,
    )
    torch.manual_seed(seed)
    ClapModel(config).save_pretrained(folder)
    RobertaTokenizer(vocab, [], model_max_length=64).save_pretrained(folder)
    ClapFeatureExtractor(
        feature_size=64,
        sampling_rate=8000,
        hop_length=80,
        max_length_s=1,
        fft_window_size=256,
        frequency_max=4000,
        truncation="fusion" if fused else "rand_trunc",
    ).save_pretrained(folder)
    return folder


def picture(seed: int, width: int = 48, height: int = 40):
    """A PIL image with coarse structure, so that resizing it is not a matter of noise."""
    from PIL import Image

    coarse = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BILINEAR)


def caption(seed: int) -> str:
    """A short text, another one for each seed."""
    words = ["a", "photo", "of", "the", "red", "cat", "dog", "green", "rain"]
    chosen = np.random.default_rng(seed).choice(words, 4 + seed % 3)
    return f"{' '.join(chosen)} {seed}"


def unit(rows) -> np.ndarray:
    """Rows divided by their norms, float64."""
    rows = np.asarray(rows, np.float64)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


class Slow:
    """A preparation that writes the number of its process into a file and takes a minute."""

    portable = True

    def __init__(self, file: str):
        self.file = file

    def one(self, content):
        import os
        import time

        begun = Path(f"{self.file}.begun")
        begun.write_text(str(os.getpid()))
        begun.replace(self.file)  # whoever sees the file sees the number in it
        time.sleep(60)
