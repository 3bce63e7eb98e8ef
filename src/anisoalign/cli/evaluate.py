"""`anisoalign evaluate`: how good is an alignment?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from anisoalign.cli import common, showing

if TYPE_CHECKING:
    from anisoalign.embeddings import EmbeddingSet


def evaluate(
    source: common.SourceOption,
    target: common.TargetOption,
    aligned: Annotated[
        Path,
        typer.Option(
            "--aligned", parser=common.parse_place, metavar="PATH", help="The source after alignment, row by row."
        ),
    ],
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
    results: showing.ResultsOption = None,
    model: Annotated[
        Path | None, typer.Option("--model", help="The model that aligned the rows; its phase prior is shown.")
    ] = None,
    source_captions: showing.SourceCaptions = None,
    target_captions: showing.TargetCaptions = None,
    thumbnails: showing.Thumbnails = None,
    bad_rows: common.BadRowsOption = common.BadRows.error,
    norms: common.NormsOption = common.Norms.auto,
    memory: common.MemoryOption = None,
    engine: common.EngineOption = common.Engine.local,
    dtype: common.DtypeOption = common.Dtype.auto,
    seed: common.SeedOption = 0,
) -> None:
    """Is the meaning kept, and is the target reached? With --json the fields of AlignmentReport."""
    files = (source_labels, target_labels, source_captions, target_captions)
    showing.check_outputs(report, results, source, target, aligned, *files)
    import anisoalign as aa
    from anisoalign.embeddings import InputError

    y = common.open_set(source, "source", source_column, bad_rows, norms, memory)
    x = common.open_set(target, "target", target_column, bad_rows, norms, memory)
    z = common.open_set(aligned, "aligned", aligned_column, bad_rows, norms, memory)
    gallery = showing.Gallery(y, x, source_captions, target_captions, thumbnails)
    fitted = None if model is None else aa.load(model)
    if fitted is not None and fitted.n_features_in_ != y.dim:
        raise InputError(f"the model was fitted on width {fitted.n_features_in_}, these rows have {y.dim}")
    labels = common.read_side_labels(None, source_labels, target_labels, y.rows, x.rows)
    with console_status("measuring"), common.carried_by(engine):
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
    if report is not None or results is not None:
        from anisoalign.report.results import Results

        parts = _parts_of_page(y, x, z, fitted, paired, sample, dtype.value, seed, gallery)
        names = showing.names_of(source, target)
        showing.write_outputs(report, results, Results(evaluate=record, names=names, **parts))


def _parts_of_page(
    y: EmbeddingSet,
    x: EmbeddingSet,
    z: EmbeddingSet,
    model: Any,
    paired: bool,
    sample: int,
    dtype: str,
    seed: int,
    gallery: showing.Gallery,
) -> dict[str, Any]:
    """The gap between the sets, and the rows before and after."""
    import numpy as np

    import anisoalign as aa
    from anisoalign.comparison import before_after
    from anisoalign.diagnostics.evaluating import matching_rows

    rows_y, rows_x, rows_z = matching_rows(y, x, z, paired, min(sample, showing.VIEW_ROWS), seed)
    view = before_after(
        *(s.take(rows, np.float64).values for s, rows in ((y, rows_y), (x, rows_x), (z, rows_z))),
        method="alignment" if model is None else model.name,
        model=model,
        paired=paired,
        source_rows=rows_y,
        target_rows=rows_x,
        seed=seed,
    )
    gap = aa.diagnose(y, x, paired=paired, dtype=dtype, seed=seed).to_dict()
    return {"diagnose": [gap], "views": [view.to_dict()], **gallery.of([view])}


def console_status(text: str):
    """Spinner on stderr while something runs that cannot be counted."""
    return common.console().status(text)
