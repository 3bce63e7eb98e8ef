"""One stage of training: the data opened, joined and checked, then learned from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from anisoalign.aligners import Aligner
from anisoalign.mllm.conversations import Conversations
from anisoalign.mllm.fitting import fitting
from anisoalign.mllm.given import check_store, moved, stage_store
from anisoalign.mllm.matching import matched, sound
from anisoalign.mllm.model import EmbeddingLanguageModel
from anisoalign.mllm.settings import StageSettings
from anisoalign.mllm.stage_run import Progress, StageRun
from anisoalign.mllm.store import EmbeddingStore
from anisoalign.mllm.train_log import TrainLog
from anisoalign.mllm.unfinished import check_place
from anisoalign.places import expanded


def train(
    model: EmbeddingLanguageModel,
    conversations: Any,
    embeddings: Any,
    settings: StageSettings | None = None,
    *,
    out: str | Path | None = None,
    noise: float | None = None,
    aligner: Aligner | str | Path | None = None,
    name: str = "stage",
    progress: Progress | None = None,
) -> TrainLog:
    """Train a model for one stage, in place.

    Parameters
    ----------
    model : EmbeddingLanguageModel
    conversations : Conversations, path or sequence of dict
    embeddings : EmbeddingStore, path, EmbeddingSet, or (array, ids)
    settings : StageSettings, optional
        By default those of pretraining.
    out : path, optional
        Folder for the trained model and its log. An interrupted run leaves `OUT.partial`, from which the same call goes
        on to the same losses; OUT appears when the stage is done. Without it no file is written.
    noise : float, optional
        In place of ``settings.noise``.
    aligner : Aligner or path, optional
        Moves rows of texts as they are read; by default the store's own, ``settings.aligner``, or the one the model was
        trained with. If its strength was left at "auto", at full strength.
    name : str
        Of the stage, for its record.
    progress : callable, optional
        Called after each step with the steps done, the steps in all, the last loss, and the last loss of conversations
        held out, or None.

    Returns
    -------
    TrainLog

    Raises
    ------
    InputError
        For data that do not fit each other or the model, an unfinished run of other settings or another one at work, or
        a loss that is not finite in five steps one after the other; fewer are skipped; or for weights that are not
        finite where they would be kept. Files that were there are left as they were.
    """
    settings = settings or StageSettings.pretraining()
    settings = settings if noise is None else replace(settings, noise=noise)
    talks = conversations
    if not isinstance(talks, Conversations):
        talks = Conversations.of_stage(settings, model.settings.placeholder, talks)
    store = stage_store(embeddings, model, settings, aligner)
    check_place(out)
    talks = fitting(matched(talks, store, settings), model.chat, settings)
    talks, store = sound(talks, store, settings)
    return train_fitting(model, talks, store, settings, out=out, name=name, progress=progress, begun=lambda: None)


def train_fitting(
    model: EmbeddingLanguageModel,
    talks: Conversations,
    store: EmbeddingStore,
    settings: StageSettings,
    *,
    out: str | Path | None,
    name: str,
    progress: Progress | None,
    begun: Callable[[], None],
) -> TrainLog:
    """`train` on conversations that `matched`, `fitting` and `sound` have looked at; for `begun` see `StageRun.run`."""
    store = moved(store, model.aligner)
    check_store(model, store)
    check_place(out)
    return StageRun(model, talks, store, settings, None if out is None else expanded(out), name, progress).run(begun)
