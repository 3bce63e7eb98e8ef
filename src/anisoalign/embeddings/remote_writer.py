"""Writing a set behind a URI, where nothing can be renamed: objects appear whole, and the manifest comes last."""

from __future__ import annotations

import json
import tempfile
import uuid
from pathlib import Path
from typing import Any, cast

from anisoalign.embeddings.atomic import TEMPORARY
from anisoalign.embeddings.errors import InputError, one_line
from anisoalign.embeddings.manifest import MANIFEST, RUN, read_manifest, to_json
from anisoalign.embeddings.remote import RemotePath, is_remote, locate
from anisoalign.embeddings.run_notes import notes_of
from anisoalign.embeddings.sidecars import check_ids
from anisoalign.embeddings.writer import EmbeddingWriter


def writer_for(out: str | Path | RemotePath, *settings: Any, **more: Any) -> EmbeddingWriter:
    """Return an `EmbeddingWriter` for a path of this machine, a `RemoteWriter` for a URI."""
    return (RemoteWriter if is_remote(locate(out)) else EmbeddingWriter)(cast(Path, out), *settings, **more)


def reopen(folder: Path) -> None:
    """Make a finished set an unfinished run again, all its shards done: it is part of a result that is not finished."""
    manifest = read_manifest(folder)
    if manifest is None:
        return
    for index, record in enumerate(manifest["shards"]):
        (folder / RUN / f"shard-{index}.json").write_text(to_json(record))
    (folder / RUN / "plan.json").write_text(to_json(notes_of(manifest)))
    (folder / MANIFEST).unlink()


class RemoteWriter(EmbeddingWriter):
    """`EmbeddingWriter` for a URI.

    Each shard is written to a temporary file of this machine and uploaded under its own name; a note of its size
    follows, in `.run/`. The manifest is uploaded when every shard is there, and the notes go: a folder with notes
    and no manifest is an unfinished run, which is refused when it is opened and continued by the same command. A
    shard that was uploaded before counts as done if its size is the one noted; it is not read again. There is no
    lock: two runs of the same plan at once write the same bytes, of different plans the second is refused. What
    exists is never replaced.
    """

    @property
    def partial(self) -> Path:
        """Where work in progress lies: in its place, since it could not be renamed."""
        return self.out

    def __enter__(self) -> RemoteWriter:
        if self._overwrite:
            raise InputError(
                f"{self.out}: what lies behind a URI is not replaced; name a new place, or remove it first"
            )
        try:
            self._begin_remote()
        except OSError as error:
            raise InputError(f"{self.out} cannot be written: {one_line(error)}") from error
        return self

    def _begin_remote(self) -> None:
        if self.single:
            self._check_free(self.out)
            check_ids(self.out, overwrite=False)
            return
        plan = self.out / RUN / "plan.json"
        if (self.out / MANIFEST).is_file():
            raise InputError(f"{self.out} already exists; choose another name")
        if plan.is_file():
            self._compare_settings(json.loads(plan.read_text(encoding="utf-8")))
        elif self.out.exists() and any(self.out.iterdir()):
            raise InputError(f"{self.out} is not empty; choose another name")
        self._put(plan, self._run_notes())

    def _check_free(self, out: Path) -> None:
        if out.exists():
            raise InputError(f"{out} already exists; choose another name")

    def _temporary(self, name: str) -> Path:
        return Path(tempfile.gettempdir()) / f"{TEMPORARY}anisoalign-{uuid.uuid4().hex}-{name}"

    def _place(self, temporary: Path, path: Path) -> None:
        try:
            cast(RemotePath, path).upload(temporary)
        finally:
            temporary.unlink()

    def _put(self, path: Path, text: str) -> None:
        path.write_text(text)

    def done(self, index: int) -> bool:
        """Tell whether an earlier run uploaded this shard and it still has the size noted."""
        if index in self._shards:
            return True
        note = self.out / RUN / f"shard-{index}.json"
        if self.single or not note.is_file():
            return False
        record = json.loads(note.read_text(encoding="utf-8"))
        file, beside = self.out / record["file"], record.get("metadata")
        if not file.is_file() or file.stat().st_size != record["bytes"]:
            return False
        if beside and not (self.out / beside).is_file():
            return False
        self._shards[index] = record
        return True

    def _publish(self, manifest: str) -> None:
        self._put(self.out / MANIFEST, manifest)
        cast(RemotePath, self.out / RUN).remove_folder()

    def _discard(self) -> None:
        cast(RemotePath, self.out).remove_folder()  # which was empty, or this run's, when it began
