"""`anisoalign evaluate`: how good is an alignment?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anisoalign.cli import common


def evaluate(
    source: common.SourceOption,
    target: common.TargetOption,
    aligned: Annotated[Path, typer.Option("--aligned", help="The source after alignment, row by row.")],
    paired: common.PairedOption = False,
    source_labels: Annotated[Path | None, typer.Option("--source-labels", help="Labels of the source rows.")] = None,
    target_labels: Annotated[Path | None, typer.Option("--target-labels", help="Labels of the target rows.")] = None,
    k: Annotated[int | None, typer.Option("--k", help="Neighbours; 20, or 10 below 500 rows a side.")] = None,
    sample: Annotated[int, typer.Option("--sample", min=12, help="Rows a side that are measured at most.")] = 20_000,
    source_column: common.SourceColumn = None,
    target_column: common.TargetColumn = None,
    aligned_column: Annotated[
        str | None, typer.Option("--aligned-column", help="The same for the aligned rows.")
    ] = None,
    json: common.JsonOption = False,
    report: common.ReportOption = None,
    bad_rows: common.BadRowsOption = common.BadRows.error,
    norms: common.NormsOption = common.Norms.auto,
    memory: common.MemoryOption = None,
    engine: common.EngineOption = common.Engine.local,
    dtype: common.DtypeOption = common.Dtype.auto,
    seed: common.SeedOption = 0,
) -> None:
    """Is the meaning kept, and is the target reached? With --json the fields of AlignmentReport."""
    common.check_report(report)
    import anisoalign as aa

    y = common.open_set(source, "source", source_column, bad_rows, norms, memory)
    x = common.open_set(target, "target", target_column, bad_rows, norms, memory)
    z = common.open_set(aligned, "aligned", aligned_column, bad_rows, norms, memory)
    labels = common.read_side_labels(None, source_labels, target_labels, y.rows, x.rows)
    with console_status("measuring"):
        scores = aa.evaluate(
            y,
            x,
            z,
            paired=paired,
            source_labels=labels[0],
            target_labels=labels[1],
            k=k,
            sample=sample,
            dtype=dtype.value,
            seed=seed,
        )
    common.tell_dropped(y, x, z)
    record = scores.to_dict()
    if json:
        common.print_json(record)
    else:
        from anisoalign.report import alignment_table

        common.print_rich(alignment_table(record))
    if report is not None:
        common.write_report(report, alignment=record)


def console_status(text: str):
    """Spinner on stderr while something runs that cannot be counted."""
    return common.console().status(text)
