"""Conversations as a chat template writes them, and where in its text the answers are.

An answer is learned after exactly what a prompt for it holds. Where a template shows earlier answers otherwise than it
asks for them, conversations are assembled answer by answer, in training and in prompts alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np

from anisoalign.embeddings import InputError
from anisoalign.mllm.reading import Span
from anisoalign.mllm.records import Turn
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

_MARK = "\ue000answer\ue000"
"""Stands for a message while its place is looked for; private characters, which no text holds."""

_PROBE = (Turn("user", "question"), Turn("assistant", _MARK))
"""A conversation by which a template is got to know."""

_QUESTION_AND_ANSWER = (Turn("user", "question"), Turn("assistant", "answer"))
"""Another, in which a mark can be put in place of any answer."""

WAY = 'chat = "plain" replaces it'
"""The end of messages about templates that cannot be used."""


class Template:
    """The chat template of a tokenizer, as the settings of a model have it.

    Parameters
    ----------
    tokenizer : PreTrainedTokenizerFast
        Where it has no template, or the settings say so, it gains `PLAIN`; of several, which have names, it keeps the
        one named default.
    settings : ModelSettings

    Raises
    ------
    InputError
        If nothing would tell that an answer ends: neither a template nor an end-of-sequence token; or if of several
        templates none is named default.
    """

    def __init__(self, tokenizer: Any, settings: ModelSettings):
        self.tokenizer, self.settings = tokenizer, settings
        if settings.chat == "plain" or not tokenizer.chat_template:
            if tokenizer.eos_token is None:
                raise InputError("the tokenizer has neither a chat template nor an end-of-sequence token")
            tokenizer.chat_template = PLAIN
        named = tokenizer.chat_template
        if isinstance(named, dict):
            if "default" not in named:
                raise InputError(f"none of the chat templates is named default: {', '.join(sorted(named))}; {WAY}")
            tokenizer.chat_template = named["default"]
        self._marked = "{% generation" in tokenizer.chat_template or "{%- generation" in tokenizer.chat_template

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
                self.messages(turns), tokenize=False, add_generation_prompt=answer_next, **self.options()
            )
        except TemplateError as error:
            raise InputError(f"the chat template refuses the conversation: {error}; {WAY}") from error

    def text(self, turns: Sequence[Turn], answer_next: bool = False) -> tuple[str, list[int]]:
        """What a model reads of a conversation, in training or, with the next answer to come, as a prompt.

        With the character at which each answer in it begins: where its prompt ended.
        """
        if not self._steady:
            text, spans = self._assembled(turns, answer_next)
            return text, [start for start, _ in spans]
        text = self.render(turns, answer_next)
        prompts = [self.render(turns[:number], answer_next=True) for number in answers_in(turns)]
        return text, [len(prompt) for prompt in prompts if text.startswith(prompt)]

    def with_answers(self, turns: Sequence[Turn]) -> tuple[str, list[Span]]:
        """The same of a whole conversation, and the characters of each answer with the mark that ends it.

        Raises
        ------
        InputError
            If the template does not show where answers begin and end.
        """
        if not self._ending:
            raise InputError(f"the chat template does not show where an answer ends; {WAY}")
        return self._found(turns) if self._steady else self._assembled(turns)

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

    def messages(self, turns: Sequence[Turn]) -> list[dict[str, str]]:
        """Turns as templates take them, a system message of the settings before those that have none."""
        mark, count = self.settings.placeholder, self.settings.visual_tokens
        messages = [{"role": turn.role, "content": turn.text.replace(mark, mark * count)} for turn in turns]
        if self.settings.system and messages[0]["role"] != "system":
            messages.insert(0, {"role": "system", "content": self.settings.system})
        return messages

    def options(self) -> dict[str, Any]:
        """What `apply_chat_template` is called with beside the messages."""
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

    def check_system(self, turns: Sequence[Turn]) -> None:
        """Refuse a template that shows a system message only where a question comes last: in prompts, not here."""
        first = turns[0]
        own = first.role == "system"
        if not (first.text if own else self.settings.system):
            return
        if _MARK not in self.render((Turn("system", _MARK), *turns[own:])):
            raise InputError(f"the chat template leaves the system message out of what is learned; {WAY}")

    def _found(self, turns: Sequence[Turn]) -> tuple[str, list[Span]]:
        """The template's text, and the characters of each answer with the mark that ends it."""
        text, spans = self.render(turns), []
        for number in answers_in(turns):
            before, after = self._around(turns, number)
            if text != before + turns[number].text + after:
                raise self._hidden(number)
            asked = self.render(turns[:number], answer_next=True)
            # With what the template writes before an answer that a prompt does not hold, like empty thoughts.
            if not before.startswith(asked):
                raise InputError(f"the chat template asks for the answer of turn {number + 1} in another way; {WAY}")
            spans.append((len(asked), self._end(number, len(before) + len(turns[number].text), after)))
        return text, spans

    def _assembled(self, turns: Sequence[Turn], answer_next: bool = False) -> tuple[str, list[Span]]:
        """A conversation answer by answer, for templates that write what was answered otherwise than they asked for it.

        Qwen 3 ends every prompt with empty thoughts and shows them before the last answer alone: of its own text only
        that answer would stand after what a model is asked with. Here each stands after its prompt, and so what came
        before stays as it was when the model wrote it.
        """
        numbers, spans = answers_in(turns), []
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
            raise InputError(f"the chat template does not end the answer of turn {number + 1} as others; {WAY}")
        return stop + len(self._ending)

    @staticmethod
    def _hidden(number: int) -> InputError:
        return InputError(f"the chat template does not show where the answer of turn {number + 1} is; {WAY}")

    @cached_property
    def _steady(self) -> bool:
        """Whether the template's text of a conversation begins with each prompt for an answer in it."""
        text = self._rendered(_PROBE * 2)
        if text is None:  # takes no second answer
            text = self.render(_PROBE)
            return text.startswith(self.render(_PROBE[:1], answer_next=True))
        return all(text.startswith(self.render((_PROBE * 2)[:count], answer_next=True)) for count in (1, 3))

    @cached_property
    def marks(self) -> bool:
        """Whether its own marks of answers are taken: between a prompt and what they mark nothing else may stand."""
        if not (self._marked and self._steady):
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


def answers_in(turns: Sequence[Turn]) -> list[int]:
    """Return the numbers of the turns that are answers."""
    return [number for number, turn in enumerate(turns) if turn.role == "assistant"]
