"""`anisoalign evaluate`: how good is an alignment?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from anisoalign.cli import carrying, estimates, frames, messages, opening, options, showing
from anisoalign.cli.idle import refuse_idle

if TYPE_CHECKING:
    from anisoalign.embeddings import EmbeddingSet


def evaluate(
    context: typer.Context,
    source: options.SourceOption,
    target: options.TargetOption,
    aligned: Annotated[
        Path,
        typer.Option(
            "--aligned", parser=options.parse_place, metavar="PATH", help="The source after alignment, row by row."
        ),
    ],
    paired: options.PairedOption = False,
    source_labels: options.SourceLabels = None,
    target_labels: options.TargetLabels = None,
    k: Annotated[int | None, typer.Option("--k", help="Neighbours; 20, or 10 below 500 rows a side.")] = None,
    sample: Annotated[int, typer.Option("--sample", min=12, help="Rows a side that are measured at most.")] = 20_000,
    source_column: options.SourceColumn = None,
    target_column: options.TargetColumn = None,
    aligned_column: Annotated[
        str | None, typer.Option("--aligned-column", help="The same for the aligned rows.")
    ] = None,
    json: options.JsonOption = False,
    report: options.ReportOption = None,
    results: showing.ResultsOption = None,
    model: Annotated[
        Path | None, typer.Option("--model", help="The model that aligned the rows; its phase prior is shown.")
    ] = None,
    source_captions: showing.SourceCaptions = None,
    frame: Annotated[
        frames.Frame | None,
        typer.Option(
            "--frame",
            help="Where target and aligned rows lie: target, or common, each side less its own mean. By default what "
            "the sets say, else the model.",
        ),
    ] = None,
    target_captions: showing.TargetCaptions = None,
    thumbnails: showing.Thumbnails = None,
    bad_rows: options.BadRowsOption = options.BadRows.error,
    norms: options.NormsOption = options.Norms.auto,
    memory: options.MemoryOption = None,
    engine: options.EngineOption = carrying.Engine.local,
    dtype: options.DtypeOption = options.Dtype.auto,
    seed: options.SeedOption = 0,
) -> None:
    """Is the meaning kept, and is the target reached? With --json the fields of AlignmentReport."""
    files = (source_labels, target_labels, source_captions, target_captions, thumbnails, model)
    paged = report is not None or results is not None
    if not paged:
        refuse_idle(context, ("model", *showing.OF_A_PAGE), showing.NO_PAGE)
    showing.check_outputs(report, results, source, target, aligned, *files)
    import anisoalign as aa
    from anisoalign.aligners.origins import check_width

    y = opening.open_set(source, "source", source_column, bad_rows, norms, memory)
    x = opening.open_set(target, "target", target_column, bad_rows, norms, memory)
    z = opening.open_set(aligned, "aligned", aligned_column, bad_rows, norms, memory)
    gallery = showing.Gallery(y, x, source_captions, target_captions, thumbnails)
    fitted = None if model is None else aa.load(model)
    if fitted is not None:
        check_width(fitted, y)
    labels = opening.read_side_labels(None, source_labels, target_labels, y.rows, x.rows)
    estimates.tell_evaluation({"source": y, "target": x, "aligned": z}, paired, sample, dtype.value, paged)
    with messages.console().status("measuring"), carrying.carried_by(engine):
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
            frame=_frame(frame, x, z, fitted),
        )
    messages.tell_dropped(y, x, z)
    record = scores.to_dict()
    if json:
        messages.print_json(record)
    else:
        from anisoalign.report import alignment_table

        messages.print_rich(alignment_table(record))
    if paged:
        from anisoalign.report.results import Results

        common = scores.frame == "common"
        parts = _parts_of_page(y, x, z, fitted, paired, sample, dtype.value, seed, gallery, common)
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
    common: bool,
) -> dict[str, Any]:
    """The gap between the sets, and the rows before and after; no gap where they lie in frames of their own."""
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
        common=common,
    )
    parts = {"views": [view.to_dict()], **gallery.of([view])}
    if common:
        return parts
    gap = aa.diagnose(y, x, paired=paired, dtype=dtype, seed=seed).to_dict()
    return {"diagnose": [gap], **parts}


def _frame(frame: frames.Frame | None, target: EmbeddingSet, aligned: EmbeddingSet, model: Any) -> str | None:
    """The frame that is named, or the model's where the sets say none."""
    if frame is not None:
        return frame.value
    unsaid = target.provenance is None and aligned.provenance is None
    return model.fitted_frame if unsaid and model is not None else None
