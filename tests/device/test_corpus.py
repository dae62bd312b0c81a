"""Real files of many makers and a malformed corpus: none crashes, hangs or goes missing, and what is read is right."""

from __future__ import annotations

import csv
import io
import logging
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest

from aidpost_device.bundle.manifest import ImageInput
from aidpost_device.decode.decode import decode
from aidpost_device.decode.pool import DecodePool, PreparedScan, RejectedScan
from aidpost_device.decode.reason import Reason
from aidpost_device.decode.result import Result as ScanResult
from aidpost_device.errors import ScanError

# What pydicom reads as one image and we refuse, with the reason. Everything else it reads, we read.
REFUSED_THOUGH_READABLE = {
    "fuzz/cat04_pixel_data/TC0329_rgb_spp1.dcm": Reason.BAD_HEADER,  # RGB with one sample: which of the two is true?
    "fuzz/cat18_cve_dcmtk_minmax_voi/TC0939_voi_lut_empty_data.dcm": Reason.BAD_HEADER,  # a table without entries
    "fuzz/cat18_cve_dcmtk_minmax_voi/TC0943_modality_lut_string.dcm": Reason.BAD_HEADER,  # 23 entries that promise 256
    "varied/parametric_map_double_float.dcm": Reason.UNSUPPORTED,  # computed floating-point values, no scan
}

# What pydicom alone cannot decode and we read.
READ_THOUGH_UNREADABLE = {
    "fuzz/cat20_cve_dcmtk_dimse_segfault/TC0963_undef_len_no_delim.dcm",  # the damage lies behind the pixels
    "fuzz/cat20_cve_dcmtk_dimse_segfault/TC0971_multi_undef_no_delim.dcm",
    "odd_or_unsupported/OT-PAL-8-face.dcm",  # no meta header: the byte order is seen from the first element
    "wg04/NM1_JPLY.dcm",  # JPEG Extended, 12 bits
    "wg04/XA1_JPLY.dcm",
}


@pytest.fixture(scope="module")
def corpus(data_folder: Path) -> Path:
    return data_folder / "dicom"


