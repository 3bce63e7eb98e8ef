"""What every encoder is: a width, modalities, and a way from items to unit rows."""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import torch

from anisoalign.embeddings import InputError
from anisoalign.encoders.preparing import Inputs, Preparation, Prepared
from anisoalign.encoders.unreadable import UnreadableError

MODALITIES = ("image", "text", "audio")
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
BATCH_SIZE = 64


class Encoder(ABC):
    """A pretrained contrastive model, opened by `open_encoder`.

    A subclass loads the model and says how items are prepared and what the model makes of them.

    Parameters
    ----------
    name : str
        What provenance calls the encoder, with its schema; no path of this machine.
    model : torch.nn.Module
    width : int
        Number of columns d of the embeddings.
    preparations : dict
        Modality -> how its items are prepared.
    device : torch.device
    dtype : torch.dtype
        Precision of the model's products; weights stay as they were loaded (mixed precision).
    revision : str, optional
        Commit of the model's repository, where it comes from one.
    packages : sequence of str
        Libraries whose versions belong into the provenance.

    Attributes
    ----------
    name, width, device, dtype, revision
        As given.
    modalities : frozenset of str
        Of "image", "text", "audio".
    fingerprint : str
        Digits of the weights, the same wherever the model was loaded from.
    reopen : callable or None
        Opens the same model in another process; set by `open_encoder`.
    looks_for_device : bool
        Whether the device was left to what is there, so that it may be another in another process.
    """

    reopen: Callable[[], Encoder] | None = None
    looks_for_device: bool = False

    def __init__(
        self,
        name: str,
        model: torch.nn.Module,
        width: int,
        preparations: dict[str, Preparation],
        device: torch.device,
        dtype: torch.dtype,
        revision: str | None = None,
        packages: Sequence[str] = (),
    ):
        self.name, self.width, self.revision = name, int(width), revision
        self.modalities = frozenset(preparations)
        self.device, self.dtype = device, dtype
        self.fingerprint = fingerprint_of(model)
        self.model = model.to(device).eval().requires_grad_(False)
        self._preparations = preparations
        self._packages = ("anisoalign", "torch", *packages)

    @abstractmethod
    def _features(self, modality: str, inputs: Inputs) -> torch.Tensor:
        """Embeddings (n, d) of a batch on the device, not yet normalised."""

    def preparation(self, modality: str) -> Preparation:
        """Return how items of a modality are prepared.

        Raises
        ------
        InputError
            If the model does not embed the modality.
        """
        if modality not in self._preparations:
            can = " and ".join(sorted(self.modalities))
            raise InputError(f"{self.name} embeds {can}, not {modality}")
        return self._preparations[modality]

    def forward(self, modality: str, prepared: Prepared) -> np.ndarray:
        """Return the unit rows of a prepared batch, float32, shape (n, d).

        Raises
        ------
        InputError
            If the model's values overflow in the precision asked for.
        """
        inputs = {
            name: torch.as_tensor(value).to(self.device, non_blocking=True) if isinstance(value, np.ndarray) else value
            for name, value in prepared.inputs.items()
        }
        with torch.inference_mode(), self._mixed_precision():
            rows = self._features(modality, inputs)
        rows = rows.float()
        lengths = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
        rows = (rows / lengths).cpu().numpy()
        if not np.isfinite(rows).all():
            raise InputError(
                f"{self.name} gives {modality} embeddings that are not finite in {_name(self.dtype)}; "
                "compute in bfloat16 or float32 (`--dtype`, `dtype=`)"
            )
        return rows

    @contextmanager
    def _mixed_precision(self) -> Iterator[None]:
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            yield

    def encode(self, items: Sequence[Any], modality: str, batch_size: int = BATCH_SIZE) -> np.ndarray:
        """Return the embeddings of items in memory or in files, as float32 unit rows, shape (n, d).

        Parameters
        ----------
        items : sequence
            Images as paths, bytes, PIL images or arrays (h, w, 3) of uint8; texts as strings; sounds as
            paths, bytes or tuples of samples (n,) or (n, channels), floats in −1 … 1 or int16, and their rate.
        modality : {"image", "text", "audio"}
        batch_size : int
            Rows of different batch sizes agree to rounding only.

        Raises
        ------
        InputError
            If the model does not embed the modality, or an item cannot be read.
        """
        preparation, found = self.preparation(modality), [np.empty((0, self.width), np.float32)]
        for start in range(0, len(items), batch_size):
            pieces = []
            for index, item in enumerate(items[start : start + batch_size], start):
                try:
                    pieces.append(preparation.one(item))
                except UnreadableError as error:
                    raise InputError(f"{modality} {index} cannot be encoded: {error}") from error
            found.append(self.forward(modality, preparation.stack(pieces)))
        return np.concatenate(found)

    def weights(self, modality: str) -> dict[str, Any]:
        """Return what tells the weights that make a modality's embeddings from all others, as JSON."""
        return {"fingerprint": self.fingerprint}

    def provenance(self, modality: str) -> dict[str, Any]:
        """Return what a set of this encoder's embeddings should say of its origin, as JSON."""
        return {
            "encoder": self.name,
            "revision": self.revision,
            **self.weights(modality),
            "modality": modality,
            "width": self.width,
            "preprocessing": self.preparation(modality).describe(),
            "normalized": True,
            "dtype": _name(self.dtype),
            "date": _now(),
            "versions": {package: _version(package) for package in self._packages},
        }

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name}, width {self.width}, {'+'.join(sorted(self.modalities))})"


def fingerprint_of(model: torch.nn.Module) -> str:
    """Hash names, shapes and up to 1024 evenly spaced values of every parameter: 16 hexadecimal digits.

    A look at every tensor tells fine-tuned weights from their origin in milliseconds, where hashing gigabytes
    would take longer than many a run. It guards against mix-ups, not against forgery.
    """
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        flat = value.detach().reshape(-1)
        few = flat[:: max(1, len(flat) // 1024)].to("cpu", torch.float32)
        digest.update(f"{name}{tuple(value.shape)}".encode())
        digest.update(few.numpy().tobytes())
    return digest.hexdigest()[:16]


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _now() -> str:
    """Date and time in UTC; SOURCE_DATE_EPOCH, as reproducible builds set it, stands for the clock."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    now = datetime.now(UTC) if epoch is None else datetime.fromtimestamp(int(epoch), UTC)
    return now.isoformat(timespec="seconds")


def _version(package: str) -> str:
    if package == "anisoalign":
        from anisoalign import __version__

        return __version__
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
