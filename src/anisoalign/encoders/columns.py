"""Which column of a list is the picture, the sound, the text, the id; and what a cell of it holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anisoalign.embeddings import ColumnError, InputError
from anisoalign.embeddings.beside import ID_COLUMNS
from anisoalign.encoders.fetching import content_at
from anisoalign.encoders.items import TEXT_COLUMN
from anisoalign.encoders.unicode import storable

USUAL = {
    "image": (
        "image", "jpg", "jpeg", "png", "webp", "img", "image_bytes",
        "image_path", "file_name", "filename", "filepath", "path", "file",
    ),
    "audio": (
        "audio", "wav", "flac", "mp3", "ogg", "sound",
        "audio_path", "file_name", "filename", "filepath", "path", "file",
    ),
    "text": ("caption", "text", "txt", "sentence", "prompt", "title"),
}  # fmt: skip
"""Usual names of a modality's column, in the order in which they are taken."""

WITH_COLUMNS = "a .parquet, .arrow, .jsonl, .json, .csv or .tsv list"


@dataclass(frozen=True)
class ColumnNames:
    """Names of columns that the user gave; what is not given is found by usual names.

    Attributes
    ----------
    by_kind : dict
        Modality -> column.
    id : str or None
    """

    by_kind: dict[str, str] = field(default_factory=dict)
    id: str | None = None

    def choose(self, kinds: Sequence[str], names: Sequence[str], where: str) -> dict[str, str]:
        """Return the column of each modality.

        Raises
        ------
        InputError
            If a column is not there, or none has a usual name.
        """
        found: dict[str, str] = {}
        for kind in kinds:
            flag = flag_of(kind)
            asked = self.by_kind.get(kind)
            if asked is not None and asked not in names:
                raise InputError(f"{where} has no column {asked!r}; its columns: {', '.join(names)}")
            usual = next((name for name in USUAL[kind] if name in names), None)
            if asked is None and usual is None:
                raise ColumnError(f"{where}: none of the columns is called as {kind}s are", ", ".join(names), flag)
            found[kind] = asked or str(usual)
        return found

    def refuse(self, kinds: Sequence[str], where: str) -> None:
        """Raise InputError where a column is named of what is no list and has none."""
        named = [flag_of(kind) for kind in kinds if kind in self.by_kind]
        if named:
            raise InputError(f"{named[0]} names a column of {WITH_COLUMNS}; {where} has no columns")

    def choose_id(self, names: Sequence[str], where: str) -> str | None:
        """Return the column of ids, or None."""
        if self.id is not None and self.id not in names:
            raise InputError(f"{where} has no column {self.id!r}; its columns: {', '.join(names)}")
        return self.id or next((name for name in ID_COLUMNS if name in names), None)


def chosen_names(contents: dict[str, str], id_column: str | None) -> dict[str, str]:
    """Return what a listing says of the columns that it reads.

    Examples
    --------
    >>> chosen_names({"image": "thumb"}, "key")
    {'image_column': 'thumb', 'id_column': 'key'}
    """
    chosen = {f"{kind}_column": name for kind, name in contents.items()}
    return {key: storable(name) for key, name in (chosen | ({"id_column": id_column} if id_column else {})).items()}


def flag_of(kind: str) -> str:
    """Option that names a modality's column."""
    return f"--{'sound' if kind == 'audio' else kind}-column"


def cell_content(kind: str, cell: Any, folder: Path) -> Any:
    """Return what a cell holds: text, bytes, a path (relative ones start at the list's folder), or None.

    A struct of `bytes` and `path` is how the `datasets` library keeps pictures and sounds in Parquet.
    """
    if isinstance(cell, dict):
        cell = cell.get("bytes") or cell.get("path")
    if cell is None or kind == "text" or isinstance(cell, bytes):
        return cell
    if isinstance(cell, str):
        return content_at(cell, folder) if cell else None
    return cell


def carried_names(names: Sequence[str], contents: dict[str, str], id_column: str | None) -> dict[str, str]:
    """Return column -> name under which it goes along; not the ids, which lie beside the vectors as `id`.

    The text that is encoded goes along as `caption`. A column that would take a name that is taken is called
    `NAME_given`.

    Examples
    --------
    >>> carried_names(["id", "key", "txt", "path"], {"text": "txt"}, "key")
    {'id': 'id_given', 'txt': 'caption', 'path': 'path'}
    """
    text = contents.get("text")
    taken = {"id", "embedding"} | ({TEXT_COLUMN} if text else set())
    given = {name: f"{name}_given" if name in taken else name for name in names if name not in (id_column, text)}
    named = {**given, **({text: TEXT_COLUMN} if text else {})}
    return {name: storable(named[name]) for name in names if name in named}
