"""Questions about embeddings, answered: one, a batch, or a conversation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from anisoalign.aligners.transforming import transform_rows
from anisoalign.embeddings import InputError, open_embeddings
from anisoalign.mllm.model import EmbeddingLanguageModel, pad
from anisoalign.mllm.records import Turn
from anisoalign.mllm.settings import SIDES
from anisoalign.mllm.store import unit_rows


def ask(
    model: EmbeddingLanguageModel,
    question: str,
    embedding: Any = None,
    *,
    side: str = "image",
    max_new_tokens: int = 128,
    **options: Any,
) -> str:
    """Answer a question about one embedding.

    Parameters
    ----------
    model : EmbeddingLanguageModel
    question : str
        The placeholder is put before it where it holds none.
    embedding : array or tensor, shape (d,), optional
        Of any norm but zero; None for a question without a picture.
    side : {"image", "text", "substitute"}
        What it is the embedding of. That of a text is moved by the aligner the model was trained with.
    max_new_tokens : int
        Or fewer, where the language model has positions for fewer.
    **options
        Of generation, as transformers calls them: ``do_sample=True, temperature=0.7``.

    Raises
    ------
    InputError
        If the embedding is not of the model's width, holds NaN or is zero, or the question leaves no position of the
        language model for an answer.
    """
    return answers(model, [question], _alone(embedding), side=side, max_new_tokens=max_new_tokens, **options)[0]


def answers(
    model: EmbeddingLanguageModel,
    questions: Sequence[str],
    embeddings: Any = None,
    *,
    side: str = "image",
    max_new_tokens: int = 128,
    **options: Any,
) -> list[str]:
    """Answers to a batch of questions, each about one row of `embeddings`, shape (n, d), or about none."""
    pictured = embeddings is not None
    turns = [[Turn("user", _with_mark(model, question, pictured))] for question in questions]
    return reply(model, turns, prepare(model, embeddings, side), max_new_tokens, **options)


def reply(
    model: EmbeddingLanguageModel,
    talks: Sequence[Sequence[Turn]],
    embeddings: torch.Tensor | None,
    max_new_tokens: int = 128,
    **options: Any,
) -> list[str]:
    """What the model says next in each conversation, without its thoughts; `embeddings` as `prepare` gives them."""
    prompts = [model.chat.prompt(talk) for talk in talks]
    longest = max(len(prompt) for prompt in prompts)
    model.chat.check_length(longest + 1, "a question and one token of its answer")
    room = model.chat.longest(longest + max_new_tokens) - longest
    if room < max_new_tokens and len(talks) > 1:  # a long question would shorten the answers to others
        return [
            reply(model, [talk], rows, max_new_tokens, **options)[0]
            for talk, rows in zip(talks, _parted(model, prompts, embeddings), strict=True)
        ]
    padding = model.tokenizer.pad_token_id or 0
    made = model.generate(
        pad(prompts, padding, left=True).to(model.device),
        pad([np.ones(len(prompt), np.int64) for prompt in prompts], 0, left=True).to(model.device),
        embeddings,
        room,
        **options,
    )
    return [_answer(text) for text in model.tokenizer.batch_decode(made, skip_special_tokens=True)]


def _parted(
    model: EmbeddingLanguageModel, prompts: Sequence[np.ndarray], embeddings: torch.Tensor | None
) -> Sequence[torch.Tensor | None]:
    """The embeddings of each prompt."""
    if embeddings is None:
        return [None] * len(prompts)
    tokens = (int((prompt == model.chat.image_id).sum()) for prompt in prompts)
    return embeddings.split([count // model.settings.visual_tokens for count in tokens])


def _answer(text: str) -> str:
    r"""What follows the thoughts, if there are any: their mark is no special token, so that decoding keeps it.

    Examples
    --------
    >>> _answer("<think>\n\n</think>\n\nyes"), _answer(" no")
    ('yes', 'no')
    """
    return text.rpartition("</think>")[2].strip()


def prepare(model: EmbeddingLanguageModel, embeddings: Any, side: str = "image") -> torch.Tensor | None:
    """Unit rows as the model reads them: those of texts moved by its aligner, shape (n, d), on its device.

    Raises
    ------
    InputError
        If rows are not of the model's width, hold NaN, or are zero.
    """
    if side not in SIDES:
        raise InputError(f"side must be one of {', '.join(SIDES)}, not {side!r}")
    if embeddings is None:
        return None
    if isinstance(embeddings, torch.Tensor):
        embeddings = embeddings.detach().float().cpu().numpy()
    rows = open_embeddings(np.asarray(embeddings), name="embedding", bad_rows="drop")
    if rows.dim != model.width:
        raise InputError(f"the embedding has width {rows.dim}, the model was made for {model.width}")
    values = unit_rows(rows, np.arange(rows.rows), np.float64)
    if side == "text" and model.aligner is not None:
        values = transform_rows(model.aligner, values)  # a batch of questions is no sample that could have drifted
    return torch.from_numpy(np.asarray(values, np.float32)).to(model.device)


@dataclass
class Conversing:
    """A conversation about one embedding that remembers what was said.

    Attributes
    ----------
    model : EmbeddingLanguageModel
    embedding : array or tensor, shape (d,), or None
    side : {"image", "text", "substitute"}
    turns : list of Turn
        What was said so far.
    """

    model: EmbeddingLanguageModel
    embedding: Any = None
    side: str = "image"
    turns: list[Turn] = field(default_factory=list)

    def say(self, question: str, max_new_tokens: int = 128, **options: Any) -> str:
        """Ask on, and return the answer."""
        pictured = self.embedding is not None
        text = _with_mark(self.model, question, pictured and not self.turns)
        talk = [*self.turns, Turn("user", text)]
        rows = prepare(self.model, _alone(self.embedding), self.side)
        answer = reply(self.model, [talk], rows, max_new_tokens, **options)[0]
        self.turns = [*talk, Turn("assistant", answer)]
        return answer


def _alone(embedding: Any) -> Any:
    """One embedding as a batch, or None; a tensor stays one, since NumPy reads none of a GPU or of bfloat16."""
    if embedding is None:
        return None
    return (embedding if isinstance(embedding, torch.Tensor) else np.asarray(embedding))[None]


def _with_mark(model: EmbeddingLanguageModel, question: str, pictured: bool) -> str:
    """The question with the placeholder once, where there is a picture."""
    mark = model.settings.placeholder
    if not question.strip():
        raise InputError("the question is empty")
    count = question.count(mark)
    if count > pictured:
        raise InputError(f"the question holds the placeholder {mark} {count} times, for {int(pictured)} embedding(s)")
    return question.strip() if count or not pictured else f"{mark}\n{question.strip()}"
