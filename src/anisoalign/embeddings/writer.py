"""Writing a set of vectors so that nothing half done can be taken for a result.

A folder grows as `OUT.partial`: each shard under a temporary name, synced, renamed, noted with its
checksum. When all are done a manifest is added and the folder renamed to `OUT`. A run that was cut
short continues with the first shard that is not noted, if its plan is the same, and ends with the
same bytes.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa

from anisoalign.embeddings.atomic import (
    TEMPORARY,
    aside,
    check_free,
    rename_synced,
    replace_folder,
    still_free,
    writable,
    write_synced,
)
from anisoalign.embeddings.beside import Columns, ColumnsFile
from anisoalign.embeddings.errors import InputError, by_system, has_failed
from anisoalign.embeddings.formats.arrow import hf_files_beside
from anisoalign.embeddings.locks import Lock, take_lock
from anisoalign.embeddings.manifest import (
    MANIFEST,
    RUN,
    file_checksum,
    listed_files,
    manifest_of,
    read_json,
    to_json,
)
from anisoalign.embeddings.provenance import Provenance
from anisoalign.embeddings.remote import locate
from anisoalign.embeddings.run_notes import earlier_notes, told_apart
from anisoalign.embeddings.shard_files import FORMATS, WITH_COLUMNS, Sink, choose_format
from anisoalign.embeddings.shard_names import ShardNames
from anisoalign.embeddings.shard_writer import ShardWriter
from anisoalign.embeddings.sidecars import check_ids, remove_ids, spare_neighbours, write_sidecars
from anisoalign.embeddings.tiles import torch_dtype

LOCK = "lock"


class EmbeddingWriter:
    """Write shards into a folder, or one file, that appears only when it is complete.

    Parameters
    ----------
    out : path
        A folder, or a file if it ends in `.npy`, `.parquet`, `.safetensors` or `.arrow`.
    dim : int
        Width of the vectors.
    dtype : float16, float32 or float64
    format : {"npy", "parquet", "safetensors", "arrow", "hf"}, optional
        By default what the file's ending says, `npy` for a folder.
    plan : dict, optional
        JSON-able settings that determine the result, kept in the manifest. Only a run with the same plan
        continues an unfinished one.
    overwrite : bool
        Replace an `out` that exists, once the new one is complete.
    inputs : optional
        JSON-able state of the input, as `file_states` gives it, without which an unfinished run is not
        continued. Unlike the plan it is not kept in the manifest, since the same data may lie elsewhere.
    provenance : dict, optional
        What to say of the encoder that made the vectors; a run that is continued keeps what it said at its start.
    metadata : str
        Folder for columns beside vectors, seen from the result: sets whose rows are pairs share theirs.

    Raises
    ------
    InputError
        Before any work: if `out` exists, cannot be written, or another plan's run is unfinished there; or if ids lie
        where those of a new single file would.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     out = Path(folder, "out")
    ...     with EmbeddingWriter(out, dim=2, plan={"made": "by hand"}) as writer:
    ...         with writer.shard(0, rows=3) as shard:
    ...             shard.write(np.eye(3, 2))
    ...     sorted(path.name for path in out.iterdir())
    ['emb_000.npy', 'manifest.json']
    """

    def __init__(
        self,
        out: str | Path,
        dim: int,
        dtype: np.typing.DTypeLike = "float32",
        format: str | None = None,
        plan: dict[str, Any] | None = None,
        overwrite: bool = False,
        inputs: Any = None,
        provenance: Provenance | None = None,
        metadata: str = "metadata",
    ):
        self.out = locate(out)
        self.format, self.single = choose_format(self.out, format)
        self.dim, self.dtype = dim, np.dtype(dtype)
        self.plan = json.loads(to_json(plan or {}))
        self._inputs = json.loads(to_json({"files": inputs}))["files"]
        self.provenance = provenance
        self._names = ShardNames(self.out, FORMATS[self.format], self.single, metadata)
        self._overwrite = overwrite
        self._shards: dict[int, dict[str, Any]] = {}
        self._lock: Lock | None = None
        torch_dtype(self.dtype)

    @property
    def partial(self) -> Path:
        """Where work in progress lies."""
        return self.out.with_name(self.out.name + ".partial")

    def __enter__(self) -> "EmbeddingWriter":
        self._check_free(self.out)
        if self.single:
            check_ids(self.out, self._overwrite)
        with writable(self.out):
            self.out.parent.mkdir(parents=True, exist_ok=True)
            if self.single:
                self._probe(self.out.parent)
                self._lock = take_lock(self._lock_file, self.out)
            else:
                self._begin_folder()
        return self

    @property
    def _lock_file(self) -> Path:
        """What the run that writes here holds, and no other: beside a single file, it goes with the run."""
        return self.out.with_name(f"{TEMPORARY}{self.out.name}.lock") if self.single else self.partial / RUN / LOCK

    def _check_free(self, out: Path) -> None:
        check_free(out, self._overwrite, self.single)

    def _begin_folder(self) -> None:
        run = self.partial / RUN
        run.mkdir(parents=True, exist_ok=True)
        self._lock = take_lock(self._lock_file, self.partial)
        try:
            self._take_up(run)
        except BaseException:
            if not (run / "plan.json").is_file():
                self._leave_nothing(run)
            self._unlock()
            raise

    def _take_up(self, run: Path) -> None:
        """Go on from what an earlier run left, or begin."""
        earlier = earlier_notes(self.partial)
        try:
            self._check_free(self.out)  # a run that held the lock until now may have made it
        except InputError:
            if earlier is None:
                self._leave_nothing(run)
            raise
        self._compare_settings(earlier)
        for stale in self.partial.glob(f"**/{TEMPORARY}*"):
            stale.unlink()
        self._probe(run)
        write_synced(run / "plan.json", self._run_notes())

    def _leave_nothing(self, run: Path) -> None:
        """Remove folders that this run has made and not written into."""
        if self._lock is not None:
            self._lock.remove()
        for folder in (run, self.partial):
            with contextlib.suppress(OSError):
                folder.rmdir()

    @property
    def settings(self) -> dict[str, Any]:
        """What a run must agree in to continue another's work."""
        return {
            "format": self.format,
            "dim": self.dim,
            "dtype": self.dtype.name,
            "plan": self.plan,
            "inputs": self._inputs,
        }

    def _run_notes(self) -> str:
        """What a later run is to know of this one."""
        return to_json({**self.settings, "provenance": self.provenance})

    def _compare_settings(self, found: dict[str, Any] | None) -> None:
        """Refuse to continue a run that was to do something else; keep what it said of the encoder, and the date."""
        if found is not None:
            self.provenance = found.pop("provenance", None)
        if found is not None and (differing := told_apart(found, self.settings)):
            raise InputError(
                f"{self.partial} holds an unfinished run with other settings ({'; '.join(differing[:5])}); "
                "repeat the command that began it, or delete that folder"
            )

    def _unlock(self) -> None:
        if self._lock is not None:
            (self._lock.remove if self.single else self._lock.close)()
            self._lock = None

    def _let_move(self) -> None:
        if self._lock is not None:
            self._lock.let_move()

    def _probe(self, folder: Path) -> None:
        """Write and remove an empty file: the only sure test of a folder that cannot be written."""
        probe = folder / f"{TEMPORARY}probe-{os.getpid()}"
        probe.touch()
        probe.unlink()

    def done(self, index: int) -> bool:
        """Tell whether an earlier run finished this shard and its bytes are still the ones it noted."""
        if index in self._shards:
            return True
        note = self.partial / RUN / f"shard-{index}.json"
        if self.single or not note.is_file():
            return False
        record = read_json(note)
        file = self.partial / record["file"]
        same = file.is_file() and file.stat().st_size == record["bytes"]
        if not same or not all(
            path.is_file() and checksum in (None, file_checksum(path))
            for path, checksum in listed_files(self.partial, record)
        ):
            note.unlink()
            return False
        self._shards[index] = record
        return True

    def record(self, index: int) -> dict[str, Any]:
        """Return what was noted of a finished shard."""
        return self._shards[index]

    def adopt(self, index: int, record: dict[str, Any]) -> None:
        """Count a shard that another process has written with a copy of this writer."""
        self._shards[index] = record

    def records(self) -> list[dict[str, Any]]:
        """Return what was noted of every finished shard, in order."""
        return [self._shards[index] for index in sorted(self._shards)]

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_lock": None, "_shards": {}}  # the lock stays with the process that took it

    def dropped(self, index: int) -> list[tuple[int, str]]:
        """Return the rows that a finished shard's source had and it has not: row in the source, and why."""
        return [(item["row"], item["reason"]) for item in self._shards[index].get("dropped", [])]

    @contextlib.contextmanager
    def shard(
        self,
        index: int,
        rows: int | None = None,
        stem: str | None = None,
        ids: "Columns | pa.Table | Sequence[Any] | np.ndarray | pa.Array | pa.ChunkedArray | None" = None,
    ) -> Iterator[ShardWriter]:
        """Write one shard; it counts only once the block has ended without an error.

        Parameters
        ----------
        index : int
            Position in the result; shards may be written in any order.
        rows : int, optional
            Number of rows to come; None where rows may be dropped.
        stem : str, optional
            File name without ending; its number is zero-padded, or `index` appended if it has none.
        ids : sequence, pyarrow.Table or Columns, optional
            Ids of the rows, or all columns to keep beside them.
        """
        name, columns = self._names.of_shard(index, stem), _as_columns(ids)
        with contextlib.ExitStack() as opened, writable(self.out):
            sink, file = Sink(self._temporary(name)), None
            opened.callback(sink.abandon)
            if columns is not None and self.format not in WITH_COLUMNS:
                file = ColumnsFile(self._temporary(self._names.beside(name)), columns.schema)
                opened.callback(file.abandon)
            abandon = opened.pop_all()
        with abandon:
            writer = ShardWriter(sink, self.format, rows, self.dim, self.dtype, columns, file)
            yield writer
            writer.finish()
            if rows is not None and writer.rows != rows:
                raise ValueError(f"shard {name} was promised {rows} rows and given {writer.rows}")
            self._complete(index, name, sink, writer, file)
            abandon.pop_all()

    def _temporary(self, name: str) -> Path:
        """Where a file of the result is written before it has its name."""
        return (self.out.parent if self.single else self.partial) / f"{TEMPORARY}{name}"

    def _place(self, temporary: Path, path: Path) -> None:
        """Give a synced file its place in the result."""
        path.parent.mkdir(exist_ok=True)
        rename_synced(temporary, path)

    def _complete(self, index: int, name: str, sink: Sink, writer: ShardWriter, file: ColumnsFile | None) -> None:
        """Sync a shard, give it its name and note it."""
        if self.single:
            with still_free():
                self._check_free(self.out)
        path = (self.out.parent if self.single else self.partial) / name
        record: dict[str, Any] = {"file": path.name, "rows": writer.rows, "crc32": sink.finish()}
        record["bytes"] = sink.path.stat().st_size
        record.update(writer.notes)
        if writer.dropped:
            record["dropped"] = writer.dropped
        if self.single:
            spare_neighbours(self.out, ids=file is not None, provenance=self.provenance is not None)
        if file is not None:
            record["metadata_crc32"] = file_checksum(file.path)
            record["metadata"] = self._names.place_beside(name)
            self._place(file.path, path.parent / record["metadata"])
        if self.single:
            remove_ids(self.out, written=file is not None)
            write_sidecars(self.out, self.provenance, writer.rows, writer.dropped, sink.path, self._put)
        self._place(sink.path, path)
        self._shards[index] = record
        if not self.single:
            self._put(self.partial / RUN / f"shard-{index}.json", to_json(record))

    def _put(self, path: Path, text: str) -> None:
        """Write a small file of the result, or a note on the run."""
        write_synced(path, text)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._finish()
        except BaseException as failure:
            error = failure
            raise
        finally:
            if error is not None and not self.single:
                self._leave(error)
            self._unlock()

    def _leave(self, error: BaseException) -> None:
        """Keep what is done, and say so, unless nothing here could be continued."""
        if self._is_futile(error):
            self._discard()
        elif has_failed(error):
            error.add_note(f"{self.partial} holds what is done; the same command goes on from there")

    def _is_futile(self, error: BaseException) -> bool:
        """Tell whether nothing here could be continued: input that must be corrected changes the plan."""
        if isinstance(error, InputError) and not by_system(error):
            return True
        run = self.partial / RUN
        noted = run.is_dir() and any(note.name.startswith("shard-") for note in run.iterdir())
        return not self._shards and not noted

    def _discard(self) -> None:
        """Remove what this run has written, out of the way of workers that are still at it: they find no folder."""
        self._let_move()
        doomed = aside(self.out, "discarded")
        with contextlib.suppress(FileNotFoundError):
            self.partial.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)

    def _finish(self) -> None:
        if not any(record["rows"] for record in self._shards.values()):
            raise InputError(f"{self.out}: no rows to write")
        if self.single:
            return
        if missing := sorted(set(range(max(self._shards))) - set(self._shards)):
            raise ValueError(f"shards of {self.out} were never written: {missing[:8]}")
        if self.format == "hf":
            for name, text in hf_files_beside([record["file"] for record in self.records()]).items():
                self._put(self.partial / name, text)
        about = {"format": self.format, "dim": self.dim, "dtype": self.dtype.name}
        self._publish(to_json(manifest_of(about, self.records(), self.plan, self.provenance)))

    def _publish(self, manifest: str) -> None:
        """Let the finished folder appear; the lock is held until it has its name, and goes last."""
        write_synced(self.partial / MANIFEST, manifest)
        for note in (self.partial / RUN).iterdir():
            if note.name != LOCK:
                note.unlink()
        self._let_move()
        replace_folder(self.partial, self.out, self._check_free)
        shutil.rmtree(self.out / RUN)


def _as_columns(ids: Any) -> Columns | None:
    if ids is None or isinstance(ids, Columns):
        return ids
    return Columns.held(ids if isinstance(ids, pa.Table) else pa.table({"id": ids}))
