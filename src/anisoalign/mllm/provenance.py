"""Where embeddings come from: strict where both sides say it, silent where one does not."""

from __future__ import annotations

from anisoalign.aligners import Aligner
from anisoalign.aligners.origins import check_width, source_of
from anisoalign.aligners.saving import aligner_fingerprint
from anisoalign.embeddings import EmbeddingSet, InputError
from anisoalign.embeddings.provenance import Provenance, in_words, same_encoder


def check_encoder(expected: Provenance | None, found: Provenance | None, what: str, whose: str) -> None:
    """Raise InputError where both encoders are known and differ."""
    if expected is not None and found is not None and not same_encoder(expected, found):
        raise InputError(f"{what} comes from the encoder {in_words(found)}, {whose} {in_words(expected)}")


def check_side(embeddings: EmbeddingSet, side: str) -> None:
    """Raise InputError where a set says that it holds something else than is claimed of it."""
    found = embeddings.provenance
    if found is None:
        return
    kind, moved = found.get("modality"), found.get("aligned_by")
    if isinstance(moved, dict) and moved.get("frame") == "common":
        raise InputError(
            f"{embeddings.name} lies in a common frame, where images asked about do not: use transform --frame target"
        )
    if side == "text" and moved:
        raise InputError(
            f"{embeddings.name} was moved by an aligner already ({moved.get('method')}): side is 'substitute'"
        )
    if side == "text" and kind == "image":
        raise InputError(f"{embeddings.name} holds embeddings of images, not of texts")
    if side == "image" and kind == "text":
        raise InputError(f"{embeddings.name} holds embeddings of texts, not of images")


def check_aligner(aligner: Aligner, embeddings: EmbeddingSet) -> None:
    """Raise InputError where an aligner was fitted for another width or encoder, or is not the one that moved rows."""
    name, found = embeddings.name, embeddings.provenance
    check_width(aligner, embeddings, "aligner")
    check_encoder(source_of(aligner), found, name, "the aligner was fitted on")
    moved = (found or {}).get("aligned_by")
    if aligner.fitted_frame != "target":
        raise InputError(
            "the aligner puts rows into a common frame, in which images asked about do not lie: give "
            "aligner.in_frame('target'), or fit with frame=target"
        )
    if moved and not aligner_fingerprint(aligner).startswith(str(moved.get("model"))):
        raise InputError(f"{name} was moved by another aligner than the one given")
