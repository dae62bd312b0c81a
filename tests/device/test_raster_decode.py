"""PNG, JPEG and TIFF: photographs of films and what old machines export."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from aidpost_device.decode.decode import decode
from aidpost_device.decode.limits import Limits
from aidpost_device.decode.reason import Reason
from aidpost_device.errors import ScanError

from . import dicoms

GREY = dicoms.film(60, 40, 8).astype(np.uint8)
DEEP = dicoms.film(60, 40, 16)
RGB = np.dstack([GREY, GREY // 2, 255 - GREY])


def _encode(pixels: NDArray[Any] | Image.Image, form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    picture.save(file, form, **options)
    return file.getvalue()


def _reason(data: bytes, limits: Limits | None = None) -> str:
    with pytest.raises(ScanError) as caught:
        decode("x.png", data, limits=limits or Limits())
    assert str(caught.value).startswith("x.png ")
    return caught.value.reason


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
@pytest.mark.parametrize(("pixels", "bits"), [(GREY, 8), (DEEP, 16), (RGB, 8)], ids=["grey", "deep", "colour"])
def test_lossless_rasters_give_their_values(form: str, pixels: NDArray[Any], bits: int) -> None:
    image = decode("x", _encode(pixels, form))
    assert np.array_equal(image.pixels, pixels)
    assert image.bits == bits
    assert image.photometric == ("RGB" if pixels.ndim == 3 else "MONOCHROME2")
    assert image.decoder.startswith(f"pillow-{form.lower()} ")
    assert (image.rows, image.columns) == (60, 40)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"])
def test_compressed_tiffs_are_read(compression: str) -> None:
    image = decode("x", _encode(GREY, "TIFF", compression=compression))
    assert np.abs(image.pixels.astype(int) - GREY).mean() < 3


def test_a_jpeg_is_read_close_to_its_source() -> None:
    image = decode("x", _encode(RGB, "JPEG", quality=95))
    assert np.abs(image.pixels.astype(int) - RGB).mean() < 3
    assert image.decoder.startswith("pillow-jpeg ")


@pytest.mark.parametrize("size", [(1600, 1200), (1601, 1203)])
def test_a_large_jpeg_is_scaled_as_it_is_decoded_and_keeps_its_place(size: tuple[int, int]) -> None:
    y, x = np.mgrid[0 : size[1], 0 : size[0]]
    ramp = ((x + y) / (size[0] + size[1]) * 255).astype(np.uint8)
    image = decode("x", _encode(ramp, "JPEG", quality=95), 300)
    assert (image.step, image.origin, image.rows, image.columns) == (4, 2.0, size[1], size[0])
    middle = (slice(2, -2), slice(2, -2))
    boxes = ramp[: size[1] // 4 * 4, : size[0] // 4 * 4].reshape(size[1] // 4, 4, size[0] // 4, 4).mean(axis=(1, 3))
    cut = image.pixels[: boxes.shape[0], : boxes.shape[1]]
    assert np.abs(cut - boxes)[middle].max() < 2


# ---- orientation ----------------------------------------------------------------------------------------------------

_MARKED = np.zeros((48, 32, 3), np.uint8)
_MARKED[:8, :8] = 255
_CORNERS = {1: "top left", 2: "top right", 3: "bottom right", 4: "bottom left"}
_CORNERS |= {5: "top left", 6: "top right", 7: "bottom right", 8: "bottom left"}


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_is_turned_upright(form: str, orientation: int) -> None:
    """The same rule as Pillow's own `exif_transpose`, also where the JPEG is turned by us."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = decode("x", _encode(_MARKED, form, exif=exif, **({"quality": 95} if form == "JPEG" else {})))
    height, width = (48, 32) if orientation < 5 else (32, 48)
    assert image.pixels.shape == (height, width, 3)
    assert (image.rows, image.columns) == (height, width)
    vertical, horizontal = _CORNERS[orientation].split()
    row, column = (2 if vertical == "top" else -3), (2 if horizontal == "left" else -3)
    assert image.pixels[row, column].min() > 200
    assert image.pixels.mean() < 30


def test_an_unknown_orientation_is_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 77
    assert decode("x", _encode(_MARKED, "JPEG", exif=exif)).pixels.shape == (48, 32, 3)


