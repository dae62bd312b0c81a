"""DICOM files made to order: any transfer syntax, any pixel description, any header."""

from __future__ import annotations

import io
import zlib
from typing import Any, Literal

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID

IMPLICIT, EXPLICIT, BIG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
BASELINE, EXTENDED = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"
LOSSLESS, LOSSLESS_SV1 = "1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70"
JPEGLS, JPEGLS_LOSSY = "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"
J2K_LOSSLESS, J2K, HTJ2K = "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.4.201"
RLE = "1.2.840.10008.1.2.5"
_CR = UID("1.2.840.10008.5.1.4.1.1.1")


def film(rows: int = 300, columns: int = 200, bits: int = 12) -> NDArray[np.uint16]:  # (H, W)
    """A smooth picture with grain and edges that uses nearly all of its bits."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:rows, 0:columns]
    smooth = 0.5 + 0.3 * np.sin(4 * np.pi * x / columns) * np.cos(3 * np.pi * y / rows)
    smooth[rows // 4 : rows // 3, columns // 4 : columns // 3] += 0.15
    noisy = smooth + rng.normal(0, 0.005, (rows, columns))
    levels: NDArray[np.uint16] = np.clip(noisy * (2**bits - 1), 0, 2**bits - 1).astype(np.uint16)
    return levels


def dataset(pixels: NDArray[np.generic], **elements: Any) -> Dataset:
    """A dataset that describes `pixels` as they are; `elements` override, None leaves one out."""
    bits = 8 * pixels.dtype.itemsize
    facts: dict[str, object] = {
        "SOPClassUID": _CR,
        "SOPInstanceUID": "1.2.826.0.1.3680043.8.498.1",
        "StudyInstanceUID": "1.2.826.0.1.3680043.8.498.2",
        "Modality": "CR",
        "SamplesPerPixel": pixels.shape[2] if pixels.ndim == 3 else 1,
        "PhotometricInterpretation": "RGB" if pixels.ndim == 3 else "MONOCHROME2",
        "PlanarConfiguration": 0 if pixels.ndim == 3 else None,
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "BitsAllocated": bits,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": int(pixels.dtype.kind == "i"),
        **elements,
    }
    if "BitsStored" in elements and "HighBit" not in elements:
        facts["HighBit"] = int(str(facts["BitsStored"])) - 1
    made = Dataset()
    for keyword, value in facts.items():
        if value is not None:
            setattr(made, keyword, value)
    return made


def write(made: Dataset, syntax: str) -> bytes:
    """Serialise a dataset as a DICOM file."""
    made.file_meta = FileMetaDataset()
    made.file_meta.MediaStorageSOPClassUID = _CR
    made.file_meta.MediaStorageSOPInstanceUID = UID("1.2.826.0.1.3680043.8.498.1")
    made.file_meta.TransferSyntaxUID = UID(syntax)
    file = io.BytesIO()
    if made.file_meta.TransferSyntaxUID.is_private:
        made.save_as(file, enforce_file_format=True, implicit_vr=False, little_endian=True)
    else:
        made.save_as(file, enforce_file_format=True)
    return file.getvalue()


def native(pixels: NDArray[np.generic], syntax: str = EXPLICIT, **elements: Any) -> bytes:
    """An uncompressed file."""
    made = dataset(pixels, **elements)
    order: Literal["<", ">"] = ">" if syntax == BIG else "<"
    content = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    made.PixelData = content + b"\0" * (len(content) % 2)
    made["PixelData"].VR = "OB" if pixels.dtype.itemsize == 1 else "OW"
    return write(made, syntax)


def compressed(pixels: NDArray[np.generic], syntax: str, frame: bytes | None = None, **elements: Any) -> bytes:
    """A compressed file; `frame` replaces the compressed pixels."""
    made = dataset(pixels, **elements)
    made.PixelData = encapsulate([encode(pixels, syntax, int(made.BitsStored)) if frame is None else frame])
    made["PixelData"].VR = "OB"
    made["PixelData"].is_undefined_length = True
    return write(made, syntax)


def encode(pixels: NDArray[np.generic], syntax: str, bits: int) -> bytes:
    """Compress pixels the way a transfer syntax asks for."""
    raw = pixels.view(f"u{pixels.dtype.itemsize}")
    if syntax == BASELINE:
        return bytes(imagecodecs.jpeg8_encode(raw, level=95))
    if syntax == EXTENDED:
        return bytes(imagecodecs.jpeg8_encode(raw, level=98, bitspersample=12))
    if syntax in (LOSSLESS, LOSSLESS_SV1):
        return bytes(
            imagecodecs.jpeg8_encode(
                raw, lossless=True, bitspersample=bits, predictor=1 if syntax == LOSSLESS_SV1 else 4
            )
        )
    if syntax in (JPEGLS, JPEGLS_LOSSY):
        return bytes(imagecodecs.jpegls_encode(raw))
    if syntax == J2K_LOSSLESS:
        return bytes(imagecodecs.jpeg2k_encode(pixels, level=0, codecformat="j2k", reversible=True, bitspersample=bits))
    if syntax == J2K:
        return bytes(imagecodecs.jpeg2k_encode(pixels, level=45, codecformat="j2k", bitspersample=bits))
    if syntax == HTJ2K:
        return bytes(imagecodecs.htj2k_encode(pixels, reversible=True))
    if syntax == RLE:
        return _rle(raw)
    raise ValueError(syntax)


def deflated(content: bytes, meta_of: bytes) -> bytes:
    """The file `meta_of` up to its dataset, then `content` deflated."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return meta_of[: _meta_end(meta_of)] + packer.compress(content) + packer.flush()


def _meta_end(file: bytes) -> int:
    """Where the dataset begins: behind the group length element, by what it says."""
    return 144 + int.from_bytes(file[140:144], "little")


def _rle(raw: NDArray[np.generic]) -> bytes:
    from rle.utils import encode_pixel_data

    samples = raw.shape[2] if raw.ndim == 3 else 1
    return encode_pixel_data(
        raw.tobytes(),
        rows=raw.shape[0],
        columns=raw.shape[1],
        samples_per_pixel=samples,
        bits_allocated=8 * raw.dtype.itemsize,
        number_of_frames=1,
        byteorder="<",
    )
