"""Ids and provenance beside a single file: written, and removed where they are not so any more.

Those of another file stay its own: at most they are given its whole name.
"""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from anisoalign.embeddings.atomic import rename_synced, write_synced
from anisoalign.embeddings.dropped_rows import dropped_path
from anisoalign.embeddings.ends import ends_of
from anisoalign.embeddings.errors import InputError
from anisoalign.embeddings.manifest import to_json
from anisoalign.embeddings.metadata import BESIDE, WITHOUT_COLUMNS
from anisoalign.embeddings.provenance import ABOUT, KIN, Provenance
from anisoalign.embeddings.provenance import BESIDE as SAID_BESIDE
from anisoalign.embeddings.remote import is_remote
from anisoalign.embeddings.sidecar_names import lone_sidecar, sidecar, sidecars_of_neighbours


def check_ids(out: Path, overwrite: bool) -> None:
    """Refuse a result that is named as ids are, or whose place has ids already that are nobody's.

    Parameters
    ----------
    out : Path
        A single file.
    overwrite : bool
        Whether what is left there of an earlier result may be replaced.

    Raises
    ------
    InputError
        Naming the file in the way.
    """
    if out.name.endswith(BESIDE):
        raise InputError(f"{out} is named as the ids beside a file are; choose another name")
    if out.suffix not in WITHOUT_COLUMNS or overwrite or out.exists():
        return
    for ids in (sidecar(out, BESIDE), lone_sidecar(out, BESIDE, WITHOUT_COLUMNS)):
        if ids is not None and ids.is_file():
            raise InputError(
                f"{ids} is there already and would be taken for the ids of {out}; move it or choose another name, "
                "or ask to replace it (`--overwrite`, `overwrite=True`)"
            )


def spare_neighbours(out: Path, ids: bool, provenance: bool) -> None:
    """Give a neighbour's sidecars its whole name, before `out` makes it doubtful whose they are.

    Parameters
    ----------
    out : Path
        A result of one file, or a Lance dataset, that is about to have its name.
    ids, provenance : bool
        Whether it has such a sidecar of its own, so that the neighbour's is in no doubt.
    """
    doubtful = sidecars_of_neighbours(out, SAID_BESIDE, KIN, own=provenance)
    if out.suffix in WITHOUT_COLUMNS:
        doubtful += sidecars_of_neighbours(out, BESIDE, WITHOUT_COLUMNS, own=ids)
    for found, whole in doubtful:
        if is_remote(found):
            found.replace(whole)
        else:
            rename_synced(found, whole)
        warnings.warn(
            f"{found} is called {whole.name} now, since beside {out.name} it could be about that", stacklevel=1
        )


def remove_ids(out: Path, written: bool) -> None:
    """Remove the ids of what a single file was before; those that were `written` of the new one stay."""
    if out.suffix not in WITHOUT_COLUMNS:
        return
    if (older := lone_sidecar(out, BESIDE, WITHOUT_COLUMNS)) is not None:
        older.unlink()
    if not written:
        sidecar(out, BESIDE).unlink(missing_ok=True)


def write_sidecars(
    out: Path,
    provenance: Provenance | None,
    rows: int,
    dropped: Sequence[dict[str, Any]],
    file: Path | None = None,
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
    file : Path, optional
        The finished file where it lies until it has its name; of a Lance dataset there is none.
    write : callable
        Writes a small file at once.
    """
    about = {} if file is None else {ABOUT: ends_of(file)}
    older = lone_sidecar(out, SAID_BESIDE, KIN)
    said = {
        sidecar(out, SAID_BESIDE): None if provenance is None else {**provenance, **about},
        dropped_path(out): {"rows": rows, "dropped": list(dropped)} if dropped else None,
    }
    for path, value in said.items():
        if value is None:
            path.unlink(missing_ok=True)
        else:
            write(path, to_json(value))
    if older is not None:
        older.unlink()
