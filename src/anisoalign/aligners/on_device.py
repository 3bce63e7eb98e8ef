"""Map rows on a GPU, in float32; what needs float64 or draws by row number stays on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from anisoalign.aligners.base import Aligner
from anisoalign.aligners.modules import draws, serving_module
from anisoalign.devices import find_device
from anisoalign.embeddings import InputError, Tile

RANGE = (1e-16, 1e18)
"""Norms between which float32 squares neither overflow nor lose digits; other rows go by way of the CPU."""

PIECE = 8192
"""Rows of a tensor that are mapped at once: a memory of 50,000 rows asks for 1.6 GB of cosines."""


def device_for(model: Aligner, source: Any, device: str, dtype: str, out_dtype: str) -> torch.device:
    """Where rows are mapped: on the device asked for; for "auto" where a tensor lies, if they can be, else on the CPU.

    Raises
    ------
    InputError
        Where a GPU is asked for that is not there, or for what is done on the CPU alone.
    """
    exact = dtype == "float64" or out_dtype == "float64"
    if device == "auto":
        here = isinstance(source, Tensor) and not exact and not draws(model)
        return source.device if here else torch.device("cpu")
    found = find_device(device)
    if found.type != "cpu" and exact:
        raise InputError(f"on {device} rows are mapped in float32: leave float64 out, or the device")
    if found.type != "cpu" and draws(model):
        raise InputError(f"{model.name} draws for each row by its number, on the CPU: leave device {device} out")
    return found


def lies_on(rows: Tensor, device: torch.device) -> bool:
    """Whether a tensor is on a device; one without a number stands for any of its kind."""
    return rows.device.type == device.type and device.index in (None, rows.device.index)


def mapped_on(model: Aligner, rows: Float[Tensor, "n d"], out_dtype: str) -> Float[Tensor, "n d"] | None:
    """Aligned rows of raw ones, on the device where they lie; None where a row has no direction in float32."""
    norms = torch.linalg.vector_norm(rows.detach().float(), dim=1)
    if not bool(((norms > RANGE[0]) & (norms < RANGE[1])).all()):  # false for NaN as well
        return None
    move, kind = serving_module(model).to(rows.device), getattr(torch, out_dtype)
    with torch.no_grad():
        return torch.cat([move(tile.float()).to(kind) for tile in rows.split(PIECE)])


class TilesOnDevice:
    """From a tile of unit float32 rows to aligned rows, by way of a device; for one worker.

    Rows go over and come back through memory of their own, which is pinned where the device is a GPU, so that neither
    way is copied twice. A result is valid until the next call.
    """

    def __init__(self, model: Aligner, device: torch.device, out_dtype: str):
        self._move = serving_module(model).to(device)
        self._device, self._out_dtype = device, getattr(torch, out_dtype)
        self._there, self._back = torch.empty(0), torch.empty(0)

    def __call__(self, tile: Tile) -> Tensor:
        """Aligned rows of a tile."""
        rows = torch.from_numpy(tile.values)
        if len(self._there) < len(rows):
            self._there, self._back = self._room(rows, torch.float32), self._room(rows, self._out_dtype)
        sent, back = self._there[: len(rows)].copy_(rows), self._back[: len(rows)]
        with torch.no_grad():
            moved = self._move(sent.to(self._device, non_blocking=True)).to(self._out_dtype)
        back.copy_(moved, non_blocking=True)
        if self._device.type == "cuda":
            torch.cuda.current_stream(self._device).synchronize()
        return back

    def _room(self, rows: Tensor, dtype: torch.dtype) -> Tensor:
        return torch.empty(rows.shape, dtype=dtype, pin_memory=self._device.type == "cuda")


def tiles_on(model: Aligner, device: str, out_dtype: str) -> Callable[[Tile], Tensor]:
    """Make `TilesOnDevice` for one worker; a function of the module, since it travels to workers by its name."""
    return TilesOnDevice(model, find_device(device), out_dtype)
