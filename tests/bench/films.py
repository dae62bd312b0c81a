"""Large 16-bit films in the transfer syntaxes that X-ray devices send, each file with content of its own."""

from __future__ import annotations

import io
from pathlib import Path

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    generate_uid,
)

ROWS, COLUMNS = 2500, 2000
SYNTAXES: dict[str, UID] = {
    "uncompressed": ExplicitVRLittleEndian,
    "JPEG lossless": JPEGLosslessSV1,
    "JPEG 2000": JPEG2000Lossless,
}
DISTINCT = 8
"""Different images per syntax; more files differ in their UIDs, which is enough for content of their own."""


def write_films(folder: Path, syntax: str, originals: list[Path], count: int) -> list[Path]:
    """Write `count` films made from real ones (enlarged, 12 bits, with noise), once."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"film-{number:04d}.dcm" for number in range(count)]
    if paths[-1].is_file():
        return paths
    encoded = [_encode(_film(originals[i % len(originals)], i), syntax) for i in range(min(DISTINCT, count))]
    for number, path in enumerate(paths):
        _dataset(encoded[number % len(encoded)], SYNTAXES[syntax], number).save_as(path, enforce_file_format=True)
    return paths


def _film(original: Path, seed: int) -> NDArray[np.uint16]:
    """One film.  # (ROWS, COLUMNS) uint16, 12 bits"""
    with Image.open(original) as image:
        large = np.asarray(image.convert("L").resize((COLUMNS, ROWS), Image.Resampling.BICUBIC), np.float32)
    noise = np.random.default_rng(seed).normal(0, 12, large.shape).astype(np.float32)
    return np.clip(large * 15 + noise + 60, 0, 4095).astype(np.uint16)


def _encode(film: NDArray[np.uint16], syntax: str) -> bytes:
    if syntax == "uncompressed":
        return film.tobytes()
    if syntax == "JPEG lossless":
        return bytes(imagecodecs.ljpeg_encode(film, bitspersample=12))
    buffer = io.BytesIO()
    Image.fromarray(film).save(buffer, format="JPEG2000", irreversible=False, no_jp2=True)
    return buffer.getvalue()


def _dataset(pixels: bytes, syntax: UID, number: int) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["film", str(syntax), str(number)])
    meta.TransferSyntaxUID = syntax
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    dataset.StudyInstanceUID = generate_uid(entropy_srcs=["study", str(syntax), str(number)])
    dataset.PatientID, dataset.Modality, dataset.ViewPosition = f"bench-{number}", "DX", "PA"
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = ROWS, COLUMNS, 1
    dataset.PhotometricInterpretation, dataset.PixelRepresentation = "MONOCHROME2", 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.WindowCenter, dataset.WindowWidth = 2048, 4096
    dataset.PixelData = pixels if syntax == ExplicitVRLittleEndian else encapsulate([pixels])
    dataset["PixelData"].VR = "OW" if syntax == ExplicitVRLittleEndian else "OB"
    return dataset
