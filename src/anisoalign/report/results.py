"""Results as one JSON document: what commands write, and what a page is made from."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from anisoalign.embeddings import InputError
from anisoalign.embeddings.atomic import writable, write_synced
from anisoalign.places import expanded
from anisoalign.report.wording import Record

SCHEMA_VERSION = 1
PARTS = ("diagnose", "evaluate", "compare", "views", "captions", "thumbnails", "names")
"""Keys of a document: the records of the commands by their names, and what figures need besides."""

_NEEDED = {
    "diagnose": ("rows_source", "rows_target", "dim", "q", "centroid_gap", "centroid_cosine", "covariance_gap"),
    "evaluate": ("k", "geometry_consistency", "neighbour_consistency", "target_penetration", "target_coverage"),
    "compare": ("method",),
    "views": ("method", "histogram_across_before", "projection_source", "projection_target", "neighbours"),
}


@dataclass(frozen=True)
class Results:
    """Everything a page can show; what was not measured is empty.

    Parameters
    ----------
    diagnose : list of dict
        `GapReport.to_dict()`, one a pair of sets.
    evaluate : dict or None
        `AlignmentReport.to_dict()`.
    compare : list of dict
        `Comparison.to_dicts()`, with the costs of each method.
    views : list of dict
        `BeforeAfter.to_dict()`, one a method.
    captions : dict
        "source" and "target": row number, as text, to caption, of the rows that views show.
    thumbnails : dict
        Target row number, as text, to a data URI.
    names : dict
        "source" and "target": what people call one row of the set.
    files : dict
        Part to the file that it was read from, for messages.
    """

    diagnose: Sequence[Record] = ()
    evaluate: Record | None = None
    compare: Sequence[Record] = ()
    views: Sequence[Record] = ()
    captions: dict[str, dict[str, str]] = field(default_factory=dict)
    thumbnails: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """The document: what is there, by `PARTS`."""
        found = {part: getattr(self, part) for part in PARTS if getattr(self, part)}  # what is empty was not measured
        return {"schema_version": SCHEMA_VERSION, **found}

    def without(self, part: str) -> Results:
        """The same less one part."""
        return replace(self, **{part: getattr(Results(), part)})

    def name(self, side: str) -> str:
        """What a row of a side is called."""
        return self.names.get(side) or side


def write_results(path: str | Path, results: Results) -> None:
    """Write the document, whole or not at all.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    path = expanded(path)
    with writable(path):
        write_synced(path, json.dumps(results.to_dict(), allow_nan=False, ensure_ascii=False, indent=1) + "\n")


def read_results(paths: Sequence[str | Path]) -> Results:
    """Read documents and what `--json` prints, and put them together; later files win.

    Raises
    ------
    InputError
        If a file is absent, no JSON, or holds no results; the message names file and part.
    """
    found: dict[str, Any] = {}
    files: dict[str, Path] = {}
    for path in map(expanded, paths):
        for part, value in _parts(path, _read(path)).items():
            _check(path, part, value)
            found[part], files[part] = value, path
    return Results(**found, files=files)


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
    except FileNotFoundError as error:
        from anisoalign.embeddings.absent import absent

        raise InputError(absent(path, "results, the JSON that --json prints or --results writes")) from error
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise InputError(f"{path} cannot be read as JSON: {error}") from error


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


def _parts(path: Path, value: Any) -> dict[str, Any]:
    """Parts of a document, or of one record or a list of them, told apart by their keys."""
    if isinstance(value, Mapping) and set(PARTS) & set(value):
        found = {part: value[part] for part in PARTS if part in value}
        if isinstance(found.get("diagnose"), Mapping):
            found["diagnose"] = [found["diagnose"]]
        return found
    first = value[0] if isinstance(value, list) and value else value
    if isinstance(first, Mapping):
        records = value if isinstance(value, list) else [value]
        if "method" in first:
            return {"compare": records}
        if "covariance_gap" in first:
            return {"diagnose": records}
        if "instance_consistency" in first:
            return {"evaluate": value}
    raise InputError(
        f"{path} holds no results: neither what diagnose, evaluate or compare --json print nor what --results writes"
    )


def _check(path: Path, part: str, value: Any) -> None:
    """Raise InputError where a part is not what pages are made from."""
    single = part in ("evaluate", "captions", "thumbnails", "names")
    if not isinstance(value, dict if single else list):
        raise InputError(f"{path}: {part} should be a JSON {'object' if single else 'array'}")
    pictures = dict(value).values() if part == "thumbnails" else ()
    if not all(isinstance(picture, str) and picture.startswith("data:image/") for picture in pictures):
        raise InputError(f"{path}: thumbnails should be data:image/ addresses; a page loads nothing")
    for number, record in enumerate([value] if single else value):
        missing = [key for key in _NEEDED.get(part, ()) if not isinstance(record, Mapping) or key not in record]
        if missing:
            raise InputError(f"{path}: {part}, entry {number}, lacks {', '.join(missing)}")
        wrong = [key for key in _NEEDED.get(part, ()) if not _plain(key, record[key])]
        if wrong:
            raise InputError(f"{path}: {part}, entry {number}: {wrong[0]} should not be {record[wrong[0]]!r}")


def _plain(key: str, value: Any) -> bool:
    if key == "method":
        return isinstance(value, str)
    if key.startswith(("histogram", "projection", "neighbours")):
        return isinstance(value, list)
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
