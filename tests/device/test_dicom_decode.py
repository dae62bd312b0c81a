"""DICOM: every transfer syntax gives the stored values, and every contradiction its reason."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from datetime import date
from math import floor
from typing import Any

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import UID

from aidpost_device.decode.decode import decode
from aidpost_device.decode.header import age_between, stated_age
from aidpost_device.decode.image import DecodedImage, LookupTable, Window
from aidpost_device.decode.limits import Limits
from aidpost_device.decode.reason import Reason
from aidpost_device.errors import ScanError

from . import dicoms

Film = NDArray[np.uint16]
pytestmark = pytest.mark.filterwarnings("ignore:Invalid value:UserWarning", "ignore:The value length:UserWarning")


@pytest.fixture(scope="module")
def film() -> Film:
    return dicoms.film(bits=12)


def _rejected(data: bytes, limits: Limits | None = None) -> ScanError:
    with pytest.raises(ScanError) as caught:
        decode("x.dcm", data, limits=limits or Limits())
    assert str(caught.value).startswith("x.dcm ")
    assert caught.value.hint
    return caught.value


# ---- transfer syntaxes ----------------------------------------------------------------------------------------------

_EXACT = [
    (dicoms.IMPLICIT, "pydicom-native 3."),
    (dicoms.EXPLICIT, "pydicom-native 3."),
    (dicoms.BIG, "pydicom-native 3."),
    (dicoms.DEFLATED, "pydicom-native 3."),
    (dicoms.LOSSLESS, "imagecodecs-jpeg8 "),
    (dicoms.LOSSLESS_SV1, "imagecodecs-jpeg8 "),
    (dicoms.JPEGLS, "imagecodecs-jpegls "),
    (dicoms.J2K_LOSSLESS, "pillow-jpeg2000 "),
    (dicoms.HTJ2K, "pylibjpeg-openjpeg "),
    (dicoms.RLE, "pylibjpeg-rle "),
]


def _file(pixels: NDArray[np.generic], syntax: str, **elements: Any) -> bytes:
    native = syntax in (dicoms.IMPLICIT, dicoms.EXPLICIT, dicoms.BIG, dicoms.DEFLATED)
    return (dicoms.native if native else dicoms.compressed)(pixels, syntax, **elements)


@pytest.mark.parametrize(("syntax", "decoder"), _EXACT)
def test_lossless_syntaxes_give_the_stored_values(syntax: str, decoder: str, film: Film) -> None:
    bits = 16 if syntax == dicoms.HTJ2K else 12
    image = decode("x.dcm", _file(film, syntax, BitsStored=bits))
    assert np.array_equal(image.pixels, film)
    assert image.decoder.startswith(decoder)
    assert (image.rows, image.columns, image.step, image.bits) == (300, 200, 1, bits)


@pytest.mark.parametrize("syntax", [syntax for syntax, _ in _EXACT if syntax != dicoms.HTJ2K])
def test_signed_values_keep_their_sign(syntax: str, film: Film) -> None:
    signed = film.astype(np.int16) - 2048
    image = decode("x.dcm", _file(signed, syntax))
    assert image.pixels.dtype == np.int16
    assert np.array_equal(image.pixels, signed)


def test_a_baseline_jpeg_of_signed_values_keeps_their_sign() -> None:
    signed = np.where(dicoms.film(64, 64, 8) > 128, 100, -100).astype(np.int8)
    image = decode("x.dcm", dicoms.compressed(signed, dicoms.BASELINE))
    assert image.pixels.dtype == np.int8
    assert np.abs(image.pixels.astype(int) - signed).mean() < 10


@pytest.mark.parametrize("syntax", [syntax for syntax, _ in _EXACT])
def test_colours_keep_their_places(syntax: str) -> None:
    rgb = np.dstack([dicoms.film(40, 30, 8).astype(np.uint8) // divisor for divisor in (1, 2, 3)])
    photometric = "YBR_RCT" if syntax == dicoms.J2K_LOSSLESS else "RGB"
    image = decode("x.dcm", _file(rgb, syntax, PhotometricInterpretation=photometric))
    assert image.photometric == "RGB"
    assert np.array_equal(image.pixels, rgb)


def test_a_lossy_film_stays_close(film: Film) -> None:
    for syntax in (dicoms.EXTENDED, dicoms.J2K):
        image = decode("x.dcm", dicoms.compressed(film, syntax, BitsStored=12))
        assert np.abs(image.pixels.astype(int) - film).mean() < 20, syntax  # of 4096


@pytest.mark.parametrize("photometric", ["YBR_FULL_422", "RGB"])
def test_baseline_jpeg_takes_its_colours_from_the_stream_when_it_says_them(photometric: str) -> None:
    rgb = np.dstack([np.full((64, 64), level, np.uint8) for level in (200, 60, 20)])
    frame = bytes(imagecodecs.jpeg8_encode(rgb, level=95))  # JFIF: YCbCr
    image = decode("x.dcm", dicoms.compressed(rgb, dicoms.BASELINE, frame, PhotometricInterpretation=photometric))
    assert np.abs(image.pixels.astype(int) - rgb).max() <= 4


def test_baseline_jpeg_without_markers_takes_its_colours_from_the_file() -> None:
    rgb = np.dstack([np.full((64, 64), level, np.uint8) for level in (200, 60, 20)])
    plain = _without_application_segments(
        bytes(imagecodecs.jpeg8_encode(rgb, level=95, colorspace="YCBCR", outcolorspace="YCBCR"))
    )
    image = decode("x.dcm", dicoms.compressed(rgb, dicoms.BASELINE, plain, PhotometricInterpretation="RGB"))
    assert np.abs(image.pixels.astype(int) - rgb).max() <= 4


def _without_application_segments(frame: bytes) -> bytes:
    kept, place = frame[:2], 2
    while frame[place + 1] != 0xDA:
        length = 2 + int.from_bytes(frame[place + 2 : place + 4], "big")
        if not 0xE0 <= frame[place + 1] <= 0xEF:
            kept += frame[place : place + length]
        place += length
    return kept + frame[place:]


def test_jpeg2000_is_reduced_only_as_far_as_asked() -> None:
    film = dicoms.film(1024, 800, 12)
    file = dicoms.compressed(film, dicoms.J2K_LOSSLESS, BitsStored=12)
    assert [decode("x.dcm", file, size).step for size in (801, 800, 401, 400, 200, 100)] == [1, 1, 1, 2, 4, 8]


@pytest.mark.parametrize("side", [1021, 1022, 1023, 1024, 1025])
def test_a_reduced_jpeg2000_lies_where_the_full_one_does(side: int) -> None:
    """The grid's origin is right to a fraction of a pixel: a shifted one would blur every edge against the other."""
    y, x = np.mgrid[0:side, 0:side]
    ramp = (x * 2 + y).astype(np.uint16)
    image = decode("x.dcm", dicoms.compressed(ramp, dicoms.J2K_LOSSLESS, BitsStored=12), 200)
    assert image.step == 4
    places = image.origin - 0.5 + image.step * np.arange(image.pixels.shape[0])
    expected = 2 * places[None, :] + places[:, None]
    inside = (slice(4, -4), slice(4, -4))
    assert np.abs(image.pixels - expected)[inside].max() < 1.5


