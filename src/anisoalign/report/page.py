"""One self-contained HTML page of results, made from their JSON alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from anisoalign.embeddings import InputError
from anisoalign.embeddings.atomic import writable, write_synced
from anisoalign.report.pictures import drawings
from anisoalign.report.sentences import alignment_sentences, comparison_sentences, gap_sentences
from anisoalign.report.wording import (
    ALIGNED,
    COMPARED,
    CONTROLLED,
    GAP,
    Measure,
    Record,
    controls,
    in_order,
    present,
    protocol_line,
    side_names,
)

if TYPE_CHECKING:
    from jinja2 import Template

TITLE = "Modality gap report"


@dataclass(frozen=True)
class _Cell:
    text: str
    spread: str = ""
    mark: str = ""


@dataclass(frozen=True)
class _Table:
    caption: str
    head: list[tuple[str, str]]
    """Names of the columns and what they say."""
    groups: list[list[tuple[str, list[_Cell]]]]
    notes: list[str]
    marked: bool = False
    listing: bool = False
    first: str = "method"


@dataclass(frozen=True)
class _Picture:
    svg: str
    words: str


def write_page(
    path: str | Path,
    *,
    gap: Record | Sequence[Record] | None = None,
    alignment: Record | None = None,
    comparison: Sequence[Record] | None = None,
    title: str = TITLE,
) -> Path:
    """Write one HTML page that opens without a network: sentences, tables, figures, the JSON itself.

    The same records give the same bytes. What a record does not hold has no figure and no column.

    Parameters
    ----------
    path : path
        File to write; replaced at once when the page is complete.
    gap : dict or sequence of dict, optional
        `GapReport.to_dict()`, one a pair of sets; "source" and "target" may hold the sets' names.
    alignment : dict, optional
        `AlignmentReport.to_dict()`.
    comparison : sequence of dict, optional
        `Comparison.to_dicts()`.
    title : str
        Heading of the page.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    InputError
        If there is nothing to show, matplotlib or jinja2 is not installed, or the file cannot be written.
    """
    gaps: list[Record] = [] if gap is None else [gap] if isinstance(gap, Mapping) else list(gap)
    given = {"gap": gap, "alignment": alignment, "comparison": list(comparison) if comparison else None}
    records = {name: record for name, record in given.items() if record is not None}
    if not records:
        raise InputError("there is nothing to report: give a gap, an alignment or a comparison")
    template = _template()
    html = template.render(
        title=title,
        sentences=_sentences(gaps, alignment, given["comparison"]),
        tables=_tables(gaps, alignment, given["comparison"]),
        pictures=_pictures(gaps, given["comparison"]),
        raw=json.dumps(records, indent=1, ensure_ascii=False, default=str),
    )
    path = Path(path)
    with writable(path):
        write_synced(path, html)
    return path


def _template() -> Template:
    try:
        import jinja2
    except ImportError as error:
        raise InputError('the page needs jinja2: pip install "anisoalign[report]"') from error
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("anisoalign.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.jinja")


def _sentences(gaps: Sequence[Record], alignment: Record | None, comparison: Sequence[Record] | None) -> list[str]:
    found = [sentence for gap in gaps for sentence in gap_sentences(gap)]
    found += [] if alignment is None else alignment_sentences(alignment)
    return found + ([] if comparison is None else comparison_sentences(comparison))


def _tables(gaps: Sequence[Record], alignment: Record | None, comparison: Sequence[Record] | None) -> list[_Table]:
    found = []
    if comparison is not None:
        found.append(_comparison_table(comparison))
    if alignment is not None:
        found.append(_listing("How good the alignment is", ALIGNED, alignment))
    for gap in gaps:
        source, target = side_names(gap)
        found.append(_listing(f"How far apart {source} and {target} lie", GAP, gap))
        moved = controls(gap)
        if moved:
            found.append(_controls_table(moved))
    return found


def _comparison_table(records: Sequence[Record]) -> _Table:
    measures = present(COMPARED, records)
    groups = [[(str(r["method"]), [_cell(m, r) for m in measures]) for r in group] for group in in_order(records)]
    return _Table(
        "Methods compared",
        [(measure.name, measure.words) for measure in measures],
        [group for group in groups if group],
        [protocol_line(records)],
        marked=any(measure.mark(record) for measure in measures for record in records),
    )


def _listing(caption: str, measures: Sequence[Measure], record: Record) -> _Table:
    rows = [(m.name, [_Cell(m.number(record)), _Cell(m.words)]) for m in present(measures, [record])]
    note = f"{record['rows_source']:,} source rows, {record['rows_target']:,} target rows"
    note += "".join(
        f", {name} = {record[key]}" for key, name in (("dim", "d"), ("q", "q"), ("k", "k")) if key in record
    )
    return _Table(caption, [("value", ""), ("what it says", "")], [rows], [note], listing=True, first="measure")


def _controls_table(moved: dict[str, dict[str, float]]) -> _Table:
    rows = [(name, [_cell(measure, metrics) for measure in CONTROLLED]) for name, metrics in moved.items()]
    head = [(measure.name, measure.words) for measure in CONTROLLED]
    return _Table(
        "What known moves of the source would do", head, [rows], ["fitted and measured on the same rows"], first="move"
    )


def _cell(measure: Measure, record: Record) -> _Cell:
    if record.get(measure.key) is None:
        return _Cell("")
    return _Cell(measure.number(record), measure.spread(record), measure.mark(record))


def _pictures(gaps: Sequence[Record], comparison: Sequence[Record] | None) -> list[_Picture]:
    from anisoalign.report.drawing import inline_svg

    drawn = drawings(gaps, comparison)
    return [_Picture(inline_svg(drawing.figure, drawing.name, drawing.words), drawing.words) for drawing in drawn]
