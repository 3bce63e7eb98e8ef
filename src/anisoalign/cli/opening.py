"""Opening the sets and labels that a command names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from anisoalign.cli.messages import say
from anisoalign.cli.options import BadRows, Norms

if TYPE_CHECKING:
    from anisoalign.embeddings import EmbeddingSet


def open_set(
    path: Path,
    name: str,
    column: str | None,
    bad_rows: BadRows,
    norms: Norms,
    memory: str | None,
    column_flag: str | None = None,
) -> EmbeddingSet:
    """Open a set and state what it is, on stderr; `column_flag` is --NAME-column where nothing else is said."""
    from anisoalign.embeddings import format_bytes, open_embeddings

    if column is None and all((path / kind).is_dir() for kind in ("img_emb", "text_emb")):
        column = {"source": "text", "target": "image"}.get(name)  # clip-retrieval's layout holds both
    with column_named_by(column_flag or f"--{name}-column"):
        opened = open_embeddings(
            path, name=name, column=column, bad_rows=bad_rows.value, norms=norms.value, memory=memory
        )
    about = opened.describe()
    say(
        f"{name}: {about['rows']:,} x {about['dim']} {about['dtype']}, {about['format']}, {about['shards']} shard(s), "
        f"{format_bytes(about['bytes'])}; {about['norms']}{_made_by(opened)}"
    )
    return opened


def _made_by(embeddings: EmbeddingSet) -> str:
    from anisoalign.embeddings.provenance import encoder_of, in_words, moved_by

    made, moved = encoder_of(embeddings.provenance), moved_by(embeddings.provenance)
    return ("" if made is None else f"; made by {in_words(made)}") + (f"; aligned {moved}" if moved else "")


@contextmanager
def column_named_by(flag: str) -> Iterator[None]:
    """Let a message that asks for a column name the flag of this command."""
    from anisoalign.embeddings import ColumnError

    try:
        yield
    except ColumnError as error:
        raise ColumnError(error.problem, error.choices, flag) from error


def read_side_labels(
    labels: Path | None, source_labels: Path | None, target_labels: Path | None, source_rows: int, target_rows: int
) -> tuple[list[str] | None, list[str] | None]:
    """Labels of both sides: one file for both, or one each."""
    from anisoalign.embeddings import InputError, read_labels

    if labels is not None and (source_labels is not None or target_labels is not None):
        raise InputError("give --labels for both sides, or --source-labels and --target-labels, not both")
    source_labels, target_labels = source_labels or labels, target_labels or labels
    return (
        None if source_labels is None else read_labels(source_labels, source_rows),
        None if target_labels is None else read_labels(target_labels, target_rows),
    )