@pytest.fixture(scope="module")
def index(corpus: Path) -> list[dict[str, str]]:
    with (corpus / "index.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def results(corpus: Path, index: list[dict[str, str]]) -> dict[str, ScanResult]:
    """Every file of the corpus, once through the pool."""
    start = time.monotonic()
    with DecodePool(2, ImageInput(size=224, channels=3)) as pool:
        found = {
            str(Path(result.path).relative_to(corpus)): result
            for result in pool.results(corpus / row["file"] for row in index)
        }
    assert time.monotonic() - start < 60
    return found


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    logging.disable(logging.NOTSET)


def test_every_file_is_accounted_for(index: list[dict[str, str]], results: dict[str, ScanResult]) -> None:
    assert set(results) == {row["file"] for row in index}
    for row in index:
        result = results[row["file"]]
        assert result.sha256 is not None
        assert result.sha256.startswith(row["sha256_16"])
        assert result.size_bytes == int(row["bytes"])
        if isinstance(result, RejectedScan):
            assert result.reason in set(Reason)
            assert result.hint == Reason(result.reason).hint
            assert Path(result.path).name in result.message
            assert result.message.isprintable()
        else:
            assert result.pixels.shape == (224, 224, 3)


def test_no_file_crashes_or_delays_a_worker(results: dict[str, ScanResult]) -> None:
    reasons = {result.reason for result in results.values() if isinstance(result, RejectedScan)}
    assert not reasons & {Reason.DECODER_CRASHED, Reason.TOO_SLOW, Reason.TOO_LARGE_TO_DECODE}


def test_what_a_peer_reads_is_read_or_refused_for_a_known_reason(
    index: list[dict[str, str]], results: dict[str, ScanResult]
) -> None:
    single = {row["file"] for row in index if row["pydicom_decode"].startswith("ok") and int(row["frames"] or 1) <= 1}
    refused = {file: Reason(result.reason) for file in single if isinstance(result := results[file], RejectedScan)}
    assert refused == REFUSED_THOUGH_READABLE
    read = {file for file, result in results.items() if isinstance(result, PreparedScan)}
    assert read - single == READ_THOUGH_UNREADABLE


def test_files_of_several_frames_are_refused_as_such(
    index: list[dict[str, str]], results: dict[str, ScanResult]
) -> None:
    several = [row["file"] for row in index if row["frames"].isdigit() and int(row["frames"]) > 1]
    assert len(several) > 10
    for file in several:
        result = results[file]
        assert isinstance(result, RejectedScan)
        assert result.reason == Reason.MULTI_FRAME


def test_headers_are_data(results: dict[str, ScanResult]) -> None:
    for result in results.values():
        if result.header is None:
            continue
        for name in result.header.__slots__:
            found = getattr(result.header, name)
            assert found is None or isinstance(found, float) or (found.isprintable() and len(found) <= 192), name


def test_stored_values_are_those_a_peer_reads(corpus: Path, results: dict[str, ScanResult]) -> None:
    """At full resolution: lossless files exactly, colours from YBR within a rounding, lossy ones as well."""
    compared = 0
    for file, result in results.items():
        if not isinstance(result, PreparedScan):
            continue
        content = (corpus / file).read_bytes()
        try:
            peer = pydicom.dcmread(io.BytesIO(content), force=True)
            theirs = peer.pixel_array
        except (AttributeError, RuntimeError, OSError):
            continue  # it cannot read this one
        ours = decode(file, content).pixels
        if theirs.ndim == 3 and theirs.dtype.itemsize > 1:
            theirs = theirs >> (8 * theirs.dtype.itemsize - 8)  # deep colours are read as 8 bits
        rounding = 1 if "YBR" in peer.PhotometricInterpretation else 0
        assert ours.shape == theirs.shape, file
        assert np.abs(ours.astype(np.int64) - theirs.astype(np.int64)).max() <= rounding, file
        compared += 1
    assert compared > 85


@pytest.mark.parametrize(
    ("stem", "codecs"),
    [
        ("CT1", ["J2KR", "JLSL", "JPLL", "RLE"]),
        ("MR1", ["J2KR", "JLSL", "JPLL"]),
        ("NM1", ["J2KR", "JLSL", "JPLL", "RLE"]),
        ("XA1", ["JLSL", "JPLL"]),
        ("US1", ["J2KR", "RLE"]),
    ],
)
def test_lossless_codecs_of_one_image_agree(corpus: Path, stem: str, codecs: list[str]) -> None:
    files = [corpus / "wg04" / f"{stem}_{codec}.dcm" for codec in codecs]
    first, *others = [decode(path.name, path.read_bytes()).pixels for path in files]
    assert all(np.array_equal(first, other) for other in others)


def test_jpeg_extended_is_close_to_the_lossless_original(corpus: Path) -> None:
    """The peer cannot read it: the original in another codec is the reference."""
    for lossy, original, largest in (("XA1_JPLY", "XA1_JPLL", 0.03), ("NM1_JPLY", "NM1_JPLL", 0.05)):
        ours, reference = (
            decode(name, (corpus / "wg04" / f"{name}.dcm").read_bytes()).pixels.astype(float)
            for name in (lossy, original)
        )
        assert np.abs(ours - reference).mean() < largest * np.ptp(reference)


def test_files_cut_anywhere_are_refused_or_read_but_never_more(corpus: Path) -> None:
    """Cut at many places, a file gives a rejection; and pixels only when all of them are there."""
    for name in ("wg04/CT1_RLE.dcm", "wg04/CT1_JPLL.dcm", "varied/SC_rgb.dcm", "varied/MR_small_implicit.dcm"):
        content = (corpus / name).read_bytes()
        whole = decode(name, content).pixels
        for share in np.linspace(0, 0.999, 25):
            try:
                cut = decode(name, content[: int(share * len(content))]).pixels
            except ScanError as error:
                assert error.reason in set(Reason)
            else:
                assert np.array_equal(cut, whole)


def test_files_with_bytes_changed_never_raise_anything_else(corpus: Path) -> None:
    rng = np.random.default_rng(7)
    names = [
        "varied/MR_small_implicit.dcm",
        "varied/SC_rgb_rle.dcm",
        "varied/SC_rgb_jpeg_dcmtk.dcm",
        "wg04/CT2_J2KI.dcm",
    ]
    for name in names:
        content = np.frombuffer((corpus / name).read_bytes(), np.uint8)
        for _ in range(60):
            changed = content.copy()
            places = rng.integers(0, min(len(content), 3000), rng.integers(1, 6))
            changed[places] = rng.integers(0, 256, len(places))
            try:
                decode(name, changed.tobytes())
            except ScanError as error:
                assert error.reason in set(Reason)
