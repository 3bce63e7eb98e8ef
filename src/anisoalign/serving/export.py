"""A fitted model as one file for other runtimes, compared with the model before it has its name."""

from __future__ import annotations

import io
import json
import uuid
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from anisoalign.aligners import Aligner
from anisoalign.aligners.modules import serving_module
from anisoalign.aligners.origins import check_source
from anisoalign.aligners.transforming import transform_rows
from anisoalign.embeddings import InputError, open_embeddings
from anisoalign.embeddings.atomic import TEMPORARY, place_new, sync_file, writable
from anisoalign.embeddings.errors import blamed_on
from anisoalign.embeddings.remote import on_disk
from anisoalign.quiet import errors_alone
from anisoalign.serving.describing import ENTRY, description

TARGETS = ("onnx", "torch-export")
"""Formats: ONNX for onnxruntime and the like, archives of `torch.export` (.pt2) for PyTorch and what compiles it."""

EQUAL = 1e-5
"""Largest difference of a value of a unit row between model and full-precision file."""
SHARE = 8
"""How many times the loss of the model's own float32 map a file may lose, where that is more than `EQUAL`: a small
temperature multiplies what rounding does to a cosine, and no two orders of a sum round alike."""
LARGEST_ONNX = 1_500_000_000
"""Bytes of weights that one ONNX file holds; beyond, they would lie in a second file that it points to by name."""
PROBES = 64
"""Random rows on which every file is compared with its model."""


