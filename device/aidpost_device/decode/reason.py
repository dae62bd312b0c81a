"""Why a file is not read: the closed vocabulary of rejections, each with what a person can do about it."""

from __future__ import annotations

from enum import StrEnum

from aidpost_device.errors import ScanError


class Reason(StrEnum):
    """Short stable code of a rejection. Codes go into records: they are never renamed or reused."""

    # the file itself
    UNREADABLE = "unreadable"
    NOT_A_FILE = "not-a-file"
    CHANGING = "changing"
    EMPTY = "empty"
    # what it holds
    NOT_AN_IMAGE = "not-an-image"
    NO_PIXELS = "no-pixels"
    MULTI_FRAME = "multi-frame"
    UNSUPPORTED = "unsupported"
    BAD_HEADER = "bad-header"
    TRUNCATED = "truncated"
    UNDECODABLE = "undecodable"
    # what it costs
    TOO_LARGE = "too-large"
    TOO_LARGE_TO_DECODE = "too-large-to-decode"
    TOO_SLOW = "too-slow"
    DECODER_CRASHED = "decoder-crashed"

    @property
    def hint(self) -> str:
        """What the person can do now."""
        return _HINTS[self]


_SEND_AGAIN = "Copy or send the file again from where it was made; if it is refused again, take it to the technician."

_HINTS = {
    Reason.UNREADABLE: "Check that the disk is connected and that this user may read the file, then screen it again.",
    Reason.NOT_A_FILE: "Give the file itself: links, devices and pipes are not followed.",
    Reason.CHANGING: "Wait until the file has been copied completely, then screen it again.",
    Reason.EMPTY: _SEND_AGAIN,
    Reason.NOT_AN_IMAGE: "Give scans as DICOM, PNG, JPEG or TIFF files; other files may stay where they are.",
    Reason.NO_PIXELS: "This DICOM file holds a report or a plan, or is damaged; send the image itself.",
    Reason.MULTI_FRAME: "Save the one picture to be read as a file of its own.",
    Reason.UNSUPPORTED: "Export the image again from its machine, uncompressed or as JPEG Lossless or JPEG 2000.",
    Reason.BAD_HEADER: "The file contradicts itself; export it again from its machine.",
    Reason.TRUNCATED: _SEND_AGAIN,
    Reason.UNDECODABLE: _SEND_AGAIN,
    Reason.TOO_LARGE: "Export the image at the usual size of one film.",
    Reason.TOO_LARGE_TO_DECODE: "Export the image uncompressed or smaller, or screen it on a box with more memory.",
    Reason.TOO_SLOW: "Export the image uncompressed, or screen it again when the box is idle.",
    Reason.DECODER_CRASHED: "The file broke its decoder and may be malicious; keep it apart and export it again.",
}


def rejection(reason: Reason, message: str) -> ScanError:
    """Make the error that rejects a file, with the hint that belongs to its reason."""
    return ScanError(reason.value, message, reason.hint)
