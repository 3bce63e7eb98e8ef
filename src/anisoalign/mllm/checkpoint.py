"""The state of an unfinished stage: safetensors and JSON, each whole or not there. Nothing is pickled.

Random draws need no state: the order of the data, noise and dropout are functions of seed, step and position.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from anisoalign.embeddings import InputError
from anisoalign.embeddings.atomic import TEMPORARY, rename_synced, sync_file, write_synced
from anisoalign.embeddings.errors import one_line
from anisoalign.embeddings.manifest import file_checksum
from anisoalign.embeddings.model_folder import tensors_into

STATE, LOG = "state.json", "log.jsonl"
_MOMENTS = ("exp_avg", "exp_avg_sq", "step")


def save_state(
    folder: Path, step: int, plan: dict[str, Any], parameters: dict[str, nn.Parameter], optimizer: torch.optim.Optimizer
) -> None:
    """Write the state after `step` steps; the one before it goes only once this one is complete."""
    tensors: dict[str, Tensor] = {}
    for name, value in parameters.items():
        tensors[f"weight {name}"] = value.detach().cpu().contiguous()
        for kind, moment in optimizer.state.get(value, {}).items():
            tensors[f"{kind} {name}"] = moment.detach().cpu().contiguous()
    path = folder / f"state-{step:08d}.safetensors"
    temporary = folder / f"{TEMPORARY}{path.name}"
    with tensors_into(path):
        save_file(tensors, str(temporary))
        sync_file(temporary)
    rename_synced(temporary, path)
    record = {"schema_version": 1, "step": step, "file": path.name, "crc32": file_checksum(path), "plan": plan}
    write_synced(folder / STATE, json.dumps(record, indent=1, sort_keys=True) + "\n")
    for old in folder.glob("state-*.safetensors"):
        if old.name != path.name:
            old.unlink()


def read_state(folder: Path, plan: dict[str, Any]) -> tuple[int, dict[str, Tensor]] | None:
    """Step and tensors of an unfinished stage, or None where there is none yet.

    Raises
    ------
    InputError
        If it was begun with other settings or data, or its files are damaged.
    """
    path = folder / STATE
    if not path.is_file():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        step, begun, file = int(record["step"]), record["plan"], folder / record["file"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is damaged: {one_line(error)}; remove {folder} to begin anew") from error
    # What an older version did not note cannot be compared.
    differing = [key for key in sorted(begun) if begun[key] != plan.get(key)]
    if differing:
        listed = "; ".join(f"{key}: {begun.get(key)!r} then, {plan.get(key)!r} now" for key in differing[:5])
        raise InputError(f"{folder} was begun with other settings or data ({listed}); remove it to begin anew")
    try:
        if file_checksum(file) != record["crc32"]:
            raise InputError(f"{file} is truncated or damaged; remove {folder} to begin anew")
        return step, load_file(str(file))
    except (OSError, SafetensorError) as error:
        raise InputError(f"{file} cannot be read: {one_line(error)}; remove {folder} to begin anew") from error


def restore(
    tensors: dict[str, Tensor], parameters: dict[str, nn.Parameter], optimizer: torch.optim.Optimizer, folder: Path
) -> None:
    """Put weights and moments back.

    Raises
    ------
    InputError
        If they are of other parameters.
    """
    names = {name.partition(" ")[2] for name in tensors}
    if names != parameters.keys():
        raise InputError(f"{folder} holds the state of other parameters; remove it to begin anew")
    with torch.no_grad():
        for name, value in parameters.items():
            value.copy_(tensors[f"weight {name}"])
            moments = {kind: tensors[f"{kind} {name}"] for kind in _MOMENTS if f"{kind} {name}" in tensors}
            if moments:
                step = moments.pop("step")  # stays on the CPU, as torch keeps it
                optimizer.state[value] = {"step": step, **{k: m.to(value.device) for k, m in moments.items()}}


def read_log(folder: Path, steps: int) -> list[dict[str, Any]]:
    """Records of the first `steps` steps; what an interrupted run wrote after its last state is dropped.

    After a power cut the end of the log may be torn or missing although the state is whole. Reading stops at the first
    line that is no record of a later step than the one before it: what stands behind it cannot be trusted.
    """
    path = folder / LOG
    if not path.is_file():
        return []
    found: list[dict[str, Any]] = []
    last = 0
    for line in path.read_bytes().split(b"\n"):
        record = _record(line)
        if record is None or not last < record["step"] <= steps:
            break
        found.append(record)
        last = record["step"]
    return found


def _record(line: bytes) -> dict[str, Any] | None:
    """The record that a line of the log holds, or None where it holds none."""
    try:
        record = json.loads(line)
    except ValueError:  # bytes that are no text are one, too
        return None
    whole = isinstance(record, dict) and isinstance(record.get("step"), int) and {"loss", "truncated"} <= record.keys()
    return record if whole else None


def write_log(folder: Path, records: list[dict[str, Any]]) -> None:
    """Write the log anew."""
    write_synced(folder / LOG, "".join(json.dumps(record) + "\n" for record in records))


@contextmanager
def appended(path: Path) -> Iterator[Callable[[dict[str, Any]], None]]:
    """A function that writes a record as a line at the end of a file, flushed one by one."""
    with path.open("a", encoding="utf-8") as file:

        def write_line(record: dict[str, Any]) -> None:
            file.write(json.dumps(record) + "\n")
            file.flush()

        yield write_line


def weights_checksum(parameters: dict[str, nn.Parameter]) -> str:
    """CRC-32 of parameters, in hexadecimal: what a run that goes on must begin from."""
    crc = 0
    for name, value in sorted(parameters.items()):
        crc = zlib.crc32(name.encode(), crc)
        crc = zlib.crc32(value.detach().float().cpu().contiguous().numpy().tobytes(), crc)
    return f"{crc:08x}"
