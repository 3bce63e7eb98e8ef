"""The five questions of the page and their short answers, from result records alone."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from anisoalign.diagnostics.measures import fixed
from anisoalign.diagnostics.repeats import COPIES
from anisoalign.diagnostics.verdict import amount_shared, keeps_apart
from anisoalign.report.choosing import KEPT, Advice, balance_of, value_of
from anisoalign.report.gap_charts import held
from anisoalign.report.rivals import target_reached, trading_off
from anisoalign.report.sentences import alignment_sentences, gap_sentences
from anisoalign.report.wording import (
    RAW,
    Record,
    competing,
    copies_among,
    directions_compared,
    in_common_frame,
    many,
    of_both_frames,
    one,
    short_name,
)

HALF_WAY = 0.5
"""Share of full mixing from which a method counts as having come half-way."""


@dataclass(frozen=True)
class Answer:
    """A question's answer in a few words, the sentences behind it, and its key numbers as (value, what it is)."""

    short: str
    sentences: list[str]
    numbers: list[tuple[str, str]]


def is_there_a_gap(gap: Record, source: str, target: str) -> Answer:
    """Where the two sets lie, and which cosines to expect."""
    place, _, cosine = gap_sentences(gap)
    size = gap["centroid_gap"]
    apart = keeps_apart(gap.get("mixed_target_share_at_10"))
    nearly = "Not between the means; but rows keep to their own kind." if apart else "Hardly: the means nearly agree."
    short = "Yes, a wide one." if size > 0.5 else "Yes." if size > 0.1 else nearly
    numbers = [
        (size, "distance of the two means (2 at most)"),
        (gap.get("within_source_cosine"), f"mean cosine of two {many(source)}"),
        (gap["centroid_cosine"], f"mean cosine of {one(source)} and any {target}"),
        (gap.get("paired_cosine"), f"mean cosine of {one(source)} and its own {target}"),
    ]
    return Answer(short, [named(s, source, target) for s in (place, cosine)], _told(numbers))


_SHARED = {
    "most of": "Most leading directions shared",
    "part of": "Some leading directions shared",
    "few of": "Few leading directions shared, though more than by chance",
    "none of": "Not shown to share directions",
}


def what_kind(gap: Record, source: str, target: str) -> Answer:
    """What the sets share, and what is left once the means agree."""
    seen, chance = gap.get("subspace_overlap"), gap.get("subspace_overlap_chance") or 0.0
    inside = held(gap)
    if seen is None:
        short = "Too few distinct rows to compare directions"
    else:
        amount = amount_shared(seen, chance, gap.get("subspace_overlap_p"))
        short = f"{_SHARED[amount]} ({seen:.0%}; chance {chance:.0%})"
    if gap["centroid_gap"] > 0.1:
        short += ", means apart"
    ratio, lopsided = gap.get("residual_ratio"), gap.get("residual_anisotropy")
    uneven = inside is not None and (
        inside[0] < 0.5 * _share_of_noise(gap) or (lopsided or 0.0) > 2 * _anisotropy_of_noise(gap)
    )
    if inside is not None:
        short += f", and a {'lopsided' if uneven else 'fairly even'} rest"
    numbers = [
        (_percent(seen), f"of {directions_compared(gap)} leading directions shared (chance {chance:.0%})"),
        (_percent(ratio), "of the distance of pairs is left when the means agree"),
    ]
    if inside is not None:
        numbers.append((_percent(inside[1]), f"of the energy of that rest lies in {inside[0]:.0%} of the dimensions"))
    if lopsided is not None:
        pairs = f"the mean energy along the main direction of that rest, over all {gap['rows_source']:,} pairs"
        numbers.append((f"{lopsided:.0f}×", pairs))
    sentences = [named(gap_sentences(gap)[1], source, target)]
    if uneven:
        noise = "adding noise of equal size in all directions is no model of what is left."
        enough = ratio is not None and ratio < _LITTLE_LEFT
        sentences.append(_begun(noise) if enough else f"So moving the means is not enough, and {noise}")
    return Answer(f"{short}.", sentences, [(text, what) for text, what in numbers if text is not None])


_LITTLE_LEFT = 0.25
"""Share of the distance of pairs below which matching the means has closed most of the gap."""


def _share_of_noise(gap: Record) -> float:
    """Share of the dimensions that noise of equal size in all directions would seem to fill: few rows show few."""
    return gap["rows_source"] / (gap["rows_source"] + gap["dim"])


