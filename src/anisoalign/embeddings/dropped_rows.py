"""Which rows of its source a result has not, so that what is kept elsewhere, row by row, can follow.

A folder says it in its manifest, shard by shard; a single file, or a Lance dataset, in `NAME.dropped.json` beside it.
"""

from pathlib import Path

from anisoalign.embeddings.manifest import MANIFEST

BESIDE = ".dropped.json"
"""Ending of the file that lists the rows that a single file lacks; before it stands the whole name of that file."""


def dropped_path(out: Path) -> Path:
    """Return where the dropped rows of a single file, or of a Lance dataset, are listed.

    Examples
    --------
    >>> dropped_path(Path("aligned.npy")).name
    'aligned.npy.dropped.json'
    """
    return out.with_name(out.name + BESIDE)


def list_of_dropped(out: Path) -> Path:
    """Return the file that lists the dropped rows of a finished result."""
    manifest = out / MANIFEST
    return manifest if manifest.is_file() else dropped_path(out)