@pytest.mark.parametrize("tile", [(256, 256), (300, 333), (1000, 64)])
def test_a_tiled_jpeg2000_is_put_together_at_every_resolution(tile: tuple[int, int]) -> None:
    y, x = np.mgrid[0:1021, 0:1207]
    ramp = ((x + y) / 9).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(ramp).save(stream, "JPEG2000", irreversible=False, no_jp2=True, tile_size=tile)
    file = dicoms.compressed(ramp, dicoms.J2K_LOSSLESS, stream.getvalue())
    assert np.array_equal(decode("x.dcm", file).pixels, ramp)
    for size, step in ((450, 2), (225, 4), (112, 8)):
        image = decode("x.dcm", file, size)
        assert image.step == step
        rows, columns = (image.origin - 0.5 + image.step * np.arange(side) for side in image.pixels.shape)
        assert np.abs(image.pixels - (rows[:, None] + columns[None, :]) / 9)[4:-4, 4:-4].max() < 2


# ---- pixel description ----------------------------------------------------------------------------------------------


def test_overlays_above_the_stored_bits_are_no_image(film: Film) -> None:
    image = decode("x.dcm", dicoms.native(film | 0x8000, BitsStored=12))
    assert np.array_equal(image.pixels, film)


def test_signed_values_below_their_container_are_extended() -> None:
    stored = np.array([[0x0FFF, 0x0800], [0x07FF, 0xF001]], np.uint16)  # 12 bits; the last with an overlay
    image = decode("x.dcm", dicoms.native(stored, BitsStored=12, PixelRepresentation=1))
    assert image.pixels.tolist() == [[-1, -2048], [2047, 1]]


