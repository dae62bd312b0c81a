"""The image description (DICOM PS3.3 C.7.6.3): what the pixels' bytes mean. Checked before a byte is allocated."""

from __future__ import annotations

from dataclasses import dataclass

from pydicom import Dataset

from aidpost_device.decode.element import integer, numbers, present, text
from aidpost_device.decode.limits import Limits
from aidpost_device.decode.reason import Reason, rejection

SAMPLES, PHOTOMETRIC, PLANAR, FRAMES = 0x0028_0002, 0x0028_0004, 0x0028_0006, 0x0028_0008
ROWS, COLUMNS = 0x0028_0010, 0x0028_0011
BITS_ALLOCATED, BITS_STORED, HIGH_BIT, SIGNED = 0x0028_0100, 0x0028_0101, 0x0028_0102, 0x0028_0103
PIXEL_SPACING, DETECTOR_SPACING, ASPECT = 0x0028_0030, 0x0018_1164, 0x0028_0034
TAGS = (
    *(SAMPLES, PHOTOMETRIC, PLANAR, FRAMES, ROWS, COLUMNS, BITS_ALLOCATED, BITS_STORED, HIGH_BIT, SIGNED),
    *(PIXEL_SPACING, DETECTOR_SPACING, ASPECT),
)
"""Every element the description is read from."""

_GREY = ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR")
_COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
_SQUARE = 0.01
"""Largest difference of the aspect to 1 that is taken for rounding."""
_LONGEST = 4.0
"""No machine's pixels are longer; what says so is an error of the file."""


@dataclass(frozen=True, slots=True)
class Description:
    """One image's shape and samples."""

    rows: int
    """Height, pixels in [1, 65535]."""
    columns: int
    """Width, pixels in [1, 65535]."""
    samples: int
    """Samples per pixel: 1 or 3."""
    photometric: str
    """One of DICOM's terms for grey, palette, RGB and YBR."""
    allocated: int
    """Bits that a sample takes in the file: 8, 16 or 32."""
    stored: int
    """Bits of them that hold the sample, in [1, allocated]."""
    shift: int
    """Unused bits below the stored ones (images older than DICOM 3)."""
    signed: bool
    planar: bool
    """Whether the three samples stand in planes."""
    aspect: float
    """Height of a pixel over its width, in [1/4, 4]."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(H, W) or (H, W, 3)."""
        return (self.rows, self.columns) if self.samples == 1 else (self.rows, self.columns, 3)

    @property
    def bytes(self) -> int:
        """Size of the uncompressed image, bytes."""
        return self.rows * self.columns * self.samples * self.allocated // 8


def read_description(dataset: Dataset, limits: Limits) -> Description:
    """Read and check the description. Raises `ScanError`."""
    rows, columns = _whole(dataset, ROWS, "Rows"), _whole(dataset, COLUMNS, "Columns")
    _check(1 <= rows <= 65535 and 1 <= columns <= 65535, f"says it is {columns} x {rows} pixels")
    frames = _whole(dataset, FRAMES, "Number of Frames", 1)
    _check(frames >= 1, f"says it holds {frames} images")
    if frames > 1:
        raise rejection(Reason.MULTI_FRAME, f"holds {frames} images; files with one are read")
    if rows * columns > limits.pixels:
        raise rejection(Reason.TOO_LARGE, f"is {columns} x {rows} pixels; at most {limits.pixels} pixels are read")
    photometric = text(dataset, PHOTOMETRIC, 16) or ""
    if photometric not in (*_GREY, *_COLOUR):
        raise rejection(Reason.UNSUPPORTED, f"has the photometric interpretation {photometric or 'missing'!r}")
    expected = 1 if photometric in _GREY else 3
    samples = _whole(dataset, SAMPLES, "Samples per Pixel", expected)
    _check(samples == expected, f"says {photometric} with {samples} samples per pixel")
    allocated, stored, shift = _bits(dataset)
    description = Description(
        rows=rows,
        columns=columns,
        samples=samples,
        photometric=photometric,
        allocated=allocated,
        stored=stored,
        shift=shift,
        signed=integer(dataset, SIGNED) == 1,
        planar=integer(dataset, PLANAR) == 1,
        aspect=_aspect(dataset),
    )
    if description.bytes > limits.memory_bytes // 2:
        raise rejection(Reason.TOO_LARGE, f"takes {description.bytes} bytes uncompressed")
    return description


def _bits(dataset: Dataset) -> tuple[int, int, int]:
    """Return bits allocated, bits stored, and unused bits below the stored ones."""
    allocated = _whole(dataset, BITS_ALLOCATED, "Bits Allocated")
    if allocated in (1, 64):
        raise rejection(Reason.UNSUPPORTED, f"has {allocated} bits per sample; 8, 16 and 32 are read")
    _check(allocated in (8, 16, 32), f"says it has {allocated} bits per sample")
    stored = _whole(dataset, BITS_STORED, "Bits Stored", allocated)
    _check(1 <= stored <= allocated, f"says {stored} of {allocated} bits are stored")
    high = _whole(dataset, HIGH_BIT, "High Bit", stored - 1)
    _check(stored - 1 <= high < allocated, f"says {stored} bits are stored up to bit {high}")
    return allocated, stored, high + 1 - stored


def _aspect(dataset: Dataset) -> float:
    """Return a pixel's height over its width: millimetres, where the file states them, go before a bare ratio."""
    for tag in (PIXEL_SPACING, DETECTOR_SPACING, ASPECT):
        stated = numbers(dataset, tag)
        if len(stated) == 2 and min(stated) > 0:
            aspect = stated[0] / stated[1]
            known = 1 / _LONGEST <= aspect <= _LONGEST and abs(aspect - 1) > _SQUARE
            return aspect if known else 1.0
    return 1.0


def _whole(dataset: Dataset, tag: int, name: str, default: int | None = None) -> int:
    """Return a whole number; `default` where the element is absent or empty."""
    if default is not None and not present(dataset, tag):
        return default
    found = integer(dataset, tag)
    if found is None:
        raise rejection(Reason.BAD_HEADER, f"has no usable {name}")
    return found


def _check(condition: bool, message: str) -> None:
    if not condition:
        raise rejection(Reason.BAD_HEADER, message)
