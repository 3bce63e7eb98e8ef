"""Embeddings as they are given to a model: of which aligner, and whether they fit what it was made for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from anisoalign.aligners import Aligner
from anisoalign.aligners.saving import aligner_fingerprint
from anisoalign.embeddings import InputError
from anisoalign.mllm.dial import dialled
from anisoalign.mllm.model import EmbeddingLanguageModel
from anisoalign.mllm.provenance import check_encoder
from anisoalign.mllm.settings import StageSettings
from anisoalign.mllm.store import EmbeddingStore


def stage_store(
    given: Any, model: EmbeddingLanguageModel, settings: StageSettings, aligner: Aligner | str | Path | None
) -> EmbeddingStore:
    """A stage's rows with their aligner: the one of the call, else a store's own, the settings' or the model's.

    Raises
    ------
    InputError
        If an aligner is given, by the call or the settings, beside a store of images.
    """
    other = settings.aligner or (model.aligner if settings.side == "text" else None)
    if not isinstance(given, EmbeddingStore):
        source, ids = given if isinstance(given, tuple) else (given, None)
        return EmbeddingStore.of_stage(settings, source, ids, other if aligner is None else aligner)
    if aligner is None and given.aligner is None:
        # Images need none, so the model's is passed over; one that was asked for is refused with the store's words.
        aligner = settings.aligner or None if given.side == "image" else other
    return given if aligner is None else given.with_aligner(aligner)


def moved(store: EmbeddingStore, used: Aligner | None) -> EmbeddingStore:
    """A stage's rows as it is trained on them: of texts, moved by the aligner named for it, or else the one `used`.

    Parameters
    ----------
    store : EmbeddingStore
    used : Aligner or None
        The one the model was trained with before.

    Raises
    ------
    InputError
        If the one `used` was fitted for another encoder or width.
    """
    if store.side != "text":
        return store
    return store.with_aligner(dialled(store.aligner or used, used))


def check_store(model: EmbeddingLanguageModel, store: EmbeddingStore) -> None:
    """Raise InputError where embeddings are not of the width, encoder or aligner that a model was made for."""
    if store.dim != model.width:
        raise InputError(f"{store.set.name} has width {store.dim}, the model was made for {model.width}")
    check_encoder(model.encoder, store.encoder, store.set.name, "the model was trained on")
    if model.aligner is None or store.aligner is None or store.aligner is model.aligner:
        return
    if aligner_fingerprint(model.aligner) != aligner_fingerprint(store.aligner):
        raise InputError(
            f"the model was trained with the aligner {model.aligner!r}, another one is given: {store.aligner!r}"
        )
