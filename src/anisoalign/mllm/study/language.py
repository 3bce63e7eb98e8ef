"""The small language model of the study: about a million parameters, trained from scratch on the world's language.

It learns from words alone – descriptions of scenes that nobody renders, questions, answers – to answer from a
description and to word it anew. Then it is frozen as "the LLM": what a projector must learn is to put into its input
what a description would have said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from anisoalign.mllm.study.described import read
from anisoalign.mllm.study.questions import FORMS, NUMBERS, ask_all
from anisoalign.worlds import Scene, caption, draw_scenes
from anisoalign.worlds.domains import SHIFTED, TRAINING
from anisoalign.worlds.vocabulary import WORDS

PAD, UNKNOWN, USER, ASSISTANT, END, IMAGE = "<pad>", "<unk>", "<user>", "<assistant>", "<end>", "<image>"
PROMPT = "describe the picture"
CHAT = (
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}"
    "<assistant> {% generation %}{{ message['content'] + ' <end>' }}{% endgeneration %}{{ ' ' }}"
    "{% else %}{{ '<user> ' + message['content'] + ' ' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}<assistant> {% endif %}"
)
LAW = replace(
    TRAINING,
    name="spoken",
    counts=(0.45, 0.45, 0.1),
    terse_rates=(0.95, 0.95, 0.6, 0.6, 0.5, 0.6, 0.9),
    detailed_rates=(0.97, 0.97, 0.9, 0.9, 0.9, 0.9, 1.0),
    rare_word_rate=0.4,
    list_rate=0.5,
    wrong_rate=0.0,
)
"""Of the scenes that are spoken of: descriptions say much, in all wordings."""
TURNS = 3
"""Questions about each description."""
OTHER_WORDS = 0.02
"""Weight in the loss of words that are not an answer's."""
CHUNK = 50
"""Batches drawn at a time, of which each has dialogues of about one length."""


@dataclass(frozen=True)
class LanguageSettings:
    """Sizes of the model and of its training."""

    hidden: int = 128
    layers: int = 3
    heads: int = 4
    feed_forward: int = 384
    steps: int = 1200
    batch: int = 64
    learning_rate: float = 2e-3
    seed: int = 0


def vocabulary() -> list[str]:
    """Every word of captions, questions, answers and the chat; the position of a word is its token."""
    asked = (
        "? , which where how many large what colour warm cold round straight main object objects both or edge "
        "nearer anything beside there is are the describe picture yes no"
    )
    words = [*asked.split(), *NUMBERS, *(word for word in WORDS if not word.startswith("<"))]
    return [PAD, UNKNOWN, USER, ASSISTANT, END, *sorted(set(words))]


def make_tokenizer() -> Any:
    """The word-level tokenizer with its chat template, a `PreTrainedTokenizerFast`."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.WordLevel({word: i for i, word in enumerate(vocabulary())}, unk_token=UNKNOWN))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token=PAD,
        unk_token=UNKNOWN,
        eos_token=END,
        additional_special_tokens=[USER, ASSISTANT],
    )
    tokenizer.chat_template = CHAT
    return tokenizer


def make_model(settings: LanguageSettings) -> Any:
    """An untrained `LlamaForCausalLM` of the vocabulary's size; its weights depend on the seed alone."""
    from transformers import LlamaConfig, LlamaForCausalLM

    words = vocabulary()
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=settings.hidden,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        intermediate_size=settings.feed_forward,
        max_position_embeddings=128,
        initializer_range=settings.hidden**-0.5,
        tie_word_embeddings=True,
        pad_token_id=words.index(PAD),
        bos_token_id=None,
        eos_token_id=words.index(END),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        return LlamaForCausalLM(config)


def spoken(start: int, rows: int, seed: int) -> list[list[tuple[str, str]]]:
    """Dialogues about scenes ``start`` … of which only words exist: turns of what is asked and what is answered.

    The first turn holds the description where a picture would be.
    """
    dialogues = []
    for number, scene in enumerate(draw_scenes(rows, seed, LAW, start), start):
        rng = np.random.default_rng([seed, number])
        description = caption(scene)
        if rng.random() < 0.2:
            dialogues.append([(f"{description} {PROMPT}", caption(_reworded(scene, rng)))])
            continue
        found = ask_all(read(description), number, rng)
        turns = [(found[i].text, found[i].answer) for i in rng.permutation(len(found))[:TURNS]]
        dialogues.append([(f"{description} {turns[0][0]}", turns[0][1]), *turns[1:]])
    return dialogues


