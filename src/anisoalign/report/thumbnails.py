"""Small pictures as data addresses, so that a page holds all it shows."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anisoalign.embeddings import InputError
from anisoalign.embeddings.absent import absent
from anisoalign.embeddings.shards import natural_key

if TYPE_CHECKING:
    import numpy as np

SIDE = 112
"""Pixels of the longer side."""
ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp")


def folder_thumbnails(folder: Path, rows: int) -> Callable[[int], str]:
    """Maker of thumbnails of a folder's images: file i, in natural order of names, belongs to target row i.

    Raises
    ------
    InputError
        If the folder is absent or does not hold one image a row; and, when a row is asked for, if its file is no image.
    """
    _pillow()
    if not folder.is_dir():
        raise InputError(absent(folder, "a folder of images, one a target row"))
    files = sorted((f for f in folder.iterdir() if f.suffix.lower() in ENDINGS), key=lambda f: natural_key(f.name))
    if len(files) != rows:
        raise InputError(
            f"{folder} holds {len(files)} images ({', '.join(ENDINGS)}) for {rows} target rows; "
            "image i, in the order of names, belongs to row i"
        )
    return lambda row: _of_file(files[row])


def array_thumbnail(pixels: np.ndarray) -> str:
    """A picture, uint8 (height, width, 3), as a PNG address."""
    return _address(_pillow().fromarray(pixels), "PNG")


def _of_file(file: Path) -> str:
    library = _pillow()
    try:
        with library.open(file) as image:
            small = image.convert("RGB")
            small.thumbnail((SIDE, SIDE))
    except (OSError, ValueError, library.DecompressionBombError) as error:
        raise InputError(f"{file} cannot be read as an image: {error}") from error
    return _address(small, "JPEG")


def _address(image: Any, kind: str) -> str:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise InputError('thumbnails need pillow: pip install "anisoalign[report]"') from error
    return Image
