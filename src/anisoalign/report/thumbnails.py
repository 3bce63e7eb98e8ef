"""Small pictures as data addresses, so that a page holds all it shows."""

from __future__ import annotations

import base64
import io
import warnings
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

    Pictures are read as encoders read them. A row whose file is no picture has none: an empty text and a warning.

    Raises
    ------
    InputError
        If the folder is absent or does not hold one image a row.
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
    # Encoders bring torch along, which a page without pictures does not wait for.
    from anisoalign.encoders.pictures import decode_picture
    from anisoalign.encoders.unreadable import UnreadableError

    try:
        small = decode_picture(file)
    except UnreadableError as error:
        warnings.warn(f"{file} is shown without its picture, which cannot be read: {error}", stacklevel=2)
        return ""
    small.thumbnail((SIDE, SIDE))
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
