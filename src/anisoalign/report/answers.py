"""The five questions of the page and their short answers, from result records alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from anisoalign.report.choosing import KEPT, Advice
from anisoalign.report.rivals import can_trade_off, strength_of, target_reached
from anisoalign.report.sentences import alignment_sentences, gap_sentences
from anisoalign.report.wording import Record, competing, fixed, short_name

HALF_WAY = 0.5
"""Share of full mixing from which a method counts as having come half-way."""


@dataclass(frozen=True)
class Answer:
    """A question's answer in a few words, the sentences behind it, and its key numbers as (value, what it is)."""

    short: str
    sentences: list[str]
    numbers: list[tuple[str, str]]


def is_there_a_gap(gap: Record, source: str, target: str) -> Answer:
    """Where the two sets lie, and whether a paired cosine of 0.25 is normal."""
    place, _, cosine = gap_sentences(gap)
    size = gap["centroid_gap"]
    short = "Yes, a wide one." if size > 0.5 else "Yes." if size > 0.1 else "Hardly: the means nearly agree."
    numbers = [
        (size, "distance of the two means (2 at most)"),
        (gap.get("within_source_cosine"), f"cosine of two {source}s"),
        (gap["centroid_cosine"], f"cosine of a {source} and any {target}"),
        (gap.get("paired_cosine"), f"cosine of a {source} and its own {target}"),
    ]
    return Answer(short, [named(s, source, target) for s in (place, cosine)], _told(numbers))


def what_kind(gap: Record, source: str, target: str) -> Answer:
    """What the sets share, and what is left once the means agree."""
    p, seen = gap.get("subspace_overlap_p"), gap.get("subspace_overlap")
    shared = seen is not None and p is not None and p <= 0.01
    dimension = gap.get("residual_effective_dimension")
    short = "The same directions in another place" if shared else "Not shown to share directions"
    if dimension is not None:
        short += ", and a lopsided rest" if dimension < 0.5 else ", and an even rest"
    ratio, lopsided = gap.get("residual_ratio"), gap.get("residual_anisotropy")
    numbers = [
        (_percent(seen), f"of {gap['q']} leading directions shared (chance {gap['subspace_overlap_chance']:.0%})"),
        (_percent(ratio), "of the distance of pairs is left when the means agree"),
        (_percent(dimension), "of the dimensions hold that rest"),
        (None if lopsided is None else f"{lopsided:.0f}×", "the mean energy along its main direction"),
    ]
    sentences = [named(gap_sentences(gap)[1], source, target)]
    if dimension is not None and dimension < 0.5:
        sentences.append(
            "So moving the means is not enough, and adding noise of equal size in all directions is no model of it."
        )
    return Answer(f"{short}.", sentences, [(text, what) for text, what in numbers if text is not None])


def what_methods_do(records: Sequence[Record], source: str, target: str) -> Answer:
    """How many methods arrive, and what they keep on the way."""
    rivals = [record for record in records if competing(record) and can_trade_off(record)]
    if not rivals:
        return Answer("Nothing was measured on both counts.", [], [])
    there = [record for record in rivals if target_reached(record)[0] >= HALF_WAY]
    kept = sorted(record[KEPT] for record in there)
    sentences = [
        f"Two things are asked of an aligned {source}: that it still means what it meant (Ψ, the correlation of "
        f"cosines between {source}s before and after), and that it lies where {target}s lie (penetration: aligned "
        f"{source}s have {target}s for neighbours; coverage: {target}s have aligned {source}s)."
    ]
    if not there:
        return Answer(f"No method brings the {source}s half-way among the {target}s.", sentences, [])
    most = max(there, key=lambda record: record[KEPT])
    far = max(there, key=lambda record: target_reached(record)[0])
    sentences.append(
        f"Of those that come at least half-way, {short_name(most['method'])} keeps most (Ψ {most[KEPT]:.2f}, target "
        f"reached {target_reached(most)[0]:.2f})"
        + (
            "."
            if far is most
            else f"; {short_name(far['method'])} goes furthest (Ψ {far[KEPT]:.2f}, {target_reached(far)[0]:.2f})."
        )
    )
    short = (
        f"{len(there)} of {len(rivals)} methods bring {source}s at least half-way among the {target}s; "
        f"they keep {kept[0]:.2f} to {kept[-1]:.2f} of the meaning."
    )
    return Answer(short, sentences, [])


def what_this_alignment_does(record: Record, source: str, target: str) -> Answer:
    """The same for a single alignment."""
    first, *rest = [named(sentence, source, target) for sentence in alignment_sentences(record)]
    return Answer(first, rest, [])


