"""The optimizer of a stage."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from anisoalign.mllm.settings import StageSettings


def make_optimizer(parameters: dict[str, nn.Parameter], settings: StageSettings) -> torch.optim.AdamW:
    """AdamW in four groups: the projector and the rest, each with weight decay on matrices alone."""
    groups: dict[tuple[bool, bool], list[Tensor]] = {}
    for name, value in parameters.items():
        groups.setdefault((name.startswith("projector."), value.ndim >= 2), []).append(value)
    return torch.optim.AdamW(
        [
            {
                "params": values,
                "highest": settings.projector_lr if projector else settings.lr,
                "weight_decay": settings.weight_decay if matrix else 0.0,
            }
            for (projector, matrix), values in groups.items()
        ]
    )