_BY_WORDS = [dicoms.EXPLICIT, dicoms.LOSSLESS_SV1, dicoms.JPEGLS, dicoms.RLE]
"""Syntaxes whose samples may be wider than the stored bits."""


@pytest.mark.parametrize("syntax", _BY_WORDS)
def test_values_above_unused_low_bits_are_shifted_down(syntax: str, film: Film) -> None:
    assert np.array_equal(decode("x.dcm", _of_words(film << 4, syntax, HighBit=15)).pixels, film)


@pytest.mark.parametrize("syntax", _BY_WORDS)
def test_samples_wider_than_the_stored_bits_are_cut_to_them(syntax: str, film: Film) -> None:
    overlaid = film | 0x8000
    assert np.array_equal(decode("x.dcm", _of_words(overlaid, syntax)).pixels, film)
    signed = decode("x.dcm", _of_words(overlaid, syntax, PixelRepresentation=1)).pixels
    assert np.array_equal(signed, (film.astype(np.int16) ^ 2048) - 2048)


def _of_words(pixels: NDArray[Any], syntax: str, **elements: Any) -> bytes:
    """A file whose samples are coded with all 16 bits and described with 12."""
    if syntax == dicoms.EXPLICIT:
        return dicoms.native(pixels, BitsStored=12, **elements)
    return dicoms.compressed(pixels, syntax, dicoms.encode(pixels, syntax, 16), BitsStored=12, **elements)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.uint32, np.int8, np.int16, np.int32])
def test_every_width_is_read(kind: type[np.generic]) -> None:
    limits = np.iinfo(kind)  # type: ignore[type-var]
    pixels = np.array([[limits.min, limits.max], [0, 1]], kind)
    for syntax in (dicoms.EXPLICIT, dicoms.BIG):
        assert np.array_equal(decode("x.dcm", dicoms.native(pixels, syntax)).pixels, pixels)


def test_planes_are_put_together() -> None:
    rgb = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    planes = np.ascontiguousarray(rgb.transpose(2, 0, 1)).reshape(4, 4, 3)
    assert np.array_equal(decode("x.dcm", dicoms.native(planes, PlanarConfiguration=1)).pixels, rgb)


def test_deep_colours_become_eight_bits() -> None:
    rgb = np.array([[[0, 0x1234, 0xFFFF]]], np.uint16)
    assert decode("x.dcm", dicoms.native(rgb)).pixels.tolist() == [[[0, 0x12, 0xFF]]]


def test_a_palette_becomes_colours() -> None:
    made = dicoms.dataset(np.zeros((2, 2), np.uint8), PhotometricInterpretation="PALETTE COLOR")
    made.PixelData = bytes([0, 1, 2, 3])
    for number, levels in enumerate([(0, 255, 0, 9), (0, 0, 255, 9), (255, 0, 0, 9)]):
        made.add_new(0x00281101 + number, "US", [4, 0, 8])
        made.add_new(0x00281201 + number, "OW", bytes(levels))
    image = decode("x.dcm", dicoms.write(made, dicoms.EXPLICIT))
    assert image.pixels.tolist() == [[[0, 0, 255], [255, 0, 0]], [[0, 255, 0], [9, 9, 9]]]


