"""One record of a file of conversations, checked: LLaVA's and Bunny's form, chat messages, or a bare caption."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from anisoalign.embeddings import InputError

_ROLES = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "bot": "assistant",
    "system": "system",
}

_PICTURES = ("image", "image_url")


@dataclass(frozen=True)
class Turn:
    """What one side says. `role` is `system`, `user` or `assistant`."""

    role: str
    text: str


@dataclass(frozen=True)
class Conversation:
    """Turns that end with an answer.

    Attributes
    ----------
    id : str
        By which the embedding is found; of a conversation without a picture perhaps empty.
    turns : tuple of Turn
        Perhaps a system message, then questions and answers in alternation. One question holds the placeholder.
    picture : bool
        Whether there is a placeholder.
    """

    id: str
    turns: tuple[Turn, ...]
    picture: bool

    @property
    def characters(self) -> int:
        """Characters of all turns: what lengths are compared by before anything is tokenised."""
        return sum(len(turn.text) for turn in self.turns)

    @property
    def size(self) -> int:
        """Bytes of all turns as UTF-8, than which they can hardly have more tokens."""
        return sum(len(turn.text.encode()) for turn in self.turns)


@dataclass(frozen=True)
class Reading:
    """How records become conversations: see the settings of the same names."""

    placeholder: str = "<image>"
    prompt: str = "Describe the image."
    key: str = "id"
    text_only: bool = False


def parse_record(record: Any, reading: Reading) -> Conversation:
    r"""Check a record and return it as a conversation.

    Raises
    ------
    InputError
        If it has a picture and no id, no answer, an empty answer, turns that do not alternate, text that is not
        Unicode, or not exactly one placeholder.

    Examples
    --------
    >>> talk = parse_record({"id": 7, "caption": "a red ring"}, Reading())
    >>> talk.id, [turn.text for turn in talk.turns]
    ('7', ['<image>\nDescribe the image.', 'a red ring'])
    >>> parse_record({"id": 7, "caption": " "}, Reading())
    Traceback (most recent call last):
    anisoalign.embeddings.errors.InputError: id '7': the answer of turn 2 is empty
    """
    if not isinstance(record, Mapping):
        raise InputError(f"a record must be an object with {reading.key!r} and 'conversations', not {record!r:.60}")
    name = _name(record, reading.key) or _name(record, "id")
    try:
        turns = _turns(record, reading)
        _check_order(turns)
        picture = _check_placeholder(turns, record, reading)
        if picture and not _name(record, reading.key):
            raise InputError(_without_name(record.get(reading.key), reading.key))
        check_text(name, "its id")
    except InputError as error:
        raise InputError(f"id {name!r}: {error}" if name else str(error)) from error
    return Conversation(name, turns, picture)


def first_of(record: Mapping[str, Any], *keys: str) -> Any:
    """The first value under any of the keys that is not null: tables with a column for each key fill up with nulls.

    Examples
    --------
    >>> first_of({"messages": None, "conversations": []}, "messages", "conversations")
    []
    """
    return next((record[key] for key in keys if record.get(key) is not None), None)


def check_text(text: str, what: str) -> None:
    """Raise InputError for text that no tokenizer takes: half a surrogate pair, which JSON may hold alone."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{what} is not Unicode text: {error.reason} at character {error.start}") from error


def _name(record: Mapping[str, Any], key: str) -> str:
    """What a record is called under a key; empty where that is no text or number."""
    value = record.get(key)
    return "" if isinstance(value, bool) or not isinstance(value, str | int) else str(value)


def _without_name(value: Any, key: str) -> str:
    """Why a record has no name by which its embedding could be found."""
    if value in (None, ""):
        return f"it has no {key!r} to find its embedding by"
    return f"its {key!r} is {value!r:.40}; text or a whole number is needed to find its embedding by"


def _turns(record: Mapping[str, Any], reading: Reading) -> tuple[Turn, ...]:
    found = first_of(record, "conversations", "messages")
    if found is None and record.get("caption") is not None:
        found = [
            {"from": "human", "value": f"{reading.placeholder}\n{reading.prompt}"},
            {"from": "gpt", "value": record["caption"]},
        ]
    if not isinstance(found, list) or not found:
        raise InputError("it has neither 'conversations' (a list of turns) nor a 'caption'")
    return tuple(_turn(turn, number, reading.placeholder) for number, turn in enumerate(found, 1))


def _turn(turn: Any, number: int, mark: str) -> Turn:
    if not isinstance(turn, Mapping):
        raise InputError(f"turn {number} is no object with 'from' and 'value'")
    who, text = first_of(turn, "from", "role"), first_of(turn, "value", "content")
    role = _ROLES.get(who) if isinstance(who, str) else None
    if role is None:
        raise InputError(f"turn {number} is said by {who!r}; there are human, gpt and system")
    if isinstance(text, list):
        text = _joined(text, number, mark)
    if not isinstance(text, str):
        raise InputError(f"turn {number} holds {type(text).__name__} where text is needed")
    if role == "assistant" and not text.strip():
        raise InputError(f"the answer of turn {number} is empty")
    check_text(text, f"turn {number}")
    return Turn(role, text.strip())


def _joined(parts: list[Any], number: int, mark: str) -> str:
    """Parts as chat templates of models with vision take them, a line each, the placeholder for the picture."""
    lines = []
    for part in parts:
        kind = part.get("type") if isinstance(part, Mapping) else None
        text = mark if kind in _PICTURES else part.get("text") if kind == "text" else None
        if not isinstance(text, str):
            known = "a part of a turn is {'type': 'text', 'text': …} or {'type': 'image'}"
            raise InputError(f"turn {number} holds {part!r:.60}; {known}")
        lines.append(text)
    pictures = sum(part["type"] in _PICTURES for part in parts)
    if pictures > 1:
        raise InputError(f"turn {number} holds {pictures} images; one embedding needs exactly one")
    return "\n".join(lines)


def _check_order(turns: tuple[Turn, ...]) -> None:
    talk = turns[1:] if turns[0].role == "system" else turns
    for number, turn in enumerate(talk):
        expected = "assistant" if number % 2 else "user"
        if turn.role != expected:
            raise InputError(f"turns must alternate, a question first: turn {number + 1} is said by the {turn.role}")
    if len(talk) % 2 or not talk:
        raise InputError("it does not end with an answer")


def _check_placeholder(turns: tuple[Turn, ...], record: Mapping[str, Any], reading: Reading) -> bool:
    mark = reading.placeholder
    counts = [turn.text.count(mark) for turn in turns]
    if any(count and turn.role != "user" for count, turn in zip(counts, turns, strict=True)):
        raise InputError(f"the placeholder {mark} stands in what is not a question")
    if sum(counts) > 1:
        raise InputError(f"the placeholder {mark} stands in it {sum(counts)} times; one embedding needs exactly one")
    if sum(counts) == 0 and (record.get("image") or not reading.text_only):
        hint = "" if record.get("image") else "; text_only = true takes conversations without a picture"
        raise InputError(f"the placeholder {mark} stands nowhere in it{hint}")
    return sum(counts) == 1
