"""Small pictures of a page: as the encoder saw them, or none."""

import base64
import io
import zlib

import numpy as np
import pytest
from PIL import Image

from anisoalign.report.thumbnails import SIDE, folder_thumbnails


def picture(address):
    return Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2])))


def test_a_photograph_stands_upright(tmp_path):
    pixels = np.zeros((300, 600, 3), np.uint8)
    pixels[:, :300] = (255, 0, 0)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: left is up
    Image.fromarray(pixels).save(tmp_path / "a.jpg", exif=exif)
    shown = picture(folder_thumbnails(tmp_path, 1)(0))
    assert shown.size == (SIDE // 2, SIDE)
    assert shown.getpixel((20, 10))[0] > 200
    assert shown.getpixel((20, SIDE - 10))[0] < 50


def chunk(kind, content):
    return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")


def test_what_no_decoder_reads_is_no_picture_and_named(tmp_path):
    head = chunk(b"IHDR", (64).to_bytes(4, "big") * 2 + b"\x08\x02\x00\x00\x00")
    half = chunk(b"IDAT", zlib.compress(bytes(64 * 193))[:20])
    broken = {
        "text.png": b"this is a letter to my aunt",
        "empty.png": b"",
        "syntax.png": b"\x89PNG\r\n\x1a\n" + head + half + b"\x00\x00\x00\x04\xff\xff\xff\xff" + bytes(64),
    }
    for name, content in broken.items():
        (tmp_path / name).write_bytes(content)
    thumbnail = folder_thumbnails(tmp_path, len(broken))
    for row, name in enumerate(sorted(broken)):
        with pytest.warns(UserWarning, match=f"{name} is shown without its picture"):
            assert thumbnail(row) == ""