def which_one(advice: Sequence[Advice], records: Sequence[Record], source: str, target: str) -> Answer:
    """The method to take and why."""
    first = advice[0]
    if first.method is None:
        return Answer("None: leave the rows as they are.", ["No method gains on raw rows what it would cost."], [])
    record = next(record for record in records if record["method"] == first.method)
    reached = min(record["target_penetration"], record["target_coverage"])
    balance = "has the best balance" if first.best == first.method else "is within noise of the best balance"
    sentences = [
        f"It {balance} of meaning kept and target reached: {first.value:.2f}, their harmonic mean, where raw {source}s "
        f"have {fixed(first.raw, 2)}. It keeps {record[KEPT]:.2f} of the {source}s’ geometry (Ψ), and mixes with "
        f"{target}s {reached:.2f} as well as {target}s do among themselves."
    ]
    if first.alike:
        others = ", ".join(short_name(name) for name in first.alike)
        sentences.append(f"Not told apart from it in balance on these rows: {others}.")
    better = _better_along_the_dial(record, first)
    if better is not None:
        strength, value = better
        sentences.append(
            f"It sets its strength by itself; on these rows strength {strength:g} balances better ({value:.2f}): "
            f"--set strength={strength:g} takes it."
        )
    others = [a for a in advice[1:] if a.method != first.method]
    if others:
        told = "; ".join(f"{a.use[0].lower()}{a.use[1:]}: {a.method or 'raw rows'}" for a in others)
        sentences.append(f"Other uses ask for something else: {told}.")
    return Answer(f"Take {first.method}.", sentences, [])


def _better_along_the_dial(record: Record, advice: Advice) -> tuple[float, float] | None:
    """The strength of a method that sets its own, and the balance there, where it beats what was chosen by 0.01."""
    values = record.get("dial_balance")
    if advice.metric != "balance" or not values or strength_of(record["method"]) is not None:
        return None
    at = max(range(len(values)), key=values.__getitem__)
    return (record["dial_strength"][at], values[at]) if values[at] > advice.value + 0.01 else None


def what_it_costs(records: Sequence[Record], method: str | None, source: str, target: str) -> Answer:
    """Time, size and the price in plain retrieval."""
    by_name = {record["method"]: record for record in records}
    record, raw = by_name.get(method or "", {}), by_name.get("identity", {})
    numbers: list[tuple[str, str]] = []
    if record.get("fit_seconds") is not None:
        rows = f"{record['rows_fit_source']:,} + {record['rows_fit_target']:,}"
        numbers.append((seconds(record["fit_seconds"]), f"to fit {method} on {rows} rows here"))
        numbers.append((f"{record['transform_rows_per_second']:,.0f}", "rows a second to transform"))
        numbers.append((size(record["model_bytes"]), "of fitted model"))
    short, sentences = "Little time.", []
    before, after = raw.get("recall_at_10"), record.get("recall_at_10")
    if before is not None and after is not None:
        lost = before - after
        numbers.append(
            (f"{100 * (after - before):+.0f}".replace("-", "−"), f"points of plain {source}→{target} recall @10")
        )
        change = f"recall @10 in plain {source}→{target} ranking goes from {before:.2f} to {after:.2f}"
        short = f"With {short_name(method or '')}, {change}." if abs(lost) > 0.01 else "Nothing in plain ranking."
        sentences.append(
            f"Where only {target}s are ranked for a {source}, raw rows find their own {target} among the first ten in "
            f"{before:.0%} of cases, rows aligned with {method} in {after:.0%}."
            + (f" Keep the raw {source}s for that use." if lost > 0.01 else "")
        )
    elif not numbers:
        short = "Not measured here."
    return Answer(short, sentences, numbers)


def named(sentence: str, source: str, target: str) -> str:
    """A sentence of ours about sources and targets, with the sets' names.

    Examples
    --------
    >>> named("a source row outranks targets, and the target's mean", "text", "image")
    "a text outranks images, and the image's mean"
    """
    for side, name in (("source", source), ("target", target)):
        sentence = re.sub(rf"\b{side}(?: row)?(s?)\b", rf"{name}\1".replace("\\1", r"\g<1>"), sentence)
        sentence = re.sub(rf"\b{side.capitalize()}(s?)\b", rf"{name.capitalize()}\g<1>", sentence)
    return sentence


def seconds(value: float) -> str:
    """Seconds with two digits that matter.

    Examples
    --------
    >>> seconds(0.0123), seconds(4.21), seconds(75)
    ('12 ms', '4.2 s', '75 s')
    """
    if value < 0.1:
        return f"{1000 * value:.2g} ms"
    return f"{value:.0f} s" if value >= 10 else f"{value:.1f} s" if value >= 1 else f"{value:.2g} s"


def size(value: float) -> str:
    """Bytes in kB or MB."""
    return f"{value / 1e6:.1f} MB" if value >= 1e5 else f"{value / 1e3:.1f} kB"


def _percent(value: float | None) -> str | None:
    return None if value is None else f"{value:.0%}"


def _told(numbers: Sequence[tuple[float | None, str]]) -> list[tuple[str, str]]:
    return [(fixed(value, 2), what) for value, what in numbers if value is not None]
