"""One pinned decoder per transfer syntax: the same file gives the same pixels, and the record names who gave them.

Decoders are imported when the first file needs them.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib import metadata

import numpy as np

from aidpost_device.decode.codestream import (
    FrameHeader,
    is_bare_jpeg2000,
    read_jpeg2000_header,
    read_jpeg_header,
)
from aidpost_device.decode.description import Description
from aidpost_device.decode.frame import Frame, interpret
from aidpost_device.decode.guard import guarded
from aidpost_device.decode.image import Pixels
from aidpost_device.decode.reason import Reason, rejection

Encoded = bytes | memoryview
FULL = 1 << 30
"""A size that no image reaches: decode at full resolution."""


def decode_encapsulated(syntax: str, data: Encoded, description: Description, size: int) -> Frame:
    """Decode one compressed image; where the codec can, only as large as `size` needs. Raises `ScanError`."""
    codec = _CODECS.get(syntax)
    if codec is None:
        raise rejection(Reason.UNSUPPORTED, f"is compressed in a way that is not read ({syntax[:64]})")
    frame = codec(data, description, size)
    expected = tuple(-(-side // frame.step) for side in (description.rows, description.columns))
    if frame.pixels.shape[:2] != expected or frame.pixels.shape[2:] != description.shape[2:]:
        raise rejection(Reason.BAD_HEADER, f"says it is {description.shape} and decodes to {frame.pixels.shape}")
    return frame


# ---- JPEG -----------------------------------------------------------------------------------------------------------


def _jpeg(data: Encoded, description: Description, size: int) -> Frame:
    header = _agreed(read_jpeg_header(data), description)
    if header.precision != 8:
        return _jpeg8(data, description, size)
    frame = decode_jpeg(data, size, trust_rgb=description.photometric == "RGB")
    return replace(frame, pixels=interpret(frame.pixels, 8, description.signed))


def decode_jpeg(data: Encoded, size: int, *, trust_rgb: bool = False) -> Frame:
    """Decode an 8-bit JPEG image, scaled down by 2, 4 or 8 as long as both sides stay at least `size`.

    `trust_rgb`: the three components are RGB already, unless the stream itself says otherwise.
    """
    import PIL
    from PIL.JpegImagePlugin import JpegImageFile

    decoder = f"pillow-jpeg {PIL.__version__}"
    with guarded(decoder):
        image = JpegImageFile(io.BytesIO(data))
        if image.mode not in ("L", "RGB"):
            raise rejection(Reason.UNSUPPORTED, f"has {image.mode} colours")
        rows, columns = image.height, image.width
        untransformed = trust_rgb and image.mode == "RGB" and not {"jfif", "adobe"} & image.info.keys()
        # Asked for YCbCr, libjpeg leaves the components of an unmarked image as they are.
        image.draft("YCbCr" if untransformed else image.mode, (size, size))
        pixels = np.asarray(image)
    scale = min(rows, columns) // size
    step = next((step for step in (8, 4, 2) if step <= scale), 1)
    return Frame(pixels, decoder, step, step / 2, rgb=True)


def _jpeg8(data: Encoded, description: Description, size: int) -> Frame:
    del size
    import imagecodecs

    header = _agreed(read_jpeg_header(data), description)
    decoder = f"imagecodecs-jpeg8 {imagecodecs.__version__}"
    with guarded(decoder):
        # The same space in and out: the components stay what the file's photometric interpretation says they are.
        space = None if header.samples == 1 else "RGB"
        raw: Pixels = imagecodecs.jpeg8_decode(data, colorspace=space, outcolorspace=space)  # type: ignore[arg-type]
    return Frame(_stored(raw, header, description), decoder)


def _jpegls(data: Encoded, description: Description, size: int) -> Frame:
    del size
    import imagecodecs

    header = _agreed(read_jpeg_header(data), description)
    decoder = f"imagecodecs-jpegls {imagecodecs.__version__}"
    with guarded(decoder):
        raw: Pixels = imagecodecs.jpegls_decode(data)  # type: ignore[arg-type]  # takes any buffer
    return Frame(_stored(raw, header, description), decoder)


def _stored(raw: Pixels, header: FrameHeader, description: Description) -> Pixels:
    """Take the stored bits out of samples that may be wider, as a codestream of whole words is."""
    shift = description.shift if header.precision >= description.shift + description.stored else 0
    raw = raw >> shift if shift else raw
    return interpret(raw, min(header.precision, description.stored), description.signed)


# ---- JPEG 2000 ------------------------------------------------------------------------------------------------------


def _jpeg2000(data: Encoded, description: Description, size: int) -> Frame:
    header = _agreed(read_jpeg2000_header(data), description)
    grey = header.samples == 1 and header.precision <= 16
    colour = header.samples == 3 and header.precision == 8 and description.photometric in ("RGB", "YBR_ICT", "YBR_RCT")
    if not (is_bare_jpeg2000(data) and header.plain and (grey or (colour and not header.signed))):
        return _openjpeg(data, description, size)

    import PIL
    from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile

    halvings = 0
    while halvings < header.levels and min(header.rows, header.columns) >> (halvings + 1) >= size:
        halvings += 1
    step = 1 << halvings
    decoder = f"pillow-jpeg2000 {PIL.__version__}"
    with guarded(decoder):
        image = Jpeg2KImageFile(io.BytesIO(data))
        image.reduce = halvings
        # Pillow rounds the reduced size where the codec rounds up, and then refuses what the codec gives.
        image._size = (-(-header.columns // step) * step, -(-header.rows // step) * step)
        raw = np.asarray(image)
    pixels = raw if colour else _unscaled(raw, header, description.signed)
    # A reduced sample is a low-pass value at the place of every step-th pixel, not in the middle of a box.
    return Frame(pixels, decoder, step, 0.5, rgb=colour)


def _unscaled(raw: Pixels, header: FrameHeader, signed: bool) -> Pixels:
    """Undo what Pillow does to grey values: signed ones are lifted, and all are scaled up to 8 or 16 bits."""
    values = raw >> (8 * raw.dtype.itemsize - header.precision)
    if header.signed:
        values = values ^ values.dtype.type(1 << (header.precision - 1))
    return interpret(values, header.precision, signed)


def _openjpeg(data: Encoded, description: Description, size: int) -> Frame:
    del size
    import openjpeg.utils

    header = _agreed(read_jpeg2000_header(data), description)
    decoder = f"pylibjpeg-openjpeg {version('pylibjpeg-openjpeg')}"
    with guarded(decoder):
        decoded: Pixels = openjpeg.utils.decode(bytes(data))
        raw = decoded.view(f"u{decoded.dtype.itemsize}")
    return Frame(
        interpret(raw, header.precision, description.signed),
        decoder,
        rgb=description.photometric in ("RGB", "YBR_ICT", "YBR_RCT"),
    )


# ---- RLE and uncompressed -------------------------------------------------------------------------------------------


def _rle(data: Encoded, description: Description, size: int) -> Frame:
    del size
    from rle.utils import decode_pixel_data

    decoder = f"pylibjpeg-rle {version('pylibjpeg-rle')}"
    rows, columns, allocated = description.rows, description.columns, description.allocated
    with guarded(decoder):
        buffer = decode_pixel_data(bytes(data), version=2, rows=rows, columns=columns, bits_allocated=allocated)
        planes: Pixels = np.frombuffer(buffer, f"<u{allocated // 8}").reshape(description.samples, rows, columns)
        raw = planes[0] if description.samples == 1 else planes.transpose(1, 2, 0)
    return Frame(interpret(raw >> description.shift, description.stored, description.signed), decoder)


def decode_native(data: memoryview, description: Description, *, little: bool, words: bool) -> Frame:
    """View uncompressed pixels without copying them. Raises `ScanError`.

    `words`: 8-bit samples of a big-endian file stand in swapped pairs.
    """
    import pydicom

    rows, columns, width = description.rows, description.columns, description.allocated // 8
    half_colour = description.photometric == "YBR_FULL_422"
    needed = description.bytes * 2 // 3 if half_colour else description.bytes
    if len(data) < needed:
        raise rejection(Reason.TRUNCATED, f"holds {len(data)} of {needed} bytes of pixels")
    raw: Pixels = np.frombuffer(data, f"{'<' if little else '>'}u{width}", count=needed // width)
    if not little:
        raw = raw.astype(f"=u{width}")
    if words and width == 1:
        raw = np.frombuffer(data[: needed // 2 * 2], "<u2").byteswap().view("u1")
    if half_colour:
        raw = _whole_colour(raw)
    if description.samples == 3 and description.planar and not half_colour:
        raw = raw.reshape(3, rows, columns).transpose(1, 2, 0)
    raw = raw.reshape(description.shape)
    if description.shift:
        raw = raw >> description.shift
    return Frame(interpret(raw, description.stored, description.signed), f"pydicom-native {pydicom.__version__}")


def _whole_colour(raw: Pixels) -> Pixels:
    """Repeat the colour that two neighbours share: Y1 Y2 B R becomes Y1 B R Y2 B R (DICOM PS3.3 C.7.6.3.1.2)."""
    pairs = raw.reshape(-1, 4)  # (H * W / 2, 4)
    return pairs[:, [0, 2, 3, 1, 2, 3]].reshape(-1)


@cache
def version(distribution: str) -> str:
    """Return the version of an installed distribution."""
    return metadata.version(distribution)


# ---- which one ------------------------------------------------------------------------------------------------------


def _agreed(header: FrameHeader, description: Description) -> FrameHeader:
    """Refuse a codestream whose shape is not what the file said: its size was checked by the file's word."""
    stream = (header.rows, header.columns, header.samples)
    said = (description.rows, description.columns, description.samples)
    if stream != said:
        raise rejection(Reason.BAD_HEADER, f"says it is {said} and its compressed pixels say {stream}")
    if not 1 <= header.precision <= (16 if description.allocated < 32 else 32):
        raise rejection(Reason.UNSUPPORTED, f"has compressed samples of {header.precision} bits")
    return header


_CODECS: dict[str, Callable[[Encoded, Description, int], Frame]] = {
    "1.2.840.10008.1.2.4.50": _jpeg,  # JPEG Baseline
    "1.2.840.10008.1.2.4.51": _jpeg,  # JPEG Extended
    "1.2.840.10008.1.2.4.57": _jpeg8,  # JPEG Lossless
    "1.2.840.10008.1.2.4.70": _jpeg8,  # JPEG Lossless, first-order prediction
    "1.2.840.10008.1.2.4.80": _jpegls,  # JPEG-LS Lossless
    "1.2.840.10008.1.2.4.81": _jpegls,  # JPEG-LS Near-lossless
    "1.2.840.10008.1.2.4.90": _jpeg2000,  # JPEG 2000 Lossless
    "1.2.840.10008.1.2.4.91": _jpeg2000,  # JPEG 2000
    "1.2.840.10008.1.2.4.201": _openjpeg,  # High-Throughput JPEG 2000 Lossless
    "1.2.840.10008.1.2.4.202": _openjpeg,  # the same, by resolution
    "1.2.840.10008.1.2.4.203": _openjpeg,  # High-Throughput JPEG 2000
    "1.2.840.10008.1.2.5": _rle,  # RLE Lossless
}