def test_a_file_without_meta_or_preamble_is_read(film: Film) -> None:
    for syntax in (dicoms.IMPLICIT, dicoms.EXPLICIT, dicoms.BIG):
        file = dicoms.native(film, syntax)
        assert np.array_equal(decode("x.dcm", file[dicoms._meta_end(file) :]).pixels, film)


def test_a_deflated_file_is_inflated(film: Film) -> None:
    assert np.array_equal(decode("x.dcm", dicoms.native(film, dicoms.DEFLATED)).pixels, film)


# ---- presentation ---------------------------------------------------------------------------------------------------


def _decoded(film: Film, **elements: Any) -> DecodedImage:
    return decode("x.dcm", dicoms.native(film, BitsStored=12, **elements))


def test_rescale_and_the_first_window_are_read(film: Film) -> None:
    image = _decoded(
        film, RescaleSlope="2.5", RescaleIntercept="-1024", WindowCenter=["40", "300"], WindowWidth=["80", "1500"]
    )
    assert (image.slope, image.intercept, image.voi) == (2.5, -1024.0, Window(40.0, 80.0))


@pytest.mark.parametrize(
    ("function", "width", "expected"),
    [
        ("LINEAR", 1, "linear"),
        ("LINEAR", 0.5, None),
        ("LINEAR", 0, None),
        ("LINEAR", -5, None),
        ("LINEAR_EXACT", 0.5, "linear_exact"),
        ("LINEAR_EXACT", 0, None),
        ("SIGMOID", 100, "sigmoid"),
        ("", 100, "linear"),
    ],
)
def test_a_window_that_cannot_be_one_is_none(film: Film, function: str, width: float, expected: str | None) -> None:
    image = _decoded(film, WindowCenter="40", WindowWidth=str(width), VOILUTFunction=function)
    assert (image.voi.function if isinstance(image.voi, Window) else None) == expected


def _table(descriptor: list[int], entries: list[int], keyword: str = "VOILUTSequence") -> dict[str, Any]:
    item = Dataset()
    item.add_new(0x00283002, "US", descriptor)
    item.add_new(0x00283006, "US", entries)
    return {keyword: Sequence([item])}


def test_a_voi_table_goes_before_a_window(film: Film) -> None:
    image = _decoded(film, WindowCenter="40", WindowWidth="80", **_table([4, 10, 8], [0, 10, 100, 255]))
    assert isinstance(image.voi, LookupTable)
    assert image.voi.look_up(np.array([0, 10, 11, 12.5, 13, 99])).tolist() == [0, 0, 10, 177.5, 255, 255]
    assert image.voi.white == 255


@pytest.mark.parametrize(
    ("intercept", "written", "first"), [("-1024", 64512, -1024), ("0", 64512, 64512), ("-1024", 10, 10)]
)
def test_a_voi_table_begins_below_zero_where_the_rescale_can(
    film: Film, intercept: str, written: int, first: int
) -> None:
    table = _table([4, written, 8], [0, 10, 100, 255])
    file = dicoms.native(film, dicoms.IMPLICIT, BitsStored=12, RescaleSlope="1", RescaleIntercept=intercept, **table)
    voi = decode("x.dcm", file).voi
    assert isinstance(voi, LookupTable)
    assert voi.first == first


@pytest.mark.parametrize("syntax", [dicoms.EXPLICIT, dicoms.BIG])
@pytest.mark.parametrize("bits", [8, 16])
def test_a_table_of_bytes_is_read_in_the_files_order(film: Film, syntax: str, bits: int) -> None:
    entries = [0, 10, 100, 255] if bits == 8 else [0, 256, 4096, 65535]
    item = Dataset()
    item.add_new(0x00283002, "US", [4, 10, bits])
    order = "<" if syntax == dicoms.EXPLICIT else ">"
    item.add_new(0x00283006, "OW", np.array(entries, "u1" if bits == 8 else f"{order}u2").tobytes())
    image = decode("x.dcm", dicoms.native(film, syntax, BitsStored=12, VOILUTSequence=Sequence([item])))
    assert isinstance(image.voi, LookupTable)
    assert image.voi.entries.tolist() == entries


