"""Pictures of every kind become upright RGB, or give a reason why not."""

import io

import numpy as np
import pytest
from PIL import Image

from anisoalign.encoders.pictures import decode_picture
from anisoalign.encoders.unreadable import UnreadableError

GRADIENT = np.tile(np.arange(64, dtype=np.uint8) * 4, (48, 1))


def as_bytes(image: Image.Image, format: str = "PNG", **options) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def pixels(content) -> np.ndarray:
    image = decode_picture(content)
    assert image.mode == "RGB"
    return np.asarray(image).astype(int)


def test_grey_is_spread_over_three_channels():
    found = pixels(as_bytes(Image.fromarray(GRADIENT)))
    np.testing.assert_array_equal(found, np.repeat(GRADIENT[..., None], 3, axis=2))


def test_sixteen_bits_are_scaled_not_clipped():
    wide = GRADIENT.astype(np.uint16) * 257
    np.testing.assert_array_equal(pixels(as_bytes(Image.fromarray(wide)))[..., 0], GRADIENT)
    np.testing.assert_array_equal(pixels(as_bytes(Image.fromarray(wide), "TIFF"))[..., 1], GRADIENT)


def test_a_palette_gives_its_colours():
    red = Image.new("RGB", (40, 30), (250, 10, 20))
    found = pixels(as_bytes(red.convert("P", palette=Image.Palette.ADAPTIVE)))
    np.testing.assert_allclose(found, np.broadcast_to([250, 10, 20], (30, 40, 3)), atol=2)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_shows_white(mode):
    image = Image.new("RGBA", (20, 20), (0, 0, 0, 0))
    image.paste((10, 10, 10, 255), (0, 0, 10, 20))
    # A palette image saved as GIF keeps one transparent entry.
    content = as_bytes(image, "GIF") if mode == "P" else as_bytes(image.convert(mode))
    found = pixels(content)
    assert abs(found[:, :10] - 10).max() <= 2
    assert found[:, 10:].min() == 255


def test_cmyk_becomes_the_colour_it_prints():
    red = Image.new("CMYK", (32, 32), (0, 255, 255, 0))
    found = pixels(as_bytes(red, "JPEG", quality=95))
    assert found[..., 0].min() > 245
    assert found[..., 1:].max() < 10


def test_an_image_lying_on_its_side_is_turned():
    image = Image.fromarray(GRADIENT)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90° clockwise to show
    found = pixels(as_bytes(image, "JPEG", quality=100, exif=exif.tobytes()))
    assert found.shape[:2] == (64, 48)
    np.testing.assert_allclose(found[..., 0], np.rot90(GRADIENT, -1), atol=3)


def test_an_animation_gives_its_first_frame():
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    found = pixels(as_bytes(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert found[0, 0].tolist() == [255, 0, 0]


JPEG = as_bytes(Image.fromarray(GRADIENT).resize((300, 300)), "JPEG")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"this is a text", "this is no picture that Pillow knows"),
        (JPEG[: len(JPEG) // 2], "truncated"),
        (as_bytes(Image.new("L", (1000, 1))), "1000 x 1 pixels is too thin a strip"),
        (as_bytes(Image.fromarray(GRADIENT.astype(np.float32)), "TIFF"), "floating-point pixels"),
        (as_bytes(Image.fromarray(GRADIENT.astype(np.int32) * 10**6), "TIFF"), "32-bit pixels"),
    ],
)
def test_a_picture_that_is_none_gives_the_reason(content, reason, tmp_path):
    for given in (content, tmp_path / "file.jpg"):
        (tmp_path / "file.jpg").write_bytes(content)
        with pytest.raises(UnreadableError, match=reason):
            decode_picture(given)


def test_a_file_that_is_not_there_is_said(tmp_path):
    with pytest.raises(UnreadableError, match="no such file"):
        decode_picture(tmp_path / "none.jpg")


def test_a_bomb_is_refused_without_being_unpacked(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(UnreadableError, match="decompression bomb"):
        decode_picture(as_bytes(Image.fromarray(GRADIENT)))
