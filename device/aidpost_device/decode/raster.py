"""Decodes PNG, JPEG and TIFF: photographs of films, and what old machines export.

One image per file. Alpha is laid over black. A photograph is turned the way its EXIF orientation says. CMYK, Lab and
floating-point images are refused: they are made for printing or computing, not by a scanner.
"""

from __future__ import annotations

import io
import warnings

import numpy as np
import PIL
from PIL import Image, ImageOps

from aidpost_device.decode.codecs import FULL, decode_jpeg
from aidpost_device.decode.guard import guarded
from aidpost_device.decode.image import DecodedImage, Photometric, Pixels
from aidpost_device.decode.limits import Limits
from aidpost_device.decode.reason import Reason, rejection
from aidpost_device.decode.sniff import Kind

_DEEP_GREY = {"I;16", "I;16L", "I;16B", "I;16N", "I"}
_TIFF_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0
_ORIENTATION = 0x0112


def decode_raster(data: bytes | memoryview, kind: Kind, size: int, limits: Limits) -> DecodedImage:
    """Decode a PNG, JPEG or TIFF file. Raises `ScanError`."""
    decoder = f"pillow-{kind.lower()} {PIL.__version__}"
    with guarded(decoder), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with _open(data, kind) as image:
            if image.width * image.height > limits.pixels:
                raise rejection(
                    Reason.TOO_LARGE,
                    f"is {image.width} x {image.height} pixels; at most {limits.pixels} pixels are read",
                )
            orientation = image.getexif().get(_ORIENTATION, 1)
            if kind is Kind.JPEG:
                return _jpeg(data, image, orientation, size)
            inverted = kind is Kind.TIFF and _is_inverted(image)
            image.load()
            turned = _plain(ImageOps.exif_transpose(image))
            return _image(np.asarray(turned), decoder, turned.height, turned.width, inverted=inverted)


def _open(data: bytes | memoryview, kind: Kind) -> Image.Image:
    """Open by the decoder of the sniffed kind, so that no other one is tried on hostile bytes."""
    file = io.BytesIO(data)
    if kind is Kind.JPEG:
        from PIL.JpegImagePlugin import JpegImageFile

        return JpegImageFile(file)
    if kind is Kind.PNG:
        from PIL.PngImagePlugin import PngImageFile

        image: Image.Image = PngImageFile(file)
    else:
        from PIL.TiffImagePlugin import TiffImageFile

        image = TiffImageFile(file)
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        raise rejection(Reason.MULTI_FRAME, f"holds {frames} images; files with one are read")
    return image


def _jpeg(data: bytes | memoryview, image: Image.Image, orientation: int, size: int) -> DecodedImage:
    upright = orientation not in range(2, 9)
    divisible = image.width % 8 == 0 and image.height % 8 == 0
    # Turned, the cut-off column of an odd width would come first, and the grid would not begin at its origin.
    frame = decode_jpeg(data, size if upright or divisible else FULL)
    turned = frame.pixels if upright else _turn(frame.pixels, orientation)
    rows, columns = (image.height, image.width) if orientation < 5 else (image.width, image.height)
    return _image(turned, frame.decoder, rows, columns, step=frame.step, origin=frame.origin)


def _turn(pixels: Pixels, orientation: int) -> Pixels:
    """Turn or mirror as the EXIF orientation says (2 to 8)."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _plain(image: Image.Image) -> Image.Image:
    """Bring an image to 8-bit grey, deep grey or RGB."""
    if image.mode in ("L", "RGB") or image.mode in _DEEP_GREY:
        if "transparency" not in image.info or image.mode in _DEEP_GREY:
            return image
        image = image.convert("RGBA")
    if image.mode == "1":
        return image.convert("L")
    if image.mode == "P":
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    if image.mode == "LA":
        return _over_black(image, "L")
    if image.mode in ("RGBA", "PA", "La", "RGBa"):
        return _over_black(image.convert("RGBA"), "RGB")
    if image.mode == "YCbCr":
        return image.convert("RGB")
    if image.mode != "RGB":
        raise rejection(Reason.UNSUPPORTED, f"has {image.mode} colours")
    return image


def _over_black(image: Image.Image, mode: str) -> Image.Image:
    black = Image.new(mode, image.size)
    black.paste(image.convert(mode), mask=image.getchannel("A"))
    return black


def _is_inverted(image: Image.Image) -> bool:
    """Whether a deep grey TIFF has white at 0, which Pillow turns round for shallow ones only."""
    tags = getattr(image, "tag_v2", {})
    return image.mode in _DEEP_GREY and tags.get(_TIFF_PHOTOMETRIC) == _WHITE_IS_ZERO


def _image(
    pixels: Pixels, decoder: str, rows: int, columns: int, *, inverted: bool = False, step: int = 1, origin: float = 0.5
) -> DecodedImage:
    grey: Photometric = "MONOCHROME1" if inverted else "MONOCHROME2"
    return DecodedImage(
        pixels=pixels,
        photometric="RGB" if pixels.ndim == 3 else grey,
        bits=8 * pixels.dtype.itemsize,
        rows=rows,
        columns=columns,
        decoder=decoder,
        step=step,
        origin=origin,
    )
