"""Whose embeddings a model is fitted on, remembered, and compared before it is fitted or applied.

A shared space is that of one encoder. Sets that say where they come from (`embeddings.provenance`) are held to it;
sets that say nothing are taken at the user's word.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from anisoalign.embeddings import EmbeddingSet, InputError, open_embeddings
from anisoalign.embeddings.provenance import Provenance, in_words, moved_by, same_encoder
from anisoalign.embeddings.same_rows import warn_of_same_rows
from anisoalign.statistics import check_widths

if TYPE_CHECKING:
    from anisoalign.aligners.base import Aligner

_FORCE = "; --force (force=True) does it all the same"


def open_sets(source: Any, target: Any, force: bool = False) -> tuple[EmbeddingSet, EmbeddingSet]:
    """Open the two sets of a fit: equally wide, and of one encoder as far as they say.

    Raises
    ------
    InputError
        If they differ in width, or in their encoder and `force` is not set.

    Warns
    -----
    UserWarning
        Of a set that a model has moved before, and of one set on both sides.
    """
    source, target = open_embeddings(source, name="source"), open_embeddings(target, name="target")
    check_widths(source, target)
    check_one_encoder(source, target, force)
    warn_of_same_rows(source, target)
    for embeddings in (source, target):
        if moved := moved_by(embeddings.provenance):
            warnings.warn(
                f"{embeddings.name} was aligned before, {moved}: a model fitted on it is for rows like these, not for "
                "those of the encoder",
                stacklevel=2,
            )
    return source, target


def check_one_encoder(source: EmbeddingSet, target: EmbeddingSet, force: bool = False) -> None:
    """Raise InputError where two sets say that they come from different encoders, unless `force`."""
    a, b = source.provenance, target.provenance
    if not force and a is not None and b is not None and not same_encoder(a, b):
        raise InputError(
            f"{source.name} comes from {in_words(a)}, {target.name} from {in_words(b)}: "
            f"embeddings of different encoders share no space{_FORCE}"
        )


def check_width(model: Aligner, rows: EmbeddingSet, called: str = "model") -> None:
    """Raise InputError where rows are not as wide as those a model, as messages call it, was fitted on."""
    if rows.dim != model.n_features_in_:
        raise InputError(f"{rows.name} has width {rows.dim}, the {called} was fitted on width {model.n_features_in_}")


def check_source(model: Aligner, source: EmbeddingSet, force: bool = False) -> None:
    """Raise InputError where rows are of another width, encoder or modality than a model's sources; `force` takes both.

    Warns of rows that a model has moved before and the model's sources not, or the other way round.
    """
    check_width(model, source)
    fitted, sources = source_of(model), f"{model.side}s"
    new = source.provenance
    now, then = moved_by(new), moved_by(fitted)
    if now and now != then:
        more = f"the model's {sources} {then}" if then else "it is moved again"
        warnings.warn(f"{source.name} was aligned before, {now}: {more}", stacklevel=1)
    elif new is not None and then and not now:
        warnings.warn(f"the model's {sources} were aligned before, {then}, and {source.name} was not", stacklevel=1)
    if force or fitted is None or new is None:
        return
    if not same_encoder(fitted, new):
        raise InputError(
            f"{source.name} comes from {in_words(new)}, the model was fitted on {sources} from {in_words(fitted)}"
            f"{_FORCE}"
        )
    if None not in (kinds := (fitted.get("modality"), new.get("modality"))) and kinds[0] != kinds[1]:
        raise InputError(
            f"{source.name} holds {new['modality']} embeddings, the model was fitted on {fitted['modality']} "
            f"embeddings as {sources}{_FORCE}"
        )


def source_of(model: Aligner) -> Provenance | None:
    """Return what a fitted model remembers of its sources' encoder, None if nothing."""
    return getattr(model, "provenance_", {}).get("source", {}).get("provenance")


def origins(source: EmbeddingSet, target: EmbeddingSet) -> dict[str, Any]:
    """Return what a model remembers of the sets it was fitted on, as `provenance_`; no path of this machine."""
    return {"source": _origin(source), "target": _origin(target)}


def _origin(embeddings: EmbeddingSet) -> dict[str, Any]:
    about = embeddings.describe()
    found = {key: about[key] for key in ("rows", "dim", "dtype", "format", "shards", "norms", "dropped")}
    return found if embeddings.provenance is None else {**found, "provenance": embeddings.provenance}


def aligned_provenance(model: Aligner, source: EmbeddingSet, fingerprint: str) -> Provenance:
    """Return the provenance of transformed rows: that of the source, if any, and the fitted model that moved them."""
    by = {"method": model.whole.name, "model": fingerprint[:16], "frame": model.fitted_frame, "side": model.side}
    return {**(source.provenance or {}), "aligned_by": by}
