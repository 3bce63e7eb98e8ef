"""Which encoder embeddings come from: strict where both sides say it, silent where one does not."""

from __future__ import annotations

from typing import Any

from anisoalign.aligners import Aligner
from anisoalign.embeddings import EmbeddingSet, InputError
from anisoalign.embeddings.manifest import read_manifest


def encoder_of(embeddings: EmbeddingSet) -> str | None:
    """Name of the encoder that a set's manifest gives, or None."""
    if embeddings.path is None or not embeddings.path.is_dir():
        return None
    return _named(read_manifest(embeddings.path))


def encoder_of_aligner(aligner: Aligner) -> str | None:
    """Name of the encoder whose embeddings an aligner was fitted on, or None."""
    provenance = getattr(aligner, "provenance_", None) or {}
    return next((name for side in ("target", "source") if (name := _named(provenance.get(side)))), None)


def _named(record: Any) -> str | None:
    """`encoder` of a record: a name, or a table with `name` or `model` and perhaps `revision`."""
    found = record.get("encoder") if isinstance(record, dict) else None
    if isinstance(found, dict):
        name = found.get("name") or found.get("model")
        revision = found.get("revision")
        return None if not name else f"{name}@{revision}" if revision else str(name)
    return found if isinstance(found, str) and found else None


def check_encoder(expected: str | None, found: str | None, what: str, whose: str) -> None:
    """Raise InputError where both names are known and differ."""
    if expected is not None and found is not None and expected != found:
        raise InputError(f"{what} comes from the encoder {found}, {whose} {expected}")


def check_aligner(aligner: Aligner, dim: int, encoder: str | None, name: str) -> None:
    """Raise InputError where an aligner was fitted for another width or encoder."""
    if aligner.n_features_in_ != dim:
        raise InputError(f"{name} has width {dim}, the aligner was fitted on width {aligner.n_features_in_}")
    check_encoder(encoder_of_aligner(aligner), encoder, name, "the aligner was fitted on")
