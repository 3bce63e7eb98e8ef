"""VQA accuracy (Antol et al. 2015, as VQAv2 is scored): how many of the people asked gave the same answer."""

from __future__ import annotations

import re
from collections.abc import Sequence

_ENOUGH = 3
"""People of the same answer who make it wholly right."""

_MARKS = ';/[]"{}()=+\\_-><@`,?!'
"""Punctuation that is looked past; the apostrophe and the colon stand, a point stands before a digit."""

_BETWEEN_DIGITS = re.compile(r"\d,\d")
_POINT = re.compile(r"\.(?!\d)")

_SPOKEN = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_NUMBERS = {"none": 0, **{word: number for number, word in enumerate(_SPOKEN)}}
_ARTICLES = frozenset({"a", "an", "the"})

_CONTRACTED = {
    "n't": "ai are ca could did does do had has have is might must need ought sha should was were wo would",
    "'ve": "could i might must not should they we what where who would you",
    "'re": "there they what why you",
    "'ll": "how it somebody someone something they what who why you",
    "'s": "he how somebody someone something that there what when where who why",
    "'d": "he how it somebody someone something there they where who you",
    "'m": "i",
    "'am": "ma",
    "'clock": "o",
    "'all": "y",
}
"""Beginnings by ending, of contractions that without their apostrophe are no other word, as we're would be were."""

_APOSTROPHES = {
    f"{start}{end}".replace("'", ""): f"{start}{end}" for end, starts in _CONTRACTED.items() for start in starts.split()
}


def vqa_accuracy(said: str, answers: Sequence[str]) -> float:
    """Share of right in an answer: min(people who gave it / 3, 1), averaged over leaving out each person once.

    Answers are compared as `normalised` leaves them.

    Examples
    --------
    >>> round(vqa_accuracy("dog", ["cat"] * 9 + ["dog"]), 4), vqa_accuracy("Two.", ["2"] * 10)
    (0.3, 1.0)
    """
    mine = normalised(said)
    same = [normalised(answer) == mine for answer in answers]
    return sum(min((sum(same) - own) / _ENOUGH, 1.0) for own in same) / len(same)


def normalised(text: str) -> str:
    """An answer without articles and punctuation, in lower case, numbers up to ten as digits, contractions whole.

    A mark is left out where the answer holds it beside a space, or a comma between digits, and is a space otherwise,
    as in the programme that VQAv2 is scored by.

    Examples
    --------
    >>> normalised("The dog's ball, dont you?"), normalised("1,000"), normalised("black/white"), normalised("Two.")
    ("dog's ball don't you", '1000', 'black white', '2')
    """
    words = [str(_NUMBERS.get(word, word)) for word in _unmarked(" ".join(text.split())).lower().split()]
    return " ".join(_APOSTROPHES.get(word, word) for word in words if word not in _ARTICLES)


def _unmarked(text: str) -> str:
    """An answer without its punctuation."""
    text = text.replace("’", "'")
    digits = _BETWEEN_DIGITS.search(text) is not None
    found = text
    for mark in _MARKS:
        beside = f"{mark} " in text or f" {mark}" in text
        found = found.replace(mark, "" if digits or beside else " ")
    return _POINT.sub("", found)
