"""`anisoalign diagnose`: how far apart are the sets?"""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from anisoalign.cli import bars, carrying, estimates, messages, opening, options, showing

if TYPE_CHECKING:
    from anisoalign.embeddings import EmbeddingSet


def diagnose(
    source: options.SourceOption,
    target: options.TargetOption,
    also: Annotated[
        list[str] | None, typer.Option("--also", help="NAME=PATH: a further set; all pairs of sets are compared.")
    ] = None,
    paired: options.PairedOption = False,
    q: Annotated[
        int | None,
        typer.Option("--q", help="Leading directions compared; a tenth of the width, or as many as the rows span."),
    ] = None,
    source_column: options.SourceColumn = None,
    target_column: options.TargetColumn = None,
    json: options.JsonOption = False,
    report: options.ReportOption = None,
    results: showing.ResultsOption = None,
    bad_rows: options.BadRowsOption = options.BadRows.error,
    norms: options.NormsOption = options.Norms.auto,
    memory: options.MemoryOption = None,
    engine: options.EngineOption = carrying.Engine.local,
    dtype: options.DtypeOption = options.Dtype.auto,
    seed: options.SeedOption = 0,
) -> None:
    """How far apart are the two sets, in which directions, and is a cosine of 0.25 normal here?

    With --json one flat object is printed (an array of them, one a pair of sets, with --also): the fields of
    GapReport, and control_<transform>_<metric> for the diagnostic transforms.
    """
    if paired and engine is not carrying.Engine.local:
        from anisoalign.embeddings import InputError

        raise InputError("pairs are read side by side by one process: leave --engine or --paired out")
    others = (options.place(text.partition("=")[2]) for text in also or [])
    showing.check_outputs(report, results, source, target, *others)
    import anisoalign as aa
    from anisoalign.diagnostics.controls import CONTROL_ROWS

    sets = {
        "source": opening.open_set(source, "source", source_column, bad_rows, norms, memory),
        "target": opening.open_set(target, "target", target_column, bad_rows, norms, memory),
    }
    for text in also or []:
        name, path = _named(text, sets)
        sets[name] = opening.open_set(path, name, None, bad_rows, norms, memory, "anisoalign convert --column")
    estimates.tell_diagnosis(sets, paired, dtype.value)
    records, verdict = [], []
    for a, b in combinations(sets, 2):
        total = (2 if paired else 1) * (sets[a].rows + sets[b].rows)
        with bars.progress(f"{a} / {b}", total) as done, carrying.carried_by(engine):
            gap = aa.diagnose(sets[a], sets[b], paired=paired, q=q, dtype=dtype.value, seed=seed, progress=done)
        names = {"source": a, "target": b, "source_norms": sets[a].norms, "target_norms": sets[b].norms}
        controls = _controls(sets[a], sets[b], paired, CONTROL_ROWS, seed)
        records.append({**gap.to_dict(), **names, **controls})
        verdict = verdict or gap.verdict()
    messages.tell_dropped(*sets.values())
    if json:
        messages.print_json(records if also else records[0])
    else:
        from anisoalign.report import gap_table

        messages.print_rich(gap_table(records), "", *verdict)
    if report is not None or results is not None:
        from anisoalign.report.results import Results

        names = {} if also else showing.names_of(source, target)
        showing.write_outputs(report, results, Results(diagnose=records, names=names))


def _named(text: str, taken: dict[str, Any]) -> tuple[str, Path]:
    from anisoalign.embeddings import InputError

    name, equals, path = text.partition("=")
    if not equals or not name or not path:
        raise InputError(f"--also takes NAME=PATH, not {text!r}")
    if name in taken:
        raise InputError(f"--also: there is a set called {name!r} already")
    return name, options.place(path)


def _controls(source: EmbeddingSet, target: EmbeddingSet, paired: bool, most: int, seed: int) -> dict[str, float]:
    """Metrics of the diagnostic transforms on a sample, as flat keys; none for sets too small to mix."""
    import numpy as np

    from anisoalign.diagnostics import measure_controls
    from anisoalign.embeddings import read_pairs

    if paired and max(source.rows, target.rows) <= most:
        y, x = read_pairs([source, target]).values
    elif paired:
        rows = source.sample_rows(most, seed)
        a, b = source.take(rows, np.float64), target.take(rows, np.float64)
        both = np.intersect1d(a.rows, b.rows)
        y, x = a.values[np.isin(a.rows, both)], b.values[np.isin(b.rows, both)]
    else:
        y, x = (embeddings.sample(most, seed, np.float64) for embeddings in (source, target))
    if min(len(y), len(x)) <= 20:
        return {}
    found = measure_controls(y, x, paired=paired, seed=seed)
    return {f"control_{name}_{key}": value for name, metrics in found.items() for key, value in metrics.items()}