def _anisotropy_of_noise(gap: Record) -> float:
    """Energy along the main direction of such noise, over the mean: few rows show much (Marčenko and Pastur)."""
    return (1 + math.sqrt(gap["dim"] / gap["rows_source"])) ** 2


def what_methods_do(records: Sequence[Record], source: str, target: str) -> Answer:
    """How many methods arrive, and what they keep on the way."""
    rivals = list(filter(competing, trading_off(records)))
    if not rivals:
        return Answer("Nothing was measured on both counts.", [], [])
    there = [record for record in rivals if target_reached(record)[0] >= HALF_WAY]
    kept = sorted(record[KEPT] for record in there)
    sentences = [
        f"Two things are asked of an aligned {source}: that it still means what it meant (Ψ, the correlation of "
        f"cosines between {many(source)} before and after), and that it lies where {many(target)} lie (penetration: "
        f"aligned {many(source)} have {many(target)} for neighbours; coverage: {many(target)} have aligned "
        f"{many(source)})."
    ]
    if not there:
        return Answer(f"No method brings the {many(source)} half-way among the {many(target)}.", sentences, [])
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
        f"{len(there)} of {len(rivals)} methods bring {many(source)} at least half-way among the {many(target)}; "
        f"they keep {kept[0]:.2f} to {kept[-1]:.2f} of the geometry (Ψ)."
    )
    if of_both_frames(records):
        sentences.append("Those of a common frame (frame=common) are for search, and not among these.")
    return Answer(short, sentences, [])


def what_this_alignment_does(record: Record, source: str, target: str) -> Answer:
    """The same for a single alignment."""
    first, *rest = [named(sentence, source, target) for sentence in alignment_sentences(record)]
    return Answer(first, rest, [])


def which_one(advice: Sequence[Advice], records: Sequence[Record], source: str, target: str) -> Answer:
    """The method to take for each use, why, and what is given up where uses ask for different ones."""
    if not advice:
        return Answer("These figures do not tell.", copies_among(records), [])
    first, short = advice[0], by_use(advice)
    if first.metric != "balance":
        return Answer(short, [_by_one_figure(first), *copies_among(records)], [])
    if first.method is None:
        why = [f"No method gains on {RAW} in balance what it would cost."]
        return Answer(short, [*why, *_trades(advice, records, target)], [])
    record = next(record for record in records if record["method"] == first.method)
    reached = min(record["target_penetration"], record["target_coverage"])
    balance = "has the best balance" if first.best == first.method else "is within noise of the best balance"
    if record.get("repeats") == 1:
        balance = "has on the one split measured, which tells no spread, the best balance"
    sentences = [
        f"{_begun(first.purpose)}, {short_name(first.method)} {balance} of meaning kept and target reached: "
        f"{first.value:.2f}, their harmonic mean, where {RAW} have {fixed(first.raw, 2)}. It keeps {record[KEPT]:.2f} "
        f"of the {many(source)}’ geometry (Ψ); the smaller of its penetration and coverage is {reached:.2f}, and 1 "
        f"would say that aligned {many(source)} and {many(target)} lie as if shuffled."
    ]
    if first.alike:
        others = "; ".join(short_name(name) for name in first.alike)
        sentences.append(f"Not told apart from it in balance on these rows: {others}.")
    better = _better_along_the_dial(record, first)
    if better is not None:
        strength, value = better
        sentences.append(
            f"It sets its strength by itself; on these rows strength={strength:g} balances better ({value:.2f}): "
            f"{first.method}{',' if ':' in first.method else ':'}strength={strength:g} takes it."
        )
    return Answer(short, [*sentences, *_trades(advice, records, target)], [])


def _by_one_figure(advice: Advice) -> str:
    """What is advised for a use by the number that decides it alone."""
    said = f"{fixed(advice.value, 3)} in {advice.name}"
    if advice.method is None:
        return f"{_begun(advice.purpose)}, no method gains on {RAW}, which have {said}."
    raw = f", where {RAW} have {fixed(advice.raw, 3)}" if math.isfinite(advice.raw) else ""
    others = "; ".join(short_name(name) for name in advice.alike)
    alike = f" Not told apart from it on these rows: {others}." if others else ""
    return f"{_begun(advice.purpose)}, {short_name(advice.method)} has {said}{raw}.{alike}"


