"""From a path, an array or a tensor to the shards behind it: formats told apart, headers compared."""

from collections.abc import Sequence
from pathlib import Path

from anisoalign.embeddings.absent import absent
from anisoalign.embeddings.broken import opened
from anisoalign.embeddings.errors import ColumnError, InputError
from anisoalign.embeddings.formats.arrow import ArrowSource, hf_files, is_hf_dataset
from anisoalign.embeddings.formats.lance_ import is_lance, open_fragments
from anisoalign.embeddings.formats.npy import NpySource
from anisoalign.embeddings.formats.parquet import ParquetSource
from anisoalign.embeddings.formats.safetensors_ import SafetensorsSource
from anisoalign.embeddings.formats.table import TableSource
from anisoalign.embeddings.manifest import RUN, check_rows, read_manifest
from anisoalign.embeddings.metadata import BESIDE, WITHOUT_COLUMNS, check_none_missing, match_metadata
from anisoalign.embeddings.naming import named
from anisoalign.embeddings.remote import asked_together, is_remote
from anisoalign.embeddings.shards import Source, natural_key
from anisoalign.embeddings.sidecar_names import find_sidecar

READERS = {
    ".npy": NpySource,
    ".parquet": ParquetSource,
    ".safetensors": SafetensorsSource,
    ".arrow": ArrowSource,
}
REMOTE = (".npy", ".parquet", ".arrow")
"""Formats read behind a URI too. safetensors maps files of a disk; Lance has readers of its own."""
PICKLES = (".pkl", ".pickle")
KINDS = {"image": "img_emb", "text": "text_emb"}
"""clip-retrieval's folders; other kinds follow the pattern `audio` -> `audio_emb`."""


def open_path(path: Path, column: str | None) -> tuple[str, Sequence[Source]]:
    """Return the format's name and every shard at a path, headers read."""
    if path.is_file():
        return _open_files([path], column)
    if not path.is_dir():
        raise InputError(absent(path, f"embeddings: a file or folder of {', '.join(READERS)}"))
    if named(path).name.endswith(".partial"):
        raise InputError(
            f"{path} is an unfinished run; repeat the command that began it, which continues there, or delete it"
        )
    if (path / RUN / "plan.json").is_file() and read_manifest(path) is None:
        raise InputError(f"{path} is an unfinished run; repeat the command that began it, which continues there")
    if is_lance(path):
        if is_remote(path):
            raise InputError(f"{path}: Lance datasets are read from a disk of this machine alone")
        return "lance", open_fragments(path, column)
    if is_hf_dataset(path):
        files = hf_files(path)
        if not files:
            raise InputError(f"{path} is a dataset without data files")
        return "hf", opened(lambda file: ArrowSource(file, column), files, remote=False)
    files = shard_files(path)
    kinds = {} if files else _clip_retrieval(path)
    if kinds:
        return open_path(_choose_kind(path, kinds, column), None)
    if not files:
        raise InputError(f"{path} holds no embeddings ({', '.join(READERS)}){_hint(path)}")
    return _open_files(files, column)


def shard_files(folder: Path) -> list[Path]:
    """List a folder's shards in natural order: nothing hidden, temporary or of another kind."""
    named = [
        file
        for file in folder.iterdir()
        if file.suffix in (*READERS, *PICKLES)
        and not file.name.startswith((".", "_"))
        and not file.name.endswith(BESIDE)
    ]
    for file in named:
        if isinstance(file, Path) and file.is_symlink() and not file.exists():
            raise InputError(f"{file} is a link to a file that is not there")
    return sorted((file for file in named if file.is_file()), key=lambda file: natural_key(file.name))


def _open_files(files: list[Path], column: str | None) -> tuple[str, Sequence[Source]]:
    suffixes = sorted({file.suffix for file in files})
    if len(suffixes) > 1:
        found = ", ".join(f"{suffix} ({next(f.name for f in files if f.suffix == suffix)})" for suffix in suffixes)
        raise InputError(f"{files[0].parent} mixes formats: {found}; give each its own folder")
    suffix = suffixes[0]
    if suffix in PICKLES:
        raise InputError(
            f"{files[0]} is a pickle, which can run code when it is opened. "
            "Where you trust its origin: "
            f"anisoalign convert {files[0] if len(files) == 1 else files[0].parent} OUT --allow-pickle"
        )
    if suffix not in READERS:
        raise InputError(f"{files[0]} is of no known format; known are {', '.join(READERS)}")
    if is_remote(files[0]) and suffix not in REMOTE:
        raise InputError(
            f"{files[0]}: {suffix} is read from a disk of this machine alone, behind a URI {', '.join(REMOTE)}"
        )
    reader = READERS[suffix]
    sources = opened(lambda file: reader(file, column), files, is_remote(files[0]))
    _attach_metadata(sources, files)
    return suffix.lstrip("."), sources


