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
    found = _by_stem(path, ending)
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
    found = _by_stem(path, ending)
    return None if found is not None and _namesake(path, ending, kin) else found


def sidecar_of_neighbour(path: Path, ending: str, kin: Sequence[str]) -> tuple[Path, Path] | None:
    """Return the sidecar named by the stem that means a neighbour alone while `path` is not there or has its own.

    With it comes the name by which it means that neighbour whatever else is there.
    """
    other = _namesake(path, ending, kin)
    found = None if other is None else lone_sidecar(other, ending, kin)
    return None if other is None or found is None else (found, sidecar(other, ending))


def _by_stem(path: Path, ending: str) -> Path | None:
    """The sidecar named by a file's stem, None if there is none or that stem is the whole name of another."""
    found = path.with_name(path.stem + ending)
    if not path.suffix or not found.is_file() or _holds_vectors(path.with_name(path.stem)):
        return None
    return found


def _namesake(path: Path, ending: str, kin: Sequence[str]) -> Path | None:
    """Another file of the same stem without a sidecar of its own, None if there is none."""
    others = (path.with_name(path.stem + suffix) for suffix in kin if suffix != path.suffix)
    return next((other for other in others if _holds_vectors(other) and not sidecar(other, ending).is_file()), None)


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
