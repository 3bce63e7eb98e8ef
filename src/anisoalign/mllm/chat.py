"""Conversations as tokens, with a label on every token that the model itself would have to write.

Three ways, the first that applies:

1. a chat template with ``{% generation %}`` marks says itself what is an answer, where they begin as prompts end;
2. otherwise answers are found in the rendered text by what the template makes of the conversation up to each of
   them; a template for which that does not work is refused, never guessed at;
3. a tokenizer without a template gets `templates.PLAIN`, in which ``USER:`` and ``ASSISTANT:`` take turns and every
   answer ends with the tokenizer's end-of-sequence token.

What stands in a conversation's text, `anisoalign.mllm.templates` tells; here it becomes tokens, by
`anisoalign.mllm.reading`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from anisoalign.embeddings import InputError
from anisoalign.mllm.reading import Reader, Span
from anisoalign.mllm.records import Conversation, Turn
from anisoalign.mllm.settings import ModelSettings
from anisoalign.mllm.templates import WAY, Template, answers_in

IGNORED = -100
"""Label of a token that is not learned."""


@dataclass(frozen=True)
class Tokens:
    """A conversation as a model reads it.

    Attributes
    ----------
    ids : ndarray of int64, shape (length,)
    labels : ndarray of int64, shape (length,)
        The ids of answers, `IGNORED` elsewhere.
    truncated : bool
        Whether its end was cut off.
    """

    ids: np.ndarray
    labels: np.ndarray
    truncated: bool = False

    def __len__(self) -> int:
        return len(self.ids)


class Chat:
    """A tokenizer with its chat template and its image token.

    Parameters
    ----------
    tokenizer : PreTrainedTokenizerFast
        It gains the placeholder as a token, and a template where it has none.
    settings : ModelSettings
    positions : int, optional
        Tokens that the language model reads at most.

    Raises
    ------
    InputError
        If the tokenizer cannot say which characters a token stands for, or has no end-of-sequence token.
    """

    def __init__(self, tokenizer: Any, settings: ModelSettings, positions: int | None = None):
        if not getattr(tokenizer, "is_fast", False):
            raise InputError("the tokenizer must be a fast one, which knows the characters of each token")
        self.tokenizer, self.settings, self.positions = tokenizer, settings, positions
        self.template = Template(tokenizer, settings)
        tokenizer.add_tokens([settings.placeholder], special_tokens=True)
        self.image_id: int = tokenizer.convert_tokens_to_ids(settings.placeholder)
        if tokenizer(settings.placeholder, add_special_tokens=False)["input_ids"] != [self.image_id]:
            raise InputError(f"the tokenizer cuts the placeholder {settings.placeholder} into pieces")
        self.reader = Reader(tokenizer)

    def prompt(self, turns: Sequence[Turn]) -> np.ndarray:
        """Ids of a conversation that is to be answered, shape (length,)."""
        return self.reader.read(*self.template.text(turns, answer_next=True)).ids

    def longest(self, max_length: int) -> int:
        """Tokens that are read of a conversation: `max_length`, or those that the language model has positions for."""
        return max_length if self.positions is None else min(max_length, self.positions)

    def check_length(self, count: int, what: str) -> None:
        """Raise InputError for more tokens than the language model has positions for."""
        if self.positions is not None and count > self.positions:
            raise InputError(f"{what} takes {count} tokens; the language model has positions for {self.positions}")

    def tokens(self, talk: Conversation, max_length: int = 0) -> Tokens:
        """Ids and labels of a conversation, cut to `max_length` tokens if it is above 0.

        Raises
        ------
        InputError
            If the template does not show which tokens are answers, or leaves a system message out, or the cut leaves
            no answer or no whole picture.
        """
        try:
            self.template.check_system(talk.turns)
            text, spans = self._by_marks(talk.turns) if self.template.marks else self.template.with_answers(talk.turns)
            ids, labels = self._labelled(text, spans)
        except InputError as error:
            raise InputError(f"id {talk.id!r}: {error}") from error
        truncated = 0 < max_length < len(ids)
        if truncated:
            whole, ids, labels = ids, ids[:max_length], labels[:max_length]
            if (ids == self.image_id).sum() < (whole == self.image_id).sum() or (labels == IGNORED).all():
                bound = "the language model's positions" if max_length == self.positions else "max_length"
                raise InputError(
                    f"id {talk.id!r}: the first {max_length} of its {len(whole)} tokens ({bound}) hold no whole "
                    "picture and answer"
                )
        return Tokens(ids, labels, truncated)

    def _by_marks(self, turns: Sequence[Turn]) -> tuple[str, list[Span]]:
        """As `Template.with_answers`, where the template's own marks say where answers end."""
        text, starts = self.template.text(turns)
        made = self.tokenizer.apply_chat_template(
            self.template.messages(turns),
            tokenize=True,
            return_dict=True,
            return_assistant_tokens_mask=True,
            tokenizer_kwargs={"return_offsets_mapping": True},
            **self.template.options(),
        )
        runs, stops = _runs(np.asarray(made["assistant_masks"], bool)), set(self.template.stop_ids)
        answers = len(answers_in(turns))
        if len(runs) != answers:
            raise InputError(f"the chat template marks {len(runs)} answers of {answers}")
        if len(starts) != answers:
            raise InputError(f"the chat template asks for an answer in another way than it shows it; {WAY}")
        spans = []
        for number, (start, (first, stop)) in enumerate(zip(starts, runs, strict=True), 1):
            if not stops.intersection(made["input_ids"][first:stop]):
                # Marks that leave the end of a turn out would teach a model never to stop.
                if not stops.intersection(made["input_ids"][stop : stop + 1]):
                    raise InputError(f"the chat template marks no token that ends answer {number}; {WAY}")
                stop += 1
            spans.append((start, made["offset_mapping"][stop - 1][1]))
        return text, spans

    def _labelled(self, text: str, spans: Sequence[Span]) -> tuple[np.ndarray, np.ndarray]:
        """Ids and labels of a text with answers at the given characters."""
        read = self.reader.read(text, [start for start, _ in spans])
        labels = np.full(len(read.ids), IGNORED, np.int64)
        for first, (_, stop) in zip(read.firsts, spans, strict=True):
            begins, ends = read.characters[first:].T
            found = np.flatnonzero((begins < stop) & (ends > begins))
            if not len(found):
                raise InputError("the tokenizer leaves no token for an answer")
            last = first + found[-1] + 1
            labels[first:last] = read.ids[first:last]
        return read.ids, labels


def _runs(learned: np.ndarray) -> list[tuple[int, int]]:
    """First places of runs that are learned, and the places after their last."""
    changes = np.flatnonzero(np.diff(learned.astype(np.int8), prepend=0, append=0))
    return [(int(start), int(stop)) for start, stop in changes.reshape(-1, 2)]
