"""The processes that train together: accelerate starts and names them, sums go between them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from anisoalign.embeddings import InputError


class Processes:
    """All processes of a run; one alone where none were launched (`accelerate launch`, `torchrun`).

    Attributes
    ----------
    device : torch.device
        Of this process.
    index, count : int
        Number of this process and how many there are.
    main : bool
        Whether this one writes files.
    """

    def __init__(self) -> None:
        from accelerate import PartialState
        from accelerate.utils import DistributedType

        # Without an accelerator, accelerate has to be told that processes meet on the CPU.
        self._state: Any = PartialState(cpu=not torch.accelerator.is_available())
        kind = self._state.distributed_type
        if kind in (DistributedType.DEEPSPEED, DistributedType.FSDP):
            raise InputError(f"{kind.value} is not supported: every process holds the whole model; use learns = 'lora'")
        self.device: torch.device = self._state.device
        self.index, self.count = self._state.process_index, self._state.num_processes
        self.main = self._state.is_main_process
        launched = int(os.environ.get("WORLD_SIZE", "1"))
        if launched != self.count:
            raise InputError(f"{launched} processes were launched, but {self.count} of them found each other")

    def wait(self) -> None:
        """Go on when all processes are here."""
        self._state.wait_for_everyone()

    def summed(self, values: Sequence[float]) -> list[float]:
        """Each value summed over all processes, in float64."""
        if self.count == 1:
            return [float(value) for value in values]
        single = self.device.type == "mps"
        sums = torch.tensor(values, dtype=torch.float32 if single else torch.float64, device=self.device)
        torch.distributed.all_reduce(sums)
        return sums.tolist()

    def sum_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Sum gradients over all processes, in place: once a step, all under way together."""
        if self.count == 1:
            return
        waiting: list[Any] = [torch.distributed.all_reduce(value.grad, async_op=True) for value in parameters]
        for one in waiting:
            one.wait()
