"""`anisoalign demo`: the whole way on the embedded world, in a folder to look at."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from anisoalign.cli import bars, checks, messages, options, showing

if TYPE_CHECKING:
    from anisoalign.worlds import WorldPairs

LEFT = {
    "aligned.npy",
    "caption.txt",
    "figures",
    "image.npy",
    "label.txt",
    "model",
    "report.html",
    "results.json",
    "table.md",
    "text.npy",
}
"""What a demo leaves, and may find again from an earlier one, finished or not."""


def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for the results.")] = Path("demo"),
    rows: Annotated[int, typer.Option("--rows", min=500, help="Image/text pairs.")] = 4_000,
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="Splits of the comparison.")] = 3,
    seed: options.SeedOption = 0,
) -> None:
    """Diagnose, align and compare on images and captions made here, embedded by a small contrastive model.

    Nothing is downloaded. The folder gets the embeddings, a fitted model, aligned rows, table, JSON and figures.
    """
    from anisoalign.embeddings import InputError
    from anisoalign.embeddings.atomic import writable
    from anisoalign.embeddings.errors import blamed_on

    checks.check_extra("report", "jinja2", "matplotlib", "PIL")
    if out.exists() and not (out.is_dir() and {path.name for path in out.iterdir()} <= LEFT):
        raise InputError(f"{out} exists and holds other things than a demo's; name another with --out")
    with writable(out):
        out.mkdir(parents=True, exist_ok=True)
    if not os.access(out, os.W_OK):
        raise InputError(f"{out} cannot be written; name another folder with --out")
    with blamed_on(out):
        _run(out, rows, repeats, seed)


def _run(out: Path, rows: int, repeats: int, seed: int) -> None:
    started = time.perf_counter()
    pairs = _embed(out, rows, seed)
    source, target = out / "text.npy", out / "image.npy"
    results = {"diagnose": _diagnose(source, target), **_align(out, source, target, seed)}
    results["compare"] = _compare(pairs, repeats, seed)
    results |= _look(pairs, results["compare"], seed)
    _leave(out, results)
    messages.say(f"done in {time.perf_counter() - started:.0f} s; open {out / 'report.html'}")


def _embed(out: Path, rows: int, seed: int) -> WorldPairs:
    from anisoalign.worlds import RenderedWorld

    messages.say(f"1. render {rows:,} scenes, write their captions, embed both")
    with bars.progress("embed", rows) as done:
        pairs = RenderedWorld.load().embed(rows=rows, seed=seed, progress=bars.in_all(done))
    np.save(out / "text.npy", pairs.text)
    np.save(out / "image.npy", pairs.image)
    (out / "label.txt").write_text("".join(f"{pairs.label_name[i]}\n" for i in pairs.label), encoding="utf-8")
    (out / "caption.txt").write_text("".join(f"{caption}\n" for caption in pairs.caption), encoding="utf-8")
    return pairs


def _diagnose(source: Path, target: Path) -> dict[str, Any]:
    import anisoalign as aa

    messages.say("2. diagnose: how far apart are texts and images?")
    gap = aa.diagnose(source, target, paired=True)
    messages.print_rich("", *gap.verdict(), "")
    return gap.to_dict()


def _align(out: Path, source: Path, target: Path, seed: int) -> dict[str, Any]:
    import anisoalign as aa
    from anisoalign.comparison import split_in_step

    messages.say("3. fit AnisoAlign without pairs, transform the texts, evaluate")
    text, image = np.load(source), np.load(target)
    part = split_in_step(len(text), seed)  # what is measured was not fitted, and no pair was seen
    model = aa.AnisoAlign(seed=seed).fit(text[part.fit_source], image[part.fit_target])
    for note in model.notes():
        messages.say(f"   {note}")
    model.save(out / "model")
    model.transform(source, out / "aligned.npy", overwrite=True)
    y, x = text[part.test_source], image[part.test_target]
    before = aa.evaluate(y, x, y, paired=True)
    after = aa.evaluate(y, x, model.transform(y), paired=True)
    return {"evaluate_before": before.to_dict(), "evaluate": after.to_dict()}


def _compare(pairs: WorldPairs, repeats: int, seed: int) -> list[dict[str, Any]]:
    from anisoalign.comparison import DEFAULT_METHODS, compare_rows
    from anisoalign.comparison.repeating import steps
    from anisoalign.geometry import normalize
    from anisoalign.report import comparison_table

    messages.say("4. compare: every method, fitted on one part, measured on another")
    with bars.progress("compare", steps(len(DEFAULT_METHODS), repeats, True, True)) as done:
        result = compare_rows(
            normalize(pairs.text.astype(np.float64)),
            normalize(pairs.image.astype(np.float64)),
            paired=True,
            source_labels=pairs.label,
            target_labels=pairs.label,
            repeats=repeats,
            seed=seed,
            dials=True,
            progress=lambda _: done(1),
        )
    records = [{**record, **costs} for record, costs in zip(result.to_dicts(), result.costs(), strict=True)]
    messages.print_rich(comparison_table(records), "")
    return records


def _look(pairs: WorldPairs, records: list[dict[str, Any]], seed: int) -> dict[str, Any]:
    """A closer look at the methods that matter, with captions and pictures of the rows shown."""
    from anisoalign.embeddings import open_embeddings
    from anisoalign.report.choosing import methods_to_show
    from anisoalign.report.thumbnails import array_thumbnail
    from anisoalign.worlds import RenderedWorld

    y, x = open_embeddings(pairs.text, name="source"), open_embeddings(pairs.image, name="target")
    rows = np.arange(min(len(pairs), showing.VIEW_ROWS))
    views = [showing.view_of(y, x, spec, True, seed, (rows, rows)) for spec in methods_to_show(records)]
    shown = showing.rows_shown(views)
    world = RenderedWorld.load()
    pictures = {str(row): array_thumbnail(world.render(world.scenes(1, seed, start=row))[0]) for row in shown["target"]}
    captions = {side: {str(row): pairs.caption[row] for row in sorted(rows)} for side, rows in shown.items()}
    names = {"source": "text", "target": "image"}
    views = [view.to_dict() for view in views]
    return {"views": views, "captions": captions, "thumbnails": pictures, "names": names}


def _leave(out: Path, results: dict[str, Any]) -> None:
    """Table, JSON, figures and page."""
    from anisoalign.report import comparison_markdown, write_figures, write_page
    from anisoalign.report.results import read_results

    messages.say("5. table, JSON, figures and a page")
    (out / "results.json").write_text(json.dumps(results, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    (out / "table.md").write_text(comparison_markdown(results["compare"]) + "\n", encoding="utf-8")
    write_figures(out / "figures", gap=results["diagnose"], comparison=results["compare"])
    write_page(out / "report.html", results=read_results([out / "results.json"]), title="anisoalign demo")
