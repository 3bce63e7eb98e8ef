"""One stage of training: every step's loss is over all answer tokens of its batch, however the batch is divided."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from anisoalign.aligners import Aligner
from anisoalign.embeddings import InputError
from anisoalign.embeddings.atomic import replace_folder, sync_file, writable
from anisoalign.mllm import checkpoint
from anisoalign.mllm.conversations import Conversations
from anisoalign.mllm.draws import hash_of, seeded
from anisoalign.mllm.finished import plain_settings, trained_on
from anisoalign.mllm.fitting import fitting
from anisoalign.mllm.given import check_store, moved, stage_store
from anisoalign.mllm.held_out import mean_loss, parted
from anisoalign.mllm.joined import Batch, Joined
from anisoalign.mllm.language_models import weights_fingerprint
from anisoalign.mllm.logging import TRACKED, open_tracker
from anisoalign.mllm.matching import matched, sound
from anisoalign.mllm.model import EmbeddingLanguageModel
from anisoalign.mllm.optimizing import make_optimizer
from anisoalign.mllm.order import Order, learning_rate, parts_of
from anisoalign.mllm.processes import Processes
from anisoalign.mllm.saving import check_free, write
from anisoalign.mllm.settings import StageSettings
from anisoalign.mllm.store import EmbeddingStore
from anisoalign.mllm.unusable import Unusable
from anisoalign.places import expanded

Progress = Callable[[int, int, float, float | None], None]
"""Called with the steps done, the steps in all, the last loss, and the last of conversations held out, or None."""

_NO_MATTER = (
    "conversations",
    "embeddings",
    "aligner",
    "micro_batch",
    "gradient_checkpointing",
    "checkpoint_every",
    "log_to",
)
"""Settings that may change where a run goes on: where data lie (their content may not), and how work is divided."""

_IN_A_ROW = 5
"""Steps skipped one after the other that end a run: one may be due to its batch, several are due to the weights."""


@dataclass
class TrainLog:
    """What a stage did.

    Attributes
    ----------
    records : list of dict
        One a step, but for those that a power cut took from the log: `step`, `epoch`, `loss`, `lr`, `gradient_norm`,
        `answer_tokens`, `truncated` (conversations that lost their end to `max_length`), `padding` (share of
        positions), `seconds`; and `skipped`, true, of a step whose loss or gradient was not finite, which moved no
        weight: its `loss` and `gradient_norm` are None. With `held_out` some have a `held_out_loss`, in nats a token,
        None where it is not finite.
    resumed_at : int
        Steps that an earlier run had done.
    left_out : Unusable
        Conversations that were not learned from, with ``on_bad="skip"``: their `count`, and the `first` ten.
    """

    records: list[dict[str, Any]] = field(default_factory=list)
    resumed_at: int = 0
    left_out: Unusable = field(default_factory=Unusable)

    @property
    def truncated(self) -> int:
        """Conversations that lost their end to `max_length`, counted each time."""
        return sum(record["truncated"] for record in self.records)

    @property
    def losses(self) -> list[float]:
        """Loss of every step but those skipped, in nats a token."""
        return [record["loss"] for record in self.records if not record.get("skipped")]

    @property
    def held_out_losses(self) -> list[float]:
        """Losses of conversations held out, in nats a token, as often as they were measured and finite."""
        return [record["held_out_loss"] for record in self.records if record.get("held_out_loss") is not None]

    @property
    def skipped(self) -> int:
        """Steps whose loss or gradient was not finite."""
        return sum(record.get("skipped", False) for record in self.records)


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

    Returns
    -------
    TrainLog

    Raises
    ------
    InputError
        For data that do not fit each other or the model, an unfinished run of other settings, or a loss that is not
        finite in five steps one after the other; fewer are skipped. Files that were there are left as they were.
    """
    settings = settings or StageSettings.pretraining()
    settings = settings if noise is None else replace(settings, noise=noise)
    talks = conversations
    if not isinstance(talks, Conversations):
        talks = Conversations.of_stage(settings, model.settings.placeholder, talks)
    store = stage_store(embeddings, model, settings, aligner)
    _check_place(out)
    talks = fitting(matched(talks, store, settings), model.chat, settings)
    talks, store = sound(talks, store, settings)
    return train_fitting(model, talks, store, settings, out=out, name=name, progress=progress)


