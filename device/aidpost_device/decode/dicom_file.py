"""Reads a DICOM file from memory up to its pixels: pydicom parses the elements, the pixels stay where they are.

pydicom's own `dcmread` is not used: it inflates deflated files without bound, and copies the pixels.
"""

from __future__ import annotations

import struct
import warnings
import zlib
from dataclasses import dataclass

from pydicom import Dataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag

from aidpost_device.decode.element import text
from aidpost_device.decode.limits import Limits
from aidpost_device.decode.memory_file import MemoryFile
from aidpost_device.decode.reason import Reason, rejection
from aidpost_device.decode.sniff import PREAMBLE

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"
DEFLATED_LITTLE = "1.2.840.10008.1.2.1.99"
NATIVE = frozenset({IMPLICIT_LITTLE, EXPLICIT_LITTLE, EXPLICIT_BIG, DEFLATED_LITTLE})
"""Transfer syntaxes whose pixels are not compressed one by one."""

TRANSFER_SYNTAX = 0x0002_0010
PIXEL_DATA, FLOAT_PIXELS, DOUBLE_PIXELS = 0x7FE0_0010, 0x7FE0_0008, 0x7FE0_0009
_UNDEFINED = 0xFFFF_FFFF
_CHUNK = 2**20
_ELEMENT_HEAD = 8
"""Bytes that the parser asks for at the end of any file, looking for one more element."""
_VR_AT = 4
"""Place of the value representation in an explicit element, bytes."""


@dataclass(frozen=True, eq=False)
class PixelElement:
    """The pixels' element as it stands in the file."""

    tag: int
    representation: str | None
    """Value representation where the file says it: OB or OW."""
    content: memoryview
    """From its first byte to its last; to the end of the file when its length is undefined."""
    length: int | None
    """Bytes the file promises; None when undefined, as for compressed pixels."""


@dataclass(frozen=True, eq=False)
class DicomFile:
    """A DICOM file, parsed up to its pixels."""

    dataset: Dataset
    syntax: str | None
    """Transfer syntax UID; None when the file does not say and the parser guessed the byte order."""
    little_endian: bool
    pixels: PixelElement | None
    cut_short: bool = False
    """Whether an element ends behind the end of the file."""


def read_dicom(data: bytes | memoryview, tags: tuple[int, ...], limits: Limits) -> DicomFile:
    """Parse the elements `tags` (and the character set), stopping at the pixels. Raises `ScanError`."""
    content = memoryview(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start = PREAMBLE if bytes(content[PREAMBLE - 4 : PREAMBLE]) == b"DICM" else 0
        syntax, start = _read_meta(content, start)
        content = content[start:]
        if syntax == DEFLATED_LITTLE:
            content = _inflate(content, limits)
        implicit, little = _encoding(syntax, content)
        return _read_elements(content, syntax, implicit, little, tags)


def _read_meta(content: memoryview, start: int) -> tuple[str | None, int]:
    """Return the transfer syntax and the place where the dataset begins."""
    file = MemoryFile(content)
    file.seek(start)
    meta = read_dataset(file, False, True, stop_when=_behind_meta, specific_tags=[TRANSFER_SYNTAX])  # type: ignore[arg-type]
    return text(meta, TRANSFER_SYNTAX), file.tell()


def _behind_meta(tag: BaseTag, vr: str | None, length: int) -> bool:
    del vr, length
    return tag >> 16 != 2


def _inflate(content: memoryview, limits: Limits) -> memoryview:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    pieces, total, tail = [], 0, bytes(content)
    while not inflater.eof:
        piece = inflater.decompress(tail, min(_CHUNK, limits.file_bytes + 1 - total))
        total += len(piece)
        if total > limits.file_bytes:
            raise rejection(
                Reason.TOO_LARGE, f"inflates to more than {limits.file_bytes} bytes from {len(content)} bytes"
            )
        tail = inflater.unconsumed_tail
        pieces.append(piece)
        if not piece and not tail and not inflater.eof:
            raise rejection(Reason.TRUNCATED, f"its deflated content ends early, after {total} bytes")
    return memoryview(b"".join(pieces))


def _encoding(syntax: str | None, content: memoryview) -> tuple[bool, bool]:
    """Return whether the value representations are implicit, and whether the byte order is little endian."""
    if syntax is not None:
        return syntax == IMPLICIT_LITTLE, syntax != EXPLICIT_BIG
    little = len(content) < 2 or struct.unpack("<H", content[:2])[0] < struct.unpack(">H", content[:2])[0]
    representation = bytes(content[_VR_AT : _VR_AT + 2])
    return not (representation.isalpha() and representation.isupper()), little


def _read_elements(
    content: memoryview, syntax: str | None, implicit: bool, little: bool, tags: tuple[int, ...]
) -> DicomFile:
    found: list[tuple[int, str | None, int, int]] = []

    def at_pixels(tag: BaseTag, vr: str | None, length: int) -> bool:
        if tag not in (PIXEL_DATA, FLOAT_PIXELS, DOUBLE_PIXELS):
            return False
        found.append((int(tag), vr, file.tell(), length))
        return True

    file = MemoryFile(content)
    dataset = read_dataset(file, implicit, little, stop_when=at_pixels, specific_tags=list(tags))  # type: ignore[arg-type]
    if not found:
        return DicomFile(dataset, syntax, little, None, cut_short=file.overreach > _ELEMENT_HEAD)
    tag, representation, start, length = found[-1]
    if length == _UNDEFINED:
        return DicomFile(dataset, syntax, little, PixelElement(tag, representation, content[start:], None))
    pixels = content[start : start + length]
    return DicomFile(dataset, syntax, little, PixelElement(tag, representation, pixels, length))