def test_a_turned_photograph_of_odd_size_is_decoded_whole() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    odd = np.zeros((1203, 1601), np.uint8)
    image = decode("x", _encode(odd, "JPEG", exif=exif), 100)
    assert (image.step, image.rows, image.columns) == (1, 1601, 1203)


# ---- colours --------------------------------------------------------------------------------------------------------


def test_alpha_is_laid_over_black() -> None:
    rgba = np.array([[[200, 100, 50, 255], [200, 100, 50, 0], [200, 100, 50, 51]]], np.uint8)
    assert decode("x", _encode(rgba, "PNG")).pixels.tolist() == [[[200, 100, 50], [0, 0, 0], [40, 20, 10]]]
    la = Image.merge(
        "LA", [Image.fromarray(np.array([[100, 100]], np.uint8)), Image.fromarray(np.array([[255, 0]], np.uint8))]
    )
    assert decode("x", _encode(la, "PNG")).pixels.tolist() == [[100, 0]]


def test_palettes_and_bits_become_plain() -> None:
    picture = Image.fromarray(RGB).quantize(16)
    assert np.array_equal(decode("x", _encode(picture, "PNG")).pixels, np.asarray(picture.convert("RGB")))
    bits = Image.fromarray((GREY > 128).astype(np.uint8) * 255).convert("1")
    for form in ("PNG", "TIFF"):
        assert np.array_equal(decode("x", _encode(bits, form)).pixels, np.asarray(bits.convert("L")))


def test_a_deep_tiff_with_white_at_zero_is_monochrome1() -> None:
    file = _encode(DEEP, "TIFF", tiffinfo={262: 0})
    image = decode("x", file)
    assert image.photometric == "MONOCHROME1"
    assert np.array_equal(image.pixels, DEEP)


@pytest.mark.parametrize("mode", ["CMYK", "LAB", "F"])
def test_images_for_printing_and_computing_are_refused(mode: str) -> None:
    picture = Image.new(mode, (8, 8))
    assert _reason(_encode(picture, "TIFF")) == Reason.UNSUPPORTED
    if mode == "CMYK":
        assert _reason(_encode(picture, "JPEG")) == Reason.UNSUPPORTED


# ---- what is refused ------------------------------------------------------------------------------------------------


def test_a_second_page_is_refused() -> None:
    pages = [Image.fromarray(GREY), Image.fromarray(GREY)]
    for form in ("TIFF", "PNG"):
        file = _encode(pages[0], form, save_all=True, append_images=[Image.fromarray(255 - GREY)])
        assert _reason(file) == Reason.MULTI_FRAME, form


@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF"])
@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.9])
def test_a_file_cut_short_is_refused(form: str, share: float) -> None:
    whole = _encode(dicoms.film(200, 200, 8).astype(np.uint8), form)
    assert _reason(whole[: int(share * len(whole))]) == Reason.UNDECODABLE


def test_only_the_three_kinds_are_tried() -> None:
    for form in ("GIF", "BMP", "WEBP", "PPM", "ICO"):
        assert _reason(_encode(GREY, form)) == Reason.NOT_AN_IMAGE


def _png_of(width: int, height: int) -> bytes:
    """A small PNG file that promises a huge image."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes(1_000_000), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [9_000, 12_000, 30_000, 65_535, 2**31 - 1])
def test_a_bomb_is_refused_by_its_promise(side: int) -> None:
    """Below, between and above Pillow's own two thresholds, none of which is ours."""
    assert _reason(_png_of(side, side)) in (Reason.TOO_LARGE, Reason.UNDECODABLE)
    assert _reason(_png_of(side, side)) == Reason.TOO_LARGE or side > 65_535


def test_a_large_image_within_the_limit_is_no_bomb() -> None:
    assert _reason(_png_of(100, 100), Limits(pixels=9_999)) == Reason.TOO_LARGE
    assert decode("x", _png_of(100, 100), limits=Limits(pixels=10_000)).pixels.shape == (100, 100)


def test_a_file_above_the_size_limit_is_refused() -> None:
    assert _reason(_encode(GREY, "PNG"), Limits(file_bytes=100)) == Reason.TOO_LARGE
