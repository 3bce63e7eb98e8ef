"""Which method to take, use by use, from the records of a comparison alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from anisoalign.diagnostics.balance import balance
from anisoalign.diagnostics.label_transfer import guessed
from anisoalign.diagnostics.repeats import BY_NEIGHBOURS, COPIES
from anisoalign.report.wording import REAL_TARGET, Record, competing, in_common_frame, in_target_frame, many, one

KEPT = "geometry_consistency"
WORTH = 0.01
"""A gain over raw rows below which there is nothing to choose."""


@dataclass(frozen=True)
class Advice:
    """What to take for one use.

    Parameters
    ----------
    use : str
        What people do with the rows.
    purpose : str
        The same in a few words that a method's name can follow.
    metric, name : str
        Key of the number that decides, and what people call it.
    method : str or None
        None where rows are best left as they are.
    value, error, raw : float
        The metric of the method, its standard error, and that of raw rows; NaN where it was not measured.
    best : str
        The method with the highest value, which may be another one within noise.
    alike : tuple of str
        Methods within two standard errors of the best, other than `method`.
    """

    use: str
    purpose: str
    metric: str
    name: str
    method: str | None
    value: float
    error: float
    raw: float
    best: str
    alike: tuple[str, ...]


_BOTH_WAYS = "mean_mixed_recall_at_10"
_WAYS = ("mixed_recall_at_10", "reverse_mixed_recall_at_10")
USES = (
    (
        "Substitutes for {targets}: train on {sources}, meet {targets} later",
        "to train on {sources} as {targets}",
        "balance",
        "balance of meaning kept and target reached",
    ),
    (
        "One index that holds {sources} and {targets}",
        "for one index of both",
        _BOTH_WAYS,
        "recall @10 both ways in the mixed pool",
    ),
    (
        "A classifier trained on {sources}, used on {targets}",
        "to classify {targets} by labelled {sources}",
        "label_transfer",
        "label transfer",
    ),
    (
        "Nothing but ranking {targets} for {a_source}",
        "to rank {targets} alone for {a_source}",
        "recall_at_10",
        "recall @10 among {targets} alone",
    ),
)
"""What rows are used for, at length and in short, the metric that decides, and its name."""
_AS_TARGETS = ("balance", "label_transfer")
"""Metrics of uses in which rows stand for targets as they are, which those of a common frame do not."""


def balance_of(record: Record) -> float | None:
    """Harmonic mean of geometry kept and target reached, as measured or from the means.

    None of rows in a common frame, whose geometry kept cannot be held against that of others.
    """
    if in_common_frame(record):
        return None
    if record.get("balance") is not None:
        return record["balance"]
    if any(record.get(key) is None for key in (KEPT, "target_penetration", "target_coverage")):
        return None
    return balance(record[KEPT], min(record["target_penetration"], record["target_coverage"]))


def value_of(record: Record, metric: str) -> float | None:
    """A metric of a record; the balance and the mean of both ways also where only their parts were measured."""
    if metric == _BOTH_WAYS and metric not in record and all(way in record for way in _WAYS):
        return sum(record[way] for way in _WAYS) / len(_WAYS)
    return balance_of(record) if metric == "balance" else record.get(metric)


def advise(records: Sequence[Record], source: str = "source", target: str = "target") -> list[Advice]:
    """Advice for every use whose metric was measured, the most general first.

    Where most rows of a side repeat another, none by what goes by neighbours, which are their own copies; none by label
    transfer where real targets do no better than always saying the most common label.

    Of the methods within two standard errors of the best the one that is advised in general is taken, else, of those
    in the best one's frame, the one that keeps most of the source's geometry: where they do equally well, the smallest
    change is the safest. Methods of a common frame are advised for search alone.

    Examples
    --------
    >>> numbers = {"geometry_consistency": 0.9, "target_penetration": 0.8, "target_coverage": 0.9}
    >>> advise([{"method": "realign", **numbers}])[0].method
    'realign'
    """
    found: list[Advice] = []
    words = {"sources": many(source), "targets": many(target), "a_source": one(source)}
    copies = any(record.get(side) for record in records for side in COPIES)
    real = next((record for record in records if record["method"] == REAL_TARGET and "label_transfer" in record), None)
    error = 0.0 if real is None else real.get("label_transfer_se", 0.0)
    guess = real is not None and guessed(real["label_transfer"], error, real.get("label_majority"))
    for use, purpose, metric, name in USES:
        if (copies and metric in BY_NEIGHBOURS) or (guess and metric == "label_transfer"):
            continue
        able = [record for record in records if metric not in _AS_TARGETS or not in_common_frame(record)]
        advice = _choose(able, metric, found[0].method if found else None)
        if advice is not None:
            texts = (use.format(**words), purpose.format(**words), metric, name.format(**words))
            found.append(Advice(*texts, *advice))
    return found


def _choose(
    records: Sequence[Record], metric: str, general: str | None
) -> tuple[str | None, float, float, float, str, tuple[str, ...]] | None:
    rivals = [record for record in records if competing(record) and value_of(record, metric) is not None]
    if not rivals:
        return None
    best = max(rivals, key=lambda record: value_of(record, metric) or 0.0)
    near = [r for r in rivals if r is best or r.get(f"{metric}_mark") in ("best", "within_noise")]
    raw_record = next((record for record in records if record["method"] == "identity"), {})
    raw = value_of(raw_record, metric)
    if raw is not None:  # what is within noise of the best may still be worse than raw rows
        near = [r for r in near if r is best or (value_of(r, metric) or 0.0) >= raw + WORTH]
    frame = in_common_frame(best)
    chosen = max(near, key=lambda r: (r["method"] == general, in_common_frame(r) == frame, r.get(KEPT, 0.0)))
    value, top = value_of(chosen, metric) or 0.0, value_of(best, metric) or 0.0
    leave = raw is not None and top < raw + WORTH
    alike = tuple(str(record["method"]) for record in near if record is not chosen)
    return (
        None if leave else str(chosen["method"]),
        raw if leave and raw is not None else value,
        (raw_record if leave else chosen).get(f"{metric}_se", 0.0),
        float("nan") if raw is None else raw,
        str(best["method"]),
        alike,
    )


def methods_to_show(records: Sequence[Record]) -> list[str]:
    """Methods worth a closer look, the advised one first, then those of other uses and the published baseline.

    They are shown among targets as they are: one in both frames, once.
    """
    known = {str(record["method"]) for record in records if competing(record)}
    found = [advice.method for advice in advise(records) if advice.method is not None]
    advised = [name if (name := in_target_frame(method)) in known else method for method in found]
    polar = [name for name in sorted(known) if name.startswith("aniso-align:paper")]
    return list(dict.fromkeys([*advised, *[n for n in ("aniso-align", "realign") if n in known], *polar]))[:5]
