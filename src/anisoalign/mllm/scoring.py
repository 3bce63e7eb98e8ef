"""Scores of a model on a benchmark of one's own: questions about embeddings that it has not been trained on."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from anisoalign.embeddings import InputError
from anisoalign.mllm.asking import prepare, reply
from anisoalign.mllm.cider import cider_d
from anisoalign.mllm.given import check_store, moved
from anisoalign.mllm.joined import collate
from anisoalign.mllm.model import EmbeddingLanguageModel
from anisoalign.mllm.questions import KINDS, Question, read_questions, yes_or_no
from anisoalign.mllm.records import Conversation, Turn
from anisoalign.mllm.store import EmbeddingStore
from anisoalign.mllm.vqa import vqa_accuracy

SCHEMA_VERSION = 1

_LENGTHS = {"yes/no": 8, "exact": 32, "vqa": 32, "caption": 64}
"""New tokens at most, by kind, where no right answer is longer."""

_BESIDE = 4
"""More of them than the longest right answer has: punctuation, and the end."""

_THOUGHTS = 512
"""More of them where an answer is preceded by thoughts."""

_VALUE = re.compile(r"(?:(?<![\w.])-?\.?(?=\d))?[^\W_]+(?:(?:'|(?<=\d)\.(?=\d))[^\W_]+)*")
"""Words as captions are compared by, but numbers with their sign and decimal point."""

_IN_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
"""The comma of 1,000."""


@dataclass(frozen=True)
class Scores:
    """What `score` found.

    Attributes
    ----------
    kinds : dict
        Kind of question -> its metrics over all groups. `choice`: `accuracy`, `chance`. `yes/no`: `accuracy`,
        `precision`, `recall`, `f1` of yes, `yes_rate`, `unanswered`. `exact`: `accuracy`. `vqa`: `accuracy`, of
        VQAv2. `caption`: `cider_d`. Each with `rows`.
    groups : dict
        Group -> kind -> metrics.
    predictions : list of str
        What was said to each question, or the choice taken, in order.
    """

    kinds: dict[str, dict[str, Any]]
    groups: dict[str, dict[str, dict[str, Any]]]
    predictions: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, predictions left out."""
        return {"schema_version": SCHEMA_VERSION, "kinds": self.kinds, "groups": self.groups}


