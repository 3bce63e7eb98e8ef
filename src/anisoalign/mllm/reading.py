"""Text as tokens in which each answer begins a token of its own: after the tokens that its prompt has by itself.

Read whole, a tokenizer may run the end of a prompt and the beginning of its answer together: "Assistant: " and "yes"
as ":" and " yes", where a model that is asked has read ":" and " ". There, and nowhere else, the two are read apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

Span = tuple[int, int]
"""The first character, and the one after the last."""


@dataclass(frozen=True)
class Read:
    """A text as tokens.

    Attributes
    ----------
    ids : ndarray of int64, shape (length,)
    characters : ndarray of int64, shape (length, 2)
        What each token stands for: the first character, and the one after the last.
    firsts : list of int
        Number of the first token of each answer.
    """

    ids: np.ndarray
    characters: np.ndarray
    firsts: list[int]


class Reader:
    """Reads text with a fast tokenizer, which has all of its added tokens."""

    def __init__(self, tokenizer: Any):
        self.tokenizer = tokenizer
        self.added = np.array([*tokenizer.added_tokens_decoder], np.int64)

    def read(self, text: str, starts: Sequence[int]) -> Read:
        """Tokens of a text in which answers begin at the given characters."""
        made = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        ids, characters = np.asarray(made["input_ids"], np.int64), _pairs(made["offset_mapping"])
        added, firsts = np.flatnonzero(np.isin(ids, self.added)), []
        for start in starts:
            # Added tokens part a text into pieces that are read by themselves: only a prompt's last one may differ.
            before = added[characters[added, 1] <= start]
            place, begin = (int(before[-1]), int(characters[before[-1], 0])) if len(before) else (0, 0)
            last = self.tokenizer(text[begin:start], add_special_tokens=False)["input_ids"]
            if ids[place : place + len(last)].tolist() != last:
                return self._in_parts(text, starts)
            firsts.append(place + len(last))
        return Read(ids, characters, firsts)

    def _in_parts(self, text: str, starts: Sequence[int]) -> Read:
        """The same, where the text read whole does not begin with the tokens of every prompt."""
        cuts = [*starts, len(text)]
        made = self.tokenizer([text[:cut] for cut in cuts], add_special_tokens=False, return_offsets_mapping=True)
        ids, characters, firsts = made["input_ids"][0], made["offset_mapping"][0], []
        for number, (start, stop) in enumerate(pairwise(cuts), 1):
            firsts.append(len(ids))
            if made["input_ids"][number][: len(ids)] == ids:
                ids, characters = made["input_ids"][number], made["offset_mapping"][number]
            else:
                more, where = self._going_on(text[start:stop])
                ids, characters = ids + more, characters + [(start + first, start + last) for first, last in where]
        return Read(np.asarray(ids, np.int64), _pairs(characters), firsts)

    def _going_on(self, text: str) -> tuple[list[int], list[Span]]:
        """Tokens of a text that goes on from another, and their characters.

        Some tokenizers begin whatever they read with a space; after a line's end they do not.
        """
        made = self.tokenizer(["\n", f"\n{text}", text], add_special_tokens=False, return_offsets_mapping=True)
        line_end, after, alone = made["input_ids"]
        if after[: len(line_end)] != line_end:
            return alone, made["offset_mapping"][2]
        where = made["offset_mapping"][1][len(line_end) :]
        return after[len(line_end) :], [(start - 1, stop - 1) for start, stop in where]


def _pairs(characters: Sequence[Span]) -> np.ndarray:
    return np.asarray(characters, np.int64).reshape(-1, 2)
