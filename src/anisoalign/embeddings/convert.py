"""Conversion between all formats: values as stored, ids along, and other columns but lists of floats."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from anisoalign.embeddings.atomic import check_free, replace_folder, writable
from anisoalign.embeddings.beside import Cursor
from anisoalign.embeddings.embedding_set import EmbeddingSet
from anisoalign.embeddings.errors import InputError, one_line
from anisoalign.embeddings.finding import PICKLES, READERS, shard_files
from anisoalign.embeddings.fingerprints import file_states, fingerprint
from anisoalign.embeddings.formats.lance_ import is_lance, lance_library
from anisoalign.embeddings.notes import BadRows
from anisoalign.embeddings.opening import open_any, open_embeddings
from anisoalign.embeddings.pickles import PickleSource, forget_pickles
from anisoalign.embeddings.remote import is_remote, locate
from anisoalign.embeddings.remote_writer import writer_for
from anisoalign.embeddings.shard_files import WITH_COLUMNS, names_beside, table_schema
from anisoalign.embeddings.sidecars import spare_neighbours, write_sidecars
from anisoalign.embeddings.transfer import Progress, write_tiles


def convert(
    source: str | Path | np.ndarray | EmbeddingSet,
    out: str | Path,
    format: str | None = None,
    dtype: np.typing.DTypeLike | None = None,
    *,
    allow_pickle: bool = False,
    column: str | None = None,
    id_column: str | None = None,
    bad_rows: BadRows = "error",
    memory: int | str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> EmbeddingSet:
    """Write a set in another format, verbatim but for the type asked for; return the result, opened.

    Ids and other columns go along. Lists of floats beside the vectors do not, such as a second embedding or a box, nor
    other tensors of a safetensors file: `EmbeddingSet.left_out` names them.

    Parameters
    ----------
    source : path, array or EmbeddingSet
    out : path
        A folder, or a file if it ends in `.npy`, `.parquet`, `.safetensors` or `.arrow`; or a URI of one.
    format : {"npy", "parquet", "safetensors", "arrow", "hf", "lance"}, optional
    dtype : optional
        By default the stored type; needed where shards hold floats of different types.
    allow_pickle : bool
        Read `.pkl` files, lists of records with `id` and `embed`. Nothing in them is run either way.
    column, id_column, bad_rows, memory
        See `open_embeddings`.
    overwrite : bool
        Replace an earlier result.
    progress : callable, optional
        Called with numbers of rows as they are done.

    Raises
    ------
    InputError
        For input that cannot be read or an output that cannot be written; nothing is left behind.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     result = convert(np.eye(3, dtype=np.float16), Path(folder, "eye.parquet"))
    ...     result.format, result.rows, result.dtype
    ('parquet', 3, dtype('float16'))
    """
    out = locate(out)
    try:
        es = open_to_convert(
            source,
            allow_pickle=allow_pickle,
            column=column,
            id_column=id_column,
            bad_rows=bad_rows,
            memory=memory,
            dtype=dtype,
        )
        id_column = _convert(es, out, dtype, format, overwrite, progress)
    finally:
        forget_pickles()
    return open_embeddings(out, name=out.name, id_column=id_column, norms="normalize")


def _convert(
    es: EmbeddingSet,
    out: Path,
    dtype: np.typing.DTypeLike | None,
    format: str | None,
    overwrite: bool,
    progress: Progress | None,
) -> str | None:
    """Write the result; return what its column of ids is called, if one was named."""
    kind = np.dtype(es.dtype if dtype is None else dtype)
    check_apart(es, out)
    if format == "lance" or (format is None and out.suffix == ".lance"):
        if is_remote(out):
            raise InputError(f"{out}: Lance datasets are written to a disk of this machine alone")
        _write_lance(es, out, kind, overwrite, progress)
        within = True
    else:
        plan = {"command": "convert", "bad_rows": es.bad_rows, "source": fingerprint(es)}
        with writer_for(out, es.dim, kind, format, plan, overwrite, file_states(es), es.provenance) as writer:
            write_tiles(es, writer, dtype=kind, raw=True, progress=progress)
        within = writer.format in WITH_COLUMNS
    return _id_column(es, within)


def _id_column(es: EmbeddingSet, within: bool) -> str | None:
    """What the column of ids is called in the result, `within` whose tables one called as the vectors is renamed."""
    if es.id_column is None or not within:
        return es.id_column
    first = next(shard.index for shard in es.shards if shard.rows)
    columns = es.columns(first)
    names = [] if columns is None else columns.schema.names
    return dict(zip(names, names_beside(names), strict=True)).get(es.id_column)


def open_to_convert(
    source: str | Path | np.ndarray | EmbeddingSet,
    *,
    allow_pickle: bool = False,
    column: str | None = None,
    id_column: str | None = None,
    bad_rows: BadRows = "error",
    memory: int | str | None = None,
    dtype: np.typing.DTypeLike | None = None,
) -> EmbeddingSet:
    """Open what `convert` reads, for who wants to know afterwards which rows were dropped.

    That may be pickles, and floats of mixed types where `dtype` says which to write.
    """
    if isinstance(source, str | Path) and allow_pickle and (pickles := _pickles(locate(source))):
        return EmbeddingSet(
            [PickleSource(path) for path in pickles],
            format="pickle",
            path=locate(source),
            id_column=id_column,
            bad_rows=bad_rows,
            norms="normalize",
            memory=memory,
            mixed=dtype is not None,
        )
    # Nothing is normalised here, so mixed norms are no reason to refuse.
    return open_any(source, "source", column, id_column, bad_rows, "normalize", memory, mixed=dtype is not None)


def check_apart(es: EmbeddingSet, out: Path) -> None:
    """Refuse to write a result over the set that it is made from.

    Raises
    ------
    InputError
        If `out` is the set, one of its files, a folder that holds it or lies within it, or a file beside its shards.
    """
    for other in es.behind:
        check_apart(other, out)
    place = out.resolve()
    beside = (getattr(shard.source, "metadata_path", None) for shard in es.shards)
    for path in (es.path, *(shard.path for shard in es.shards), *beside):
        if path is not None and (place == path.resolve() or place in path.resolve().parents):
            raise InputError(f"{out} is where the rows come from; name another place for the result")
    if es.path is None or not es.path.is_dir():
        return
    if out.suffix not in READERS:
        if es.path.resolve() in place.parents:
            raise InputError(f"{out} lies within {es.path}, where the rows come from; name another place")
        return
    folders = {es.path, *(shard.path.parent for shard in es.shards if shard.path is not None)}
    if place.parent in (folder.resolve() for folder in folders):
        raise InputError(f"{out} would be one more shard of {es.path}, which is read; name another place")


def _pickles(source: Path) -> list[Path]:
    files = shard_files(source) if source.is_dir() else [source]
    found = [file for file in files if file.suffix in PICKLES]
    if found and len(found) < len(files):
        raise InputError(f"{source} mixes pickles with other formats; give each its own folder")
    return found


def _write_lance(es: EmbeddingSet, out: Path, dtype: np.dtype, overwrite: bool, progress: Progress | None) -> None:
    """Write a Lance dataset, a fragment a shard. Lance names its files at random: no resuming here."""
    lance = lance_library()
    check_free(out, overwrite)
    partial = out.with_name(f"{out.name}.partial")
    if partial.exists() and not is_lance(partial):
        raise InputError(f"{partial} holds another unfinished run; continue that one, or delete the folder")
    with writable(out):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
    try:
        for shard in es.shards:
            if shard.rows:
                faults: list[InputError] = []
                reader = _lance_batches(es, shard.index, dtype, progress, faults)
                mode = "append" if is_lance(partial) else "create"
                try:
                    lance.write_dataset(reader, str(partial), mode=mode, max_rows_per_file=shard.rows)
                except Exception as error:
                    if faults:
                        raise faults[0] from None
                    if isinstance(error, OSError | pa.ArrowException):
                        raise InputError(f"{out} cannot be written: {one_line(error)}") from error
                    raise
        spare_neighbours(out, ids=True, provenance=es.provenance is not None)
        replace_folder(partial, out, lambda place: check_free(place, overwrite))
        dropped = [{"row": row.global_row, "reason": row.reason} for row in es.dropped]
        write_sidecars(out, es.provenance, es.rows - len(dropped), dropped)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _lance_batches(
    es: EmbeddingSet, index: int, dtype: np.dtype, progress: Progress | None, faults: list[InputError]
) -> pa.RecordBatchReader:
    """Stream one shard as Arrow batches with its other columns.

    An error within the stream reaches Lance as text alone, so it is noted in `faults` as well.
    """
    shard, beside = es.shards[index], es.columns(index)
    cursor = None if beside is None else Cursor(beside)
    schema = table_schema(None if beside is None else beside.schema, es.dim, dtype)

    def batches() -> Iterator[pa.RecordBatch]:
        try:
            for tile in es.tiles(dtype, raw=True, shards=[index]):
                kept = None if cursor is None else cursor.take(tile.rows - shard.first_row)
                arrays = [] if kept is None else [column.combine_chunks() for column in kept.columns]
                arrays.append(pa.FixedSizeListArray.from_arrays(pa.array(tile.values.reshape(-1)), es.dim))
                yield pa.record_batch(arrays, schema=schema)
                if progress is not None:
                    progress(len(tile))
        except InputError as error:
            faults.append(error)
            raise

    return pa.RecordBatchReader.from_batches(schema, batches())
