"""Captions to tokens: split at spaces, look up, pad with zeros."""

from collections.abc import Sequence

import numpy as np

from .vocabulary import UNKNOWN, WORDS

_TOKEN = {word: token for token, word in enumerate(WORDS)}


def tokenize(captions: Sequence[str], max_words: int = 32) -> np.ndarray:
    """Return tokens of captions.

    Parameters
    ----------
    captions : n strings
        Case and punctuation are ignored; words the world does not know share one token.
    max_words
        Words beyond this many are dropped.

    Returns
    -------
    int64 (n, longest), zero after a caption's end

    Examples
    --------
    >>> tokenize(["a red circle", "a circle"]).shape
    (2, 3)
    """
    rows = [[_token(word) for word in caption.split()[:max_words]] for caption in captions]
    tokens = np.zeros((len(rows), max([1, *map(len, rows)])), dtype=np.int64)
    for row, known in zip(tokens, rows, strict=True):
        row[: len(known)] = known
    return tokens


def _token(word: str) -> int:
    return _TOKEN.get(word.strip(".,;:!?\"'()").lower(), _TOKEN[UNKNOWN])
