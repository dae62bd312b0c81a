"""Golden inputs: encoded files, one for each decoder that a bundle needs, of pictures that are nobody's.

The pictures are slopes, blobs and clouds, and the same whenever they are drawn: no patient is in them.
Axes: H rows, W columns.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    SecondaryCaptureImageStorage,
    generate_uid,
)

from aidpost_device.bundle.manifest import ImageInput
from aidpost_device.prepare import OVERSAMPLING

BITS = 12
"""Bits of a grey DICOM picture; ten for the large one, which keeps it small."""
SIDES = (300, 260)
"""Rows and columns of most pictures: neither square nor a multiple of anything."""
_BLOBS = ((0.35, 0.30, 0.12, 0.30), (0.60, 0.70, 0.18, 0.25), (0.25, 0.75, 0.04, 0.35))
"""Centre (row, column), size and height, as fractions of the picture and of the grey scale."""
_CLOUDS = (6, 16, 40, 96)
"""Clouds along each side, from large to small."""

Samples = NDArray[Any]
"""Stored values, (H, W) or (H, W, 3)."""


@dataclass(frozen=True)
class Encoded:
    """One encoded picture."""

    name: str
    """Its name in the bundle, a slug."""
    suffix: str
    content: bytes


def golden_inputs(spec: ImageInput) -> tuple[Encoded, ...]:
    """Draw and encode the pictures for this input: DICOM in the ways its modalities come, PNG and JPEG always."""
    modality = spec.modalities[0] if spec.modalities else "OT"
    view = spec.views[0] if spec.views else ""
    make = _colour_files if spec.channels == 3 else _grey_files
    dicom = [
        Encoded(f"dicom-{name}", "dcm", _dicom_file(samples, syntax, encode, modality, view, name))
        for name, samples, syntax, encode in make(spec.size)
    ]
    rows, columns = SIDES
    photograph = _colour(rows, columns, 7) if spec.channels == 3 else _grey(rows, columns, 7, 8)
    return (
        *dicom,
        Encoded("png", "png", _pillow(photograph, "PNG")),
        Encoded("jpeg", "jpg", _pillow(photograph[::-1], "JPEG", quality=92, subsampling=0)),
    )


# ---- pictures -------------------------------------------------------------------------------------------------------


def picture(rows: int, columns: int, seed: int) -> NDArray[np.float64]:
    """Draw a slope, blobs and clouds of every size in [0, 1].  # (H, W)

    The clouds matter: on smooth pictures a network sees next to nothing, and what it gives is mostly rounding.
    """
    y, x = np.mgrid[:rows, :columns] / np.array([rows, columns]).reshape(2, 1, 1)
    image = 0.2 + 0.3 * y
    for top, left, size, height in _BLOBS:
        image += height * np.exp(-((y - top) ** 2 + (x - left) ** 2) / (2 * size * size))
    random = np.random.default_rng(seed)
    for cells in _CLOUDS:
        grid = Image.fromarray(random.uniform(-1, 1, (cells, cells)).astype(np.float32))
        image += 0.15 * np.asarray(grid.resize((columns, rows), Image.Resampling.BICUBIC), np.float64)
    drawn: NDArray[np.float64] = np.clip(image, 0, 1)
    return drawn


def _grey(rows: int, columns: int, seed: int, bits: int) -> Samples:
    kind = np.uint8 if bits == 8 else np.uint16
    return np.rint(picture(rows, columns, seed) * ((1 << bits) - 1)).astype(kind)


def _colour(rows: int, columns: int, seed: int) -> Samples:
    """Three unlike planes, so that exchanged colours show."""
    planes = [strength * picture(rows, columns, seed + 100 * k) for k, strength in enumerate((1.0, 0.8, 0.5))]
    return np.rint(255 * np.stack(planes, axis=-1)).astype(np.uint8)


# ---- DICOM ----------------------------------------------------------------------------------------------------------

_Encode = Callable[[Samples], bytes] | None
_File = tuple[str, Samples, str, _Encode]


def _grey_files(size: int) -> list[_File]:
    """Pictures as film readers and detectors send them; the JPEG 2000 one is large enough to be decoded reduced."""
    rows, columns = SIDES
    large = 2 * OVERSAMPLING * size
    return [
        ("native", _grey(rows, columns, 1, BITS), ExplicitVRLittleEndian, None),
        ("rle", _grey(rows, columns, 2, BITS), RLELossless, None),
        ("jpeg-lossless", _grey(rows, columns, 3, BITS), JPEGLosslessSV1, _jpeg_lossless),
        ("jpeg-ls", _grey(rows, columns, 4, BITS), JPEGLSLossless, _jpeg_ls),
        ("jpeg2000", _grey(large, large + 60, 5, 10), JPEG2000Lossless, _jpeg2000),
        ("htj2k", _grey(rows, columns, 6, BITS), HTJ2KLossless, _htj2k),
    ]


def _colour_files(size: int) -> list[_File]:
    """Pictures as cameras, microscopes and ultrasound machines send them."""
    del size
    rows, columns = SIDES
    return [
        ("native", _colour(rows, columns, 1), ExplicitVRLittleEndian, None),
        ("rle", _colour(rows, columns, 2), RLELossless, None),
        ("jpeg", _colour(rows, columns, 3), JPEGBaseline8Bit, _jpeg),
        ("jpeg2000", _colour(rows, columns, 5), JPEG2000Lossless, _jpeg2000),
    ]


def _dicom_file(samples: Samples, syntax: str, encode: _Encode, modality: str, view: str, name: str) -> bytes:
    """Wrap samples into a DICOM file that says whose it is: nobody's."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    uid = generate_uid(entropy_srcs=["aidpost golden input", name])
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid
    dataset.StudyInstanceUID = dataset.SeriesInstanceUID = generate_uid(entropy_srcs=["aidpost golden inputs"])
    dataset.Modality, dataset.PatientName, dataset.PatientID = modality, "Golden^Input", "nobody"
    if view:
        dataset.ViewPosition = view
    dataset.ImageComments = "A drawn test picture, not of a person."
    _describe(dataset, samples, syntax)
    native = samples.astype("<u2").tobytes() if samples.dtype == np.uint16 else samples.tobytes()
    dataset.PixelData = encapsulate([encode(samples)]) if encode else native
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian if syntax == RLELossless else UID(syntax)
    if encode:
        dataset["PixelData"].VR = "OB"
    if syntax == RLELossless:
        dataset.compress(RLELossless, generate_instance_uid=False, encoding_plugin="pydicom")
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _describe(dataset: Dataset, samples: Samples, syntax: str) -> None:
    """Say what the pixels' bytes mean."""
    colour = samples.ndim == 3
    dataset.Rows, dataset.Columns = samples.shape[:2]
    dataset.SamplesPerPixel = 3 if colour else 1
    if colour:
        dataset.PlanarConfiguration = 0
        lossy = {JPEGBaseline8Bit: "YBR_FULL_422", JPEG2000Lossless: "YBR_RCT"}
        dataset.PhotometricInterpretation = lossy.get(syntax, "RGB")  # type: ignore[call-overload]
    else:
        # One inverted film among them: dense is dark there.
        dataset.PhotometricInterpretation = "MONOCHROME1" if syntax == RLELossless else "MONOCHROME2"
    deep = samples.dtype == np.uint16
    bits = (10 if syntax == JPEG2000Lossless else BITS) if deep else 8
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16 if deep else 8, bits, bits - 1
    dataset.PixelRepresentation = 0


# ---- encoders -------------------------------------------------------------------------------------------------------


def _pillow(samples: Samples, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(samples)).save(buffer, kind, **options)
    return buffer.getvalue()


def _jpeg(samples: Samples) -> bytes:
    return _pillow(samples, "JPEG", quality=92, subsampling=1)


def _jpeg2000(samples: Samples) -> bytes:
    if samples.dtype == np.uint16:  # Pillow codes all 16 bits; the file says ten
        import imagecodecs

        return bytes(imagecodecs.jpeg2k_encode(samples, codecformat="j2k", bitspersample=10, reversible=True))
    return _pillow(samples, "JPEG2000", no_jp2=True, irreversible=False, mct=1)


def _jpeg_lossless(samples: Samples) -> bytes:
    import imagecodecs

    return bytes(imagecodecs.ljpeg_encode(samples, bitspersample=BITS))


def _jpeg_ls(samples: Samples) -> bytes:
    import imagecodecs

    return bytes(imagecodecs.jpegls_encode(samples))


def _htj2k(samples: Samples) -> bytes:
    import imagecodecs

    return bytes(imagecodecs.htj2k_encode(samples))
