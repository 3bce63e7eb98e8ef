"""Layers of a network whose first weights come from a seed of their own."""

from __future__ import annotations

import math

import torch
from torch import nn


def layer(inputs: int, outputs: int, generator: torch.Generator | None = None) -> nn.Linear:
    """A float32 layer with the first weights of `nn.Linear`, drawn from `generator`; all zeros without one.

    `nn.Linear` draws from the generator of the whole process, which other threads draw from at the same time.

    Examples
    --------
    >>> made = [layer(3, 2, torch.Generator().manual_seed(0)) for _ in range(2)]
    >>> torch.equal(made[0].weight, made[1].weight)
    True
    """
    made = nn.Linear(inputs, outputs, device="meta", dtype=torch.float32).to_empty(device="cpu")
    if generator is None:
        nn.init.zeros_(made.weight)
        nn.init.zeros_(made.bias)
        return made
    nn.init.kaiming_uniform_(made.weight, a=math.sqrt(5), generator=generator)
    nn.init.uniform_(made.bias, -1 / math.sqrt(inputs), 1 / math.sqrt(inputs), generator=generator)
    return made
