"""CIDEr-D (Vedantam, Zitnick, Parikh 2015): how much a caption says what people say of the same picture."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

LONGEST = 4
SIGMA = 6.0
SCALE = 10.0

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")

Grams = Counter[tuple[str, ...]]


def words(text: str) -> list[str]:
    """Words in lower case, punctuation left out.

    Examples
    --------
    >>> words("A dog's ball, in-between.")
    ['a', "dog's", 'ball', 'in', 'between']
    """
    return _WORD.findall(text.lower())


def cider_d(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
    """CIDEr-D of each candidate against its references, from 0 to 10; the corpus score is their mean.

    For each n from 1 to 4 both sides are vectors of n-gram counts times log(pictures / pictures whose references hold
    the n-gram); a candidate's counts are clipped to the reference's, cosines are damped by exp(−Δ²/2σ²) for a
    difference of Δ words, σ = 6, and averaged over references and n.

    Words are runs of letters and digits in lower case; the reference implementation cuts them by the Penn Treebank's
    rules, which need Java, so figures on captions with odd punctuation can differ in the third digit. There is no
    stemming, as in the reference implementation.

    Raises
    ------
    ValueError
        If the numbers differ or a candidate has no reference.

    Examples
    --------
    >>> said = ["a red ring", "a blue star"]
    >>> [round(score, 2) for score in cider_d(said, [["a red ring"], ["one pink cross"]])]
    [7.5, 0.0]
    """
    if len(candidates) != len(references) or not all(len(own) for own in references):
        raise ValueError("every candidate needs at least one reference")
    if not candidates:
        return []
    told = [[_grams(text) for text in own] for own in references]
    seen = Counter(gram for own in told for gram in set().union(*own))
    rarity = {gram: math.log(len(told)) - math.log(count) for gram, count in seen.items()}
    most = math.log(len(told))  # of n-grams that no reference holds
    return [
        SCALE * sum(_similarity(_grams(text), one, rarity, most) for one in own) / len(own)
        for text, own in zip(candidates, told, strict=True)
    ]


def _grams(text: str) -> Grams:
    found = words(text)
    return Counter(tuple(found[i : i + n]) for n in range(1, LONGEST + 1) for i in range(len(found) - n + 1))


def _similarity(candidate: Grams, reference: Grams, rarity: dict[tuple[str, ...], float], most: float) -> float:
    """Mean over n of the damped cosine of two captions."""
    lengths = [sum(count for gram, count in grams.items() if len(gram) == 1) for grams in (candidate, reference)]
    damping = math.exp(-((lengths[0] - lengths[1]) ** 2) / (2 * SIGMA**2))
    total = 0.0
    for n in range(1, LONGEST + 1):
        one, other = (
            {gram: count * rarity.get(gram, most) for gram, count in grams.items() if len(gram) == n}
            for grams in (candidate, reference)
        )
        norms = math.sqrt(sum(value**2 for value in one.values()) * sum(value**2 for value in other.values()))
        if norms:
            total += sum(min(value, other[gram]) * other[gram] for gram, value in one.items() if gram in other) / norms
    return damping * total / LONGEST
