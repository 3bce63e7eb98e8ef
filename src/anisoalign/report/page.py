"""One self-contained HTML page of results, made from their JSON alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from anisoalign.embeddings import InputError
from anisoalign.embeddings.atomic import writable, write_synced
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
    from matplotlib.figure import Figure

TITLE = "Modality gap report"


@dataclass(frozen=True)
class _Cell:
    text: str
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


@dataclass(frozen=True)
class _Picture:
    svg: str
    words: str


def write_page(
    path: str | Path,
    *,
    gap: Record | None = None,
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
    gap : dict, optional
        `GapReport.to_dict()`; "source" and "target" may hold the sets' names.
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
    given = {"gap": gap, "alignment": alignment, "comparison": list(comparison) if comparison else None}
    records = {name: record for name, record in given.items() if record is not None}
    if not records:
        raise InputError("there is nothing to report: give a gap, an alignment or a comparison")
    template = _template()
    html = template.render(
        title=title,
        sentences=_sentences(gap, alignment, given["comparison"]),
        tables=_tables(gap, alignment, given["comparison"]),
        pictures=_pictures(gap, given["comparison"]),
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


def _sentences(gap: Record | None, alignment: Record | None, comparison: Sequence[Record] | None) -> list[str]:
    found = [] if gap is None else gap_sentences(gap)
    found += [] if alignment is None else alignment_sentences(alignment)
    return found + ([] if comparison is None else comparison_sentences(comparison))


def _tables(gap: Record | None, alignment: Record | None, comparison: Sequence[Record] | None) -> list[_Table]:
    found = []
    if comparison is not None:
        found.append(_comparison_table(comparison))
    if alignment is not None:
        found.append(_listing("How good the alignment is", ALIGNED, alignment))
    if gap is not None:
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
    return _Table(caption, [("value", ""), ("what it says", "")], [rows], [note], listing=True)


def _controls_table(moved: dict[str, dict[str, float]]) -> _Table:
    rows = [(name, [_cell(measure, metrics) for measure in CONTROLLED]) for name, metrics in moved.items()]
    head = [(measure.name, measure.words) for measure in CONTROLLED]
    return _Table("What known moves of the source would do", head, [rows], ["fitted and measured on the same rows"])


def _cell(measure: Measure, record: Record) -> _Cell:
    if record.get(measure.key) is None:
        return _Cell("")
    spread = measure.spread(record)
    return _Cell(measure.number(record) + (f" ± {spread}" if spread else ""), measure.mark(record))


def _pictures(gap: Record | None, comparison: Sequence[Record] | None) -> list[_Picture]:
    """Every figure that the records hold the numbers for."""
    from anisoalign.report import figures, rivals

    found = []
    if comparison is not None:
        if any(rivals.can_trade_off(record) for record in comparison):
            found.append(_picture(rivals.trade_off(comparison), "trade-off", _TRADE_OFF))
        if any("label_transfer" in record for record in comparison):
            found.append(_picture(rivals.label_transfer_bars(comparison), "label-transfer", _TRANSFER))
    if gap is not None:
        if "histogram_within_source" in gap or "histogram_paired" in gap:
            found.append(_picture(figures.cosine_histograms(gap), "cosines", _COSINES))
        if gap.get("overlap_curve"):
            found.append(_picture(figures.overlap_curve(gap), "overlap", _OVERLAP))
        if gap.get("residual_energy"):
            found.append(_picture(figures.residual_energy(gap), "residual", _RESIDUAL))
    return found


def _picture(figure: Figure, name: str, words: str) -> _Picture:
    from anisoalign.report.drawing import inline_svg

    return _Picture(inline_svg(figure, name, words), words)


_TRADE_OFF = (
    "Moving rows among the targets is easy if their meaning may be lost, as random targets show; keeping it is easy if "
    "they may stay away, as the identity shows. A useful method does both. Arrows at the edge stand for controls and "
    "bounds that lie further out."
)
_TRANSFER = (
    "A classifier that has seen aligned rows only is tested on real targets: does the alignment carry meaning across?"
)
_COSINES = (
    "A cosine between the sets is to be compared with others between the sets, not with 1 and not with cosines within "
    "one set: each set's rows share a direction of their own, which lifts every cosine within it."
)
_OVERLAP = "How many leading directions the two sets have in common; only what lies above the chance line is shared."
_RESIDUAL = (
    "What is left of the pairs' differences once both means are moved to one place. A curve far above the diagonal "
    "says that a few directions hold most of it, so noise of equal size in all directions is no model of it."
)
