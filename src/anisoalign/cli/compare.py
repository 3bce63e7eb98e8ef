"""`anisoalign compare`: every method, fitted on one part and measured on another, again and again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from anisoalign.cli import bars, carrying, estimates, messages, opening, options, showing
from anisoalign.cli.idle import refuse_idle

if TYPE_CHECKING:
    from anisoalign.embeddings import EmbeddingSet


def compare(
    context: typer.Context,
    source: options.SourceOption,
    target: options.TargetOption,
    paired: options.PairedOption = False,
    labels: Annotated[
        Path | None,
        typer.Option("--labels", help="Labels of the rows of both sets: one a line, .npy, or FILE:COLUMN of a table."),
    ] = None,
    source_labels: options.SourceLabels = None,
    target_labels: options.TargetLabels = None,
    method: Annotated[
        list[str] | None, typer.Option("--method", help="NAME or NAME:param=value,...; all methods by default.")
    ] = None,
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="Splits.")] = 30,
    k: Annotated[int | None, typer.Option("--k", help="Neighbours; 20, or 10 below 500 tested rows.")] = None,
    sample: Annotated[int, typer.Option("--sample", min=60, help="Rows a side that are used at most.")] = 20_000,
    source_column: options.SourceColumn = None,
    target_column: options.TargetColumn = None,
    json: options.JsonOption = False,
    report: options.ReportOption = None,
    results: showing.ResultsOption = None,
    source_captions: showing.SourceCaptions = None,
    target_captions: showing.TargetCaptions = None,
    thumbnails: showing.Thumbnails = None,
    bad_rows: options.BadRowsOption = options.BadRows.error,
    norms: options.NormsOption = options.Norms.auto,
    memory: options.MemoryOption = None,
    engine: options.EngineOption = carrying.Engine.local,
    dtype: options.DtypeOption = options.Dtype.auto,
    seed: options.SeedOption = 0,
    force: options.ForceOption = False,
) -> None:
    """Fit every method on one part of the rows, measure on another, repeat: mean ± standard error.

    A method that refuses to be fitted on the sets is left out, and stderr says why. With NAME:frame=common each side is
    less its own mean, for search: a fit serves both frames, and Ψ is not held against that of other methods.

    No item gives both its source and its target to a fit: sets of equal length are split in step, pairs with equal
    targets together, sets of another length or order by the ids that they have in common; without such ids each by
    itself.
    With --json an array is printed, one flat object a method: every metric, <metric>_se, <metric>_mark (best or
    within_noise), and with labels label_transfer and closed, the share of the way from ReAlign to real targets, over
    label_transfer_repeats splits where a rare label leaves some without;
    where most rows of a side repeat another, repeated_sources or repeated_targets says how many, and what goes by
    neighbours has no marks;
    fit_seconds, transform_rows_per_second and model_bytes; with --report or --results dial_strength and
    dial_<metric>, lists along the strength of each method that has one, over dial_repeats splits. strength_used is the
    mean of the strengths that a method chose. The page also diagnoses the gap.
    """
    files = (labels, source_labels, target_labels, source_captions, target_captions, thumbnails)
    paged = report is not None or results is not None
    if not paged:
        refuse_idle(context, showing.OF_A_PAGE, showing.NO_PAGE)
    showing.check_outputs(report, results, source, target, *files)
    import anisoalign as aa
    from anisoalign.comparison import DEFAULT_METHODS, refusals
    from anisoalign.comparison.repeating import steps

    y = opening.open_set(source, "source", source_column, bad_rows, norms, memory)
    x = opening.open_set(target, "target", target_column, bad_rows, norms, memory)
    side_labels = opening.read_side_labels(labels, source_labels, target_labels, y.rows, x.rows)
    gallery = showing.Gallery(y, x, source_captions, target_captions, thumbnails)
    methods = method or list(DEFAULT_METHODS)
    labelled = all(side is not None for side in side_labels)
    estimates.tell_comparison(
        {"source": y, "target": x},
        methods,
        repeats,
        sample,
        dtype.value,
        paired=paired,
        labelled=labelled,
        paged=paged,
    )
    with (
        bars.progress("compare", steps(len(methods), repeats, paired, labelled)) as done,
        carrying.carried_by(engine),
    ):
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
            dials=paged,
            force=force,
            progress=lambda _: done(1),
        )
    messages.tell_dropped(y, x)
    for line in refusals(result.refused):
        messages.say(f"left out, {line}")
    records = [{**record, **costs} for record, costs in zip(result.to_dicts(), result.costs(), strict=True)]
    if json:
        messages.print_json(records)
    else:
        from anisoalign.report import comparison_table

        messages.print_rich(comparison_table(records))
    if paged:
        from anisoalign.report.results import Results

        parts = _parts_of_page(y, x, records, paired, sample, dtype.value, seed, gallery)
        names = showing.names_of(source, target)
        showing.write_outputs(report, results, Results(compare=records, names=names, **parts))


def _parts_of_page(
    y: EmbeddingSet,
    x: EmbeddingSet,
    records: list[dict[str, Any]],
    paired: bool,
    sample: int,
    dtype: str,
    seed: int,
    gallery: showing.Gallery,
) -> dict[str, Any]:
    """The gap between the sets, and a closer look at the methods that matter."""
    import numpy as np

    import anisoalign as aa
    from anisoalign.aligners.anisoalign.premise import PremiseError
    from anisoalign.comparison.comparing import read_in_step
    from anisoalign.report.choosing import methods_to_show

    gap = aa.diagnose(y, x, paired=paired, dtype=dtype, seed=seed).to_dict()
    a, b = read_in_step(y, x, min(sample, showing.VIEW_ROWS), seed, np.dtype(np.float64))
    views = []
    for spec in methods_to_show(records):
        try:
            views.append(showing.view_of(y, x, spec, paired, seed, (a.rows, b.rows)))
        except PremiseError as error:  # of the few rows looked at, not of those that were measured
            messages.say(f"{spec} is not shown on single rows: {error.reason}")
    return {"diagnose": [gap], "views": [view.to_dict() for view in views], **gallery.of(views)}
