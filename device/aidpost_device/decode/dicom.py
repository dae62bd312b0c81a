"""Decodes a DICOM file: header, description, pixels and how they are meant to be shown."""

from __future__ import annotations

import numpy as np
from pydicom import Dataset

from aidpost_device.decode import description as describing
from aidpost_device.decode import header as heading
from aidpost_device.decode import presentation as presenting
from aidpost_device.decode.codecs import FULL, decode_encapsulated, decode_native
from aidpost_device.decode.description import Description, read_description
from aidpost_device.decode.dicom_file import NATIVE, PIXEL_DATA, DicomFile, PixelElement, read_dicom
from aidpost_device.decode.fragments import join_fragments
from aidpost_device.decode.frame import Frame
from aidpost_device.decode.guard import guarded
from aidpost_device.decode.header import read_header
from aidpost_device.decode.image import DecodedImage, Header, Photometric, Pixels
from aidpost_device.decode.limits import Limits
from aidpost_device.decode.presentation import read_presentation
from aidpost_device.decode.reason import Reason, rejection
from aidpost_device.decode.sniff import Kind, sniff
from aidpost_device.errors import ScanError

_PALETTE = (
    *range(0x0028_1101, 0x0028_1105),
    0x0028_1199,
    *range(0x0028_1201, 0x0028_1205),
    *range(0x0028_1221, 0x0028_1225),
)
_TAGS = (*heading.TAGS, *describing.TAGS, *presenting.TAGS, *_PALETTE)


def decode_dicom(data: bytes | memoryview, size: int, limits: Limits) -> DecodedImage:
    """Decode a DICOM file with one image. Raises `ScanError`, with the header as far as it could be read."""
    file = read_dicom(data, _TAGS, limits)
    header = read_header(file.dataset)
    try:
        return _decode(file, header, size, limits)
    except ScanError as error:
        error.header = header
        raise


def header_of(data: bytes | memoryview, limits: Limits) -> Header | None:
    """Read the header alone; None where the file is no DICOM file or cannot be parsed."""
    if sniff(data) is not Kind.DICOM:
        return None
    try:
        with guarded("the file reader"):
            return read_header(read_dicom(data, _TAGS, limits).dataset)
    except ScanError:
        return None


def _decode(file: DicomFile, header: Header, size: int, limits: Limits) -> DecodedImage:
    if file.pixels is None:
        if file.cut_short or describing.ROWS in file.dataset:
            raise rejection(Reason.TRUNCATED, "ends, or is damaged, before its pixels")
        raise rejection(Reason.NO_PIXELS, f"holds no image (modality {header.modality or 'unknown'})")
    if file.pixels.tag != PIXEL_DATA:
        raise rejection(Reason.UNSUPPORTED, "holds floating-point pixels")
    description = read_description(file.dataset, limits)
    if description.samples == 3 or description.photometric == "PALETTE COLOR":
        frame = _frame(file, file.pixels, description, size if description.samples == 3 else FULL)
        return _colour_image(file.dataset, frame, description, header)
    return _grey_image(file, file.pixels, description, header, size)


def _grey_image(
    file: DicomFile, pixels: PixelElement, description: Description, header: Header, size: int
) -> DecodedImage:
    presentation = read_presentation(
        file.dataset, signed=description.signed, stored=description.stored, little=file.little_endian
    )
    frame = _frame(file, pixels, description, FULL if presentation.needs_every_pixel else size)
    photometric: Photometric = "MONOCHROME1" if description.photometric == "MONOCHROME1" else "MONOCHROME2"
    return DecodedImage(
        pixels=frame.pixels,
        photometric=photometric,
        bits=description.stored,
        rows=description.rows,
        columns=description.columns,
        decoder=frame.decoder,
        aspect=description.aspect,
        slope=presentation.slope,
        intercept=presentation.intercept,
        modality_table=presentation.modality_table,
        voi=presentation.voi,
        padding=presentation.padding,
        step=frame.step,
        origin=frame.origin,
        header=header,
    )


def _colour_image(dataset: Dataset, frame: Frame, description: Description, header: Header) -> DecodedImage:
    return DecodedImage(
        pixels=_rgb(dataset, frame, description),
        photometric="RGB",
        bits=8,
        rows=description.rows,
        columns=description.columns,
        decoder=frame.decoder,
        aspect=description.aspect,
        step=frame.step,
        origin=frame.origin,
        header=header,
    )


def _frame(file: DicomFile, pixels: PixelElement, description: Description, size: int) -> Frame:
    if file.syntax is None or file.syntax in NATIVE:
        if pixels.length is None:
            raise rejection(Reason.BAD_HEADER, "holds compressed pixels and does not say which kind")
        words = not file.little_endian and pixels.representation == "OW"
        return decode_native(pixels.content, description, little=file.little_endian, words=words)
    if pixels.length is not None:
        raise rejection(Reason.BAD_HEADER, f"says its pixels are compressed ({file.syntax[:64]}) and they are not")
    return decode_encapsulated(file.syntax, join_fragments(pixels.content), description, size)


def _rgb(dataset: Dataset, frame: Frame, description: Description) -> Pixels:
    """Turn palette, YBR and deep colours into RGB of 8 bits."""
    if description.photometric == "PALETTE COLOR":
        from pydicom.pixels.processing import apply_color_lut

        with guarded("its colour palette"):
            colours: Pixels = apply_color_lut(frame.pixels, dataset)[..., :3]
        return colours if colours.dtype == np.uint8 else (colours >> 8).astype(np.uint8)
    colours = frame.pixels
    if description.signed:
        raise rejection(Reason.UNSUPPORTED, "has signed colours")
    if colours.dtype != np.uint8:
        colours = (colours >> max(0, description.stored - 8)).astype(np.uint8)
    if frame.rgb or description.photometric == "RGB":
        return colours
    if description.photometric in ("YBR_ICT", "YBR_RCT"):
        raise rejection(Reason.BAD_HEADER, f"says {description.photometric}, which only JPEG 2000 can be")

    from PIL import Image

    size = (colours.shape[1], colours.shape[0])
    ybr = Image.frombuffer("YCbCr", size, np.ascontiguousarray(colours), "raw", "YCbCr", 0, 1)
    return np.asarray(ybr.convert("RGB"))