@pytest.mark.parametrize(
    "broken",
    [
        _table([4, 0, 8], [1, 2]),  # fewer entries than it promises
        _table([4, 0, 8], [1, 2], "ModalityLUTSequence"),
        {"RescaleSlope": "0"},
        {"RescaleSlope": "1e300"},
    ],
)
def test_values_that_would_be_shown_wrong_reject_the_file(film: Film, broken: dict[str, Any]) -> None:
    assert _rejected(dicoms.native(film, BitsStored=12, **broken)).reason == Reason.BAD_HEADER


def test_the_only_frame_of_an_enhanced_image_takes_its_values_from_the_groups(film: Film) -> None:
    rescale, voi, groups = Dataset(), Dataset(), Dataset()
    rescale.RescaleSlope, rescale.RescaleIntercept = "3", "-7"
    voi.WindowCenter, voi.WindowWidth = "40", "80"
    groups.PixelValueTransformationSequence, groups.FrameVOILUTSequence = Sequence([rescale]), Sequence([voi])
    image = _decoded(film, NumberOfFrames=1, SharedFunctionalGroupsSequence=Sequence([groups]))
    assert (image.slope, image.intercept, image.voi) == (3.0, -7.0, Window(40.0, 80.0))


def test_padding_is_read_in_the_pixels_own_sign(film: Film) -> None:
    signed = film.astype(np.int16)
    made = dicoms.dataset(signed)
    made.PixelData = signed.tobytes()
    made.add_new(0x00280120, "US", 63536)  # -2000, written with the wrong representation
    assert decode("x.dcm", dicoms.write(made, dicoms.EXPLICIT)).padding == (-2000, -2000)
    assert _decoded(film, PixelPaddingValue=5, PixelPaddingRangeLimit=2).padding == (2, 5)


# ---- the header -----------------------------------------------------------------------------------------------------


def test_the_header_is_read(film: Film) -> None:
    header = _decoded(
        film,
        PatientID="A-1",
        PatientName="Doe^Jane",
        PatientSex="F",
        PatientBirthDate="19800101",
        StudyDate="20200101",
        ViewPosition="pa",
        BodyPartExamined="CHEST",
        Manufacturer="ACME",
    ).header
    assert (header.patient_id, header.patient_name, header.sex) == ("A-1", "Doe^Jane", "F")
    assert (header.modality, header.view, header.body_part, header.manufacturer) == ("CR", "PA", "CHEST", "ACME")
    assert (header.birth_date, header.study_date) == ("1980-01-01", "2020-01-01")
    assert header.age == pytest.approx(40, abs=0.01)
    assert header.study_uid == "1.2.826.0.1.3680043.8.498.2"


@pytest.mark.parametrize(
    ("stated", "years"),
    [
        ("045Y", 45),
        ("006M", 0.5),
        ("026W", 0.498),
        ("010D", 0.0274),
        ("999Y", None),
        ("45", None),
        ("", None),
        (None, None),
    ],
)
def test_ages_are_years(stated: str | None, years: float | None) -> None:
    assert stated_age(stated) == (years if years is None else pytest.approx(years, abs=0.001))


@pytest.mark.parametrize(
    ("born", "study", "completed"),
    [
        ((2005, 5, 1), (2023, 5, 1), 18),
        ((2007, 5, 1), (2025, 4, 30), 17),
        ((2007, 5, 1), (2026, 4, 30), 18),
        ((2008, 2, 29), (2026, 2, 28), 17),
        ((2008, 2, 29), (2026, 3, 1), 18),
        ((2008, 2, 29), (2028, 2, 29), 20),
        ((1900, 3, 1), (2030, 3, 1), 130),
        ((2025, 12, 31), (2026, 1, 1), 0),
        ((1, 1, 1), (1, 1, 1), 0),
        ((1900, 3, 1), (2030, 3, 2), None),
        ((2025, 5, 2), (2025, 5, 1), None),
    ],
)
def test_completed_years_are_counted_by_the_calendar(
    born: tuple[int, int, int], study: tuple[int, int, int], completed: int | None
) -> None:
    years = age_between(date(*born), date(*study))
    assert (years if years is None else floor(years)) == completed


