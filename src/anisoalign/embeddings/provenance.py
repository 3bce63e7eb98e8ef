"""Which encoder a set of vectors comes from, and which model moved them: kept beside them, compared before use.

A folder keeps it in its manifest under `provenance`, a single file in `NAME.provenance.json` beside it, with what tells
that file from others: of a file that was replaced since it says nothing. One of `encoder` and `aligned_by` is needed;
a set that says nothing of its origin is never refused.
"""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anisoalign.embeddings.ends import ends_of
from anisoalign.embeddings.errors import InputError
from anisoalign.embeddings.finding import READERS
from anisoalign.embeddings.formats.lance_ import is_lance
from anisoalign.embeddings.manifest import read_json, read_manifest
from anisoalign.embeddings.naming import named
from anisoalign.embeddings.sidecar_names import find_sidecar

if TYPE_CHECKING:
    from anisoalign.embeddings.embedding_set import EmbeddingSet

Provenance = dict[str, Any]

BESIDE = ".provenance.json"
"""Ending of the file that says where a single file's vectors come from."""

KIN = (*READERS, ".lance")
"""Endings of files, and of Lance datasets, that have one."""

ABOUT = "about_file"
"""Key in that file of what tells the file of vectors from others (`ends_of`); one written by hand may lack it."""


def find_provenance(path: Path | None, files: list[Path]) -> Provenance | None:
    """Return what is said of the origin of a set at `path` with these files, None if nothing.

    Raises
    ------
    InputError
        If it is there and cannot be read.
    """
    # A folder of shards says it within: what lies beside it is a file's of the same name.
    if path is not None and (path.is_file() or is_lance(path)):
        beside = find_sidecar(named(path), BESIDE, KIN)
        if beside is not None and (said := _said_of(path, beside)) is not None:
            return said
    if not files:
        return None
    manifest = read_manifest(files[0].parent)
    if manifest is None or files[0].name not in {item["file"] for item in manifest["shards"]}:
        return None
    found = manifest.get("provenance")
    return None if found is None else _checked(found, files[0].parent)


def _said_of(path: Path, beside: Path) -> Provenance | None:
    """What the file beside says of the vectors at a path, None if it was written about others."""
    provenance = dict(_checked(read_json(beside), beside))
    if ABOUT not in provenance or provenance.pop(ABOUT) == ends_of(path):
        return provenance
    warnings.warn(
        f"{beside} was written about another file than {path.name} is now, and is passed over: where these rows come "
        "from is not known; remove it, or correct it",
        stacklevel=1,
    )
    return None


def is_provenance(found: Any) -> bool:
    """Tell whether this says where vectors come from: their encoder, the model that moved them, or both.

    Examples
    --------
    >>> is_provenance({"aligned_by": {"method": "realign"}}), is_provenance({"encoder": 7}), is_provenance({})
    (True, False, False)
    """
    kinds = {"encoder": str, "aligned_by": dict}
    given = {key: found[key] for key in kinds if key in found} if isinstance(found, dict) else {}
    return bool(given) and all(isinstance(value, kinds[key]) for key, value in given.items())


def _checked(found: Any, where: Path) -> Provenance:
    if not is_provenance(found):
        raise InputError(f"the provenance at {where} names no encoder, nor a model that moved its rows (aligned_by)")
    return found


def encoder_of(provenance: Provenance | None) -> Provenance | None:
    """Return a provenance that names an encoder; None for rows of which that is not known, though they were moved.

    Examples
    --------
    >>> encoder_of({"encoder": "hf:clip"}), encoder_of({"aligned_by": {"method": "realign"}})
    ({'encoder': 'hf:clip'}, None)
    """
    return provenance if provenance is not None and "encoder" in provenance else None


def same_encoder(a: Provenance | None, b: Provenance | None) -> bool:
    """Tell whether two sets may come from one encoder: by their weights, or name and revision if those are not known.

    Of texts that a language model beside the encoder has read, that one counts too.

    Examples
    --------
    >>> a = {"encoder": "hf:clip", "fingerprint": "01"}
    >>> same_encoder(a, {"encoder": "hf:my-copy", "fingerprint": "01"}), same_encoder(a, {"encoder": "hf:other"})
    (True, False)
    >>> same_encoder(a, None)
    True
    """
    a, b = encoder_of(a), encoder_of(b)
    if a is None or b is None:
        return True
    read_by, other = a.get("text_encoder"), b.get("text_encoder")
    if isinstance(read_by, dict) and isinstance(other, dict):
        key = "fingerprint" if read_by.get("fingerprint") and other.get("fingerprint") else "name"
        if read_by.get(key) != other.get(key):
            return False
    if a.get("fingerprint") and b.get("fingerprint"):
        return a["fingerprint"] == b["fingerprint"]
    if a["encoder"] != b["encoder"]:
        return False
    return a.get("revision") == b.get("revision") or None in (a.get("revision"), b.get("revision"))


