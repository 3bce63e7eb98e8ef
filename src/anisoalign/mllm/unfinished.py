"""A stage that is not done, on disk: its log and its last state, from which the same call goes on."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from anisoalign.embeddings import InputError
from anisoalign.embeddings.atomic import replace_folder, sync_file, writable
from anisoalign.embeddings.locks import Lock, locked
from anisoalign.mllm import checkpoint
from anisoalign.mllm.language_models import weights_fingerprint
from anisoalign.mllm.logging import TRACKED
from anisoalign.mllm.model import EmbeddingLanguageModel
from anisoalign.mllm.processes import Processes
from anisoalign.mllm.saving import check_free, write
from anisoalign.mllm.settings import StageSettings
from anisoalign.mllm.train_log import TrainLog
from anisoalign.places import expanded

LOCK = ".lock"
"""File within an unfinished stage that its run holds."""

NO_MATTER = (
    "conversations",
    "embeddings",
    "aligner",
    "micro_batch",
    "gradient_checkpointing",
    "checkpoint_every",
    "log_to",
)
"""Settings that may change under a stage: where data lie (their content may not), and how work is divided."""


def plan_of(
    model: EmbeddingLanguageModel, settings: StageSettings, given: dict[str, Any], learned_from: int
) -> dict[str, Any]:
    """What must be the same where a run goes on.

    Parameters
    ----------
    model : EmbeddingLanguageModel
        Made ready for the stage, nothing learned yet.
    settings : StageSettings
    given : dict
        What it is trained on, as `trained_on` tells.
    learned_from : int
        Conversations: ids, of which the digits of the rows know nothing, leave out others.
    """
    frozen = {name: value for name, value in model.named_parameters() if not value.requires_grad}
    return {
        **{key: value for key, value in asdict(settings).items() if key not in NO_MATTER},
        "data": given["conversations"],
        "learned_from": learned_from,
        "embedding_rows": given["embeddings"][-8:],  # as older versions noted
        "embedding_values": given["embeddings"],
        "aligner": given["aligner"],
        "first_weights": checkpoint.weights_checksum(model.trainable()),
        "frozen_weights": weights_fingerprint(frozen),  # what is learned stands on them all the same
        **_model_settings(model),
    }


def _model_settings(model: EmbeddingLanguageModel) -> dict[str, Any]:
    """Settings of the model, but for where its language model lies: its weights tell whether it is the same."""
    without = ("lm", "revision") if model.chat.template.dated else ("lm", "revision", "date")
    return {f"model.{key}": value for key, value in asdict(model.settings).items() if key not in without}


def check_place(out: str | Path | None) -> None:
    """Raise InputError, before any work, where a trained model could not be written."""
    if out is None:
        return
    place = expanded(out)
    check_free(place)
    if place.exists() and any(place.iterdir()):
        raise InputError(f"{place} holds a trained model already; choose another folder, or remove it")


class Unfinished:
    """The folder `OUT.partial` of a stage; without OUT nothing is kept.

    Parameters
    ----------
    out : Path or None
        What it becomes.
    plan : dict
        See `plan_of`.
    parameters : dict of str to Parameter
        Those that learn.
    optimizer : Optimizer
    processes : Processes
        Of which the main one writes.
    """

    def __init__(
        self,
        out: Path | None,
        plan: dict[str, Any],
        parameters: dict[str, nn.Parameter],
        optimizer: torch.optim.Optimizer,
        processes: Processes,
    ):
        self.out, self.processes = out, processes
        self.path = None if out is None else out.with_name(f"{out.name}.partial")
        self._plan, self._parameters, self._optimizer = plan, parameters, optimizer
        self._lock: Lock | None = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other runs out of the folder, which is made where it is not there.

        Raises
        ------
        InputError
            If another run holds it or has finished it, or it cannot be made.
        """
        if self.path is None or not self.processes.main:
            yield
            return
        with writable(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        with locked(self.path, LOCK) as self._lock:
            check_place(self.out)  # a run that held the lock until now may have made it
            yield

    def resume(self, log: TrainLog) -> int:
        """Put back the state and the log that an interrupted run left, and return the steps that it had done.

        Raises
        ------
        InputError
            If it was begun with other settings or data, or is damaged.
        """
        if self.path is None:
            return 0
        self.processes.wait()
        found = checkpoint.read_state(self.path, self._plan)
        step = 0
        if found is not None:
            step, tensors = found
            checkpoint.restore(tensors, self._parameters, self._optimizer, self.path)
        log.records = checkpoint.read_log(self.path, step)
        log.resumed_at = step
        self.processes.wait()
        if self.processes.main:
            checkpoint.write_log(self.path, log.records)
            if len(log.records) < step:
                warnings.warn(
                    f"{self.path / checkpoint.LOG} had {len(log.records)} records of the {step} steps done, "
                    "as after a power cut; the others are lost, which changes nothing of what is learned",
                    stacklevel=1,
                )
        return step

    def open_log(self) -> AbstractContextManager[Callable[[dict[str, Any]], None]]:
        """Where records of steps go."""
        if self.path is None or not self.processes.main:
            return nullcontext(lambda record: None)
        return checkpoint.appended(self.path / checkpoint.LOG)

    def checkpoint(self, step: int) -> None:
        """Keep the state after a step."""
        if self.path is not None and self.processes.main:
            sync_file(self.path / checkpoint.LOG)  # a state must not outlive the records of its steps
            checkpoint.save_state(self.path, step, self._plan, self._parameters, self._optimizer)
        self.processes.wait()

    def finish(self, model: EmbeddingLanguageModel) -> None:
        """Turn the folder into the trained model."""
        if self.path is not None and self.out is not None and self.processes.main:
            write(model, self.path)
            sync_file(self.path / checkpoint.LOG)
            state = (checkpoint.STATE, TRACKED)
            for file in (*(self.path / name for name in state), *self.path.glob("state-*.safetensors")):
                file.unlink(missing_ok=True)
            assert self._lock is not None
            self._lock.let_move()
            replace_folder(self.path, self.out, check_free)
            (self.out / LOCK).unlink(missing_ok=True)
        self.processes.wait()