def by_use(advice: Sequence[Advice]) -> str:
    """What to take for which use, in one line; uses of the same method together.

    Examples
    --------
    >>> numbers = {"geometry_consistency": 0.9, "target_penetration": 0.8, "target_coverage": 0.9}
    >>> from anisoalign.report.choosing import advise
    >>> by_use(advise([{"method": "realign", **numbers}], "text", "image"))
    'To train on texts as images: realign.'
    """
    found: dict[str, list[str]] = {}
    for line in advice:
        found.setdefault(RAW if line.method is None else short_name(line.method), []).append(line.purpose)
    return _begun("; ".join(f"{' and '.join(uses)}: {name}" for name, uses in found.items())) + "."


def _begun(text: str) -> str:
    return text[:1].upper() + text[1:]


def _trades(advice: Sequence[Advice], records: Sequence[Record], target: str) -> list[str]:
    """What a use with another method gains by it, and what it gives up, in figures."""
    by_name, general = {str(record["method"]): record for record in records}, advice[0].method or "identity"
    if general not in by_name:
        return []
    found = []
    for line in advice[1:]:
        method = line.method or "identity"
        if method == general or method not in by_name:
            continue
        there, here = by_name[method], by_name[general]
        if in_common_frame(there):
            found.append(_trade_of_a_frame(line, there, here, target))
            continue
        gained = [value_of(record, line.metric) for record in (there, here)]
        given = [value_of(record, advice[0].metric) for record in (there, here)]
        if None in gained or None in given:
            continue
        kept = f" (Ψ {fixed(there.get(KEPT), 2)} against {fixed(here.get(KEPT), 2)})" if method != "identity" else ""
        found.append(
            f"{_begun(line.purpose)}, {short_name(method)} {'have' if method == 'identity' else 'has'} "
            f"{fixed(gained[0], 2)} in {line.name} against {fixed(gained[1], 2)} of {short_name(general)}, but a "
            f"balance of {fixed(given[0], 2)} against {fixed(given[1], 2)}{kept}."
        )
    return found


def _trade_of_a_frame(line: Advice, there: Record, here: Record, target: str) -> str:
    """The same of a method of a common frame, whose geometry cannot be held against that of others."""
    own = value_of(here, line.metric)
    against = "" if own is None else f" against {fixed(own, 2)} of {short_name(str(here['method']))}"
    return (
        f"{_begun(line.purpose)}, {short_name(str(there['method']))} has {fixed(value_of(there, line.metric), 2)} in "
        f"{line.name}{against}. Both sides are then less their own mean: {many(target)} are moved too, and aligned "
        f"rows are no substitutes for {many(target)} as they are."
    )


def _better_along_the_dial(record: Record, advice: Advice) -> tuple[float, float] | None:
    """The strength that beats by 0.01 what a method chose by itself, and the balance there, over the same splits."""
    values, own = record.get("dial_balance"), record.get("dial_own_balance")
    if advice.metric != "balance" or not values or own is None or "strength_lowest" not in record:
        return None
    at = max(range(len(values)), key=values.__getitem__)
    return (record["dial_strength"][at], values[at]) if values[at] > own + 0.01 else None


def what_it_costs(records: Sequence[Record], method: str | None, source: str, target: str) -> Answer:
    """Time, size and the price in plain retrieval, against a simpler method too."""
    by_name = {record["method"]: record for record in records}
    record, raw = by_name.get(method or "", {}), by_name.get("identity", {})
    numbers: list[tuple[str, str]] = []
    short, sentences, name = "Not measured here.", [], short_name(method or "")
    if method is None:
        short = "Nothing: rows stay as they are."
    elif record.get("fit_seconds") is not None:
        short = f"{seconds(record['fit_seconds'])} to fit here."
    if record.get("fit_seconds") is not None:
        rows = f"{record['rows_fit_source']:,} + {record['rows_fit_target']:,}"
        numbers.append((seconds(record["fit_seconds"]), f"to fit {name} on {rows} rows here"))
        numbers.append((f"{record['transform_rows_per_second']:,.0f}", "rows a second to transform"))
        numbers.append((size(record["model_bytes"]), "of fitted model"))
        sentences += [*_against_a_simpler(record, records), _GROWTH]
    before, after = raw.get("recall_at_10"), record.get("recall_at_10")
    if before is not None and after is not None:
        lost = before - after
        numbers.append((_signed(after - before), f"points of recall @10 where {many(target)} alone are ranked"))
        change = f"recall @10 where {many(target)} alone are ranked goes from {before:.2f} to {after:.2f}"
        short = f"With {name}, {change}." if abs(lost) > 0.01 else f"Nothing where {many(target)} alone are ranked."
        sentences.append(
            f"Where only {many(target)} are ranked for {one(source)}, {RAW} find their own {target} among the first "
            f"ten in {before:.0%} of cases, rows aligned with {name} in {after:.0%}."
            + (f" Keep {RAW} for that use." if lost > 0.01 else "")
        )
    return Answer(short, sentences, numbers)


