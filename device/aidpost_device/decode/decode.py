"""From a file's bytes to its image: the one entrance to the decoders."""

from __future__ import annotations

from aidpost_device.decode.codecs import FULL
from aidpost_device.decode.guard import guarded
from aidpost_device.decode.image import DecodedImage
from aidpost_device.decode.limits import DEFAULT_LIMITS, Limits
from aidpost_device.decode.reason import Reason, rejection
from aidpost_device.decode.sniff import Kind, sniff
from aidpost_device.errors import ScanError


def decode(name: str, data: bytes | memoryview, size: int = FULL, limits: Limits = DEFAULT_LIMITS) -> DecodedImage:
    """Decode one image. Raises `ScanError` with a reason of `Reason`, and nothing else.

    `size`: smallest side in pixels that must survive; codecs that can decode a smaller image do so down to it.
    Time and address space are bounded by the worker that runs this (`pool`), pixels and bytes here.
    """
    try:
        with guarded("the file reader"):
            return _decode(data, size, limits)
    except ScanError as error:
        named = ScanError(error.reason, f"{name} {error}.", error.hint)
        named.header = error.header
        raise named from error.__cause__


def _decode(data: bytes | memoryview, size: int, limits: Limits) -> DecodedImage:
    if not len(data):
        raise rejection(Reason.EMPTY, "is empty")
    if len(data) > limits.file_bytes:
        raise rejection(Reason.TOO_LARGE, f"is {len(data)} bytes; at most {limits.file_bytes} bytes are read")
    kind = sniff(data)
    if kind is None:
        raise rejection(Reason.NOT_AN_IMAGE, "is neither DICOM nor PNG, JPEG or TIFF")
    if kind is Kind.DICOM:
        from aidpost_device.decode.dicom import decode_dicom

        return decode_dicom(data, size, limits)

    from aidpost_device.decode.raster import decode_raster

    return decode_raster(data, kind, size, limits)
