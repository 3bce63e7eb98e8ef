"""`anisoalign report`: one page from result JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anisoalign.cli import checks, messages


def report(
    results: Annotated[
        list[Path], typer.Argument(help="JSON of diagnose, evaluate or compare: --results, --json or a demo's.")
    ],
    out: Annotated[Path, typer.Option("--out", help="The page, as HTML.")],
    title: Annotated[str, typer.Option("--title", help="Heading of the page.")] = "Modality gap report",
) -> None:
    """Make one self-contained page from results: is there a gap, of what kind, what helps, which method, at what cost?

    The page needs no network and holds its own numbers. Later files win where two hold the same part. What --results
    writes has figures of before and after; what --json prints has not.
    """
    checks.check_report(out, *results)
    from anisoalign.report import write_page
    from anisoalign.report.results import read_results

    write_page(out, results=read_results(results), title=title)
    messages.say(f"report: {out}")
