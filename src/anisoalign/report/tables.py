"""Result records as tables for the terminal and as Markdown."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from anisoalign.diagnostics.measures import (
    ALIGNED,
    COMPARED,
    Measure,
    alignment_title,
    fixed,
    labelled_in_fewer,
    present,
)
from anisoalign.report.wording import (
    CONTROLLED,
    GAP,
    Record,
    chosen_strengths,
    closed_left_out,
    controls,
    copies_among,
    directions_compared,
    in_order,
    of_both_frames,
    protocol_line,
    side_names,
)

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.measure import Measurement
    from rich.table import Table

BEST, NEAR = "best", "within_noise"
_MARKS = {BEST: "*", NEAR: "≈"}
_BROKEN = {"neighbours": "neigh-\nbours", "penetration": "pene-\ntration", "anisotropy": "aniso-\ntropy"}
_OF_THE_POOL = ("reverse_mixed_recall_at_10", "mixed_target_share_at_10")
"""What mixed recall stands for in a terminal, which has room for a dozen columns with their spreads."""
_STYLES = {BEST: "bold"}


def comparison_table(records: Sequence[Record]) -> Table:
    """Comparison of methods for a terminal of 120 columns.

    Parameters
    ----------
    records : sequence of dict
        As `Comparison.to_dicts()` gives them. What none of them holds has no column. Of the mixed pool recall stands
        for all where there are pairs; page, Markdown and JSON have the rest.

    Returns
    -------
    rich.table.Table
        Methods first, then controls and maps made with pairs; the best in bold with a star, those within noise with ≈.
    """
    from rich.text import Text

    measures = present(COMPARED, records)
    if any(measure.key == "mixed_recall_at_10" for measure in measures):
        measures = [measure for measure in measures if measure.key not in _OF_THE_POOL]
    legend = [f"{measure.name.removesuffix(' ↓')} – {measure.words}" for measure in measures]
    marked = {measure.key for measure in measures if any(measure.mark(record) for record in records)}
    said = [*([_marks("* best", records)] if marked else []), *copies_among(records), *labelled_in_fewer(records)]
    said += closed_left_out(records)
    table = _table(protocol_line(records), "\n".join(["", *said, *legend, *chosen_strengths(records)]))
    table.add_column("method", overflow="fold")
    for measure in measures:
        table.add_column(_heading(measure), justify="right", overflow="fold")
    for section in in_order(records):
        for record in section:
            name = str(record["method"]).replace(":", ":\n  ", 1).replace(",", ",\n  ")
            cells = [_Cell.of(measure, record, measure.key in marked) for measure in measures]
            table.add_row(Text(name), *cells)
        table.add_section()
    return table


def comparison_markdown(records: Sequence[Record]) -> str:
    """The same table in Markdown, the best in bold, with the legend below it."""
    measures = present(COMPARED, records)
    head = ["method", *(measure.name for measure in measures)]
    lines = [_line(head), _line(["---"] + ["---:"] * len(measures))]
    for section in in_order(records):
        lines += [_line([_escaped(str(r["method"])), *(_marked(m, r) for m in measures)]) for r in section]
    legend = [f"* {measure.name.removesuffix(' ↓')} – {measure.words}" for measure in measures]
    legend += [f"* {sentence}" for sentence in chosen_strengths(records)]
    protocol = protocol_line(records)
    marked = any(measure.mark(record) for measure in measures for record in records)
    notes = [
        protocol[:1].upper() + protocol[1:] + "." if protocol else "",
        _marks("**bold** best", records) if marked else "",
    ]
    notes += [*copies_among(records), *labelled_in_fewer(records), *closed_left_out(records)]
    return "\n".join([*lines, "", *filter(None, notes), "", *legend, ""])


def gap_table(records: Sequence[Record]) -> Table:
    """Diagnosis for a terminal: a listing of one pair of sets, a matrix of several.

    Parameters
    ----------
    records : sequence of dict
        As `GapReport.to_dict()` gives them, with the sets' names under "source" and "target" where there are
        several.

    Returns
    -------
    rich.table.Table
        Of a single record, every number with what it says. Of several, centroid gaps above the diagonal and
        subspace overlaps below it.
    """
    return _gap_listing(records[0]) if len(records) == 1 else _gap_matrix(records)


def alignment_table(record: Record) -> Table:
    """Metrics of an alignment (`AlignmentReport.to_dict()`) for a terminal, each with what it says."""
    return _listing(alignment_title(record), [(m.name, m.number(record), m.words) for m in present(ALIGNED, [record])])


def _table(title: str, caption: str, gap: int = 0) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    return Table(
        title=Text(title) if title else None,
        caption=Text(caption) if caption else None,
        title_justify="left",
        caption_justify="left",
        title_style="",
        caption_style="dim",
        box=box.SIMPLE_HEAD,
        padding=(0, gap, 0, 0),
        min_width=66,
        show_edge=False,
    )


def _listing(title: str, lines: Sequence[tuple[str, str, str]], caption: str = "") -> Table:
    from rich.text import Text

    table = _table(title, caption, gap=1)
    table.add_column("measure", no_wrap=True)
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("what it says", style="dim")
    for line in lines:
        table.add_row(*(Text(cell) for cell in line))
    return table


def _gap_listing(gap: Record) -> Table:
    names = side_names(gap)
    size = directions_compared(gap)
    title = (
        f"{names[0]} ({gap['rows_source']:,} rows) against {names[1]} ({gap['rows_target']:,} rows), "
        f"width {gap['dim']}, q = {size}" + (", all that the rows span" if size < gap["q"] else "")
    )
    lines = [(m.name, m.number(gap), m.words) for m in present(GAP, [gap])]
    moved = controls(gap)
    if moved:
        lines.append(("", "", ""))
        lines.append(("if the source were …", "Δμ", "Ψ and Ω kept, target penetrated / covered"))
    for name, metrics in moved.items():
        gap_left, *kept, reached, covered = (m.number(metrics) for m in CONTROLLED)
        lines.append((f"  {name}", gap_left, f"Ψ {kept[0]}  Ω {kept[1]}   {reached} / {covered}"))
    return _listing(title, lines)


def _gap_matrix(records: Sequence[Record]) -> Table:
    from rich.text import Text

    pairs = {side_names(record): record for record in records}
    names = list(dict.fromkeys(name for pair in pairs for name in pair))
    overlapped = [record for record in records if record.get("subspace_overlap") is not None] or records
    chance = {fixed(record.get("subspace_overlap_chance"), 2) for record in overlapped}
    q = {str(directions_compared(record)) for record in overlapped}
    table = _table(
        "how far apart the sets lie",
        "above the diagonal: Gμ, distance of centroids (0 none, 2 most)\n"
        f"below: overlap of {', '.join(sorted(q))} leading directions (chance {', '.join(sorted(chance))})",
    )
    table.add_column("")
    for name in names:
        table.add_column(Text(name), justify="right", min_width=8)
    for row, name in enumerate(names):
        cells = []
        for column, other in enumerate(names):
            record = pairs.get((name, other)) or pairs.get((other, name)) or {}
            key = "centroid_gap" if row < column else "subspace_overlap"
            cells.append("·" if row == column else fixed(record.get(key), 2))
        table.add_row(Text(name), *cells)
    return table


@dataclass(frozen=True)
class _Cell:
    """A number as narrow as it can be, like 0.959±.001≈; in two lines where the terminal is narrow."""

    number: str
    spread: str
    style: str = ""

    @classmethod
    def of(cls, measure: Measure, record: Record, marked: bool) -> _Cell:
        if record.get(measure.key) is None:
            return cls("", "")
        mark, spread = measure.mark(record), measure.spread(record)
        spread = f"±{spread.removeprefix('0')}" if spread else ""
        return cls(measure.number(record), spread + _MARKS.get(mark, " " if marked else ""), _STYLES.get(mark, ""))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.text import Text

        whole = self.number + self.spread
        text = whole if len(whole) <= options.max_width else f"{self.number}\n{self.spread}"
        yield Text(text, style=self.style, justify="right")

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        from rich.measure import Measurement

        return Measurement(max(len(self.number), len(self.spread)), len(self.number) + len(self.spread))


def _marked(measure: Measure, record: Record) -> str:
    if record.get(measure.key) is None:
        return ""
    spread, mark = measure.spread(record), measure.mark(record)
    text = measure.number(record) + (f" ± {spread}" if spread else "")
    return f"**{text}**" if mark == BEST else f"≈ {text}" if mark == NEAR else text


def _heading(measure: Measure) -> str:
    for word, broken in _BROKEN.items():
        if word in measure.name:
            return measure.name.replace(word, broken).replace(" ", "\n", 1)
    return measure.name.replace(" ", "\n")


def _marks(best: str, records: Sequence[Record]) -> str:
    framed = "; methods of a common frame take none in Ψ, Ω, residual anisotropy and label transfer"
    return (
        f"{best}, ≈ within two standard errors of it by the differences split by split; controls and maps made with "
        f"pairs take no part{framed if of_both_frames(records) else ''}."
    )


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is."""
    text = " ".join(html.escape(text, quote=False).split())
    return "".join(f"\\{c}" if c in "\\`*_|[]" else c for c in text)
