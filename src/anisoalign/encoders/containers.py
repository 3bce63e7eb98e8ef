"""The folder of a run's several sets: it appears whole on a disk; behind a URI it is unfinished until it says so."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from anisoalign.embeddings import InputError, RemotePath
from anisoalign.embeddings.atomic import check_free, replace_folder, writable, write_synced
from anisoalign.embeddings.finding import KINDS
from anisoalign.embeddings.locks import locked
from anisoalign.embeddings.manifest import RUN, read_manifest, to_json
from anisoalign.embeddings.remote import is_remote
from anisoalign.embeddings.remote_writer import reopen

REPORT = "unreadable.jsonl"
"""Name of the list of what could not be encoded, beside the vectors."""
LOCK = ".lock"
"""File within an unfinished result of several sets that its run holds; each set's own writer has another."""


def growing(out: Path) -> Path:
    """Where a result grows: beside its place on a disk, in its place behind a URI."""
    return out if is_remote(out) else out.with_name(f"{out.name}.partial")


def put(path: Path, text: str) -> None:
    """Write a small file, here or behind a URI."""
    if is_remote(path):
        path.write_text(text)
    else:
        write_synced(path, text)


@contextmanager
def container(out: Path, kinds: Sequence[str], overwrite: bool) -> Iterator[dict[str, Path]]:
    """Let the sets of several modalities grow in one folder that is a result when all are done."""
    places = {kind: growing(out) / KINDS.get(kind, f"{kind}_emb") for kind in kinds}
    with (_remote if is_remote(out) else _local)(out, places, overwrite):
        yield places


def refuse_other_run(partial: Path, sets: set[str]) -> None:
    """Raise InputError where another kind of run is unfinished, whose files would end up among these."""
    found = {name.name.removesuffix(".partial") for name in partial.glob("*_emb*") if name.is_dir()}
    others = partial / (RUN if sets else LOCK)
    if found - sets or others.exists():
        raise _other_run(partial)


def _other_run(partial: Path) -> InputError:
    return InputError(
        f"{partial} holds an unfinished run of other kinds; repeat the command that began it, or delete that folder"
    )


@contextmanager
def _local(out: Path, places: dict[str, Path], overwrite: bool) -> Iterator[None]:
    partial = growing(out)
    check_container(out, overwrite)
    refuse_other_run(partial, {place.name for place in places.values()})
    with writable(out):
        partial.mkdir(parents=True, exist_ok=True)
    with locked(partial, LOCK) as lock:
        try:
            check_container(out, overwrite)  # a run that held the lock until now may have made it
            for place in places.values():
                if place.is_dir():
                    # The run ended after this set and before another; its writer knows how to go on from here.
                    place.rename(growing(place))
            yield
        except BaseException:
            if not any(partial.glob("*_emb*")):
                lock.let_move()
                shutil.rmtree(partial, ignore_errors=True)
            raise
        lock.let_move()
        replace_folder(partial, out, lambda place: check_container(place, overwrite))
        (out / LOCK).unlink(missing_ok=True)


def check_container(out: Path, overwrite: bool) -> None:
    """Raise InputError unless `out` is free, or holds what an earlier run made and may be replaced."""
    inside = {place.name for place in out.iterdir()} if out.is_dir() else set()
    sets = {name for name in inside if name.endswith("_emb")}
    ours = sets and inside <= {*sets, "metadata", REPORT, LOCK} and all(read_manifest(out / name) for name in sets)
    if not (overwrite and ours):
        check_free(out, overwrite)


@contextmanager
def _remote(out: Path, places: dict[str, Path], overwrite: bool) -> Iterator[None]:
    """A note in `.run/` says that the folder is unfinished; each set has its own manifest when it is done."""
    if overwrite:
        raise InputError(f"{out}: what lies behind a URI is not replaced; name a new place, or remove it first")
    note, about = out / RUN / "plan.json", to_json({"sets": sorted(place.name for place in places.values())})
    with writable(out):
        if note.is_file():
            if note.read_text(encoding="utf-8") != about:
                raise _other_run(out)
        elif out.exists() and any(out.iterdir()):
            raise InputError(f"{out} is not empty; choose another name")
        put(note, about)
        for place in places.values():
            reopen(place)
    try:
        yield
    except BaseException:
        if not any(out.glob("*_emb*")):
            cast(RemotePath, out).remove_folder()
        raise
    cast(RemotePath, out / RUN).remove_folder()
