"""One self-contained HTML page of results, made from their JSON alone."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anisoalign.diagnostics.measures import fixed
from anisoalign.embeddings import InputError
from anisoalign.embeddings.atomic import writable, write_synced
from anisoalign.places import expanded
from anisoalign.report import answers
from anisoalign.report.choosing import Advice, advise
from anisoalign.report.examples import Example, example_of, found_by
from anisoalign.report.gap_charts import cosines, overlap, projection, residual_energy, residual_spectrum, spectra
from anisoalign.report.incomplete import made_from
from anisoalign.report.listings import (
    Listing,
    alignment_listing,
    controls_listing,
    costs_table,
    gap_listing,
    methods_table,
    other_methods_table,
)
from anisoalign.report.method_charts import label_transfer, plain_recall, trade_off
from anisoalign.report.phase_charts import compasses, couplings
from anisoalign.report.plate import Plate
from anisoalign.report.results import Results
from anisoalign.report.wording import (
    Record,
    copies_among,
    in_common_frame,
    in_target_frame,
    many,
    of_a_common_frame,
    of_both_frames,
    protocol_line,
    short_name,
)

if TYPE_CHECKING:
    from jinja2 import Environment

TITLE = "Modality gap report"
_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Section:
    """A question with its answer and what shows it."""

    key: str
    question: str
    answer: answers.Answer
    plates: list[Plate] = field(default_factory=list)
    phases: list[Plate] = field(default_factory=list)
    tables: list[Listing] = field(default_factory=list)
    others: Listing | None = None
    advice: list[Advice] = field(default_factory=list)
    examples: list[Example] = field(default_factory=list)
    examples_of: str = ""
    examples_found: str = ""
    advised: str = ""
    few: str = ""
    framed: bool = False
    commands: list[tuple[str, list[str]]] = field(default_factory=list)
    missing: str = ""


def write_page(
    path: str | Path,
    *,
    gap: Record | Sequence[Record] | None = None,
    alignment: Record | None = None,
    comparison: Sequence[Record] | None = None,
    results: Results | None = None,
    title: str = TITLE,
) -> Path:
    """Write one HTML page that opens without a network: five questions, their answers, figures, tables, the JSON.

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
    results : Results, optional
        All of these at once, and what the figures of before and after need; instead of the others.
    title : str
        Heading of the page.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    InputError
        If there is nothing to show, a record lacks what pages are made from, jinja2 is not installed, or the file
        cannot be written.
    """
    if results is None:
        gaps = [] if gap is None else [gap] if isinstance(gap, Mapping) else list(gap)
        results = Results(diagnose=gaps, evaluate=alignment, compare=list(comparison or []))
    if not (results.diagnose or results.evaluate or results.compare or results.views):
        raise InputError("there is nothing to report: give a gap, an alignment or a comparison")
    html = made_from(results, partial(render, title=title))
    path = expanded(path)
    with writable(path):
        write_synced(path, html)
    return path


def render(results: Results, title: str = TITLE) -> str:
    """The page as text."""
    script = (_FOLDER / "page.js").read_text(encoding="utf-8")
    sections = _sections(results)
    plates = [plate for section in sections for plate in (*section.plates, *section.phases)]
    data = {plate.key: {"columns": list(plate.columns), "rows": [list(row) for row in plate.rows]} for plate in plates}
    return (
        environment()
        .get_template("page.html.jinja")
        .render(
            title=title,
            about=_about(results),
            sections=sections,
            settings=_about_settings(results),
            protocol=protocol_line(results.compare),
            listings=_numbers(results),
            style=(_FOLDER / "page.css").read_text(encoding="utf-8"),
            script=script,
            script_hash=script_hash(script),
            data=as_script(data),
            raw=as_script(results.to_dict()),
        )
    )


def environment() -> Environment:
    """Jinja2 with the templates of this folder; escapes everything."""
    try:
        import jinja2
    except ImportError as error:
        raise InputError('the page needs jinja2: pip install "anisoalign[report]"') from error
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["short"] = short_name
    made.filters["fixed"] = fixed
    return made


def script_hash(script: str) -> str:
    """The script's hash, by which the page's policy lets it, and nothing else, run."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


