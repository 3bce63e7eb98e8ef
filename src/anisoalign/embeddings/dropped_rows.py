"""Which rows of its source a result has not, so that what is kept elsewhere, row by row, can follow.

A folder says it in its manifest, shard by shard; a single file, or a Lance dataset, in `NAME.dropped.json` beside it.
"""

from pathlib import Path

from anisoalign.embeddings.manifest import MANIFEST
from anisoalign.embeddings.sidecar_names import sidecar

BESIDE = ".dropped.json"
"""Ending of the file that lists the rows that a single file lacks."""


def dropped_path(out: Path) -> Path:
    """Return where the dropped rows of a single file, or of a Lance dataset, are listed.

    Examples
    --------
    >>> dropped_path(Path("aligned.npy")).name
    'aligned.npy.dropped.json'
    """
    return sidecar(out, BESIDE)


def list_of_dropped(out: Path) -> Path:
    """Return the file that lists the dropped rows of a finished result."""
    manifest = out / MANIFEST
    return manifest if manifest.is_file() else dropped_path(out)
