"""Stages I and II over several processes of `torch.distributed`: one batch, shared out; gradients summed.

Every process draws the whole batch and all its noise from the same generator, computes its own rows of it, and adds
up gradients with the others before the step, so all hold the same network. Losses that are means over rows are summed
from the parts; those that couple the rows of a batch see all rows, with a gradient through the process's own. What is
left of a difference to one process is the order in which float32 numbers are added.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, distributed, nn

from anisoalign.embeddings import InputError


@dataclass(frozen=True)
class Share:
    """The rows of a batch that are this process's: from `start` up to `stop` of `batch`."""

    start: int
    stop: int
    batch: int

    @property
    def rows(self) -> slice:
        """As an index into what belongs to the batch."""
        return slice(self.start, self.stop)

    @property
    def weight(self) -> float:
        """Share of the batch, by which a mean over the rows counts."""
        return (self.stop - self.start) / self.batch


class Together:
    """The processes at work on one training: all of `torch.distributed` where it was set up, else this one alone."""

    def __init__(self) -> None:
        there = distributed.is_available() and distributed.is_initialized()
        self.rank = distributed.get_rank() if there else 0
        self.size = distributed.get_world_size() if there else 1

    def share(self, batch: int) -> Share:
        """Part of a batch that is this process's.

        Raises
        ------
        InputError
            If there are fewer rows than processes.
        """
        if batch < self.size:
            raise InputError(f"a batch of {batch} rows cannot be shared by {self.size} processes")
        return Share(batch * self.rank // self.size, batch * (self.rank + 1) // self.size, batch)

    def whole(self, own: Float[Tensor, "k d"], share: Share) -> Float[Tensor, "n d"]:
        """All rows of the batch from everyone's own, which alone pass a gradient."""
        if self.size == 1:
            return own
        rows = own.new_zeros(share.batch, own.shape[1])
        rows[share.rows] = own.detach()
        distributed.all_reduce(rows)  # zeros elsewhere: values arrive as they are, whatever the lengths of the shares
        return torch.cat([rows[: share.start], own, rows[share.stop :]])

    def add_gradients(self, module: nn.Module) -> None:
        """Replace each gradient by the sum over the processes."""
        if self.size == 1:
            return
        found = [p.grad for p in module.parameters() if p.grad is not None]
        flat = torch.cat([grad.flatten() for grad in found])
        distributed.all_reduce(flat)
        for grad, summed in zip(found, flat.split([grad.numel() for grad in found]), strict=True):
            grad.copy_(summed.view_as(grad))

    def total(self, value: Tensor) -> float:
        """Sum of a scalar over the processes, for the record."""
        summed = value.detach().clone()
        if self.size > 1:
            distributed.all_reduce(summed)
        return float(summed)

    def agreed(self, value: Any) -> Any:
        """The first process's value, on which all decide the same."""
        if self.size == 1:
            return value
        told = [value]
        distributed.broadcast_object_list(told, src=0)
        return told[0]
