"""From the bytes of a picture to RGB pixels, or to the reason why there are none."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from anisoalign.embeddings.errors import one_line
from anisoalign.encoders.unreadable import UnreadableError

if TYPE_CHECKING:
    from PIL import Image

DECODING = "first frame, turned as EXIF says, 16 bits scaled to 8, transparency over white, RGB"
"""What `decode_picture` does, for the provenance of a set."""
THINNEST = 200
"""Longest side over shortest beyond which a picture would be blown up to gigabytes by a resize of its short side."""


def decode_picture(content: Any) -> Image.Image:
    """Open a path, bytes, array (h, w[, c]) of uint8 or PIL image as an RGB image, upright.

    Raises
    ------
    UnreadableError
        With the reason.
    """
    from PIL import Image, ImageOps

    try:
        # A picture of 90 to 180 million pixels is large, not broken; beyond, Pillow refuses it.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with _open(content) as image:
                image.load()
                return _to_rgb(ImageOps.exif_transpose(image))
    except (UnreadableError, MemoryError):
        raise
    except FileNotFoundError as error:
        raise UnreadableError("there is no such file") from error
    except Exception as error:  # the decoders of damaged files raise what they please
        raise UnreadableError(_reason(error)) from error


def _open(content: Any) -> Image.Image:
    from PIL import Image

    if isinstance(content, Image.Image):
        return content.copy()
    if isinstance(content, np.ndarray):
        return Image.fromarray(content)
    if isinstance(content, bytes | bytearray | memoryview):
        if not len(content):
            raise UnreadableError("the file is empty")
        return Image.open(io.BytesIO(content))
    if not isinstance(content, str | Path):
        raise UnreadableError(f"{type(content).__name__} is no image")
    path = Path(content)
    if path.stat().st_size == 0:
        raise UnreadableError("the file is empty")
    return Image.open(path)


def _to_rgb(image: Image.Image) -> Image.Image:
    from PIL import Image

    width, height = image.size
    if max(width, height) > THINNEST * min(width, height):
        raise UnreadableError(f"{width} x {height} pixels is too thin a strip")
    if image.mode.startswith("I"):
        image = _to_eight_bits(image)
    elif image.mode == "F":
        raise UnreadableError("floating-point pixels, whose white is not known")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """Scale grey values of 16 bits, which a plain conversion would clip to white."""
    from PIL import Image

    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 0xFFFF:
        raise UnreadableError("32-bit pixels, whose white is not known")
    return Image.fromarray(((values + 128) // 257).clip(0, 255).astype(np.uint8))


def _reason(error: Exception) -> str:
    from PIL import UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return "this is no picture that Pillow knows"
    return one_line(error) or type(error).__name__