def _attach_metadata(sources: Sequence[Source], files: list[Path]) -> None:
    """Give vectors without columns of their own the parquet files that lie beside them."""
    holders = [source for source in sources if isinstance(source, NpySource | SafetensorsSource)]
    if not holders:
        return
    folder = files[0].parent
    manifest = read_manifest(folder) or {}
    listed = {item["file"]: item.get("metadata") for item in manifest.get("shards", [])}

    def beside_alone(file: Path) -> Path | None:
        if listed.get(file.name):
            return folder / listed[file.name]
        return find_sidecar(file, BESIDE, WITHOUT_COLUMNS)

    found = asked_together(beside_alone, files, is_remote(folder))
    for source, path in zip(holders, found, strict=True):
        source.metadata_path = path
    if manifest or any(source.metadata_path for source in holders):
        return
    beside = named(folder).parent if named(folder).name.endswith("_emb") else folder
    # A file opened alone has its place among its neighbours, who share the folder of metadata.
    neighbours = [file for file in shard_files(folder) if file.suffix == files[0].suffix]
    paths = match_metadata(neighbours, beside / "metadata")
    if paths and len(files) > 1:
        check_none_missing(files, beside / "metadata")
    by_file = dict(zip(neighbours, paths, strict=True)) if paths else {}
    for file, source in zip(files, holders, strict=True):
        source.metadata_path = by_file.get(file)


def _clip_retrieval(folder: Path) -> dict[str, Path]:
    found = {item.name: item for item in folder.iterdir() if item.is_dir() and item.name.endswith("_emb")}
    usual = {name: kind for kind, name in KINDS.items()}
    return {usual.get(name, name.removesuffix("_emb")): found[name] for name in sorted(found)}


def _choose_kind(folder: Path, kinds: dict[str, Path], column: str | None) -> Path:
    if column is None and len(kinds) == 1:
        return next(iter(kinds.values()))
    if column is None:
        listed = ", ".join(f"{kind} ({path})" for kind, path in kinds.items())
        raise ColumnError(f"{folder} holds several kinds of embeddings", listed)
    for kind, path in kinds.items():
        if column in (kind, path.name):
            return path
    raise InputError(f"{folder} holds no {column!r} embeddings, only: {', '.join(kinds)}")


def _hint(folder: Path) -> str:
    inside = [
        sub
        for sub in sorted(folder.iterdir())
        if sub.is_dir() and not sub.name.startswith(".") and (is_lance(sub) or is_hf_dataset(sub) or shard_files(sub))
    ]
    return f"; open one of its folders: {', '.join(map(str, inside))}" if inside else ""


def settle_widths(sources: Sequence[Source]) -> None:
    """Give shards of lists without any vector, all null or empty, the width of the others.

    Raises
    ------
    InputError
        If no shard holds a vector.
    """
    width = next((source.dim for source in sources if source.rows and source.dim), 0)
    for source in sources:
        if isinstance(source, TableSource) and source.rows and not source.dim:
            if not width:
                raise InputError(f"{source.label}: column {source.column!r} holds no vector of any width")
            source.dim = width


FLOATS = ("float16", "float32", "float64")
"""Types that `convert` makes one of."""


def compare_headers(name: str, sources: Sequence[Source], mixed: bool = False) -> None:
    """Refuse a set whose shards differ in width or, unless floats may be `mixed`, in type, or that has no rows.

    Raises
    ------
    InputError
        Naming the first shard and the first that differs.
    """
    filled = [source for source in sources if source.rows]
    if not filled:
        raise InputError(f"{name}: no rows in {sources[0].label}" + (" and its kin" if len(sources) > 1 else ""))
    first = filled[0]
    odd = [source for source in filled if source.dim != first.dim]
    if odd:
        raise InputError(
            f"{name}: shards of different width: {first.label} has {first.dim}, {odd[0].label} has {odd[0].dim}"
            + (f"; {len(odd)} of {len(filled)} differ from the first" if len(odd) > 1 else "")
        )
    for source in filled:
        floats = source.dtype.name in FLOATS and first.dtype.name in FLOATS
        if source.dtype != first.dtype and not (mixed and floats):
            raise InputError(
                f"{name}: shards of different type: {first.label} is {first.dtype}, {source.label} is {source.dtype}"
                + (f"; {_of_one_type(first)}" if floats else "")
            )


def _of_one_type(source: Source) -> str:
    folder = "FOLDER" if source.path is None else source.path.parent
    return f"`anisoalign convert {folder} OUT --dtype float32` makes them one"


def compare_manifest(path: Path | None, sources: Sequence[Source]) -> None:
    """Check a folder's shards against the manifest beside them."""
    if path is None or not path.is_dir():
        return
    files = [source.path for source in sources if source.path is not None]
    folders = {file.parent for file in files if file != path}  # a fragment of Lance is no file of its own
    if len(folders) == 1 and read_manifest(folder := folders.pop()) is not None:
        check_rows(folder, {file.name: source.rows for file, source in zip(files, sources, strict=True)})