def test_an_unusable_age_falls_back_on_the_dates_and_contradicting_dates_on_nothing(film: Film) -> None:
    dates = {"PatientBirthDate": "20100101", "StudyDate": "20200101"}
    assert _decoded(film, PatientAge="XX", **dates).header.age == pytest.approx(10, abs=0.01)
    assert _decoded(film, PatientBirthDate="20300101", StudyDate="20200101").header.age is None
    assert age_between(None, None) is None


def test_texts_are_data_bounded_and_on_one_line(film: Film) -> None:
    made = dicoms.dataset(film, BitsStored=12)
    made.PixelData = film.tobytes()
    texts = {0x00080060: b"C\nR\x1b[31m\0", 0x00185101: b"AP" * 40, 0x00100040: b"F\nM", 0x00100020: b"x" * 500}
    for tag, content in texts.items():
        made.add_new(tag, "UN", content)
    made.add_new(0x0020000D, "UN", b"../../etc/passwd")
    header = decode("x.dcm", dicoms.write(made, dicoms.IMPLICIT)).header
    for found in (header.modality, header.view, header.sex, header.patient_id):
        assert found is None or (len(found) <= 64 and found.isprintable())
    assert header.sex == ""
    assert header.study_uid is None


def test_a_rejected_file_still_says_whose_it_is(film: Film) -> None:
    error = _rejected(dicoms.native(film, BitsStored=12, PatientID="A-1", NumberOfFrames=7))
    assert error.header is not None
    assert (error.header.patient_id, error.header.study_uid) == ("A-1", "1.2.826.0.1.3680043.8.498.2")


# ---- what is refused ------------------------------------------------------------------------------------------------


def _without_pixels(film: Film) -> bytes:
    made = dicoms.dataset(film)
    for keyword in ("Rows", "Columns"):
        delattr(made, keyword)
    return dicoms.write(made, dicoms.EXPLICIT)


def _floating(film: Film) -> bytes:
    made = dicoms.dataset(film)
    made.FloatPixelData = film.astype(np.float32).tobytes()
    return dicoms.write(made, dicoms.EXPLICIT)


_REFUSED: list[tuple[str, Callable[[Film], bytes], Reason]] = [
    ("nothing", lambda film: b"", Reason.EMPTY),
    ("words", lambda film: b"no scan at all", Reason.NOT_AN_IMAGE),
    ("report", _without_pixels, Reason.NO_PIXELS),
    ("float", _floating, Reason.UNSUPPORTED),
    ("frames", lambda film: dicoms.native(film, NumberOfFrames=2), Reason.MULTI_FRAME),
    ("million frames", lambda film: dicoms.native(film, NumberOfFrames=10**6), Reason.MULTI_FRAME),
    ("no frames", lambda film: dicoms.native(film, NumberOfFrames=0), Reason.BAD_HEADER),
    ("huge", lambda film: dicoms.native(film, Rows=65535, Columns=65535), Reason.TOO_LARGE),
    ("no rows", lambda film: dicoms.native(film, Rows=0), Reason.BAD_HEADER),
    ("one bit", lambda film: dicoms.native(film, BitsAllocated=1, BitsStored=1), Reason.UNSUPPORTED),
    ("seven bits", lambda film: dicoms.native(film, BitsAllocated=7, BitsStored=7), Reason.BAD_HEADER),
    ("bits above", lambda film: dicoms.native(film, BitsStored=17), Reason.BAD_HEADER),
    ("high bit", lambda film: dicoms.native(film, BitsStored=12, HighBit=5), Reason.BAD_HEADER),
    ("grey RGB", lambda film: dicoms.native(film, PhotometricInterpretation="RGB"), Reason.BAD_HEADER),
    ("HSV", lambda film: dicoms.native(film, PhotometricInterpretation="HSV"), Reason.UNSUPPORTED),
    ("more rows", lambda film: dicoms.native(film, Rows=301), Reason.TRUNCATED),
    ("cut", lambda film: dicoms.native(film)[:-1000], Reason.TRUNCATED),
    ("cut fragment", lambda film: dicoms.compressed(film, dicoms.JPEGLS)[:-1000], Reason.TRUNCATED),
    ("cut header", lambda film: dicoms.native(film)[:700], Reason.TRUNCATED),
    ("video", lambda film: dicoms.compressed(film, "1.2.840.10008.1.2.4.102", b"\0" * 99), Reason.UNSUPPORTED),
    ("claims lossless", lambda film: dicoms.compressed(film, dicoms.LOSSLESS, b"\0" * 99), Reason.UNDECODABLE),
    ("claims J2K", lambda film: dicoms.compressed(film, dicoms.J2K, b"\0" * 99), Reason.UNDECODABLE),
    ("claims RLE", lambda film: dicoms.compressed(film, dicoms.RLE, b"\xff" * 99), Reason.UNDECODABLE),
]


