"""A stage under way: every step's loss is over all answer tokens of its batch, however the batch is divided."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from anisoalign.embeddings import InputError
from anisoalign.mllm.conversations import Conversations
from anisoalign.mllm.draws import hash_of, seeded
from anisoalign.mllm.finished import plain_settings, trained_on
from anisoalign.mllm.held_out import mean_loss, parted
from anisoalign.mllm.joined import Batch, Joined
from anisoalign.mllm.logging import open_tracker
from anisoalign.mllm.model import EmbeddingLanguageModel
from anisoalign.mllm.optimizing import make_optimizer
from anisoalign.mllm.order import Order, learning_rate, parts_of
from anisoalign.mllm.processes import Processes
from anisoalign.mllm.settings import StageSettings
from anisoalign.mllm.store import EmbeddingStore
from anisoalign.mllm.train_log import TrainLog
from anisoalign.mllm.unfinished import Unfinished, plan_of

Progress = Callable[[int, int, float, float | None], None]
"""Called with the steps done, the steps in all, the last loss, and the last of conversations held out, or None."""

_IN_A_ROW = 5
"""Steps skipped one after the other that end a run: one may be due to its batch, several are due to the weights."""


class StageRun:
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

    def run(self, begun: Callable[[], None]) -> TrainLog:
        """Go on from what an interrupted run left, take the other steps, and turn its folder into the result.

        `begun` is called once nothing speaks against going on, before anything is learned.
        """
        model, device = self.model, self.processes.device
        model.to(device)
        model.begin(self.settings)
        try:
            self.parameters = model.trainable()
            self.optimizer = make_optimizer(self.parameters, self.settings)
            self.given = trained_on(self.talks, self.store)
            plan = plan_of(model, self.settings, self.given, len(self.talks))
            self.folder = Unfinished(self.out, plan, self.parameters, self.optimizer, self.processes)
            with self.folder.held():
                start = self.folder.resume(self.log)
                begun()
                self._steps(start)
                self._check_weights()
                self._remember()
                self.folder.finish(model)
        finally:
            model.freeze()
        return self.log

    def _steps(self, start: int) -> None:
        with (
            ThreadPoolExecutor(1) as ahead,
            self.folder.open_log() as write_line,
            open_tracker(self.settings, self.name, self.processes.main, self.folder.path) as track,
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
                    self._check_weights()
                    self.folder.checkpoint(step + 1)

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
        raise self._diverged(
            f"the loss of {len(last)} step(s) one after the other, up to step {last[-1]['step']}, is not finite"
        )

    def _check_weights(self) -> None:
        """Raise InputError where what was learned is not finite: the loss tells of it only a step later.

        In every process at once, as each has the same weights.
        """
        for name, value in self.parameters.items():
            if not bool(torch.isfinite(value).all()):
                raise self._diverged(f"weights are not finite any more, {name} among them")

    def _diverged(self, what: str) -> InputError:
        path = self.folder.path
        kept = "" if path is None else f"; {path} keeps its settings, so remove it to begin anew"
        return InputError(f"{self.name}: {what}; a lower learning rate or precision = 'no' may help{kept}")

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
