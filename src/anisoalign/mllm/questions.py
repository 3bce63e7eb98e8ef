"""A benchmark's questions, read and checked.

One JSON object a line: `id` of the embedding, `question`, and what is asked for:

* `choices` and `answer` (one of them, or its number from 0; the choice in quotes where a number could be either):
  multiple choice, by likelihood
* `answer` yes or no, or true or false: accuracy, precision, recall
* `answer`, or several `answers` of which any will do: exact match
* `"kind": "vqa"` with `answers`, one of each of the people asked, usually ten: VQA accuracy
* `"kind": "caption"` with `answers`, the references: CIDEr-D

and perhaps a `group`. `kind` may be given (`choice`, `yes/no`, `exact`, `vqa`, `caption`) where it should be another.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any

from anisoalign.embeddings import InputError
from anisoalign.embeddings.text_lines import read_lines
from anisoalign.mllm.cider import words
from anisoalign.mllm.records import check_text, first_of
from anisoalign.places import expanded

KINDS = ("choice", "yes/no", "exact", "vqa", "caption")


@dataclass(frozen=True)
class Question:
    """One question of a benchmark.

    Attributes
    ----------
    id : str
        Of the embedding.
    text : str
    kind : {"choice", "yes/no", "exact", "vqa", "caption"}
    answers : tuple of str
        Those that are right, those of the people asked, or references.
    choices : tuple of str
        Of multiple choice.
    group : str
    """

    id: str
    text: str
    kind: str
    answers: tuple[str, ...]
    choices: tuple[str, ...] = ()
    group: str = ""


def read_questions(source: str | Path | Sequence[Mapping[str, Any]]) -> list[Question]:
    """Questions of a JSONL file, or of records in memory.

    Raises
    ------
    InputError
        For a line that is no JSON, or a record that cannot be asked or scored; the line is named.

    Examples
    --------
    >>> read_questions([{"id": 1, "question": "Is it red?", "answer": "Yes"}])[0].kind
    'yes/no'
    """
    if not isinstance(source, str | Path):
        return _checked([(f"record {number}", record) for number, record in enumerate(source)], "questions")
    path, records = expanded(source), []
    try:
        lines = read_lines(path)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                records.append((f"line {number}", json.loads(line)))
            except ValueError as error:
                raise InputError(f"{path}, line {number} is not JSON: {error}") from error
    return _checked(records, str(path))


def _checked(records: list[tuple[str, Any]], name: str) -> list[Question]:
    found = []
    for where, record in records:
        try:
            found.append(_question(record))
        except InputError as error:
            raise InputError(f"{name}, {where}: {error}") from error
    if not found:
        raise InputError(f"{name} holds no question")
    return found


def _question(record: Any) -> Question:
    if not isinstance(record, Mapping) or record.get("id") is None or not isinstance(record.get("question"), str):
        raise InputError("a question needs 'id' and 'question'")
    check_text(record["question"], "the question")
    choices = _choices(record.get("choices") or ())
    answers = _answers(record, choices)
    kind = record.get("kind") or _kind(choices, answers)
    if kind not in KINDS:
        raise InputError(f"kind is one of {', '.join(KINDS)}, not {kind!r}")
    if kind == "choice" and (len(choices) < 2 or len(answers) != 1 or answers[0] not in choices):
        raise InputError("multiple choice needs two 'choices' or more, and 'answer' among them")
    if kind == "yes/no" and (len(answers) != 1 or yes_or_no(answers[0]) is None):
        raise InputError(f"the answer must be yes or no, not {answers!r}")
    if kind == "vqa" and len(answers) < 2:
        raise InputError("VQA accuracy needs two 'answers' or more, of different people: each is left out once")
    if not record["question"].strip():
        raise InputError("the question is empty")
    return Question(str(record["id"]), record["question"], kind, answers, choices, str(record.get("group") or ""))


def _choices(given: Any) -> tuple[str, ...]:
    """The choices as they are said, without spaces around them, which chat templates take away as well.

    An empty one could not be said, and of two that are equal neither could be told from the other.
    """
    if not isinstance(given, list | tuple):
        raise InputError(f"'choices' is a list, not {given!r}")
    found = tuple(_said(choice) for choice in given)
    for number, choice in enumerate(found):
        if not choice:
            raise InputError(f"choice {number}, counted from 0, is empty")
        if choice in found[:number]:
            raise InputError(f"choices {found.index(choice)} and {number}, counted from 0, are both {choice!r}")
    return found


def _answers(record: Mapping[str, Any], choices: tuple[str, ...]) -> tuple[str, ...]:
    given = first_of(record, "answers", "answer")
    if isinstance(given, int) and not isinstance(given, bool) and choices:
        return (_meant(given, choices),)
    found = given if isinstance(given, list | tuple) else [given]
    if not found or not all(isinstance(one, str | int | float) and str(one).strip() for one in found):
        raise InputError("it has no 'answer', or an empty one")
    return tuple(_said(one) for one in found)


def _meant(number: int, choices: tuple[str, ...]) -> str:
    """The choice that a whole number is, or whose number from 0 it is."""
    meant = {choice for choice in choices if _equals(choice, number)}
    meant |= {choices[number]} if 0 <= number < len(choices) else set()
    if not meant:
        raise InputError(f"answer {number} is none of the {len(choices)} choices")
    if len(meant) > 1:
        listed = " or ".join(repr(choice) for choice in choices if choice in meant)
        raise InputError(f"answer {number} may mean {listed}, the choice or its number from 0; write it in quotes")
    return meant.pop()


def _equals(choice: str, number: int) -> bool:
    try:
        return float(choice) == number
    except ValueError:
        return False


def _said(value: Any) -> str:
    """An answer or choice as it is said, without spaces around it: JSON's true is yes."""
    if not isinstance(value, str) and not (isinstance(value, Real) and math.isfinite(value)):
        raise InputError(f"an answer or choice is a text or a number, not {value!r}")
    said = ("no", "yes")[value] if isinstance(value, bool) else str(value).strip()
    check_text(said, "an answer or choice")
    return said


def _kind(choices: tuple[str, ...], answers: tuple[str, ...]) -> str:
    if choices:
        return "choice"
    single = len(answers) == 1 and len(words(answers[0])) == 1
    return "yes/no" if single and yes_or_no(answers[0]) is not None else "exact"


def yes_or_no(text: str) -> bool | None:
    """What an answer says: its first word decides, true as yes and false as no; None if it is none of these.

    Examples
    --------
    >>> yes_or_no("Yes, there is."), yes_or_no("False."), yes_or_no("perhaps")
    (True, False, None)
    """
    return {"yes": True, "true": True, "no": False, "false": False}.get(next(iter(words(text)), ""))
