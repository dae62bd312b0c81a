"""Phantoms as DICOM files: 16-bit pixels under headers as a clinic's machines write them, marked as synthetic."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, FileMetaDataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    CTImageStorage,
    DigitalMammographyXRayImageStorageForPresentation,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    MRImageStorage,
    UltrasoundImageStorage,
    generate_uid,
)

MANUFACTURER = "Aidpost phantom"
COMMENT = "Synthetic phantom made by Aidpost. Not a person, not for medical use."
_CLASSES = {
    "CR": ComputedRadiographyImageStorage,
    "DX": DigitalXRayImageStorageForPresentation,
    "CT": CTImageStorage,
    "MG": DigitalMammographyXRayImageStorageForPresentation,
    "MR": MRImageStorage,
    "US": UltrasoundImageStorage,
}


@dataclass(frozen=True)
class Person:
    """Whom a phantom stands for."""

    id: str
    sex: Literal["F", "M"]
    age: float
    """Years."""


@dataclass(frozen=True)
class Machine:
    """What took the film, as its headers say."""

    modality: str
    """One of those in `_CLASSES`."""
    body_part: str
    """As DICOM writes it: CHEST, BREAST, …"""
    model: str
    institution: str
    photometric: Literal["MONOCHROME1", "MONOCHROME2"]
    bits: int
    """Bits stored."""
    spacing: float
    """Distance between pixels at the detector, millimetres."""


def dicom_film(
    film: NDArray[np.uint16], machine: Machine, person: Person, *, view: str, study: int, window: tuple[float, float]
) -> Dataset:
    """Wrap a film (H, W), dense bright, into a data set; `window` is centre and width as fractions of the scale.

    `view` is the DICOM View Position, empty where the modality has none; `study` numbers the studies of the machine.
    """
    top = (1 << machine.bits) - 1
    inverted = machine.photometric == "MONOCHROME1"
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    _identify(dataset, machine, person, view, study)
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = machine.photometric
    dataset.Rows, dataset.Columns = film.shape
    dataset.ImagerPixelSpacing = [machine.spacing, machine.spacing]
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, machine.bits, machine.bits - 1
    dataset.PixelRepresentation = 0
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = 0, 1, "US"
    dataset.PresentationLUTShape = "INVERSE" if inverted else "IDENTITY"
    centre = 1 - window[0] if inverted else window[0]
    dataset.WindowCenter, dataset.WindowWidth = round(centre * top), round(window[1] * top)
    dataset.BurnedInAnnotation = "NO"
    stored = top - film if inverted else film
    dataset.PixelData = np.ascontiguousarray(stored.astype("<u2")).tobytes()
    return dataset


def write_dicom(dataset: Dataset, path: Path) -> None:
    """Write a data set as a DICOM file, Explicit VR Little Endian."""
    dataset.save_as(path, enforce_file_format=True)


def _identify(dataset: Dataset, machine: Machine, person: Person, view: str, study: int) -> None:
    """Say who, when, where and with what."""
    seed = [machine.institution, person.id, str(study)]
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = _CLASSES[machine.modality]
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=[*seed, "image"])
    dataset.StudyInstanceUID = generate_uid(entropy_srcs=[*seed, "study"])
    dataset.SeriesInstanceUID = generate_uid(entropy_srcs=[*seed, "series"])
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.ImageType = ["ORIGINAL", "PRIMARY"]
    day = f"2025{study % 12 + 1:02d}{study % 28 + 1:02d}"
    dataset.StudyDate = dataset.SeriesDate = dataset.AcquisitionDate = day
    dataset.StudyTime, dataset.AccessionNumber, dataset.StudyID = "093000", f"A{study:06d}", str(study)
    dataset.SeriesNumber, dataset.InstanceNumber = 1, 1
    dataset.Modality, dataset.Manufacturer, dataset.ManufacturerModelName = (
        machine.modality,
        MANUFACTURER,
        machine.model,
    )
    dataset.InstitutionName, dataset.StationName = machine.institution, machine.model.upper().replace(" ", "-")[:16]
    dataset.StudyDescription = dataset.ProtocolName = "Chest phantom"
    dataset.PatientName, dataset.PatientID = f"Phantom^{person.id}", person.id
    dataset.PatientSex, dataset.PatientAge, dataset.PatientBirthDate = person.sex, _age_string(person.age), ""
    dataset.BodyPartExamined, dataset.ReferringPhysicianName = machine.body_part, ""
    if view:
        dataset.ViewPosition, dataset.PatientOrientation = view, ["L", "F"]
    dataset.ImageComments = COMMENT


def _age_string(years: float) -> str:
    return f"{int(years):03d}Y" if years >= 2 else f"{max(1, int(years * 12)):03d}M"