def score(
    model: EmbeddingLanguageModel,
    questions: str | Path | Sequence[Mapping[str, Any]],
    embeddings: Any = None,
    *,
    side: str | None = None,
    column: str | None = None,
    id_column: str | None = None,
    batch_size: int = 32,
    max_new_tokens: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Scores:
    """Ask a model the questions of a benchmark and score its answers.

    Parameters
    ----------
    model : EmbeddingLanguageModel
    questions : path or sequence of dict
        See `anisoalign.mllm.questions`.
    embeddings : EmbeddingStore, path, EmbeddingSet, or (array, ids), optional
        Found by the questions' ids. None asks blindly, without a picture.
    side : {"image", "text", "substitute"}, optional
        What they are embeddings of, by default what a store says, else images; those of texts are moved by the aligner
        the model was trained with.
    column, id_column : str, optional
        Of the vectors and of their ids, where files hold several.
    batch_size : int
    max_new_tokens : int, optional
        By default 8 for yes or no, 32 for a short answer, 64 for a caption, or 4 more than the longest right answer of
        the kind has; 512 more for a model with `thinking`.
    progress : callable, optional
        Called with the questions done and in all.

    Raises
    ------
    InputError
        For questions that cannot be scored or are longer than the language model can read, ids without embedding, a
        store of another side, or embeddings that do not fit the model.
    """
    asked = read_questions(questions)
    rows = _rows(model, asked, _store(model, embeddings, side, column, id_column))
    lengths = {kind: max_new_tokens or _length(model, kind, asked) for kind in _LENGTHS}
    said = [""] * len(asked)
    done = 0
    for kind in KINDS:
        numbers = sorted((i for i, one in enumerate(asked) if one.kind == kind), key=lambda i: len(asked[i].text))
        for start in range(0, len(numbers), batch_size):
            part = numbers[start : start + batch_size]
            given = None if rows is None else rows(np.array(part))
            batch = [asked[i] for i in part]
            if kind == "choice":
                answered = _choose(model, batch, given, batch_size)
            else:
                answered = _say(model, batch, given, lengths[kind])
            for number, text in zip(part, answered, strict=True):
                said[number] = text
            done += len(part)
            if progress is not None:
                progress(done, len(asked))
    return summarise(asked, said)


def summarise(asked: Sequence[Question], said: Sequence[str]) -> Scores:
    """Metrics of answers, by kind, and by group and kind."""
    captions = [i for i, one in enumerate(asked) if one.kind == "caption"]
    # Rarity of words is that of all references, so that groups can be compared.
    values = cider_d([said[i] for i in captions], [asked[i].answers for i in captions])
    cider = dict(zip(captions, values, strict=True))
    groups = {
        name: [i for i, one in enumerate(asked) if one.group == name] for name in sorted({q.group for q in asked})
    }
    whole = _by_kind(asked, said, range(len(asked)), cider)
    parts = {name: _by_kind(asked, said, rows, cider) for name, rows in groups.items() if name}
    return Scores(whole, parts, list(said))


def _by_kind(
    asked: Sequence[Question], said: Sequence[str], rows: Sequence[int], cider: Mapping[int, float]
) -> dict[str, dict[str, Any]]:
    found = {}
    for kind in KINDS:
        mine = [i for i in rows if asked[i].kind == kind]
        if not mine:
            continue
        pairs = [(asked[i], said[i]) for i in mine]
        if kind == "caption":
            metrics: dict[str, Any] = {"cider_d": float(np.mean([cider[i] for i in mine]))}
        elif kind == "vqa":
            metrics = {"accuracy": float(np.mean([vqa_accuracy(text, one.answers) for one, text in pairs]))}
        elif kind == "yes/no":
            metrics = _yes_no([(bool(yes_or_no(one.answers[0])), yes_or_no(text)) for one, text in pairs])
        else:
            metrics = {"accuracy": float(np.mean([_right(one, text) for one, text in pairs]))}
            if kind == "choice":
                metrics["chance"] = float(np.mean([1 / len(one.choices) for one, _ in pairs]))
        found[kind] = {"rows": len(mine), **metrics}
    return found


def _right(question: Question, said: str) -> bool:
    """Whether an answer is one of the right ones, but for case, articles and punctuation outside numbers."""
    if question.kind == "choice":
        return said == question.answers[0]
    return _bare(said) in {_bare(answer) for answer in question.answers}


def _bare(text: str) -> tuple[str, ...]:
    """The words of an answer without articles, or with them where it has no others: "A" may be what is right."""
    text = unicodedata.normalize("NFC", text.lower()).replace("’", "'").replace("\u2212", "-")  # a typesetter's minus
    spoken = tuple(_VALUE.findall(_IN_THOUSANDS.sub("", text)))
    return tuple(word for word in spoken if word not in ("a", "an", "the")) or spoken or (text.strip(),)


def _yes_no(pairs: Sequence[tuple[bool, bool | None]]) -> dict[str, Any]:
    """Metrics of yes as the positive answer; what is neither is wrong, and counts as not yes."""
    true = sum(truth for truth, _ in pairs)
    yes = sum(said is True for _, said in pairs)
    hit = sum(truth and said is True for truth, said in pairs)
    return {
        "accuracy": sum(said is truth for truth, said in pairs) / len(pairs),
        "precision": hit / yes if yes else 0.0,
        "recall": hit / true if true else 0.0,
        "f1": 2 * hit / (yes + true) if yes + true else 0.0,
        "yes_rate": yes / len(pairs),
        "unanswered": sum(said is None for _, said in pairs) / len(pairs),
    }


def _store(
    model: EmbeddingLanguageModel, given: Any, side: str | None, column: str | None, id_column: str | None
) -> EmbeddingStore | None:
    """The embeddings as the model was trained to read them: texts are moved."""
    if given is None:
        return None
    if not isinstance(given, EmbeddingStore):
        source, ids = given if isinstance(given, tuple) else (given, None)
        given = EmbeddingStore(source, ids=ids, side=side or "image", column=column, id_column=id_column)
    elif column is not None or id_column is not None:
        raise InputError(f"{given.set.name}: a store has its columns already; name them where it is made")
    elif side not in (None, given.side):
        raise InputError(f"{given.set.name}: the store is of side {given.side!r}, not {side!r}")
    return moved(given, model.aligner)


def _rows(
    model: EmbeddingLanguageModel, asked: Sequence[Question], store: EmbeddingStore | None
) -> Callable[[np.ndarray], torch.Tensor] | None:
    """Function from numbers of questions to what the model reads."""
    if store is None:
        return None
    check_store(model, store)
    found = store.rows_of([question.id for question in asked])
    # A store has moved rows of texts already.
    return lambda numbers: prepare_rows(model, store.take(found[numbers]))


def prepare_rows(model: EmbeddingLanguageModel, rows: np.ndarray) -> torch.Tensor:
    """Rows that need no aligner any more, on the model's device."""
    prepared = prepare(model, rows, "substitute")
    assert prepared is not None
    return prepared


def _turn(model: EmbeddingLanguageModel, question: Question, pictured: bool) -> Turn:
    mark = model.settings.placeholder
    bare = question.text.replace(mark, "").strip()
    return Turn("user", f"{mark}\n{bare}" if pictured else bare)


def _say(model: EmbeddingLanguageModel, batch: Sequence[Question], rows: torch.Tensor | None, length: int) -> list[str]:
    return reply(model, [[_turn(model, one, rows is not None)] for one in batch], rows, length)


def _length(model: EmbeddingLanguageModel, kind: str, asked: Sequence[Question]) -> int:
    """New tokens that leave room for every right answer to questions of a kind."""
    answers = [answer for one in asked if one.kind == kind for answer in one.answers]
    counts = [len(model.tokenizer(answer, add_special_tokens=False)["input_ids"]) for answer in answers]
    return max([_LENGTHS[kind], *(count + _BESIDE for count in counts)]) + (_THOUGHTS if model.settings.thinking else 0)


def _choose(
    model: EmbeddingLanguageModel, batch: Sequence[Question], rows: torch.Tensor | None, size: int
) -> list[str]:
    """The choice whose tokens are likeliest on average, the end of the answer among them."""
    owners = [number for number, one in enumerate(batch) for _ in one.choices]
    talks = [
        Conversation(one.id, (_turn(model, one, rows is not None), Turn("assistant", choice)), rows is not None)
        for one in batch
        for choice in one.choices
    ]
    values = np.concatenate(
        [
            likelihoods(model, talks[i : i + size], None if rows is None else rows[owners[i : i + size]])
            for i in range(0, len(talks), size)
        ]
    )
    chosen, start = [], 0
    for one in batch:
        own = values[start : start + len(one.choices)]
        if np.isnan(own).any():  # of which argmax would make an answer
            raise InputError(f"id {one.id!r}: the likelihood of a choice is NaN; the model's weights may not be finite")
        chosen.append(one.choices[int(np.argmax(own))])
        start += len(one.choices)
    return chosen


@torch.inference_mode()
def likelihoods(model: EmbeddingLanguageModel, talks: Sequence[Conversation], rows: torch.Tensor | None) -> np.ndarray:
    """Mean log-probability of the tokens of each conversation's answers, in nats, shape (n,).

    `rows`, shape (pictures, d), are as the model reads them.
    """
    tokens = [model.chat.tokens(talk) for talk in talks]
    model.chat.check_length(max(len(one) for one in tokens), "a question with one of its choices")
    batch = collate(tokens, rows, model.tokenizer.pad_token_id or 0)
    ids, mask, labels, embeddings = batch.to(model.device)
    return (-model.row_losses(ids, mask, labels, embeddings)).cpu().numpy()
