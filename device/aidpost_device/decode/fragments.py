"""Encapsulated pixels: a chain of length-marked fragments (DICOM PS3.5 A.4), joined into one compressed image."""

from __future__ import annotations

import struct

from aidpost_device.decode.reason import Reason, rejection

_ITEM, _END = 0xFFFE_E000, 0xFFFE_E0DD
_HEAD = struct.Struct("<HHL")


def join_fragments(content: memoryview) -> bytes | memoryview:
    """Join the fragments of a file with one image. Raises `ScanError` when the chain breaks or ends early."""
    fragments: list[memoryview] = []
    place = 0
    while True:
        if len(content) - place < _HEAD.size:
            raise rejection(Reason.TRUNCATED, f"ends inside its compressed pixels, after {len(fragments)} fragments")
        group, element, length = _HEAD.unpack_from(content, place)
        place += _HEAD.size
        tag = group << 16 | element
        if tag == _END:
            break
        if tag != _ITEM:
            raise rejection(Reason.BAD_HEADER, f"has ({group:04X},{element:04X}) where a pixel fragment should begin")
        if length > len(content) - place:
            raise rejection(
                Reason.TRUNCATED, f"promises a pixel fragment of {length} bytes and holds {len(content) - place}"
            )
        fragments.append(content[place : place + length])
        place += length
    if len(fragments) < 2:  # the first one is the table of offsets, which one image does not need
        raise rejection(Reason.TRUNCATED, "has no pixel fragment")
    return fragments[1] if len(fragments) == 2 else b"".join(fragments[1:])
