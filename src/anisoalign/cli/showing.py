"""What commands add to their numbers so that a page can be drawn: before and after, captions, thumbnails, names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from anisoalign.cli import checks, messages

if TYPE_CHECKING:
    import numpy as np

    from anisoalign.comparison import BeforeAfter
    from anisoalign.embeddings import EmbeddingSet
    from anisoalign.report.results import Results

SourceCaptions = Annotated[
    Path | None,
    typer.Option("--source-captions", help="What the source rows say, for the page: a line each, or FILE:COLUMN."),
]
TargetCaptions = Annotated[
    Path | None,
    typer.Option("--target-captions", help="What the target rows show, for the page: a line each, or FILE:COLUMN."),
]
Thumbnails = Annotated[
    Path | None,
    typer.Option("--thumbnails", help="Folder of images, one a target row in the order of names, for the page."),
]
ResultsOption = Annotated[
    Path | None, typer.Option("--results", help="Also write all that a page is made from, as JSON.")
]
OF_A_PAGE = ("source_captions", "target_captions", "thumbnails")
"""Parameters that only a page, or its results, have a use for."""
NO_PAGE = "is shown on a page, and neither --report nor --results asks for one"
# fmt: off
KINDS_OF_ROWS = frozenset((
    "text", "caption", "title", "sentence", "word", "query", "question", "answer", "document", "passage",
    "abstract", "review", "label", "transcript", "image", "photo", "picture", "frame", "sketch", "video",
    "audio", "sound", "speech", "music", "song", "code", "product", "item", "user", "molecule", "protein",
    "cell", "gene", "point", "shape",
))
# fmt: on
"""File names that say what a row is; any other name, like that of an encoder, would be no word for a row."""
_ABBREVIATED = {"img": "image", "imgs": "image", "txt": "text", "queries": "query"}
VIEW_ROWS = 4_000
"""Rows a side that a page's pictures of before and after are drawn from."""


def check_outputs(report: Path | None, results: Path | None, *inputs: Any) -> None:
    """Raise InputError, before any work, where a page or its results could not be written, or would replace inputs."""
    from anisoalign.embeddings.labels import file_and_column

    inputs = tuple(file_and_column(read)[0] if isinstance(read, Path) else read for read in inputs)
    checks.check_report(report, *inputs, results)
    checks.check_file(results, *inputs)


def write_outputs(report: Path | None, results: Path | None, found: Results) -> None:
    """Write the page and the document that were asked for, and say where they are."""
    from anisoalign.report import write_page
    from anisoalign.report.results import write_results

    if results is not None:
        write_results(results, found)
        messages.say(f"results: {results}")
    if report is not None:
        write_page(report, results=found)
        messages.say(f"report: {report}")


def names_of(source: Path, target: Path) -> dict[str, str]:
    """What a row of each set is called: the file's name where it is a word for what a row is, and the two differ.

    Examples
    --------
    >>> names_of(Path("data/text.npy"), Path("data/img_emb"))
    {'source': 'text', 'target': 'image'}
    >>> names_of(Path("clip.npy"), Path("dino.npy"))
    {'source': 'source', 'target': 'target'}
    """
    stems = [Path(str(path)).absolute().stem.lower().removesuffix("_emb") for path in (source, target)]
    found = [_ABBREVIATED.get(stem, stem if stem in KINDS_OF_ROWS else stem.removesuffix("s")) for stem in stems]
    if not KINDS_OF_ROWS.issuperset(found) or found[0] == found[1]:
        found = ["source", "target"]
    return dict(zip(("source", "target"), found, strict=True))


class Gallery:
    """Captions and thumbnails of the rows that views show; files are read before any work, so that mistakes show early.

    Where no file is given, captions are what the sets say themselves.
    """

    def __init__(
        self,
        source: EmbeddingSet,
        target: EmbeddingSet,
        source_captions: Path | None,
        target_captions: Path | None,
        thumbnails: Path | None,
    ):
        from anisoalign.embeddings import read_labels
        from anisoalign.report.thumbnails import folder_thumbnails

        files = {"source": (source_captions, source.rows), "target": (target_captions, target.rows)}
        self._sets = {"source": source, "target": target}
        self.captions = {
            side: read_labels(path, rows, column="caption") for side, (path, rows) in files.items() if path is not None
        }
        self.thumbnail = None if thumbnails is None else folder_thumbnails(thumbnails, target.rows)

    def of(self, views: Sequence[BeforeAfter]) -> dict[str, Any]:
        """The parts of a document that belong to these views."""
        rows = rows_shown(views)
        captions = {side: texts for side in rows if (texts := self._captions_of(side, rows[side]))}
        pictures = {} if self.thumbnail is None else {str(row): self.thumbnail(row) for row in sorted(rows["target"])}
        return {"captions": captions, "thumbnails": {row: picture for row, picture in pictures.items() if picture}}

    def _captions_of(self, side: str, rows: set[int]) -> dict[str, str]:
        from anisoalign.report.row_words import words_of

        given = self.captions.get(side)
        found = words_of(self._sets[side], rows) if given is None else {row: given[row] for row in rows}
        return {str(row): found[row] for row in sorted(found)}


def rows_shown(views: Sequence[BeforeAfter]) -> dict[str, set[int]]:
    """Rows of each side of which views show words or pictures: queries, and what they find."""
    rows: dict[str, set[int]] = {"source": set(), "target": set()}
    for view in views:
        for entry in view.neighbours:
            rows["source"].add(entry["row"])
            for neighbour in (*entry["before"], *entry["after"]):
                rows[neighbour["side"]].add(neighbour["row"])
    return rows


def view_of(
    source: EmbeddingSet,
    target: EmbeddingSet,
    spec: str,
    paired: bool,
    seed: int,
    rows: tuple[np.ndarray, np.ndarray],
) -> BeforeAfter:
    """One method fitted on one part of `rows` (row numbers) and shown on another, as `compare` splits them."""
    import numpy as np

    from anisoalign.aligners import parse_method
    from anisoalign.comparison import before_after, split
    from anisoalign.comparison.items import items_of

    y, x = source.take(rows[0], np.float64), target.take(rows[1], np.float64)
    part = split(len(y), len(x), seed, items_of(source, target, y, x, paired))
    model = parse_method(spec).fit(y.values[part.fit_source], x.values[part.fit_target])
    if model.fitted_frame != "target":
        model = model.in_frame("target")  # among targets as they are, which the view shows
    tested = y.values[part.test_source]
    aligned = model.transform(tested, out_dtype="float64", first_row=len(part.fit_source))
    return before_after(
        tested,
        x.values[part.test_target],
        aligned,
        method=spec,
        model=model,
        paired=paired,
        source_rows=y.rows[part.test_source],
        target_rows=x.rows[part.test_target],
        seed=seed,
    )