@dataclass(frozen=True)
class Exported:
    """What was written and what it loses.

    Attributes
    ----------
    file : str
    to, precision : str
    bytes : int
        Size of the file.
    rows : int
        Rows compared: of the sample given, else random ones.
    on : str
        "source" or "random rows"; "target" of a model's other side.
    largest_difference : float
        Of a value of a unit row.
    mean_cosine, least_cosine : float
        Between the file's rows and the model's.
    """

    file: str
    to: str
    precision: str
    bytes: int
    rows: int
    on: str
    largest_difference: float
    mean_cosine: float
    least_cosine: float

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def export(
    model: Aligner,
    out: str | Path,
    *,
    to: str = "onnx",
    precision: str = "fp32",
    source: Any = None,
    sample: int = 2000,
    seed: int = 0,
    force: bool = False,
) -> Exported:
    """Write a fitted model as ONNX or as an archive of `torch.export`; input "embeddings", output "aligned".

    Rows need not be unit, their number is free, values are float32 on both sides in every precision. What has no
    direction, a zero row or one with NaN or infinity in it, becomes a row of NaN. The file says what it was made of
    (`description`): ONNX as metadata, an archive in its extra file "anisoalign.json".

    Parameters
    ----------
    model : Aligner
        A deterministic map of one row: every method but c3 and random-target.
    out : path
        A new file; one that appears there meanwhile is left as it is.
    to : {"onnx", "torch-export"}
    precision : {"fp32", "fp16", "int8"}
        Of the matrices; see `PRECISIONS`.
    source : path, array or EmbeddingSet, optional
        Rows like those to be served; what the file loses is measured on a sample of them.
    sample : int
        Rows of the source compared at most.
    force : bool
        Measure although the source says that it comes from another encoder or modality than the model's sources.

    Raises
    ------
    InputError
        For a method that draws, a file that exists, an extra that is not installed, or a source of another encoder.
    RuntimeError
        If the full-precision file does not give the model's rows within 1e-5, or within what float32 itself costs this
        model (see `SHARE`); nothing is left behind then.

    Examples
    --------
    >>> import tempfile
    >>> import anisoalign as aa
    >>> rows = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     made = export(aa.ReAlign().fit(rows, rows + 1), f"{folder}/model.pt2", to="torch-export", source=rows)
    >>> made.rows, made.least_cosine > 0.99999
    (50, True)
    """
    out = on_disk(out, "exported models")
    _check(out, to)
    module = serving_module(model, precision)
    held = sum(buffer.nbytes for buffer in module.buffers())
    if to == "onnx" and held > LARGEST_ONNX:
        raise InputError(
            f"{held:,} bytes of weights are more than one ONNX file holds: "
            "export to torch-export, or in a smaller precision"
        )
    rows, on = _probes(model, source, sample, seed, force)
    with writable(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        # Of this run alone: two may write to one place, and one of them is told at the end.
        temporary = out.with_name(f"{TEMPORARY}{uuid.uuid4().hex[:12]}{out.suffix}")
        temporary.touch()
    try:
        with blamed_on(out):
            _WRITERS[to](module, description(model, precision), temporary)
        exact = transform_rows(model, rows)
        loss = _loss(reader(temporary, to)(rows), exact)
        found = loss["largest_difference"]
        if precision == "fp32" and not (found <= EQUAL or found <= _room(model, rows, exact)):
            raise RuntimeError(f"{out} differs from its model by {found:.1e}: a fault of ours")
        sync_file(temporary)
        place_new(temporary, out)
    finally:
        temporary.unlink(missing_ok=True)
    return Exported(str(out), to, precision, out.stat().st_size, len(rows), on, **loss)


def reader(file: str | Path, to: str) -> Callable[[np.ndarray], np.ndarray]:
    """A function that maps rows by an exported file, float32 (n, d).

    `torch.load`'s unpickler is part of how PyTorch reads its archives: open those alone that you trust.
    """
    if to == "onnx":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        return lambda rows: np.asarray(session.run(None, {"embeddings": np.asarray(rows, np.float32)})[0])
    module = torch.export.load(str(file)).module()

    def run(rows: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return module(torch.from_numpy(np.ascontiguousarray(rows, np.float32))).numpy()

    return run


def _check(out: Path, to: str) -> None:
    from importlib.util import find_spec

    if to not in TARGETS:
        raise InputError(f"a model is exported to {' or '.join(TARGETS)}, not {to!r}")
    if to == "onnx" and not all(map(find_spec, ("onnx", "onnxscript", "onnxruntime"))):
        raise InputError('ONNX needs the extra: pip install "anisoalign[onnx]"')
    if to == "torch-export" and out.suffix != ".pt2":
        raise InputError(f"an archive of torch.export ends in .pt2, {out} does not")
    if out.exists():
        raise InputError(f"{out} already exists; choose another name, or remove it")


def _traced(module: nn.Module, about: dict[str, str]) -> torch.export.ExportedProgram:
    dim = int(about["width"])
    rows = torch.ones(3, dim) + torch.eye(3, dim)
    with torch.no_grad():
        program = torch.export.export(module, (rows,), dynamic_shapes=({0: torch.export.Dim("rows", min=1)},))
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # paths of this machine
    return program


def _write_onnx(module: nn.Module, about: dict[str, str], file: Path) -> None:
    from onnx_ir.passes.common import ClearMetadataAndDocStringPass

    with warnings.catch_warnings(), errors_alone("torch.onnx"):
        warnings.simplefilter("ignore")  # the exporter's own, about itself
        # Not optimised: constant folding would turn small matrices back into float32. Runtimes optimise at load.
        program = torch.onnx.export(
            _traced(module, about),
            dynamo=True,
            optimize=False,
            verbose=False,
            input_names=["embeddings"],
            output_names=["aligned"],
        )
        assert program is not None
        ClearMetadataAndDocStringPass()(program.model)
        program.model.metadata_props.update(about)
        program.save(str(file))


def _write_archive(module: nn.Module, about: dict[str, str], file: Path) -> None:
    # Through memory: PyTorch's own writer ends the process, with no message of ours, where the disk is full.
    held = io.BytesIO()
    torch.export.save(_traced(module, about), held, extra_files={ENTRY: json.dumps(about)})
    with file.open("wb") as archive:
        archive.write(held.getbuffer())


_WRITERS = {"onnx": _write_onnx, "torch-export": _write_archive}


def _probes(model: Aligner, source: Any, sample: int, seed: int, force: bool) -> tuple[np.ndarray, str]:
    if source is None:
        rows = np.random.default_rng(seed).normal(size=(PROBES, model.n_features_in_)).astype(np.float32)
        return rows, "random rows"
    embeddings = open_embeddings(source, name=model.side)
    check_source(model, embeddings, force)
    return embeddings.sample(sample, seed, np.float32), model.side


def _room(model: Aligner, rows: np.ndarray, exact: np.ndarray) -> float:
    """Largest difference that float32 explains."""
    return SHARE * float(np.abs(transform_rows(model, rows, dtype="float32") - exact).max())


def _loss(ours: np.ndarray, exact: np.ndarray) -> dict[str, float]:
    a, b = ours.astype(np.float64), exact.astype(np.float64)
    # Divided by the norms: float32 rows are unit to 1e-7, which is more than float16 loses.
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosines = np.einsum("ij,ij->i", a, b) / np.maximum(norms, np.finfo(np.float64).tiny)
    return {
        "largest_difference": float(np.abs(ours - exact).max()),
        "mean_cosine": float(cosines.mean()),
        "least_cosine": float(cosines.min()),
    }