@pytest.mark.parametrize(("change", "reason"), [row[1:] for row in _REFUSED], ids=[row[0] for row in _REFUSED])
def test_what_cannot_be_read_says_why(film: Film, change: Callable[[Film], bytes], reason: Reason) -> None:
    assert _rejected(change(film)).reason == reason


@pytest.mark.parametrize(
    "syntax", [dicoms.EXTENDED, dicoms.LOSSLESS_SV1, dicoms.JPEGLS, dicoms.J2K_LOSSLESS, dicoms.HTJ2K]
)
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.99])
def test_a_compressed_image_cut_short_inside_its_fragment_is_refused(film: Film, syntax: str, share: float) -> None:
    """Some decoders would fill the rest with grey and say nothing."""
    frame = dicoms.encode(film, syntax, 12)
    file = dicoms.compressed(film, syntax, frame[: int(share * len(frame))], BitsStored=12)
    assert _rejected(file).reason in (Reason.TRUNCATED, Reason.UNDECODABLE)


@pytest.mark.parametrize(
    "syntax", [dicoms.BASELINE, dicoms.LOSSLESS_SV1, dicoms.JPEGLS, dicoms.J2K_LOSSLESS, dicoms.HTJ2K]
)
def test_a_codestream_of_another_size_is_refused_before_it_is_decoded(syntax: str) -> None:
    small, large = dicoms.film(64, 64, 8).astype(np.uint8), dicoms.film(128, 128, 8).astype(np.uint8)
    file = dicoms.compressed(small, syntax, dicoms.encode(large, syntax, 8))
    assert _rejected(file).reason == Reason.BAD_HEADER


def test_a_deflate_bomb_is_refused_at_the_cap(film: Film) -> None:
    bomb = dicoms.deflated(bytes(50_000_000), dicoms.native(film, dicoms.DEFLATED))
    assert len(bomb) < 100_000
    error = _rejected(bomb, Limits(file_bytes=1_000_000))
    assert error.reason == Reason.TOO_LARGE


def test_a_deflated_file_cut_short_is_refused(film: Film) -> None:
    assert _rejected(dicoms.native(film, dicoms.DEFLATED)[:-500]).reason == Reason.TRUNCATED


def test_nesting_beyond_reason_is_refused(film: Film) -> None:
    item, end = struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF), struct.pack("<HHL", 0xFFFE, 0xE00D, 0)
    sequence = struct.pack("<HH2sHL", 0x0008, 0x1140, b"SQ", 0, 0xFFFFFFFF)
    file = dicoms.native(film)
    start = dicoms._meta_end(file)
    bomb = file[:start] + (sequence + item) * 20_000 + end + file[start:]
    assert _rejected(bomb).reason == Reason.UNDECODABLE


def test_the_decoder_of_a_transfer_syntax_is_never_another(film: Film) -> None:
    """A file that says JPEG-LS and holds JPEG 2000 is refused, not read by whoever can."""
    frame = dicoms.encode(film, dicoms.J2K_LOSSLESS, 12)
    assert _rejected(dicoms.compressed(film, dicoms.JPEGLS, frame, BitsStored=12)).reason == Reason.UNDECODABLE


def test_an_unknown_syntax_is_named(film: Film) -> None:
    error = _rejected(dicoms.compressed(film, str(UID("1.2.3.4.5")), b"\0" * 10))
    assert "1.2.3.4.5" in str(error)
