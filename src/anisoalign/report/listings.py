"""Tables of the page: methods and their costs, to be sorted; all numbers of a diagnosis and of an alignment."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from anisoalign.diagnostics.measures import ALIGNED, COMPARED, Measure, labelled_in_fewer, present
from anisoalign.report.answers import seconds, size
from anisoalign.report.choosing import balance_of
from anisoalign.report.rivals import strength_of
from anisoalign.report.wording import (
    CONTROLLED,
    GAP,
    Record,
    closed_left_out,
    competing,
    controls,
    copies_among,
    directions_compared,
    in_order,
    many,
    measured,
    of_both_frames,
    side_names,
    transfer_has_room,
)

BALANCE = Measure(
    "balance", "balance", "harmonic mean of Ψ and of the smaller of penetration and coverage; 1 is both", 2
)


_MARKED = (
    "**Bold** is best of all methods. ≈ is within noise of it: the differences from the best, split by split, average "
    "no more than twice their standard error. What two methods have in common in a split cancels, so of two with the "
    "same figures one may have the mark and the other not. Controls and maps made with pairs take no part."
)
_ONE_SPLIT = "One split tells no spread, and so of no method that it is best: --repeats asks for more."


@dataclass(frozen=True)
class Cell:
    """A number as text, its standard error, its mark, and the value that rows are sorted by."""

    text: str
    spread: str = ""
    mark: str = ""
    value: str = ""


@dataclass(frozen=True)
class Listing:
    """A table: names of columns and what they say, and groups of rows."""

    key: str
    caption: str
    head: list[tuple[str, str]]
    groups: list[list[tuple[str, list[Cell]]]]
    notes: list[str]
    first: str = "method"
    sortable: bool = False
    explained: bool = False


def methods_table(records: Sequence[Record], advised: Collection[str] = ()) -> Listing:
    """Methods and metrics, of those that differ by strength the best and the advised; marks are among all methods."""
    return _compared(records, "methods-table", "Methods and what was measured", _in_front(records, advised), True)


def other_methods_table(records: Sequence[Record], advised: Collection[str] = ()) -> Listing | None:
    """What `methods_table` leaves out: other strengths, then controls and what is made with pairs."""
    front = _in_front(records, advised)
    rest = [str(record["method"]) for record in records if str(record["method"]) not in front]
    if not rest:
        return None
    return _compared(records, "other-methods-table", "Other strengths, controls, and maps made with pairs", rest, False)


def _in_front(records: Sequence[Record], advised: Collection[str]) -> list[str]:
    """Methods worth a row at first sight, and raw rows, which all are compared with."""
    families: dict[str, list[Record]] = {}
    for record in filter(competing, records):
        dial = strength_of(record["method"])
        families.setdefault(str(record["method"]) if dial is None else dial[0], []).append(record)
    best = {str(max(family, key=lambda r: balance_of(r) or 0.0)["method"]) for family in families.values()}
    return [str(r["method"]) for r in records if r["method"] in {*best, *advised, "identity"}]


def _compared(records: Sequence[Record], key: str, caption: str, shown: Collection[str], noted: bool) -> Listing:
    room = transfer_has_room(records)
    whole = [{**record, "balance": balance_of(record)} for record in records]
    measures = [m for m in present((BALANCE, *COMPARED), whole) if room or m.key != "closed"]
    kept = [[record for record in group if record["method"] in shown] for group in in_order(whole)]
    groups = [[(str(r["method"]), [_cell(m, r) for m in measures]) for r in group] for group in kept]
    notes = [_ONE_SPLIT if any(record.get("repeats") == 1 for record in whole) else _MARKED]
    if of_both_frames(records):
        notes.append(
            "Methods of a common frame (frame=common) take no part in marks of what changes with the frame: Φ, Ψ, Ω, "
            "balance, the distance of the means, residual anisotropy, paired cosine and label transfer."
        )
    notes += [*copies_among(whole), *labelled_in_fewer(whole)]
    if any(str(record["method"]).startswith("oracle-") for record in records):
        notes.append(
            "The oracles are simple maps made with pairs, for comparison only: they minimise a distance, which is not "
            "what is measured here, and methods without pairs can do better."
        )
    if any(measure.key == "uncentered_residual_anisotropy" for measure in measures):
        rows = whole[0].get("rows_test_source")
        notes.append(
            f"Residual anisotropy is that of the {f'{rows:,} ' if rows else ''}tested rows of a split. The fewer rows, "
            "the larger it comes out: compare it within this table, not with that of all pairs in section 2."
        )
    notes = [*notes, *closed_left_out(records)] if noted else []
    return Listing(
        key,
        caption,
        [(measure.name, measure.words) for measure in measures],
        [group for group in groups if group],
        notes,
        sortable=True,
        explained=noted,
    )


_COSTS = {"fit_seconds": seconds, "transform_rows_per_second": "{:,.0f}".format, "model_bytes": size}
"""What a comparison measures of a method, and how it is said."""


def _cost(record: Record, key: str, said: Callable[[float], str]) -> Cell:
    value = record.get(key)  # a record written by hand, or cut, may lack any
    if value is None:
        return Cell("")
    return Cell(said(value), value=f"{value:.0f}" if key == "model_bytes" else f"{value:.6g}")


def _change(found: float | None, raw: float) -> Cell:
    """Points of recall gained or lost against raw rows."""
    if found is None:
        return Cell("")
    points = 100 * (found - raw)
    return Cell(f"{points:+.1f}".replace("-", "−"), value=f"{points:.4f}")


def costs_table(records: Sequence[Record]) -> Listing | None:
    """Seconds, rates, sizes and the change of plain recall against raw rows; None where no cost was measured."""
    shown = [record for record in records if record.get("fit_seconds") is not None and competing(record)]
    if not shown:
        return None
    raw = measured(records, "identity", "recall_at_10")
    head = [
        ("fit", "median seconds of one fit, reading the rows included"),
        ("transform, rows/s", "rows moved in a second"),
        ("model", "size of what is stored"),
    ]
    if raw is not None:
        head.append(("recall @10", "points gained or lost against raw rows where targets alone are ranked"))
    rows = []
    for record in shown:
        cells = [_cost(record, key, said) for key, said in _COSTS.items()]
        if raw is not None:
            cells.append(_change(record.get("recall_at_10"), raw))
        rows.append((str(record["method"]), cells))
    fitted = [shown[0].get(f"rows_fit_{side}") for side in ("source", "target")]
    on = "" if None in fitted else f", on {fitted[0]:,} + {fitted[1]:,} fitted rows"
    note = f"Measured in this comparison{on}; anisoalign plan METHOD … tells beforehand what larger sets take."
    return Listing(
        "costs-table", "Time, size and price, method by method", head, [rows], [note], sortable=True, explained=True
    )


def alignment_listing(record: Record) -> Listing:
    """Every number of an alignment with what it says."""
    return _listing("alignment", "The alignment in numbers", ALIGNED, record)


def gap_listing(gap: Record, source: str, target: str) -> Listing:
    """Every number of a diagnosis with what it says."""
    sides = side_names(gap)
    names = sides if sides != ("source", "target") else (source, target)
    return _listing("gap-numbers", f"The gap between {many(names[0])} and {many(names[1])} in numbers", GAP, gap)


def controls_listing(gap: Record) -> Listing | None:
    """What known moves of the source would do."""
    moved = controls(gap)
    if not moved:
        return None
    measures = present(CONTROLLED, list(moved.values()))
    rows = [(name, [_cell(measure, metrics) for measure in measures]) for name, metrics in moved.items()]
    head = [(measure.name, measure.words) for measure in measures]
    return Listing(
        "controls",
        "What known moves of the source would do",
        head,
        [rows],
        ["Fitted and measured on the same rows."],
        "move",
    )


def _listing(key: str, caption: str, measures: Sequence[Measure], record: Record) -> Listing:
    rows = [(m.name, [Cell(m.number(record)), Cell(m.words)]) for m in present(measures, [record])]
    note = f"{record['rows_source']:,} source rows, {record['rows_target']:,} target rows"
    sizes = {"d": record.get("dim"), "q": directions_compared(record) if "q" in record else None, "k": record.get("k")}
    note += "".join(f", {name} = {size}" for name, size in sizes.items() if size is not None)
    return Listing(key, caption, [("value", ""), ("what it says", "")], [rows], [f"{note}."], "measure")


def _cell(measure: Measure, record: Record) -> Cell:
    value = record.get(measure.key)
    if value is None:
        return Cell("", value="")
    return Cell(measure.number(record), measure.spread(record), measure.mark(record), f"{value:.6g}")
