"""What commands say: messages and what was left out on stderr, results on stdout."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from anisoalign.embeddings import EmbeddingSet


def console() -> Console:
    """Terminal for messages and progress: stderr."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


def first_process() -> bool:
    """Whether this is the one of several processes, as torchrun numbers them, that speaks and writes."""
    return os.environ.get("RANK", "0") == "0"


def say(text: str) -> None:
    """Print a message, to stderr."""
    if first_process():
        print(text, file=sys.stderr)


def print_json(value: Any) -> None:
    """Print a result as JSON, to stdout."""
    # Where stdout is no Unicode JSON escapes for itself: what Python would write for an é there, \xe9, is no JSON.
    unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    print(json.dumps(value, indent=1, allow_nan=False, ensure_ascii=not unicode))


def print_rich(*parts: Any) -> None:
    """Print tables and text to stdout, 120 columns wide where it is no terminal."""
    from rich.console import Console

    plain = not sys.stdout.isatty()
    out = Console(width=120 if plain else None, highlight=False, soft_wrap=False)
    for part in parts:
        out.print(part)


def tell_left_out(embeddings: EmbeddingSet) -> None:
    """State which columns do not go along into the result."""
    if embeddings.left_out:
        say(f"{embeddings.name}: left out, as they could be taken for its vectors: {listed(embeddings.left_out)}")


def tell_dropped(*sets: EmbeddingSet, out: Path | None = None) -> None:
    """State how many bad rows were left out, list the first ten of each set, and say which file of `out` lists all."""
    from anisoalign.embeddings.dropped_rows import list_of_dropped

    for embeddings in sets:
        if embeddings.dropped:
            say(f"{embeddings.name}: {len(embeddings.dropped)} bad row(s) dropped")
            for row in embeddings.dropped[:10]:
                say(f"  {row.file}, row {row.row}: {row.reason}")
            if out is not None:
                say(f"  all of them: {list_of_dropped(out)}")


def listed(values: Sequence[Any]) -> str:
    """Values separated by commas."""
    return ", ".join(str(value) for value in values)
