"""`anisoalign explore`: drag the strength of a fitted model and see what it does."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated

import typer

from anisoalign.cli import bars, checks, messages, opening, options, showing


def explore(
    model: Annotated[Path, typer.Argument(help="Folder of a fitted model.")],
    source: options.SourceOption,
    target: options.TargetOption,
    paired: options.PairedOption = False,
    source_captions: showing.SourceCaptions = None,
    target_captions: showing.TargetCaptions = None,
    thumbnails: showing.Thumbnails = None,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0 takes a free one.")] = 8765,
    sample: Annotated[int, typer.Option("--sample", min=30, help="Rows a side that are shown at most.")] = 2_000,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    source_column: options.SourceColumn = None,
    target_column: options.TargetColumn = None,
    bad_rows: options.BadRowsOption = options.BadRows.error,
    norms: options.NormsOption = options.Norms.auto,
    memory: options.MemoryOption = None,
    seed: options.SeedOption = 0,
    force: options.ForceExploreOption = False,
) -> None:
    """Show, on a page of this machine alone, what a model does to a chosen text as its strength is dragged.

    Neighbours of the text, the trade-off and the cosines follow. Large sets are sampled. Ctrl-C ends it.
    """
    import anisoalign as aa
    from anisoalign.explore.server import LOOPBACK, bind, serve
    from anisoalign.explore.session import NODES, Session, Shown

    checks.check_extra("explore")
    fitted = aa.load(model)
    y = opening.open_set(source, "source", source_column, bad_rows, norms, memory)
    x = opening.open_set(target, "target", target_column, bad_rows, norms, memory)
    gallery = showing.Gallery(y, x, source_captions, target_captions, thumbnails)
    shown = Shown(showing.names_of(source, target), gallery.captions, gallery.thumbnail)
    with bind(port) as opened:
        with bars.progress("measure the dial", len(NODES)) as done:
            session = Session(fitted, y, x, shown, paired=paired, sample=sample, seed=seed, force=force, progress=done)
        messages.tell_dropped(y, x)
        messages.say(session.about())
        address = f"http://{LOOPBACK}:{opened.getsockname()[1]}"
        messages.say(f"open {address} (Ctrl-C ends it)")
        if open_browser:
            import webbrowser

            webbrowser.open(address)
        # The server catches Ctrl-C, ends in order and raises it again: for this command that is no interruption.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            serve(session, opened)
        finally:
            signal.signal(signal.SIGINT, before)