_GROWTH = (
    "To transform, and to read all rows for a fit, takes time in proportion to their number; the rest of a fit does "
    "not grow with it, once there are more rows than aniso-align learns from (its fit_rows)."
)


def simpler_than(record: Record, records: Sequence[Record]) -> Record | None:
    """Of the methods that are quicker to fit and store no more, the one with the best balance."""
    costs = ("fit_seconds", "model_bytes")
    known = [r for r in records if competing(r) and balance_of(r) is not None and all(k in r for k in costs)]
    less = [r for r in known if r["fit_seconds"] < record["fit_seconds"] and r["model_bytes"] <= record["model_bytes"]]
    rivals = [r for r in less if r["method"] != record["method"]]
    return max(rivals, key=lambda r: balance_of(r) or 0.0, default=None)


def _against_a_simpler(record: Record, records: Sequence[Record]) -> list[str]:
    other = simpler_than(record, records)
    own = balance_of(record)
    if other is None or own is None:
        return []
    fit = record["fit_seconds"] / max(other["fit_seconds"], 1e-9)
    apply = other["transform_rows_per_second"] / max(record["transform_rows_per_second"], 1e-9)
    if COPIES & record.keys():
        return []  # a balance tells nothing then
    return [
        f"The best of the simpler methods (quicker to fit, no larger) is {short_name(other['method'])}, with a balance "
        f"of {fixed(balance_of(other), 2)} against {fixed(own, 2)}: {short_name(record['method'])} takes {_times(fit)} "
        f"as long to fit ({seconds(record['fit_seconds'])} against {seconds(other['fit_seconds'])}) and "
        f"{_times(apply)} as long to transform."
    ]


def _times(ratio: float) -> str:
    return f"{ratio:,.0f} times" if ratio >= 9.5 else f"{ratio:.1f} times"


def _signed(share: float) -> str:
    return f"{100 * share:+.0f}".replace("-", "−")


def named(sentence: str, source: str, target: str) -> str:
    """A sentence of ours about sources and targets, with the sets' names.

    Examples
    --------
    >>> named("a source row outranks targets, and the target's mean", "text", "image")
    "a text outranks images, and the image's mean"
    >>> named("Targets have a target row", "text", "image")
    'Images have an image'
    """

    def replaced(found: re.Match[str]) -> str:
        article, side, plural = found["article"], found["side"], found["plural"]
        name = source if side.lower() == "source" else target
        text = many(name) if plural else one(name) if article else name
        return _begun(text) if (article or side)[0].isupper() else text

    return re.sub(r"\b(?P<article>[Aa] )?(?P<side>[Ss]ource|[Tt]arget)(?: row)?(?P<plural>s)?\b", replaced, sentence)


def seconds(value: float) -> str:
    """Seconds, always in this one unit so that they compare, with two digits that matter.

    Examples
    --------
    >>> seconds(0.0123), seconds(4.21), seconds(75), seconds(1234), seconds(1e-6)
    ('0.012 s', '4.2 s', '75 s', '1,234 s', 'under 0.0001 s')
    """
    if value < 1e-4:
        return "under 0.0001 s"
    return f"{value:,.0f} s" if value >= 9.95 else f"{value:#.2g} s"


def size(value: float) -> str:
    """Bytes in kB or MB."""
    return f"{value / 1e6:.1f} MB" if value >= 1e5 else f"{value / 1e3:.1f} kB"


def _percent(value: float | None) -> str | None:
    return None if value is None else f"{value:.0%}"


def _told(numbers: Sequence[tuple[float | None, str]]) -> list[tuple[str, str]]:
    return [(fixed(value, 2), what) for value, what in numbers if value is not None]
