"""From what the user points at to a listing of items."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from anisoalign.embeddings import InputError
from anisoalign.embeddings.delimited import MARKS
from anisoalign.embeddings.formats.arrow import hf_files
from anisoalign.embeddings.remote import is_remote, locate, reachable
from anisoalign.embeddings.shards import natural_key
from anisoalign.encoders.columns import ColumnNames
from anisoalign.encoders.delimited import DelimitedListing
from anisoalign.encoders.folders import FolderListing
from anisoalign.encoders.items import ENDINGS, Joined, Listing
from anisoalign.encoders.json_lists import JsonListing
from anisoalign.encoders.lines import TextListing
from anisoalign.encoders.tables import ArrowListing, ParquetListing
from anisoalign.encoders.tars import TarListing
from anisoalign.places import at_home, expanded

TARS = (".tar", ".tar.gz", ".tgz")
LISTS = (".parquet", ".arrow", ".jsonl", ".ndjson", ".json", *MARKS)
"""Sources with columns."""
KNOWN = ".parquet, .arrow, .jsonl, .ndjson, .json, .csv, .tsv, .txt, .tar, .tar.gz, or a folder"


def find_items(source: str | Path, kinds: tuple[str, ...], columns: ColumnNames | None = None) -> Listing:
    """List what is to be encoded.

    Parameters
    ----------
    source : str, Path or RemotePath
        A folder of files, a list (`.parquet`, `.jsonl`, `.json`, `.csv`, `.txt`), a webdataset tar, or many by a
        pattern: ``"tars/{000..009}.tar"``, ``"lists/**/*.parquet"``. A folder of tars or parquet files is one, too.
        Or a URI of any of these, where `?` begins the store's options and stars stand in the last part alone.
    kinds : tuple of str
        One modality, or the two of a pair.
    columns : ColumnNames, optional
        Names of columns in lists.

    Raises
    ------
    InputError
        If there is nothing, or it cannot be read.
    """
    columns = columns or ColumnNames()
    notes: list[str] = []
    parts = []
    for path in _expand(source, kinds, notes):
        with reachable(path):
            parts.append(_open_one(path, kinds, columns))
    listing = Joined(parts, notes)
    if not listing.rows:
        raise InputError(f"{source} holds no items")
    return listing


def _expand(source: str | Path, kinds: tuple[str, ...], notes: list[str]) -> list[Path]:
    """Paths that a name or pattern stands for, in order: braces as written, stars in natural order."""
    if is_remote(source) or "://" in str(source):
        return [path for name in _uris(source) for path in _expand_uri(name, kinds, notes)]
    text, path = at_home(str(source)), expanded(source)
    if path.is_dir():
        return _inside(path, kinds, notes)
    if path.exists():
        return [path]
    return _named(text)


def check_there(source: str | Path) -> None:
    """Raise InputError for a source that is absent from this machine; behind a URI nothing is asked for."""
    if not is_remote(source) and "://" not in str(source) and not expanded(source).exists():
        _named(at_home(str(source)))


def _named(pattern: str) -> list[Path]:
    """Paths that braces and stars stand for, each of which is there."""
    found: list[Path] = []
    for name in braces(pattern):
        if any(letter in name for letter in "*?["):
            matches = _matches(name)
            found += matches
            if not matches:
                raise InputError(f"no file is called as {name} asks")
        elif not Path(name).exists():
            raise InputError(f"{name} does not exist")
        else:
            found.append(Path(name))
    return found


def _matches(pattern: str) -> list[Path]:
    """Paths that a pattern with stars matches, `**` any folders; a folder above another match is none itself."""
    names = glob.glob(pattern, recursive=True)  # noqa: PTH207 - Path.glob refuses absolute patterns
    paths = [Path(name) for name in sorted(names, key=natural_key)]
    above = {folder for path in paths for folder in path.parents}
    return [path for path in paths if path not in above]


def _inside(folder: Path, kinds: tuple[str, ...], notes: list[str]) -> list[Path]:
    """The tars, parquet files or files of a saved dataset that a folder stands for, or the folder itself."""
    within = [file for file in folder.iterdir() if not file.name.startswith(".")]
    if _is_saved_dataset(within) and (files := hf_files(folder)):
        return files
    inside = sorted((file for file in within if _is_container(file.name)), key=lambda file: natural_key(file.name))
    if not inside:
        return [folder]
    _refuse_files_beside(folder, inside, within, kinds)
    if any(file.is_dir() for file in within):
        notes.append(f"{folder}: the folders in it are not searched, since it holds {inside[0].name}")
    if lists := sorted(file.name for file in within if file.name.lower().endswith((".jsonl", *MARKS))):
        notes.append(f"{folder}: {', '.join(lists)} not taken for a list, since it holds {inside[0].name}")
    return _of_one_kind(folder, inside, notes)


def _is_saved_dataset(within: list[Path]) -> bool:
    """Tell whether the `datasets` library saved a folder: its notes lie beside Arrow files, or name splits."""
    names = {file.name for file in within}
    return "dataset_dict.json" in names or ("state.json" in names and any(name.endswith(".arrow") for name in names))


def _refuse_files_beside(folder: Path, inside: list[Path], within: list[Path], kinds: tuple[str, ...]) -> None:
    """Raise InputError where items lie beside tars or tables: either could be meant, and the others would be lost."""
    kind = _kind_of_files(kinds)
    files = [file.name for file in within if file.name.lower().endswith(ENDINGS[kind])]
    if files:
        name, first = inside[0].name, min(files, key=natural_key)
        pattern = f"*{name[len(_stem(name, (*TARS, '.parquet'))) :]}"
        raise InputError(
            f"{folder} holds {len(files)} {kind} files ({first}, ...) and {name}: '{folder}/{pattern}' names "
            f"the latter; to take the {kind} files, move them to a folder of their own"
        )


def _kind_of_files(kinds: tuple[str, ...]) -> str:
    """Modality whose files are the items of a folder."""
    return next((kind for kind in kinds if kind != "text"), "text")


def _of_one_kind(folder: Path, inside: list[Path], notes: list[str]) -> list[Path]:
    """Return tars or tables; where each table lies beside the tar of its samples, as img2dataset leaves it, the tars.

    Both hold the same samples then, which are to be encoded once.
    """
    tars = {_stem(file.name, TARS): file for file in inside if file.name.lower().endswith(TARS)}
    tables = [file for file in inside if not file.name.lower().endswith(TARS)]
    if not tars or not tables:
        return inside
    if any(_stem(table.name, (".parquet",)) not in tars for table in tables):
        raise InputError(
            f"{folder} holds tars and .parquet files, say which by a pattern: '{folder}/*.tar' or '{folder}/*.parquet'"
        )
    notes.append(
        f"{folder}: the tars are taken ({len(tars)}), the .parquet files of the same names are not; "
        f"'{folder}/*.parquet' names those"
    )
    return [file for file in inside if file not in tables]


def _stem(name: str, endings: tuple[str, ...]) -> str:
    return name[: -len(next(ending for ending in endings if name.lower().endswith(ending)))]


def _uris(source: Any) -> list[Any]:
    """URIs that braces stand for. What follows a `?` are options of the store."""
    return [source] if is_remote(source) else list(braces(str(source)))


def _expand_uri(source: Any, kinds: tuple[str, ...], notes: list[str]) -> list[Path]:
    path = locate(source)
    with reachable(path):
        if path.is_dir():
            return _inside(path, kinds, notes)
        if path.exists():
            return [path]
        if not any(letter in str(path) for letter in "*["):
            raise InputError(f"{path} does not exist")
        if any(letter in str(path.parent) for letter in "*["):
            raise InputError(f"{path}: behind a URI, stars stand in the last part of the name alone; list the folders")
        found = sorted(path.parent.glob(path.name), key=lambda file: natural_key(file.name))
    if not found:
        raise InputError(f"no file is called as {path} asks")
    return found


def braces(pattern: str) -> Iterator[str]:
    """Yield what braces stand for, as shells and webdataset write them.

    Raises
    ------
    InputError
        For numbers that count down, which shells read backwards and others not at all.

    Examples
    --------
    >>> list(braces("{a,b}-{08..11}.tar"))[2:6]
    ['a-10.tar', 'a-11.tar', 'b-08.tar', 'b-09.tar']
    """
    match = re.search(r"\{([^{}]*)\}", pattern)
    if match is None:
        yield pattern
        return
    inside = match[1]
    span = re.fullmatch(r"(\d+)\.\.(\d+)", inside)
    if span and int(span[1]) > int(span[2]):
        raise InputError(f"{{{inside}}} stands for nothing: write {{{span[2]}..{span[1]}}}")
    if span:
        width = len(span[1]) if span[1].startswith("0") else 0
        choices = [f"{number:0{width}d}" for number in range(int(span[1]), int(span[2]) + 1)]
    else:
        choices = inside.split(",")
    for choice in choices:
        yield from braces(pattern[: match.start()] + choice + pattern[match.end() :])


def _is_container(name: str) -> bool:
    return name.lower().endswith((*TARS, ".parquet"))


def _open_one(path: Path, kinds: tuple[str, ...], columns: ColumnNames) -> Listing:
    name, paired = path.name.lower(), len(kinds) > 1
    if path.is_dir() or not name.endswith(LISTS):
        columns.refuse(kinds, str(path))
    if path.is_dir():
        return FolderListing(path, _kind_of_files(kinds), paired)
    if name.endswith(TARS):
        return TarListing(path, kinds)
    if name.endswith(".parquet"):
        return ParquetListing(path, kinds, columns)
    if name.endswith(".arrow"):
        return ArrowListing(path, kinds, columns)
    if name.endswith(tuple(MARKS)):
        return DelimitedListing(path, kinds, columns)
    if name.endswith(LISTS):
        return JsonListing(path, kinds, columns)
    if name.endswith(".txt"):
        if paired:
            raise InputError(
                f"{path}: a text file has one item a line; pairs come from .parquet, .jsonl, .json, .csv, tars or "
                "folders"
            )
        return TextListing(path, kinds[0])
    raise InputError(f"{path} is of no known kind; known are {KNOWN}")
