"""State of a training run: descend, look at held-out rows, stop, be interrupted and go on."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from anisoalign.aligners.anisoalign.together import Together
from anisoalign.embeddings import InputError
from anisoalign.embeddings.atomic import rename_synced, sync_file
from anisoalign.embeddings.model_folder import tensors_into

_ABOUT = "anisoalign_run"
_FORMAT = 2
"""Raised when what a state means changes, so that one of before is not taken up."""


class Run:
    """A module, its optimiser and generator, the best parameters so far and how held-out losses went.

    Parameters
    ----------
    module : nn.Module
    optimizer : torch.optim.Optimizer
    generator : torch.Generator
        Of all draws of the training, so that its state belongs to the run.
    """

    def __init__(self, module: nn.Module, optimizer: torch.optim.Optimizer, generator: torch.Generator):
        self.module, self.optimizer, self.generator = module, optimizer, generator
        self.step, self.since = 0, 0
        self.held: list[list[float]] = []
        self.best = _copy(module)

    def descend(self, loss: Tensor, together: Together) -> None:
        """One step of the optimiser, down the gradients of all processes."""
        self.optimizer.zero_grad()
        loss.backward()
        together.add_gradients(self.module)
        self.optimizer.step()
        self.step += 1

    def look(self, loss: float) -> None:
        """Note a held-out loss; `since` counts the looks since the best one."""
        better = not self.held or loss < min(before for _, before in self.held)
        self.since = 0 if better else self.since + 1
        self.note(loss)
        if better:
            self.best = _copy(self.module)

    def note(self, loss: float) -> None:
        """Keep a loss with the step it was seen at."""
        self.held.append([self.step, loss])

    def write(self, path: Path, key: str) -> None:
        """Write the state as tensors and JSON, never as a pickle; the old state stays until the new one is whole."""
        tensors = {f"now.{name}": value for name, value in self.module.state_dict().items()}
        tensors |= {f"best.{name}": value for name, value in self.best.items()}
        for number, slots in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{name}": value for name, value in slots.items()}
        tensors["generator"] = self.generator.get_state()
        about = json.dumps({"key": key, "step": self.step, "since": self.since, "held": self.held})
        partial = path.with_name(path.name + ".partial")
        tensors = {name: value.contiguous().clone() for name, value in tensors.items()}
        try:
            with tensors_into(path):
                save_file(tensors, str(partial), {_ABOUT: about})
        except OSError:
            partial.unlink(missing_ok=True)
            raise
        sync_file(partial)
        rename_synced(partial, path)

    def resume(self, path: Path, key: str, together: Together) -> None:
        """Go on from a written state; one of another run, by its key, is left alone.

        The first process reads and decides for all: their inputs may differ in the last bits, and so their keys.

        Raises
        ------
        InputError
            If the file is damaged.
        """
        found = None
        if together.rank == 0:
            try:
                found = _read(path, key)
            except InputError as error:
                found = error
        found = together.agreed(found)
        if isinstance(found, InputError):
            raise found
        if found is None:
            return
        about, tensors = found
        self.module.load_state_dict(_under(tensors, "now."))
        self.best = _under(tensors, "best.")
        slots: dict[int, dict[str, Tensor]] = {}
        for name, value in _under(tensors, "optimizer.").items():
            number, _, slot = name.partition(".")
            slots.setdefault(int(number), {})[slot] = value
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": slots})
        self.generator.set_state(tensors["generator"])
        self.step, self.since, self.held = about["step"], about["since"], about["held"]


def _read(path: Path, key: str) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
    """What `Run.write` wrote, of the run of this key."""
    if not path.exists():
        return None
    try:
        with safe_open(str(path), framework="pt") as file:
            about = json.loads((file.metadata() or {}).get(_ABOUT, "{}"))
        return (about, load_file(str(path))) if about.get("key") == key else None
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(
            f"{path}, the state of an interrupted training, is damaged ({error}); remove it to train anew"
        ) from error


def run_key(*parts: Any) -> str:
    """What a run is a function of, tensors and plain values, as a hash."""
    digest = hashlib.sha256(repr(_FORMAT).encode())
    for part in parts:
        digest.update(part.detach().cpu().numpy().tobytes() if isinstance(part, Tensor) else repr(part).encode())
    return digest.hexdigest()


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _copy(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}
