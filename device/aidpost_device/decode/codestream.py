"""The frame header of a compressed image, read before any decoder sees it: a small file can promise a huge image."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from aidpost_device.decode.reason import Reason, rejection


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """What a compressed image says of itself."""

    rows: int
    columns: int
    samples: int
    precision: int
    """Bits per sample."""
    signed: bool = False
    levels: int = 0
    """JPEG 2000: resolutions below the full one, each half the size of the one before."""
    plain: bool = True
    """JPEG 2000: all samples on one grid that begins at 0, so that a reduced image lies where it is computed to."""


# ---- JPEG, JPEG Lossless, JPEG-LS -----------------------------------------------------------------------------------

_START, _SCAN = 0xD8, 0xDA
_END_OF_IMAGE = re.compile(rb"\xff\xd9")
_STANDALONE = {0x01, *range(0xD0, 0xD8)}
_FRAMES = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
"""Start-of-frame markers; F7 is JPEG-LS."""


def read_jpeg_header(data: bytes | memoryview) -> FrameHeader:
    """Read a JPEG or JPEG-LS frame header, and check that the image's end is there. Raises `ScanError`."""
    stream = memoryview(data)
    frame: FrameHeader | None = None
    for marker, place, length in _segments(stream):
        if marker in _FRAMES and frame is None:
            if length < 8:
                break
            precision, rows, columns, samples = struct.unpack_from(">BHHB", stream, place)
            frame = FrameHeader(rows, columns, samples, precision)
        if marker == _SCAN:
            if frame is None:
                break
            _check_end(stream[place:])
            return frame
    raise rejection(Reason.UNDECODABLE, "is no JPEG image where its compressed pixels should be")


def _segments(stream: memoryview) -> Iterator[tuple[int, int, int]]:
    """Yield each segment before the pixels, and the one that begins them: marker, place and length of its content."""
    place = 2 if bytes(stream[:2]) == bytes((0xFF, _START)) else len(stream)
    while place + 4 <= len(stream) and stream[place] == 0xFF:
        marker = stream[place + 1]
        if marker == 0xFF or marker in _STANDALONE:
            place += 1 if marker == 0xFF else 2
            continue
        (length,) = struct.unpack_from(">H", stream, place + 2)
        if length < 2 or place + 2 + length > len(stream):
            return
        yield marker, place + 4, length - 2
        place += 2 + length


def _check_end(scan: memoryview) -> None:
    """Refuse pixels without their end, or with an end too early: some decoders fill the rest with grey in silence."""
    end = _END_OF_IMAGE.search(scan)
    if end is None:
        raise rejection(Reason.TRUNCATED, "ends inside its compressed pixels")
    if bytes(scan[end.end() :]).strip(b"\0\xff"):
        raise rejection(Reason.UNDECODABLE, "has damaged compressed pixels")


# ---- JPEG 2000 ------------------------------------------------------------------------------------------------------

_J2K_START = b"\xff\x4f\xff\x51"
_JP2_START = b"\x00\x00\x00\x0cjP  "
_CODING_STYLE, _TILE = 0xFF52, 0xFF90
_SIZE = struct.Struct(">HHIIIIIIIIH")


def is_bare_jpeg2000(data: bytes | memoryview) -> bool:
    """Whether the data are a codestream without the JP2 file around it."""
    return bytes(data[:4]) == _J2K_START


def read_jpeg2000_header(data: bytes | memoryview) -> FrameHeader:
    """Read the header of a JPEG 2000 codestream, also inside a JP2 file. Raises `ScanError`."""
    stream = memoryview(data)
    start = 0 if is_bare_jpeg2000(stream) else bytes(stream[:4096]).find(_J2K_START)
    if start < 0 or (start and bytes(stream[:8]) != _JP2_START) or len(stream) < start + 4 + _SIZE.size + 3:
        raise rejection(Reason.UNDECODABLE, "is no JPEG 2000 image where its compressed pixels should be")
    place = start + 4
    (length, _, right, bottom, left, top, _, _, tile_left, tile_top, samples) = _SIZE.unpack_from(stream, place)
    components = bytes(stream[place + _SIZE.size : place + length])
    if len(components) != 3 * samples or not samples or right <= left or bottom <= top:
        raise rejection(Reason.UNDECODABLE, "has a damaged JPEG 2000 header")
    levels = _levels(stream, place + length)
    return FrameHeader(
        rows=bottom - top,
        columns=right - left,
        samples=samples,
        precision=(components[0] & 0x7F) + 1,
        signed=bool(components[0] & 0x80),
        levels=levels,
        plain=not any((left, top, tile_left, tile_top))
        and all(components[i : i + 3] == bytes((components[0], 1, 1)) for i in range(0, len(components), 3)),
    )


def _levels(stream: memoryview, place: int) -> int:
    """Return the number of reduced resolutions, 0 when it cannot be told."""
    while place + 10 <= len(stream):
        marker, length = struct.unpack_from(">HH", stream, place)
        if marker == _CODING_STYLE:
            return min(stream[place + 9], 32)
        if marker == _TILE or length < 2:
            break
        place += 2 + length
    return 0
