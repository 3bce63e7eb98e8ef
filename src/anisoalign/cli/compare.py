"""`anisoalign compare`: every method, fitted on one part and measured on another, again and again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anisoalign.cli import common


def compare(
    source: common.SourceOption,
    target: common.TargetOption,
    paired: common.PairedOption = False,
    labels: Annotated[Path | None, typer.Option("--labels", help="Labels of the rows of both sets.")] = None,
    source_labels: Annotated[Path | None, typer.Option("--source-labels", help="Labels of the source rows.")] = None,
    target_labels: Annotated[Path | None, typer.Option("--target-labels", help="Labels of the target rows.")] = None,
    method: Annotated[
        list[str] | None, typer.Option("--method", help="NAME or NAME:param=value,...; all methods by default.")
    ] = None,
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="Splits.")] = 30,
    k: Annotated[int | None, typer.Option("--k", help="Neighbours; 20, or 10 below 500 tested rows.")] = None,
    sample: Annotated[int, typer.Option("--sample", min=60, help="Rows a side that are used at most.")] = 20_000,
    source_column: common.SourceColumn = None,
    target_column: common.TargetColumn = None,
    json: common.JsonOption = False,
    report: common.ReportOption = None,
    bad_rows: common.BadRowsOption = common.BadRows.error,
    norms: common.NormsOption = common.Norms.auto,
    memory: common.MemoryOption = None,
    engine: common.EngineOption = common.Engine.local,
    dtype: common.DtypeOption = common.Dtype.auto,
    seed: common.SeedOption = 0,
) -> None:
    """Fit every method on one part of the rows, measure on another, repeat: mean ± standard error.

    Sets of equal length are split in step, so that no item gives both its source and its target to a fit.
    With --json an array is printed, one flat object a method: every metric, <metric>_se, <metric>_mark (best or
    within_noise), and with labels label_transfer and closed, the share of the way from ReAlign to real targets.
    """
    common.check_report(report)
    import anisoalign as aa
    from anisoalign.comparison import DEFAULT_METHODS
    from anisoalign.comparison.repeating import steps

    y = common.open_set(source, "source", source_column, bad_rows, norms, memory)
    x = common.open_set(target, "target", target_column, bad_rows, norms, memory)
    side_labels = common.read_side_labels(labels, source_labels, target_labels, y.rows, x.rows)
    if max(y.rows, x.rows) > sample:
        common.say(f"using at most {sample:,} rows a side (--sample)")
    methods = method or list(DEFAULT_METHODS)
    labelled = all(side is not None for side in side_labels)
    with common.progress("compare", steps(len(methods), repeats, paired, labelled)) as done:
        result = aa.compare(
            y,
            x,
            paired=paired,
            source_labels=side_labels[0],
            target_labels=side_labels[1],
            methods=methods,
            repeats=repeats,
            sample=sample,
            dtype=dtype.value,
            seed=seed,
            k=k,
            progress=lambda _: done(1),
        )
    common.tell_dropped(y, x)
    records = result.to_dicts()
    if json:
        common.print_json(records)
    else:
        from anisoalign.report import comparison_table

        common.print_rich(comparison_table(records))
    if report is not None:
        common.write_report(report, comparison=records)
