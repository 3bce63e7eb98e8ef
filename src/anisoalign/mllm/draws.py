"""Random draws of training, which are functions of seed, step and place: nothing of them needs to be saved."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch


class seeded:  # noqa: N801 - a context manager
    """Torch's generators begin at a seed, and go on afterwards as if nothing had been drawn."""

    def __init__(self, seed: int, device: torch.device):
        self.seed = seed
        devices = [device] if device.type == "cuda" else []
        self.fork = torch.random.fork_rng(devices=devices)

    def __enter__(self) -> None:
        self.fork.__enter__()
        torch.manual_seed(self.seed)

    def __exit__(self, *error: Any) -> None:
        self.fork.__exit__(*error)


def hash_of(*parts: int) -> int:
    """A seed for a combination of whole numbers."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> 1)
