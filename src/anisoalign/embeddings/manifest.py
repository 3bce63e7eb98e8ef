"""The manifest beside written shards: how many rows each holds and what its bytes add up to."""

import json
from pathlib import Path
from typing import Any

from anisoalign.embeddings.errors import InputError, one_line
from anisoalign.embeddings.remote import locate

try:  # the same sum at several times the speed, in the extra `fast`
    from isal.isal_zlib import crc32
except ImportError:
    from zlib import crc32

MANIFEST = "manifest.json"
KIND = "anisoalign-embeddings"
SCHEMA_VERSION = 1
RUN = ".run"
"""Folder within an unfinished result for the notes of its run."""


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """Return a folder's manifest, or None if it has none of ours.

    Raises
    ------
    InputError
        If a later version of the library wrote it.
    """
    path = folder / MANIFEST
    if not path.is_file():
        return None
    manifest = read_json(path)
    if not isinstance(manifest, dict) or manifest.get("kind") != KIND:
        return None
    version = manifest.get("schema_version")
    if not isinstance(version, int) or version > SCHEMA_VERSION:
        raise InputError(
            f"{path} has schema version {version}, this library reads up to {SCHEMA_VERSION}: update anisoalign"
        )
    return manifest


def manifest_of(
    about: dict[str, Any], shards: list[dict[str, Any]], plan: dict[str, Any], provenance: dict[str, Any] | None
) -> dict[str, Any]:
    """What a finished set says of itself: format, width and type, its shards, the plan, the encoder of its rows."""
    manifest = {
        "kind": KIND,
        "schema_version": SCHEMA_VERSION,
        **about,
        "rows": sum(record["rows"] for record in shards),
        "dropped": sum(len(record.get("dropped", [])) for record in shards),
        "shards": shards,
        "plan": plan,
    }
    return manifest if provenance is None else {**manifest, "provenance": provenance}


def check_rows(folder: Path, rows: dict[str, int]) -> None:
    """Compare a folder's shards with its manifest: the same files, the same rows.

    Parameters
    ----------
    folder : Path
    rows : dict
        File name -> rows, as the headers say.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        return
    listed = {item["file"]: item["rows"] for item in manifest["shards"]}
    for name in sorted(listed.keys() | rows.keys()):
        if name not in rows:
            raise InputError(f"{folder / name} is listed in {MANIFEST} but missing")
        if name not in listed:
            raise InputError(f"{folder / name} is not listed in {MANIFEST}; move it elsewhere")
        if rows[name] != listed[name]:
            raise InputError(f"{folder / name} has {rows[name]} rows, {MANIFEST} says {listed[name]}")


def verify(folder: str | Path) -> int:
    """Read every file that a manifest lists and compare its checksum; return how many shards there were.

    Raises
    ------
    InputError
        If a file is missing or its bytes have changed.
    """
    folder = locate(folder)
    manifest = read_manifest(folder)
    if manifest is None:
        raise InputError(f"{folder} has no {MANIFEST} to verify against")
    for item in manifest["shards"]:
        for path, checksum in listed_files(folder, item):
            if not path.is_file():
                raise InputError(f"{path} is listed in {MANIFEST} but missing")
            if checksum is not None and file_checksum(path) != checksum:
                raise InputError(f"{path} has changed since it was written: its checksum differs")
    return len(manifest["shards"])


def listed_files(folder: Path, record: dict[str, Any]) -> list[tuple[Path, str | None]]:
    """Files of a shard with their checksums: its vectors, and the columns beside them, whose sums older runs lack."""
    found: list[tuple[Path, str | None]] = [(folder / record["file"], record["crc32"])]
    if beside := record.get("metadata"):
        found.append((folder / beside, record.get("metadata_crc32")))
    return found


def file_checksum(path: Path) -> str:
    """Return the CRC-32 of a file as eight hexadecimal digits.

    It guards against truncation and damage, not against forgery, at memory speed: a cryptographic
    digest would take longer than the write.
    """
    value = 0
    with path.open("rb", buffering=0) as file:
        while block := file.read(1 << 22):
            value = crc32(block, value)
    return f"{value:08x}"


def read_json(path: Path) -> Any:
    """What a file of JSON holds.

    Raises
    ------
    InputError
        If it cannot be read, or is none.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {one_line(error)}") from error


def to_json(value: Any) -> str:
    """Write JSON that depends on the content alone: sorted keys, a final newline.

    Examples
    --------
    >>> print(to_json({"b": 1, "a": [2]}), end="")
    {
     "a": [
      2
     ],
     "b": 1
    }
    """
    return json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False) + "\n"
