"""`anisoalign ask`: a question about an image, or about an embedding."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from anisoalign.cli import checks, options
from anisoalign.cli.score import DeviceOption, LmOption, Side, SideOption

if TYPE_CHECKING:
    import numpy as np


def ask(
    model: Annotated[Path, typer.Argument(help="Folder of a trained model, or of a run.")],
    question: Annotated[str, typer.Argument(help="What is asked.")],
    image: Annotated[Path | None, typer.Option("--image", help="A picture, embedded by the model's encoder.")] = None,
    embedding: Annotated[
        str | None, typer.Option("--embedding", help="FILE with one row, or FILE:ROW, counted from 0.")
    ] = None,
    side: SideOption = Side.image,
    encoder: Annotated[
        str | None, typer.Option("--encoder", help="For --image: the encoder, if not found by its recorded name.")
    ] = None,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="For --image: run code that comes with the encoder.")
    ] = False,
    tokens: Annotated[int, typer.Option("--max-new-tokens", min=1, help="Length of the answer at most.")] = 128,
    lm: LmOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Ask a trained model about an image or an embedding, and print its answer."""
    checks.check_extra("mllm")
    from anisoalign.devices import find_device
    from anisoalign.embeddings import InputError
    from anisoalign.mllm import load_mllm

    if (image is None) == (embedding is None):
        raise InputError("give --image FILE or --embedding FILE[:ROW], one of them")
    loaded = load_mllm(model, device=str(find_device(device, "--device")), lm=lm)
    if image is not None:
        row, kind = _encode(loaded, image, encoder, trust_remote_code), "image"
    else:
        row, kind = _row(loaded, str(embedding), side.value), side.value
    print(loaded.ask(question, row, side=kind, max_new_tokens=tokens))


def _row(model: Any, text: str, side: str) -> np.ndarray:
    """The row that FILE or FILE:ROW names, as a unit vector."""
    import numpy as np

    from anisoalign.embeddings import InputError, open_embeddings
    from anisoalign.mllm.provenance import check_encoder, check_side
    from anisoalign.mllm.store import unit_rows

    path, number = options.place(text), None
    if not path.exists():
        head, colon, tail = text.rpartition(":")
        if colon and tail.isdigit():
            path, number = options.place(head), int(tail)
    rows = open_embeddings(path, name="embedding", bad_rows="drop")
    if number is None and rows.rows > 1:
        raise InputError(f"{path} holds {rows.rows} rows; say which: {path}:ROW")
    number = number or 0
    if number >= rows.rows:
        raise InputError(f"{path} holds {rows.rows} rows; there is no row {number}")
    check_side(rows, side)
    check_encoder(model.encoder, rows.provenance, str(path), "the model was trained on")
    return unit_rows(rows, np.array([number]))[0]


def _encode(model: Any, image: Path, name: str | None, trust_remote_code: bool) -> np.ndarray:
    from anisoalign.embeddings import InputError
    from anisoalign.mllm.pictures import open_model_encoder

    if not image.is_file():
        raise InputError(f"{image} is not a file")
    return open_model_encoder(model, name, trust_remote_code).encode([image], "image")[0]
