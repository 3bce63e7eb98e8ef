"""Whose rows are mapped into which frame: options that `transform` and `export` share."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from anisoalign.aligners import Aligner


class Frame(StrEnum):
    """Where aligned rows lie."""

    target = "target"
    common = "common"


class Side(StrEnum):
    """Whose rows are mapped."""

    source = "source"
    target = "target"


FrameOption = Annotated[
    Frame | None,
    typer.Option(
        "--frame",
        help="target: aligned rows lie among the targets, which stay as they are; common: each side less its own mean, "
        "for search. By default what the model was fitted with.",
    ),
]
SideOption = Annotated[
    Side, typer.Option("--side", help="Whose rows are mapped: in a common frame targets need a step, too.")
]


def placed(model: Aligner, frame: Frame | None, side: Side) -> Aligner:
    """The map of a side into a frame; InputError where the method has but the target's frame."""
    from anisoalign.embeddings import InputError

    if frame is not None and frame.value != model.fitted_frame:
        try:
            model = model.in_frame(frame.value)
        except TypeError as error:
            raise InputError(f"--frame {frame.value}: {error}") from error
    return model.targets() if side is Side.target else model