def _reworded(scene: Scene, rng: np.random.Generator) -> Scene:
    """The same scene in other words, of which only some are said, as a captioner would."""
    rates = np.asarray(SHIFTED.detailed_rates if rng.random() < 0.5 else SHIFTED.terse_rates)
    names = ("colour", "shape", "size", "position", "fill", "background", "others")
    said = frozenset(n for n, keep in zip(names, rng.random(len(names)) < rates, strict=True) if keep)
    return replace(
        scene,
        mentions=scene.mentions & said,
        rare_words=bool(rng.random() < 0.5),
        as_list=bool(rng.random() < 0.6),
        phrasing=int(rng.integers(12)),
    )


def encode(dialogues: Sequence[Sequence[tuple[str, str]]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens (n, longest) of dialogues, and which of them are answers (with their end)."""
    number = {word: i for i, word in enumerate(vocabulary())}
    rows, answers = [], []
    for turns in dialogues:
        tokens: list[int] = []
        answer: list[bool] = []
        for asked, said in turns:
            for text, counts in ((f"{USER} {asked} {ASSISTANT}", False), (f"{said} {END}", True)):
                words = [number[word] for word in text.split()]
                tokens += words
                answer += [counts] * len(words)
        rows.append(tokens)
        answers.append(answer)
    longest = max(map(len, rows))
    return (
        torch.tensor([row + [0] * (longest - len(row)) for row in rows]),
        torch.tensor([row + [False] * (longest - len(row)) for row in answers]),
    )


def pretrain(settings: LanguageSettings, progress: Callable[[int, float], None] | None = None) -> Any:
    """Train the language model; the same settings on the same machine give the same weights.

    Answers count fully, other words little: it should also know how descriptions run.
    """
    model = make_model(settings).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=0.05, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, total_steps=settings.steps, pct_start=0.05
    )
    for step, (tokens, answers) in enumerate(_batches(settings)):
        logits = model(input_ids=tokens, attention_mask=(tokens > 0).long()).logits[:, :-1]
        weight = torch.where(answers[:, 1:], 1.0, OTHER_WORDS) * (tokens[:, 1:] > 0)
        losses = functional.cross_entropy(logits.transpose(1, 2), tokens[:, 1:], reduction="none")
        loss = (losses * weight).sum() / weight.sum()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if progress is not None:
            progress(step + 1, loss.item())
    return model.eval()


def _batches(settings: LanguageSettings) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Batches of dialogues of about one length, none of which comes twice."""
    for first in range(0, settings.steps, CHUNK):
        batches = min(CHUNK, settings.steps - first)
        dialogues = spoken(first * settings.batch, batches * settings.batch, settings.seed)
        dialogues.sort(key=lambda turns: sum(len(asked.split()) + len(said.split()) for asked, said in turns))
        for batch in np.random.default_rng([settings.seed, first]).permutation(batches):
            yield encode(dialogues[batch * settings.batch : (batch + 1) * settings.batch])


def accuracy_in_words(model: Any, rows: int, seed: int) -> dict[str, float]:
    """Share of first questions, by form, that the model answers exactly from a description it never saw."""
    found: dict[str, list[bool]] = {form: [] for forms in FORMS.values() for form in forms}
    dialogues, forms = [], []
    for number, scene in enumerate(draw_scenes(rows, seed, LAW)):
        description = caption(scene)
        for question in ask_all(read(description), number, np.random.default_rng([seed, number])):
            dialogues.append([(f"{description} {question.text}", question.answer)])
            forms.append(question.form)
    tokens, answers = encode(dialogues)
    with torch.inference_mode():
        for part in torch.arange(len(tokens)).split(500):
            said = model(input_ids=tokens[part], attention_mask=(tokens[part] > 0).long()).logits[:, :-1].argmax(-1)
            right = ((said == tokens[part, 1:]) | ~answers[part, 1:]).all(dim=1)
            for row, correct in zip(part.tolist(), right.tolist(), strict=True):
                found[forms[row]].append(correct)
    return {form: float(np.mean(right)) for form, right in found.items() if right}
