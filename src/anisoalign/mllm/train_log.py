"""What a stage of training did, step by step."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from anisoalign.mllm.unusable import Unusable


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
        """Conversations that lost their end to `max_length`: those of the first epoch, in which each comes once."""
        return sum(record["truncated"] for record in self.records if record["epoch"] <= 1)

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
