"""Conversations as tokens, with a label on every token that the model itself would have to write.

Three ways, the first that applies:

1. a chat template with ``{% generation %}`` marks says itself what is an answer, where they begin as prompts end;
2. otherwise answers are found in the rendered text by what the template makes of the conversation up to each of
   them; a template for which that does not work is refused, never guessed at;
3. a tokenizer without a template gets `PLAIN`, in which ``USER:`` and ``ASSISTANT:`` take turns and every answer
   ends with the tokenizer's end-of-sequence token.

An answer is learned after exactly what `Chat.prompt` gives for it. Where a template shows earlier answers otherwise
than it asks for them, conversations are assembled answer by answer, in training and in prompts alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np

from anisoalign.embeddings import InputError
from anisoalign.mllm.records import Conversation, Turn
from anisoalign.mllm.settings import ModelSettings

PLAIN = (
    "{{ bos_token if bos_token else '' }}"
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ message['content'] + '\n' }}"
    "{% elif message['role'] == 'user' %}{{ 'USER: ' + message['content'] + '\n' }}"
    "{% else %}ASSISTANT:{% generation %}{{ ' ' + message['content'] + eos_token }}{% endgeneration %}{{ '\n' }}"
    "{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
"""The chat template of tokenizers that have none."""

_CODES = ("%-d", "%d", "%-m", "%m", "%b", "%B", "%a", "%A", "%y", "%Y", "%j", "%H", "%I", "%M", "%S", "%p")
"""Parts of a date that templates write."""

IGNORED = -100
"""Label of a token that is not learned."""


Span = tuple[int, int]
"""The first character, and the one after the last."""


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
        It gains the placeholder as a token and, where it has none, `PLAIN` as its chat template.
    settings : ModelSettings

    Raises
    ------
    InputError
        If the tokenizer cannot say which characters a token stands for, or has no end-of-sequence token.
    """

    def __init__(self, tokenizer: Any, settings: ModelSettings):
        if not getattr(tokenizer, "is_fast", False):
            raise InputError("the tokenizer must be a fast one, which knows the characters of each token")
        self.tokenizer, self.settings = tokenizer, settings
        if settings.chat == "plain" or not tokenizer.chat_template:
            if tokenizer.eos_token is None:
                raise InputError("the tokenizer has neither a chat template nor an end-of-sequence token")
            tokenizer.chat_template = PLAIN
        tokenizer.add_tokens([settings.placeholder], special_tokens=True)
        self.image_id: int = tokenizer.convert_tokens_to_ids(settings.placeholder)
        if tokenizer(settings.placeholder, add_special_tokens=False)["input_ids"] != [self.image_id]:
            raise InputError(f"the tokenizer cuts the placeholder {settings.placeholder} into pieces")
        self.marked = "{% generation" in tokenizer.chat_template or "{%- generation" in tokenizer.chat_template

    def render(self, turns: Sequence[Turn], answer_next: bool = False) -> str:
        """The template's text, the placeholder repeated once for each visual token.

        Raises
        ------
        InputError
            If the template refuses the conversation, as some do with a system message.
        """
        from jinja2 import TemplateError

        try:
            return self.tokenizer.apply_chat_template(
                self._messages(turns), tokenize=False, add_generation_prompt=answer_next, **self._options()
            )
        except TemplateError as error:
            raise InputError(f"the chat template refuses the conversation: {error}; {_WAY}") from error

    def prompt(self, turns: Sequence[Turn]) -> np.ndarray:
        """Ids of a conversation that is to be answered, shape (length,)."""
        return np.asarray(self.tokenizer(self._text(turns, True), add_special_tokens=False)["input_ids"], np.int64)

    def counts(self, talks: Sequence[Conversation]) -> np.ndarray:
        """Tokens of each conversation, shape (talks,): together, without their labels, in a part of the time.

        Raises
        ------
        InputError
            If the template refuses one of them.
        """
        texts = [self._text(talk.turns) for talk in talks]
        made = self.tokenizer(texts, add_special_tokens=False, return_attention_mask=False)
        return np.array([len(ids) for ids in made["input_ids"]], np.int64)

    def _text(self, turns: Sequence[Turn], answer_next: bool = False) -> str:
        return self.render(turns, answer_next) if self._steady else self._assembled(turns, answer_next)[0]

    def tokens(self, talk: Conversation, max_length: int = 0) -> Tokens:
        """Ids and labels of a conversation, cut to `max_length` tokens if it is above 0.

        Raises
        ------
        InputError
            If the template does not show which tokens are answers, or leaves a system message out; `TooLongError` if
            the cut leaves no answer or no picture.
        """
        try:
            self._check_system(talk)
            ids, learned = self._by_marks(talk) if self._marks else self._by_difference(talk)
        except InputError as error:
            raise InputError(f"id {talk.id!r}: {error}") from error
        ids, labels = np.asarray(ids, np.int64), np.where(learned, ids, IGNORED).astype(np.int64)
        truncated = 0 < max_length < len(ids)
        if truncated:
            whole, ids, labels = ids, ids[:max_length], labels[:max_length]
            if (ids == self.image_id).sum() < (whole == self.image_id).sum() or (labels == IGNORED).all():
                raise TooLongError(
                    f"id {talk.id!r}: the first {max_length} of its {len(whole)} tokens (max_length) hold no "
                    "whole picture and answer"
                )
        return Tokens(ids, labels, truncated)

    def at_most(self, sizes: np.ndarray, turns: np.ndarray) -> np.ndarray:
        """Tokens that conversations of so many bytes and turns can have: one a byte of what the template writes."""
        one, turn = len(self.render(_PROBE).encode()), 0
        if not self._steady:
            # The same, assembled: an answer brings along what the template writes before the last one alone.
            pair = _QUESTION_AND_ANSWER
            one, turn = (len(self._assembled(pair * count)[0].encode()) for count in (1, 2))
            turn -= one
        two = len((self._rendered(_PROBE * 2) or "").encode())
        # What a probe says is counted as the template's own, a system message as a question and its answer: the bound
        # may be loose, not short.
        return sizes + one + max(one, two - one, turn) * ((turns - 1) // 2) + self.settings.visual_tokens

    def _messages(self, turns: Sequence[Turn]) -> list[dict[str, str]]:
        mark, count = self.settings.placeholder, self.settings.visual_tokens
        messages = [{"role": turn.role, "content": turn.text.replace(mark, mark * count)} for turn in turns]
        if self.settings.system and messages[0]["role"] != "system":
            messages.insert(0, {"role": "system", "content": self.settings.system})
        return messages

    def _options(self) -> dict[str, Any]:
        return {"enable_thinking": self.settings.thinking, "chat_template": self._template}

    @property
    def dated(self) -> bool:
        """Whether the template prints a date."""
        return "strftime_now" in self.tokenizer.chat_template

    @property
    def _template(self) -> str:
        """The tokenizer's template; one that prints today's date, with the date of the settings in place of the clock.

        The same conversation would be another one on another day.
        """
        template = self.tokenizer.chat_template
        if not self.dated:
            return template
        day = datetime.fromisoformat(self.settings.date)
        written = "".join(f" | replace({code!r}, {day.strftime(code)!r})" for code in _CODES)
        return f"{{%- macro strftime_now(format) -%}}{{{{ format{written} }}}}{{%- endmacro -%}}{template}"

    def _check_system(self, talk: Conversation) -> None:
        """Refuse a template that shows a system message only where a question comes last: in prompts, not here."""
        first = talk.turns[0]
        own = first.role == "system"
        if not (first.text if own else self.settings.system):
            return
        if _MARK not in self.render((Turn("system", _MARK), *talk.turns[own:])):
            raise InputError(f"the chat template leaves the system message out of what is learned; {_WAY}")

    def _by_marks(self, talk: Conversation) -> tuple[np.ndarray, np.ndarray]:
        made = self.tokenizer.apply_chat_template(
            self._messages(talk.turns),
            tokenize=True,
            return_dict=True,
            return_assistant_tokens_mask=True,
            **self._options(),
        )
        ids, learned = np.asarray(made["input_ids"], np.int64), np.asarray(made["assistant_masks"], bool)
        spans, stops = _runs(learned), set(self.stop_ids)
        answers = len(_answers(talk.turns))
        if len(spans) != answers:
            raise InputError(f"the chat template marks {len(spans)} answers of {answers}")
        for number, (start, stop) in enumerate(spans, 1):
            if stops.intersection(ids[start:stop]):
                continue
            # Marks that leave the end of a turn out would teach a model never to stop.
            if not stops.intersection(ids[stop : stop + 1]):
                raise InputError(f"the chat template marks no token that ends answer {number}; {_WAY}")
            learned[stop] = True
        return ids, learned

    def _by_difference(self, talk: Conversation) -> tuple[np.ndarray, np.ndarray]:
        if not self._ending:
            raise InputError(f"the chat template does not show where an answer ends; {_WAY}")
        text, spans = self._found(talk.turns) if self._steady else self._assembled(talk.turns)
        made = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        offsets = np.asarray(made["offset_mapping"], np.int64).reshape(-1, 2)
        learned = np.zeros(len(offsets), bool)
        for start, stop in spans:
            # A token may begin before its answer, with the space in between: it is what a model has to write.
            found = (offsets[:, 1] > start) & (offsets[:, 0] < stop) & (offsets[:, 1] > offsets[:, 0])
            if not found.any():
                raise InputError("the tokenizer leaves no token for an answer")
            learned |= found
        return np.asarray(made["input_ids"], np.int64), learned

    def _found(self, turns: Sequence[Turn]) -> tuple[str, list[Span]]:
        """The template's text, and the characters of each answer with the mark that ends it."""
        text, spans = self.render(turns), []
        for number in _answers(turns):
            before, after = self._around(turns, number)
            if text != before + turns[number].text + after:
                raise self._hidden(number)
            asked = self.render(turns[:number], answer_next=True)
            # With what the template writes before an answer that a prompt does not hold, like empty thoughts.
            if not before.startswith(asked):
                raise InputError(f"the chat template asks for the answer of turn {number + 1} in another way; {_WAY}")
            spans.append((len(asked), self._end(number, len(before) + len(turns[number].text), after)))
        return text, spans

    def _assembled(self, turns: Sequence[Turn], answer_next: bool = False) -> tuple[str, list[Span]]:
        """A conversation answer by answer, for templates that write what was answered otherwise than they asked for it.

        Qwen 3 ends every prompt with empty thoughts and shows them before the last answer alone: of its own text only
        that answer would stand after what a model is asked with. Here each stands after its prompt, and so what came
        before stays as it was when the model wrote it.
        """
        numbers, spans = _answers(turns), []
        if not numbers:
            return self.render(turns, answer_next), spans
        text = self.render(turns[: numbers[0]], answer_next=True)
        for number, following in zip(numbers, [*numbers[1:], len(turns)], strict=True):
            said, asked = turns[number].text, self.render(turns[:number], answer_next=True)
            before, after = self._around(turns[: number + 1], number)
            if self.render(turns[: number + 1]) != before + said + after:
                raise self._hidden(number)
            if following > number + 1:
                _, after = self._around(turns[:following], number, following < len(turns) or answer_next)
            start = len(text)
            text += (before.removeprefix(asked) if before.startswith(asked) else "") + said
            spans.append((start, self._end(number, len(text), after)))
            text += after
        return text, spans

    def _around(self, turns: Sequence[Turn], number: int, answer_next: bool = False) -> tuple[str, str]:
        """What the template writes before and after an answer, found by a mark in its place."""
        marked = (*turns[:number], Turn("assistant", _MARK), *turns[number + 1 :])
        before, found, after = self.render(marked, answer_next).partition(_MARK)
        if not found:
            raise self._hidden(number)
        return before, after

    def _end(self, number: int, stop: int, after: str) -> int:
        """Where an answer ends with the mark that ends it, `stop` being where its text does."""
        if not after.startswith(self._ending):
            raise InputError(f"the chat template does not end the answer of turn {number + 1} as others; {_WAY}")
        return stop + len(self._ending)

    @staticmethod
    def _hidden(number: int) -> InputError:
        return InputError(f"the chat template does not show where the answer of turn {number + 1} is; {_WAY}")

    @cached_property
    def _steady(self) -> bool:
        """Whether the template's text of a conversation begins with each prompt for an answer in it."""
        text = self._rendered(_PROBE * 2)
        if text is None:  # takes no second answer
            text = self.render(_PROBE)
            return text.startswith(self.render(_PROBE[:1], answer_next=True))
        return all(text.startswith(self.render((_PROBE * 2)[:count], answer_next=True)) for count in (1, 3))

    @cached_property
    def _marks(self) -> bool:
        """Whether marks of the template are taken: between a prompt and what they mark nothing else may stand."""
        if not (self.marked and self._steady):
            return False
        asked = self.render(_PROBE[:1], answer_next=True)
        return self.render(_PROBE).removeprefix(asked).lstrip().startswith(_MARK)

    @cached_property
    def _ending(self) -> str:
        """What the template writes after every answer, but for space: the end of a turn.

        Some templates close the whole conversation too, after its last answer alone: that ends no turn.
        """
        last = self.render(_PROBE).partition(_MARK)[2].rstrip()
        inner = (self._rendered(_PROBE * 2) or "").partition(_MARK)[2]
        # Where they share no end, an answer that others follow is refused; the last one has its own.
        return last if inner.startswith(last) else self._common_end(last, inner) or last

    def _rendered(self, turns: Sequence[Turn]) -> str | None:
        """The template's text, or None where it refuses the conversation."""
        try:
            return self.render(turns)
        except InputError:
            return None

    def _common_end(self, one: str, other: str) -> str:
        """What two texts begin with alike, up to the first special token in it; empty where there is none."""
        first = self.tokenizer(one, add_special_tokens=False, return_offsets_mapping=True)
        ids = self.tokenizer(other, add_special_tokens=False)["input_ids"]
        for mine, its, (_, stop) in zip(first["input_ids"], ids, first["offset_mapping"], strict=False):
            if mine != its:
                break
            if mine in self._special:
                return one[:stop].rstrip()
        return ""

    @property
    def _special(self) -> set[int]:
        return {*self.tokenizer.all_special_ids, *self.tokenizer.added_tokens_decoder}

    @cached_property
    def stop_ids(self) -> list[int]:
        """Tokens that end an answer: the end of sequence, and the template's end of a turn where it is one token."""
        ids = self.tokenizer(self._ending, add_special_tokens=False)["input_ids"] if self._ending else []
        special, end = self._special, self.tokenizer.eos_token_id
        return sorted({*(i for i in ids[:1] if i in special), *(() if end is None else (end,))})


class TooLongError(InputError):
    """A conversation of which `max_length` leaves no answer, or no whole picture."""


_MARK = "\ue000answer\ue000"
"""Stands for a message while its place is looked for; private characters, which no text holds."""

_PROBE = (Turn("user", "question"), Turn("assistant", _MARK))
"""A conversation by which a template is got to know."""

_QUESTION_AND_ANSWER = (Turn("user", "question"), Turn("assistant", "answer"))
"""Another, in which a mark can be put in place of any answer."""

_WAY = 'chat = "plain" replaces it'


def _runs(learned: np.ndarray) -> list[tuple[int, int]]:
    """First places of runs that are learned, and the places after their last."""
    changes = np.flatnonzero(np.diff(learned.astype(np.int8), prepend=0, append=0))
    return [(int(start), int(stop)) for start, stop in changes.reshape(-1, 2)]


def _answers(turns: Sequence[Turn]) -> list[int]:
    """Numbers of the turns that are answers."""
    return [number for number, turn in enumerate(turns) if turn.role == "assistant"]
