"""What lies beside a single file of vectors, a sidecar, has the whole name of that file before an ending of its own.

One named by the stem alone, as `text.ids.parquet` of `text.npy`, is read too, but only where it can mean no other file.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path

from anisoalign.embeddings.errors import InputError
from anisoalign.embeddings.formats.arrow import read_schema
from anisoalign.embeddings.formats.columns import vector_type
from anisoalign.embeddings.formats.lance_ import is_lance
from anisoalign.embeddings.formats.parquet import parquet_columns

_SCHEMAS = {".parquet": lambda path: parquet_columns(path).schema, ".arrow": read_schema}
"""What says of a table of each ending which columns it has."""


def sidecar(path: Path, ending: str) -> Path:
    """Return where a sidecar of a file lies, there or not.

    Examples
    --------
    >>> sidecar(Path("text.npy"), ".ids.parquet").name
    'text.npy.ids.parquet'
    """
    return path.with_name(path.name + ending)


def find_sidecar(path: Path, ending: str, kin: Sequence[str]) -> Path | None:
    """Return the sidecar of a file, None if it has none; warn of one that may be this file's or another's.

    Parameters
    ----------
    path : Path
        A file, or a Lance dataset.
    ending : str
        Of the sidecar.
    kin : sequence of str
        Endings of files that have such sidecars.
    """
    whole = sidecar(path, ending)
    if whole.is_file():
        return whole
    found = _by_stem(path, ending, kin)
    other = None if found is None else _namesake(path, ending, kin)
    if found is None or other is None:
        return found
    warnings.warn(
        f"{found} may be about {path.name} or {other.name} and is read for neither; rename it to {whole.name} or "
        f"{sidecar(other, ending).name}",
        stacklevel=1,
    )
    return None


def lone_sidecar(path: Path, ending: str, kin: Sequence[str]) -> Path | None:
    """Return the sidecar that is named by a file's stem and can mean no other file; None if there is none."""
    found = _by_stem(path, ending, kin)
    return None if found is not None and _namesake(path, ending, kin) else found


def sidecars_of_neighbours(path: Path, ending: str, kin: Sequence[str], own: bool) -> list[tuple[Path, Path]]:
    """Return the sidecars named by a stem that will not mean their file alone once `path` is there.

    That stem is the whole name of `path`, as of `text.npy` beside `text.npy.safetensors`; or its stem too, unless
    `path` has such a sidecar of its `own`. With each comes the name by which it means that file whatever else is there.
    """
    stems = {path.name} if own else {path.name, path.stem}
    names = sorted({stem + suffix for stem in stems for suffix in kin} - {path.name})
    others = [other for other in map(path.with_name, names) if _lacks(other, ending)]
    found = [(lone_sidecar(other, ending, kin), sidecar(other, ending)) for other in others]
    return [(there, whole) for there, whole in found if there is not None]


def _by_stem(path: Path, ending: str, kin: Sequence[str]) -> Path | None:
    """The sidecar named by a file's stem, None if there is none or that stem is the whole name of another."""
    found, other = path.with_name(path.stem + ending), path.with_name(path.stem)
    if not path.suffix or not found.is_file():
        return None
    has_such = other.suffix in kin or ".lance" in kin  # a Lance dataset may have any name
    return None if has_such and _holds_vectors(other) else found


def _namesake(path: Path, ending: str, kin: Sequence[str]) -> Path | None:
    """Another file of the same stem without a sidecar of its own, None if there is none."""
    others = (path.with_name(path.stem + suffix) for suffix in kin if suffix != path.suffix)
    return next((other for other in others if _lacks(other, ending)), None)


def _lacks(path: Path, ending: str) -> bool:
    """Whether vectors are there without a sidecar of their whole name."""
    return _holds_vectors(path) and not sidecar(path, ending).is_file()


def _holds_vectors(path: Path) -> bool:
    """Whether a file or a Lance dataset is there that may hold vectors: a table without a column of them does not."""
    if not path.is_file():
        return is_lance(path)
    if path.suffix not in _SCHEMAS:
        return True
    try:
        return any(vector_type(column.type) for column in _SCHEMAS[path.suffix](path))
    except InputError:  # what it is cannot be told, and is not what was asked for
        return True
