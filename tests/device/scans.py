"""Small stored scans as clinics have them: pictures, DICOM files with headers, and what is no scan at all."""

from __future__ import annotations

import io
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ComputedRadiographyImageStorage, ExplicitVRLittleEndian

from aidpost_device.prepare import prepare_bytes

from . import bundles

SIDE = 64


def pixels(seed: int, side: int = SIDE) -> NDArray[np.uint8]:
    """A picture of a few soft blobs, dark or bright; each seed gives another."""
    rng = np.random.default_rng(seed)
    brightest = rng.integers(60, 256)
    coarse = Image.fromarray(rng.integers(0, brightest, (5, 5), np.uint8))
    return np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC))


def splitting(draft: bundles.Draft) -> bundles.Draft:
    """The same bundle with the threshold in the middle of what it gives for these pictures: some refer, some do not."""
    found = []
    for seed in range(30):
        stream = io.BytesIO()
        Image.fromarray(pixels(seed)).save(stream, "PNG")
        prepared = prepare_bytes("a picture", stream.getvalue(), bundles.SPEC).pixels
        found.append(bundles.outputs_of(draft.members["model.int8.onnx"], prepared[None]).probability[0, 0])
    numbers = bundles.numbers(threshold=float(np.median(found)))
    variants = [
        msgspec.structs.replace(variant, findings=dict.fromkeys(variant.findings, numbers))
        for variant in draft.manifest.variants
    ]
    return draft.having(variants=tuple(variants))


def png(path: Path, seed: int, side: int = SIDE) -> Path:
    """Write a grey PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(seed, side)).save(path, "PNG")
    return path


def dicom(path: Path, seed: int, side: int = SIDE, **elements: object) -> Path:
    """Write a 16-bit CR image; `elements` are DICOM keywords with their values, None leaves one out."""
    stored = pixels(seed, side).astype(np.uint16) * 16
    facts: dict[str, object] = {
        "SOPClassUID": ComputedRadiographyImageStorage,
        "SOPInstanceUID": f"1.2.826.0.1.1.{seed}",
        "StudyInstanceUID": f"1.2.826.0.1.2.{seed}",
        "SeriesInstanceUID": f"1.2.826.0.1.3.{seed}",
        "Modality": "CR",
        "PatientID": f"ID-{seed}",
        "PatientName": f"Example^Amina {seed}",
        "PatientBirthDate": "19840229",
        "StudyDate": "20250101",
        "PatientSex": "F",
        "ViewPosition": "PA",
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": side,
        "Columns": side,
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
        "WindowCenter": 2048,
        "WindowWidth": 4096,
        "PixelData": stored.tobytes(),
        **elements,
    }
    dataset = Dataset()
    for keyword, value in facts.items():
        if value is not None:
            setattr(dataset, keyword, value)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = UID(str(facts["SOPInstanceUID"]))
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path


def junk(path: Path, content: bytes = b"no scan at all") -> Path:
    """Write a file that is no scan."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path
