"""Kinds of file are told by their first bytes, whatever they are called."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from aidpost_device.decode.sniff import Kind, sniff

from . import dicoms


def _raster(form: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(file, form)
    return file.getvalue()


@pytest.mark.parametrize("kind", [Kind.PNG, Kind.JPEG, Kind.TIFF])
def test_a_raster_is_known_by_its_magic(kind: Kind) -> None:
    assert sniff(_raster(kind.value)) is kind


def test_a_big_endian_tiff_is_a_tiff() -> None:
    assert sniff(b"MM\0*" + bytes(200)) is Kind.TIFF


@pytest.mark.parametrize("syntax", [dicoms.IMPLICIT, dicoms.EXPLICIT, dicoms.BIG])
def test_dicom_is_known_with_its_preamble_and_without(syntax: str) -> None:
    file = dicoms.native(dicoms.film(8, 8), syntax)
    assert sniff(file) is Kind.DICOM
    assert sniff(file[132:]) is Kind.DICOM  # begins with the meta elements
    assert sniff(file[dicoms._meta_end(file) :]) is Kind.DICOM  # begins with the dataset


def test_a_preamble_that_imitates_a_tiff_is_still_dicom() -> None:
    file = dicoms.native(dicoms.film(8, 8))
    assert sniff(b"II*\0" + file[4:]) is Kind.DICOM


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x08",
        b"\x08\0",
        b"no scan at all, only words",
        b"%PDF-1.7" + bytes(200),
        b"PK\x03\x04" + bytes(200),
        b"GIF89a" + bytes(200),
        b"\x7fELF" + bytes(200),
        b"\0\0\0\x20ftypmp42" + bytes(200),
        bytes(200),
        b"\x08\0\x05\0CS\xff\xff" + bytes(200),  # a first element longer than any real one
        b"\x08\0\xff\xff\xff\xff\xff\xff" + bytes(200),
    ],
)
def test_anything_else_is_none(content: bytes) -> None:
    assert sniff(content) is None
