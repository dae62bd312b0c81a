"""What kind of file it is, by its first bytes; names and extensions are not believed."""

from __future__ import annotations

import re
from enum import StrEnum

PREAMBLE = 132
"""Bytes before the first element of a DICOM file: 128 of anything, then `DICM`."""


class Kind(StrEnum):
    """The kinds of file that are read."""

    DICOM = "DICOM"
    PNG = "PNG"
    JPEG = "JPEG"
    TIFF = "TIFF"


_RASTERS = (
    (b"\x89PNG\r\n\x1a\n", Kind.PNG),
    (b"\xff\xd8\xff", Kind.JPEG),
    (b"II*\0", Kind.TIFF),
    (b"MM\0*", Kind.TIFF),
)
_VR = re.compile(rb"[A-Z]{2}")
_LONGEST_FIRST_VALUE = 1024
"""Bytes. The first element of a dataset without preamble is a group length, a UID or a character set."""


def sniff(data: bytes | memoryview) -> Kind | None:
    """Name the kind of file, or None when it is none that is read."""
    head = bytes(data[:PREAMBLE])
    if head[128:] == b"DICM":  # before the others: a preamble may imitate a TIFF
        return Kind.DICOM
    for magic, kind in _RASTERS:
        if head.startswith(magic):
            return kind
    return Kind.DICOM if has_bare_dataset(head) else None


def has_bare_dataset(head: bytes) -> bool:
    """Whether the bytes begin like a DICOM dataset without preamble: an element of group 2 or 8, sanely long."""
    if len(head) < 12:
        return False
    if head[:2] in (b"\x02\0", b"\x08\0"):
        order, element = "little", int.from_bytes(head[2:4], "little")
    elif head[:2] in (b"\0\x02", b"\0\x08"):
        order, element = "big", int.from_bytes(head[2:4], "big")
    else:
        return False
    if _VR.fullmatch(head[4:6]):
        length = int.from_bytes(head[6:8], "little" if order == "little" else "big")
    else:
        length = int.from_bytes(head[4:8], "little")  # implicit VR exists in little endian only
    return element <= 0x0060 and length <= _LONGEST_FIRST_VALUE
