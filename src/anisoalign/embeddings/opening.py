"""The one way in: a file, a folder, an array or a tensor becomes an `EmbeddingSet`."""

from pathlib import Path

import numpy as np
import torch

from anisoalign.embeddings.embedding_set import EmbeddingSet
from anisoalign.embeddings.errors import InputError
from anisoalign.embeddings.finding import compare_manifest, open_path, settle_widths
from anisoalign.embeddings.formats.memory import MemorySource, from_tensor
from anisoalign.embeddings.notes import BadRows, Norms
from anisoalign.embeddings.one_column import compare_columns
from anisoalign.embeddings.provenance import find_provenance
from anisoalign.embeddings.remote import RemotePath, locate, reachable


def open_embeddings(
    source: str | Path | RemotePath | np.ndarray | torch.Tensor | EmbeddingSet,
    *,
    name: str = "source",
    column: str | None = None,
    id_column: str | None = None,
    bad_rows: BadRows = "error",
    norms: Norms = "auto",
    memory: int | str | None = None,
) -> EmbeddingSet:
    """Open a file, a folder of shards, an array or a tensor as a set of vectors.

    The header of every shard is read and compared: width, type, rows, and the manifest where there is
    one. A few norms of every shard are looked at. No pass is made over the rows.

    Parameters
    ----------
    source : path or URI, array or tensor of shape (n, d), or EmbeddingSet
        A URI like ``s3://bucket/folder`` is read through pyarrow's filesystems (`RemotePath`); a set is returned as
        it is.
    name : str
        What messages call the set.
    column : str, optional
        Column of a parquet or Arrow file, key of a safetensors file, or kind (`"image"`, `"text"`) in
        clip-retrieval's layout. Needed only where there are several.
    id_column : str, optional
        Column of ids; by default the first of `id`, `ids`, `key`, `image_path` that is there.
    bad_rows : {"error", "drop"}
        What becomes of a null, NaN, infinite or zero row.
    norms : {"auto", "normalize"}
        Rows are normalised either way; `"auto"` refuses a set in which some shards are unit and others not.
    memory : int or str, optional
        Bound in bytes or as `"2GB"` on rows that are held at once: a sample, a batch, a whole set, the parts of a file
        that several threads write. It never changes a result, only refuses work or does it in smaller parts. What
        every pass takes besides is not counted: the library, sums of d × d, and a few tiles (about a million values
        each) a thread.

    Raises
    ------
    InputError
        If there is nothing to read, or shards do not belong together.

    Examples
    --------
    >>> es = open_embeddings(np.eye(3, dtype=np.float16), name="texts")
    >>> es.rows, es.dim, es.dtype, es.norms
    (3, 3, dtype('float16'), 'unit')
    """
    return open_any(source, name, column, id_column, bad_rows, norms, memory)


def open_any(
    source: str | Path | RemotePath | np.ndarray | torch.Tensor | EmbeddingSet,
    name: str,
    column: str | None,
    id_column: str | None,
    bad_rows: BadRows,
    norms: Norms,
    memory: int | str | None,
    mixed: bool = False,
) -> EmbeddingSet:
    """`open_embeddings`, for `convert` also of floats of `mixed` types."""
    if isinstance(source, EmbeddingSet):
        return source
    path = provenance = None
    if isinstance(source, torch.Tensor):
        kind, sources = "memory", [from_tensor(source, name)]
    elif isinstance(source, np.ndarray):
        kind, sources = "memory", [MemorySource(source, name)]
    elif isinstance(source, str | Path | RemotePath):
        path = locate(source)
        with reachable(path):
            kind, sources = open_path(path, column)
            compare_columns(name, sources)
            settle_widths(sources)
            compare_manifest(path, sources)
            provenance = find_provenance(path, [file.path for file in sources if file.path is not None])
    else:
        raise InputError(
            f"{name}: a path, an array or a tensor is needed, not {type(source).__name__}{_instead(source)}"
        )
    return EmbeddingSet(
        sources,
        format=kind,
        name=name,
        path=path,
        id_column=id_column,
        bad_rows=bad_rows,
        norms=norms,
        memory=memory,
        provenance=provenance,
        mixed=mixed,
    )


def _instead(source: object) -> str:
    """What to give instead of a table, of a column, or of a list: of paths their folder, of rows an array."""
    if hasattr(source, "to_numpy") and hasattr(source, "columns"):
        return (
            "; `table.to_numpy()` makes an array of its numbers, `np.stack(table['embedding'])` of a column of vectors"
        )
    if hasattr(source, "to_numpy") and hasattr(source, "dtype"):
        return "; `np.stack(column)` makes an array of a column of vectors"
    if not isinstance(source, list | tuple) or not source:
        return ""
    if isinstance(source[0], str | Path | RemotePath):
        return "; name the folder that holds these files and no others"
    return "; `np.asarray(rows, np.float32)` makes an array of rows"