def as_script(value: Any) -> str:
    """JSON that can stand inside a script element: no tag can begin in it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str).replace("<", "\\u003c")


def _sections(results: Results) -> list[Section]:
    source, target = results.name("source"), results.name("target")
    gap = results.diagnose[0] if results.diagnose else None
    if gap is not None and len(results.diagnose) > 1:
        source, target = str(gap.get("source", source)), str(gap.get("target", target))
    advice = advise(results.compare, source, target) if results.compare else []
    found = _gap_sections(gap, results.views, source, target, held_out=bool(results.compare))
    found.append(_method_section(results, advice, source, target))
    if results.compare:
        found += [_choice_section(results, advice, source, target), _cost_section(results, advice, source, target)]
    else:
        found.append(_unknown("choice", "Which one for me?", f"{_COMPARE} --report page.html"))
    return found


_ENOUGH = 10
"""Splits from which standard errors deserve their name."""
_UNNAMED = 3
"""Examples shown where rows have no captions: numbers tell little."""
_COMPARE = "anisoalign compare --source TEXT --target IMAGE --paired"


def _unknown(key: str, question: str, command: str) -> Section:
    return Section(key, question, answers.Answer("Not measured here.", [], []), missing=command)


def _about(results: Results) -> str:
    source, target = results.name("source"), results.name("target")
    if results.diagnose:
        gap = results.diagnose[0]
        rows = f"{gap['rows_source']:,} {many(source)} and {gap['rows_target']:,} {many(target)}"
        return f"{rows}, embeddings of width {gap['dim']}"
    return ""


def _gap_sections(
    gap: Record | None, views: Sequence[Record], source: str, target: str, held_out: bool
) -> list[Section]:
    plates = cosines(gap, views, source, target, held_out), projection(views, source, target)
    looks = [plate for plate in plates if plate]
    if gap is None:
        command = "anisoalign diagnose --source TEXT --target IMAGE --paired --report page.html"
        first = _unknown("gap", "Is there a gap?", command)
        answer = answers.Answer(first.answer.short, of_a_common_frame(views[0], source) if views else [], [])
        return [replace(first, answer=answer, plates=looks)]
    shapes = (spectra(gap, source, target), overlap(gap, source, target), residual_spectrum(gap), residual_energy(gap))
    return [
        Section("gap", "Is there a gap?", answers.is_there_a_gap(gap, source, target), looks),
        Section("kind", "What kind?", answers.what_kind(gap, source, target), [plate for plate in shapes if plate]),
    ]


def _method_section(results: Results, advice: Sequence[Advice], source: str, target: str) -> Section:
    question, views = "What does each method do about it?", results.views
    shown = views[0] if views else None
    extra: dict[str, Any] = {}
    if shown is not None:
        entries = shown["neighbours"][: None if results.captions else _UNNAMED]
        extra = {
            "examples": [example_of(entry, results) for entry in entries],
            "examples_of": str(shown["method"]),
            "examples_found": found_by(entries, shown, results),
        }
    phases = [plate for plate in (compasses(views, source, target), couplings(views, target)) if plate]
    if results.compare:
        plates = [
            trade_off(results.compare, advice[0].method if advice else None),
            label_transfer(results.compare, source, target),
        ]
        answer = answers.what_methods_do(results.compare, source, target)
        named = [line.method for line in advice if line.method is not None]
        return Section(
            "methods",
            question,
            answer,
            [plate for plate in plates if plate],
            phases,
            [methods_table(results.compare, named)],
            other_methods_table(results.compare, named),
            advised=(advice[0].method or "") if advice else "",
            **extra,
        )
    if results.evaluate is not None:
        answer = answers.what_this_alignment_does(results.evaluate, source, target)
        return Section("methods", "What does the alignment do about it?", answer, phases=phases, **extra)
    return replace(_unknown("methods", question, f"{_COMPARE} --report page.html"), phases=phases, **extra)


def _choice_section(results: Results, advice: Sequence[Advice], source: str, target: str) -> Section:
    if not advice and not copies_among(results.compare):
        return _unknown("choice", "Which one for me?", f"{_COMPARE} --report page.html")
    answer = answers.which_one(advice, results.compare, source, target)
    repeats = results.compare[0].get("repeats", _ENOUGH)
    few = "one split tells no noise" if repeats == 1 else f"{repeats} splits are few to tell noise by"
    return Section(
        "choice",
        "Which one for me?",
        answer,
        advice=list(advice),
        commands=_commands(advice, source, target),
        framed=of_both_frames(results.compare),
        few=few[:1].upper() + few[1:] if repeats < _ENOUGH else "",
    )


def _commands(advice: Sequence[Advice], source: str, target: str) -> list[tuple[str, list[str]]]:
    """What to type for each method that is advised, under the uses that it is advised for."""
    uses: dict[str, list[str]] = {}
    for line in advice:
        if line.method is not None:
            uses.setdefault(line.method, []).append(line.purpose)
    a, b = (name.upper().replace(" ", "_") for name in (source, target))
    found: list[tuple[str, list[str]]] = []
    models: dict[str, str] = {}
    for number, (method, purposes) in enumerate(uses.items()):
        fitted, suffix = in_target_frame(method), str(number + 1) if number else ""
        lines = []
        if fitted not in models:  # one fit serves both frames
            models[fitted] = f"model{suffix}"
            lines.append(f"anisoalign fit {fitted} --source {a} --target {b} --out {models[fitted]}")
        transform = f"anisoalign transform {models[fitted]} --source"
        if fitted == method:
            lines.append(f"{transform} {a} --out aligned{suffix}")
        else:
            lines.append(f"{transform} {a} --frame common --out aligned{suffix}")
            lines.append(f"{transform} {b} --side target --frame common --out targets{suffix}")
        found.append((" and ".join(purposes), lines))
    return found


def _about_settings(results: Results) -> str:
    """What the settings that stand in names of methods are; said where the first of them may be met."""
    named = " ".join(str(record.get("method", "")) for record in (*results.compare, *results.views))
    words = []
    if "strength" in named or any("strength_used" in record for record in results.compare):
        words.append(
            "strength, from 0 to 1, is how much of its correction a method makes; at 0 it moves and scales all rows "
            "alike, as realign does."
        )
    if "shrinkage" in named:
        words.append("shrinkage is how far estimated covariances are drawn towards even ones, against noise.")
    if any(map(in_common_frame, results.compare)):
        words.append(
            "frame=common takes from aligned rows and from targets the mean of their own side, for search; else "
            "targets stay as they are."
        )
    return " ".join(words)


def _cost_section(results: Results, advice: Sequence[Advice], source: str, target: str) -> Section:
    method = advice[0].method if advice else ""
    answer = answers.what_it_costs(results.compare, method, source, target)
    plate = plain_recall(results.compare, source, target)
    table = costs_table(results.compare)
    return Section(
        "cost",
        "What does it cost?",
        answer,
        [plate] if plate else [],
        tables=[table] if table else [],
        advised=method or "",
    )


def _numbers(results: Results) -> list[Listing]:
    found = [alignment_listing(results.evaluate)] if results.evaluate is not None else []
    for gap in results.diagnose:
        found += [gap_listing(gap, results.name("source"), results.name("target"))]
        moved = controls_listing(gap)
        found += [moved] if moved else []
    return found