def train_fitting(
    model: EmbeddingLanguageModel,
    talks: Conversations,
    store: EmbeddingStore,
    settings: StageSettings,
    *,
    out: str | Path | None,
    name: str,
    progress: Progress | None,
) -> TrainLog:
    """`train` on conversations that `matched`, `fitting` and `sound` have looked at."""
    store = moved(store, model.aligner)
    check_store(model, store)
    _check_place(out)
    return _Run(model, talks, store, settings, None if out is None else expanded(out), name, progress)()


def _check_place(out: str | Path | None) -> None:
    """Raise InputError, before any work, where a trained model could not be written."""
    if out is None:
        return
    place = expanded(out)
    check_free(place)
    if place.exists() and any(place.iterdir()):
        raise InputError(f"{place} holds a trained model already; choose another folder, or remove it")


class _Run:
    """A stage under way: what its steps share."""

    def __init__(
        self,
        model: EmbeddingLanguageModel,
        talks: Conversations,
        store: EmbeddingStore,
        settings: StageSettings,
        out: Path | None,
        name: str,
        progress: Progress | None,
    ):
        self.model, self.settings, self.out, self.name, self.progress = model, settings, out, name, progress
        self.store = store
        self.talks, held = parted(talks, settings)
        self.data = Joined(self.talks, store, model.chat, settings.max_length)
        self.held = None if held is None else Joined(held, store, model.chat, settings.max_length)
        self.order = Order(self.talks.lengths, settings.batch_size, settings.epochs, settings.seed)
        self.processes = Processes()
        # Dropout is drawn by a part's place: with it, parts are those that one process would have.
        self._cut = settings.micro_batch, self.processes.count, not settings.drops
        self.log = TrainLog(left_out=talks.left_out)
        if self.processes.main:
            self._warn_of_idle()

    def __call__(self) -> TrainLog:
        model, device = self.model, self.processes.device
        model.to(device)
        model.begin(self.settings)
        try:
            self.parameters = model.trainable()
            self.optimizer = make_optimizer(self.parameters, self.settings)
            self.plan = self._plan()
            start = self._resume()
            self._steps(start)
        finally:
            model.freeze()
        self._remember()
        self._finish()
        return self.log

    def _steps(self, start: int) -> None:
        with (
            ThreadPoolExecutor(1) as ahead,
            self._open_log() as write_line,
            open_tracker(self.settings, self.name, self.processes.main, self._partial) as track,
        ):
            coming = ahead.submit(self._batches, start) if start < self.order.steps else None
            for step in range(start, self.order.steps):
                assert coming is not None
                batches = coming.result()
                coming = ahead.submit(self._batches, step + 1) if step + 1 < self.order.steps else None
                record = self._step(step, batches) | self._held_out_loss(step + 1)
                self.log.records.append(record)
                write_line(record)
                track(record)
                self._show(record)
                self._check_skipped()
                if (step + 1) % self.settings.checkpoint_every == 0 and step + 1 < self.order.steps:
                    self._checkpoint(step + 1)

    def _held_out_loss(self, step: int) -> dict[str, float | None]:
        """What the record of a step says of conversations held out; nothing where it is not the time to measure."""
        every = (self.settings.checkpoint_every, self.order.per_epoch, self.order.steps)
        if self.held is None or all(step % count for count in every):
            return {}
        size = self.settings.micro_batch
        return {"held_out_loss": mean_loss(self.model, self.held, size, self.processes, self._autocast)}

    def _show(self, record: dict[str, Any]) -> None:
        if self.progress is not None:
            loss, held = record["loss"], self.log.held_out_losses[-1:]
            self.progress(record["step"], self.order.steps, math.nan if loss is None else loss, *(held or [None]))

    def _warn_of_idle(self) -> None:
        """Tell of processes that no step gives anything to do."""
        size, count = min(self.settings.batch_size, len(self.talks)), self.processes.count
        parts = len(parts_of(np.arange(size), *self._cut))
        if parts < count:
            advice = f"micro_batch = {size // count} gives each its part" if size >= count else "fewer would do as well"
            warnings.warn(
                f"{self.name}: {count - parts} of {count} processes have nothing to do, as {size} conversations a step "
                f"make {parts} part(s); {advice}",
                stacklevel=1,
            )

    def _batches(self, step: int) -> list[tuple[int, Batch]]:
        """Parts of a step's batch that are for this process, with their places in it."""
        parts = parts_of(self.order.batch(step), *self._cut)
        mine = range(self.processes.index, len(parts), self.processes.count)
        key = (self.settings.seed, step)
        return [(place, self.data.batch(parts[place], self.settings.noise, key)) for place in mine]

    def _step(self, step: int, batches: list[tuple[int, Batch]]) -> dict[str, Any]:
        started = time.perf_counter()
        counts = [
            sum(batch.answer_tokens for _, batch in batches),
            sum(batch.truncated for _, batch in batches),
            sum(int(batch.attention_mask.sum()) for _, batch in batches),
            sum(batch.attention_mask.numel() for _, batch in batches),
        ]
        answers, truncated, real, positions = self.processes.summed(counts)
        share = learning_rate(step, self.order.steps, self.settings.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = share * group["highest"]
        loss = 0.0
        for place, batch in batches:
            with self._draws(step, place), self._autocast():
                total = self.model(*batch.to(self.processes.device)).loss_sum
            # A frozen model learns nothing from a part without a picture, which counts all the same.
            if total.requires_grad:
                # Divided by the tokens of the whole step: no part of a batch weighs more for having few.
                (total / answers).backward()
            loss += float(total.detach())
        loss = self.processes.summed([loss])[0] / answers
        norm = self._update(math.isfinite(loss))
        # JSON knows no NaN: what is not finite is null.
        done = {"loss": loss, "gradient_norm": norm}
        if not (math.isfinite(loss) and math.isfinite(norm)):
            done = {"loss": None, "gradient_norm": None, "skipped": True}
        return {
            "step": step + 1,
            "epoch": round((step + 1) / self.order.per_epoch, 6),
            **done,
            "lr": share * float(self.settings.lr or 0),
            "answer_tokens": int(answers),
            "truncated": int(truncated),
            "padding": round(1 - real / positions, 6),
            "seconds": round(time.perf_counter() - started, 4),
        }

    def _check_skipped(self) -> None:
        """Raise InputError where the last steps were all skipped: in every process at once, as each has all records.

        Those that the run had skipped before it was interrupted are in the log, and count.
        """
        last = self.log.records[-_IN_A_ROW:]
        enough = len(last) == _IN_A_ROW or last[-1]["step"] == self.order.steps  # a short run may learn nothing at all
        if not enough or not all(record.get("skipped") for record in last):
            return
        kept = "" if self._partial is None else f"; {self._partial} keeps its settings, so remove it to begin anew"
        raise InputError(
            f"{self.name}: the loss of {len(last)} step(s) one after the other, up to step {last[-1]['step']}, is not "
            f"finite; a lower learning rate or precision = 'no' may help{kept}"
        )

    def _update(self, finite: bool) -> float:
        """Sum gradients over processes, bound them, move the weights; return the norm of the gradient.

        Weights stay where they are if the loss or the norm is not finite.
        """
        values = list(self.parameters.values())
        for value in values:
            if value.grad is None:  # no picture in the whole step
                value.grad = torch.zeros_like(value)
        self.processes.sum_gradients(values)
        norm = float(nn.utils.clip_grad_norm_(values, self.settings.clip or math.inf))
        if finite and math.isfinite(norm):
            self.optimizer.step()
        self.optimizer.zero_grad()
        return norm

    def _draws(self, step: int, place: int) -> AbstractContextManager[Any]:
        """Dropout's draws for a part of a batch: its own, in whatever process it is, and nobody else's disturbed."""
        return seeded(hash_of(self.settings.seed, step, place), self.processes.device)

    def _autocast(self) -> AbstractContextManager[Any]:
        device = self.processes.device.type
        wanted = self.settings.precision == "bf16" or (self.settings.precision == "auto" and device == "cuda")
        return torch.autocast(device, torch.bfloat16) if wanted else nullcontext()

    def _plan(self) -> dict[str, Any]:
        """What must be the same where a run goes on."""
        settings = {key: value for key, value in asdict(self.settings).items() if key not in _NO_MATTER}
        given = self.given = trained_on(self.talks, self.store)
        return {
            **settings,
            "data": given["conversations"],
            "learned_from": len(self.talks),  # ids, of which the digits of the rows know nothing, leave out others
            "embedding_rows": given["embeddings"][-8:],  # as older versions noted
            "embedding_values": given["embeddings"],
            "aligner": given["aligner"],
            "first_weights": checkpoint.weights_checksum(self.parameters),
            "frozen_weights": weights_fingerprint(self._frozen),
            **self._model_settings,
        }

    @property
    def _frozen(self) -> dict[str, torch.Tensor]:
        """Weights that do not learn in this stage: what is learned stands on them all the same."""
        return {name: value for name, value in self.model.named_parameters() if not value.requires_grad}

    @property
    def _model_settings(self) -> dict[str, Any]:
        """Settings of the model, but for where its language model lies: its weights tell whether it is the same."""
        settings = asdict(self.model.settings)
        without = ("lm", "revision") if self.model.chat.dated else ("lm", "revision", "date")
        return {f"model.{key}": value for key, value in settings.items() if key not in without}

    @property
    def _partial(self) -> Path | None:
        return None if self.out is None else self.out.with_name(f"{self.out.name}.partial")

    def _resume(self) -> int:
        if self._partial is None:
            return 0
        if self.processes.main:
            with writable(self._partial):
                self._partial.mkdir(parents=True, exist_ok=True)
        self.processes.wait()
        found = checkpoint.read_state(self._partial, self.plan)
        step = 0
        if found is not None:
            step, tensors = found
            checkpoint.restore(tensors, self.parameters, self.optimizer, self._partial)
        self.log.records = checkpoint.read_log(self._partial, step)
        self.log.resumed_at = step
        self.processes.wait()
        if self.processes.main:
            checkpoint.write_log(self._partial, self.log.records)
            if len(self.log.records) < step:
                warnings.warn(
                    f"{self._partial / checkpoint.LOG} had {len(self.log.records)} records of the {step} steps done, "
                    "as after a power cut; the others are lost, which changes nothing of what is learned",
                    stacklevel=1,
                )
        return step

    def _open_log(self) -> AbstractContextManager[Callable[[dict[str, Any]], None]]:
        if self._partial is None or not self.processes.main:
            return nullcontext(lambda record: None)
        return checkpoint.LogFile(self._partial / checkpoint.LOG)

    def _checkpoint(self, step: int) -> None:
        if self._partial is not None and self.processes.main:
            sync_file(self._partial / checkpoint.LOG)  # a state must not outlive the records of its steps
            checkpoint.save_state(self._partial, step, self.plan, self.parameters, self.optimizer)
        self.processes.wait()

    def _remember(self) -> None:
        """Note in the model what it was trained with."""
        model, store = self.model, self.store
        model.aligner = store.aligner or model.aligner
        model.encoder = store.encoder or model.encoder
        settings = {**plain_settings(self.settings), "side": store.side}
        model.stages.append(
            {
                "name": self.name,
                "settings": settings,
                "trained_on": self.given,
                "conversations": len(self.talks),
                "held_out": 0 if self.held is None else len(self.held.talks),
                "left_out": self.talks.left_out.count,
                "steps": self.order.steps,
                "truncated": self.log.truncated,
                "last_loss": self.log.losses[-1],
                "held_out_loss": self.log.records[-1].get("held_out_loss"),
            }
        )

    def _finish(self) -> None:
        """Turn the unfinished folder into the result."""
        if self._partial is not None and self.out is not None and self.processes.main:
            write(self.model, self._partial)
            sync_file(self._partial / checkpoint.LOG)
            state = (checkpoint.STATE, TRACKED)
            for file in (*(self._partial / name for name in state), *self._partial.glob("state-*.safetensors")):
                file.unlink(missing_ok=True)
            replace_folder(self._partial, self.out, check_free)
        self.processes.wait()