def warn_of_encoders(*sets: tuple[str, Provenance | None]) -> None:
    """Warn where sets, given by what they are called, say that they come from different encoders."""
    known = [(name, about) for name, provenance in sets if (about := encoder_of(provenance)) is not None]
    for name, provenance in known[1:]:
        first, other = known[0]
        if not same_encoder(other, provenance):
            warnings.warn(
                f"{first} comes from {in_words(other)}, {name} from {in_words(provenance)}: "
                "embeddings of different encoders share no space",
                stacklevel=1,  # one place, so that a pair of sets is told of once where Python counts
            )


def frame_of(provenance: Provenance) -> str:
    """Return the frame that a set lies in: "common" where each side is less its own mean, else "target".

    Examples
    --------
    >>> frame_of({"encoder": "hf:clip", "aligned_by": {"method": "realign", "frame": "common"}})
    'common'
    """
    by = provenance.get("aligned_by")
    return str(by.get("frame", "target")) if isinstance(by, dict) else "target"


def in_common_frame(source: Provenance | None, *others: Provenance | None) -> bool | None:
    """Tell whether the others lie in a common frame and the source does not; None where none of them says.

    Examples
    --------
    >>> raw = {"encoder": "hf:clip"}
    >>> moved = {**raw, "aligned_by": {"method": "realign", "frame": "common"}}
    >>> in_common_frame(raw, moved, None), in_common_frame(raw, raw), in_common_frame(raw, None)
    (True, False, None)
    """
    said = {frame_of(provenance) for provenance in others if provenance is not None}
    if not said:
        return None
    return said == {"common"} and (source is None or frame_of(source) != "common")


def said_by(rows: "EmbeddingSet") -> Provenance | None:
    """Return what a set says of its origin; None of rows in memory that say nothing, as they cannot: only files do."""
    return {} if rows.provenance is None and rows.path is not None else rows.provenance


def warn_of_frames(a: tuple[str, Provenance | None], b: tuple[str, Provenance | None]) -> None:
    """Warn where two sets, given by what they are called, say that they lie in different frames.

    Rows that no model is known to have moved, an empty provenance, lie where they were; None cannot say.
    """
    if a[1] is None or b[1] is None or frame_of(a[1]) == frame_of(b[1]):
        return
    (there, _), (here, other) = (a, b) if frame_of(a[1]) == "common" else (b, a)
    apart = "do not, so that their means are" if other else "do not say so, and their means may be"
    warnings.warn(
        f"the {there} lie in a common frame, the {here} {apart} far apart: transform both with --frame common, the "
        "targets with --side target too, or neither",
        stacklevel=1,
    )


def moved_by(provenance: Provenance | None) -> str:
    """Return which model has moved rows before, in words; empty where none has, or nothing is known.

    Examples
    --------
    >>> moved_by({"encoder": "hf:clip", "aligned_by": {"method": "realign", "model": "7a955ed6906cd5f7"}})
    'by realign (model 7a955ed6906cd5f7)'
    """
    by = (provenance or {}).get("aligned_by")
    return f"by {by.get('method')} (model {by.get('model')})" if by and isinstance(by, dict) else ""


def in_words(provenance: Provenance) -> str:
    """Return how messages call the encoder that a set names, with what tells it from another of its name.

    Examples
    --------
    >>> in_words({"encoder": "hf:clip", "fingerprint": "7a955ed6906cd5f7", "modality": "text"})
    'hf:clip (weights 7a955ed6)'
    """
    marks = []
    if provenance.get("revision"):
        marks.append(f"revision {str(provenance['revision'])[:8]}")
    if provenance.get("fingerprint"):
        marks.append(f"weights {str(provenance['fingerprint'])[:8]}")
    beside = provenance.get("text_encoder")
    if isinstance(beside, dict):
        marks.append(f"texts by {beside.get('name')}, weights {str(beside.get('fingerprint'))[:8]}")
    return provenance["encoder"] + (f" ({', '.join(marks)})" if marks else "")
