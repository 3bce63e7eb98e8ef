"""Files beside a single file of vectors; of those named by its stem alone none that is another file's is touched.

`text.npy`, `text.parquet` and `text.lance` would all have `text.provenance.json`, and `text.ids.parquet` belongs to
`text.npy` and to `text.safetensors`, which hold no columns themselves. `text.npy.dropped.json` is of one file alone.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from anisoalign.embeddings.atomic import write_synced
from anisoalign.embeddings.dropped_rows import dropped_path
from anisoalign.embeddings.errors import InputError
from anisoalign.embeddings.finding import READERS
from anisoalign.embeddings.formats.lance_ import is_lance
from anisoalign.embeddings.manifest import to_json
from anisoalign.embeddings.metadata import BESIDE
from anisoalign.embeddings.provenance import Provenance, provenance_path, read_beside
from anisoalign.embeddings.remote import is_remote

WITHOUT_COLUMNS = (".npy", ".safetensors")
"""Endings of files whose ids lie beside them."""


def ids_path(out: Path) -> Path:
    """Return where the ids of a single file lie.

    Examples
    --------
    >>> ids_path(Path("text.npy")).name
    'text.ids.parquet'
    """
    return out.with_name(out.stem + BESIDE)


def check_ids(out: Path, overwrite: bool, coming: bool = False) -> None:
    """Refuse a result whose ids lie where those of another file do, or whose place is taken by ids already.

    Parameters
    ----------
    out : Path
        A single file.
    overwrite : bool
        Whether what is left there of an earlier result may be replaced.
    coming : bool
        Whether ids are to be written; else those that are there would be removed.

    Raises
    ------
    InputError
        Naming the file in the way.
    """
    if out.name.endswith(BESIDE):
        raise InputError(f"{out} is named as the ids beside a file are; choose another name")
    if out.suffix not in WITHOUT_COLUMNS:
        return
    ids = ids_path(out)
    there = ids.is_file()
    if (coming or there) and (other := _namesake(out, WITHOUT_COLUMNS)):
        raise InputError(_shared(out, ids, other))
    if there and not overwrite and not out.exists():
        raise InputError(
            f"{ids} is there already and would be taken for the ids of {out}; move it or choose another name, "
            "or ask to replace it (`--overwrite`, `overwrite=True`)"
        )


def check_provenance(out: Path, provenance: Provenance | None) -> None:
    """Refuse a single file, or a Lance dataset, that would change what is said of the origin of another.

    Raises
    ------
    InputError
        Naming the other file.
    """
    beside = provenance_path(out)
    there = beside.is_file()
    if (provenance is None and not there) or not (other := _namesake(out, tuple(READERS), lance=True)):
        return
    if not there or provenance is None or read_beside(beside) != json.loads(json.dumps(provenance)):
        raise InputError(_shared(out, beside, other))


def write_sidecars(
    out: Path,
    provenance: Provenance | None,
    rows: int,
    dropped: Sequence[dict[str, Any]],
    write: Callable[[Path, str], None] = write_synced,
) -> None:
    """Say beside a single file, or a Lance dataset, where its rows come from, and which of the source's it has not.

    What was said of an earlier one there, and is not so of this one, goes.

    Parameters
    ----------
    out : Path
    provenance : dict or None
    rows : int
        Rows that are there.
    dropped : sequence of dict
        `row` in the source, from 0, and `reason`.
    write : callable
        Writes a small file at once.
    """
    said = {
        provenance_path(out): provenance,
        dropped_path(out): {"rows": rows, "dropped": list(dropped)} if dropped else None,
    }
    for path, value in said.items():
        if value is None:
            path.unlink(missing_ok=True)
        else:
            write(path, to_json(value))


def _shared(out: Path, beside: Path, other: Path) -> str:
    return f"{out} would share {beside.name} with {other.name}; choose another name or folder"


def _namesake(out: Path, endings: Sequence[str], lance: bool = False) -> Path | None:
    """Another file of vectors in the same folder whose stem is the same, None if there is none."""
    for other in (out.with_name(out.stem + ending) for ending in endings):
        if other != out and other.is_file():
            return other
    if not lance or is_remote(out):
        return None
    datasets = (out.with_name(name) for name in (f"{out.stem}.lance", out.stem))
    return next((other for other in datasets if other != out and is_lance(other)), None)
