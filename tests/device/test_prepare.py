"""Preparation: the one function that both sides share. Exact, or close to windowing every pixel."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

from aidpost_device.bundle.manifest import ImageInput
from aidpost_device.bundle.manifest import Window as WindowSetting
from aidpost_device.decode.decode import decode
from aidpost_device.decode.grid import box_mean, box_mean_where, box_sum
from aidpost_device.decode.image import DecodedImage, LookupTable, Window
from aidpost_device.decode.voi import apply_percentiles, apply_table, apply_window
from aidpost_device.prepare import OVERSAMPLING, prepare, prepare_bytes

from . import dicoms

Fit = Literal["pad", "crop", "stretch"]
S = 64
pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered in exp:RuntimeWarning:pydicom")


def _spec(
    size: int = S,
    channels: Literal[1, 3] = 1,
    fit: Fit = "pad",
    window: WindowSetting | None = None,
    monochrome1: Literal["invert", "keep"] = "invert",
) -> ImageInput:
    return ImageInput(size=size, channels=channels, fit=fit, window=window or WindowSetting(), monochrome1=monochrome1)


def _image(pixels: NDArray[np.generic], bits: int = 0, **facts: object) -> DecodedImage:
    image = DecodedImage(
        pixels=pixels,
        photometric="RGB" if pixels.ndim == 3 else "MONOCHROME2",
        bits=bits or 8 * pixels.dtype.itemsize,
        rows=pixels.shape[0],
        columns=pixels.shape[1],
        decoder="test",
    )
    return replace(image, **facts)  # type: ignore[arg-type]


# ---- shape ----------------------------------------------------------------------------------------------------------

_stored = st.one_of(
    [
        arrays(kind, st.tuples(st.integers(1, 150), st.integers(1, 150)))
        for kind in (np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32)
    ]
)
_fits = st.sampled_from(["pad", "crop", "stretch"])
_windows = st.sampled_from(
    [
        WindowSetting(),
        WindowSetting(source="percentile"),
        WindowSetting(source="percentile", low=0, high=100),
        WindowSetting(source="fixed", center=100, width=50),
    ]
)
_vois = st.sampled_from(
    [
        None,
        Window(100, 50),
        Window(100, 1),
        Window(0, 0.5, "linear_exact"),
        Window(-1e9, 1e-9, "sigmoid"),
        LookupTable(5, np.array([0.0, 1.0, 3.0, 3.0]), 3),
        LookupTable(0, np.array([0.0, 9.0, 1.0]), 9),
    ]
)


@settings(max_examples=150, deadline=None)
@given(
    _stored,
    _fits,
    _windows,
    _vois,
    st.sampled_from([1, 3]),
    st.sampled_from(["MONOCHROME1", "MONOCHROME2"]),
    st.none() | st.just((0, 3)) | st.just((-(2**31), 2**32)),
)
def test_any_grey_image_becomes_a_square_of_bytes(
    pixels: NDArray[np.generic],
    fit: Fit,
    window: WindowSetting,
    voi: Window | LookupTable | None,
    channels: Literal[1, 3],
    photometric: str,
    padding: tuple[int, int] | None,
) -> None:
    image = _image(pixels, voi=voi, photometric=photometric, padding=padding)
    with np.errstate(all="raise", under="ignore", over="ignore"):
        prepared = prepare(image, _spec(32, channels, fit, window))
    assert prepared.shape == (32, 32, channels)
    assert prepared.dtype == np.uint8
    assert prepared.flags.c_contiguous
    assert channels == 1 or (prepared == prepared[..., :1]).all()
    assert np.array_equal(prepared, prepare(image, _spec(32, channels, fit, window)))


@settings(max_examples=60, deadline=None)
@given(
    arrays(np.uint8, st.tuples(st.integers(1, 150), st.integers(1, 150), st.just(3))), _fits, st.sampled_from([1, 3])
)
def test_any_colour_image_becomes_a_square_of_bytes(
    pixels: NDArray[np.uint8], fit: Fit, channels: Literal[1, 3]
) -> None:
    prepared = prepare(_image(pixels), _spec(32, channels, fit))
    assert prepared.shape == (32, 32, channels)
    assert prepared.dtype == np.uint8


@given(st.integers(1, 400), st.integers(1, 400))
@settings(max_examples=60, deadline=None)
def test_a_padded_image_is_central_and_its_borders_are_black(rows: int, columns: int) -> None:
    prepared = prepare(_image(np.full((rows, columns), 255, np.uint8)), _spec())[..., 0]
    height, width = (max(1, int(side * S / max(rows, columns) + 0.5)) for side in (rows, columns))
    top, left = (S - height) // 2, (S - width) // 2
    inside = prepared[top : top + height, left : left + width]
    assert (inside == 255).all()
    assert prepared.sum(dtype=int) == inside.size * 255


def test_a_crop_is_the_central_square_and_a_stretch_the_whole() -> None:
    wide = np.zeros((64, 192), np.uint8)
    wide[:, 64:128] = 200
    assert (prepare(_image(wide), _spec(fit="crop")) == 200).all()
    stretched = prepare(_image(wide), _spec(fit="stretch"))[..., 0]
    assert (stretched[:, 23:41] == 200).all()
    assert (stretched[:, :20] == 0).all()
    assert (stretched[:, -20:] == 0).all()


def test_pixels_that_are_not_square_are_shown_as_wide_as_they_are() -> None:
    flat = np.zeros((48, 96), np.uint8)  # with pixels twice as high as wide, a square with a round disc in it
    y, x = np.mgrid[0:48, 0:96]
    flat[(2 * (y - 23.5)) ** 2 + (x - 47.5) ** 2 < 30**2] = 255
    for fit in ("pad", "crop"):
        prepared = prepare(_image(flat, aspect=2.0), _spec(fit=fit))[..., 0] > 127
        height, width = np.ptp(np.nonzero(prepared), axis=1)
        assert abs(height - width) <= 1
        assert width == pytest.approx(40, abs=1)
    wide = np.full((48, 32), 255, np.uint8)
    filled = prepare(_image(wide, aspect=0.5), _spec())[..., 0] > 0
    assert (filled.any(1).sum(), filled.any(0).sum()) == (48, 64)


@pytest.mark.parametrize(
    ("elements", "aspect"),
    [
        ({}, 1),
        ({"PixelAspectRatio": ["4", "3"]}, 4 / 3),
        ({"PixelSpacing": ["0.2", "0.1"], "PixelAspectRatio": ["4", "3"]}, 2),
        ({"ImagerPixelSpacing": ["0.1", "0.2"]}, 0.5),
        ({"PixelSpacing": ["0.1430", "0.1431"]}, 1),
        ({"PixelAspectRatio": ["0", "3"]}, 1),
        ({"PixelAspectRatio": ["1000", "3"]}, 1),
        ({"PixelAspectRatio": ["4"]}, 1),
    ],
)
def test_the_aspect_is_read(elements: dict[str, Any], aspect: float) -> None:
    assert decode("x.dcm", dicoms.native(dicoms.film(), **elements)).aspect == pytest.approx(aspect)
    assert decode("x.dcm", dicoms.native(np.zeros((4, 4, 3), np.uint8), **elements)).aspect == pytest.approx(aspect)


def test_an_image_of_the_right_size_and_depth_is_left_as_it_is() -> None:
    grey = dicoms.film(S, S, 8).astype(np.uint8)
    rgb = np.dstack([grey, grey // 2, 255 - grey])
    assert np.array_equal(prepare(_image(grey), _spec())[..., 0], grey)
    assert np.array_equal(prepare(_image(rgb), _spec(channels=3)), rgb)
    assert np.array_equal(prepare(_image(rgb), _spec())[..., 0], np.asarray(Image.fromarray(rgb).convert("L")))


def test_the_same_film_gives_the_same_pixels_from_a_png_and_from_dicom() -> None:
    grey = dicoms.film(500, 400, 8).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(grey).save(file, "PNG")
    one = prepare_bytes("a.png", file.getvalue(), _spec())
    other = prepare_bytes("a.dcm", dicoms.native(grey), _spec())
    assert np.array_equal(one.pixels, other.pixels)
    assert one.decoder.startswith("pillow-png ")
    assert other.header.modality == "CR"


# ---- reduction ------------------------------------------------------------------------------------------------------


def _naive_mean(values: NDArray[np.generic], factor: int) -> NDArray[np.float64]:
    height, width = (-(-side // factor) for side in values.shape)
    boxes = [
        values[y * factor : (y + 1) * factor, x * factor : (x + 1) * factor].astype(np.float64).mean()
        for y in range(height)
        for x in range(width)
    ]
    return np.array(boxes).reshape(height, width)


@given(_stored, st.integers(1, 20))
@settings(max_examples=60, deadline=None)
def test_a_box_mean_is_the_mean_of_the_box(pixels: NDArray[np.generic], factor: int) -> None:
    np.testing.assert_allclose(box_mean(pixels, factor), _naive_mean(pixels, factor), rtol=1e-6, atol=1e-3)


@pytest.mark.parametrize("kind", [np.uint16, np.int16])
def test_sums_do_not_overflow_at_the_largest_factor(kind: type[np.generic]) -> None:
    limits = np.iinfo(kind)  # type: ignore[type-var]
    for extreme in (limits.min, limits.max):
        full = np.full((512, 256), extreme, kind)
        assert (box_sum(full, 256) == extreme * 65536).all()


def test_a_mean_over_valid_values_leaves_the_others_out() -> None:
    values = np.array([[1, 9, 7, 7], [3, 9, 7, 7]], np.int16)
    valid = np.array([[True, False, False, False], [True, False, False, False]])
    mean = box_mean_where(values, valid, 2)
    assert mean[0, 0] == 2
    assert np.isnan(mean[0, 1])


def test_big_films_are_reduced_no_further_than_twice_the_prepared_size() -> None:
    film = dicoms.film(1000, 800, 12)
    file = dicoms.compressed(film, dicoms.J2K_LOSSLESS, BitsStored=12)
    assert min(decode("x", file, OVERSAMPLING * S).pixels.shape) >= 2 * S


@pytest.mark.parametrize("fit", ["pad", "crop", "stretch"])
@pytest.mark.parametrize("shape", [(1024, 1024), (1023, 771), (2050, 901)])
def test_a_reduced_decode_prepares_the_same_as_a_full_one(fit: Fit, shape: tuple[int, int]) -> None:
    film = dicoms.film(*shape, 12)
    file = dicoms.compressed(film, dicoms.J2K_LOSSLESS, BitsStored=12, WindowCenter=2048, WindowWidth=4096)
    spec = _spec(fit=fit)
    reduced = decode("x", file, OVERSAMPLING * S)
    assert reduced.step >= 4
    difference = np.abs(prepare(reduced, spec).astype(int) - prepare(decode("x", file), spec))
    assert difference.mean() < 0.5
    assert difference.max() <= 12  # only where the film has an edge


# ---- windows --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "function"), [("LINEAR", "linear"), ("LINEAR_EXACT", "linear_exact"), ("SIGMOID", "sigmoid")]
)
@pytest.mark.parametrize(("center", "width"), [(2048, 4096), (0, 2), (0, 100), (-500.5, 333.3), (100, 1.5)])
def test_windows_follow_the_standard(
    name: str, function: Literal["linear", "linear_exact", "sigmoid"], center: float, width: float
) -> None:
    """Against pydicom's, which maps to the full range of the stored bits."""
    values = np.arange(-3000, 5000, 7).astype(np.int16).reshape(1, -1)
    made = dicoms.dataset(values, WindowCenter=str(center), WindowWidth=str(width), VOILUTFunction=name)
    peer = (apply_voi_lut(values, made).astype(np.float64) + 2**15) / (2**16 - 1)
    ours = apply_window(values.astype(np.float32), Window(center, width, function))
    np.testing.assert_allclose(ours, peer, atol=1e-4)


def test_a_window_of_width_one_is_a_step() -> None:
    assert apply_window(np.array([9, 9.4, 9.6, 10], np.float32), Window(10, 1)).tolist() == [0, 0, 1, 1]


@given(st.floats(-1e4, 1e4), st.floats(1, 1e5), st.sampled_from(["linear", "linear_exact", "sigmoid"]))
def test_windows_are_monotone_and_bounded(
    center: float, width: float, function: Literal["linear", "linear_exact", "sigmoid"]
) -> None:
    grey = apply_window(np.linspace(-2e4, 2e4, 500, dtype=np.float32), Window(center, width, function))
    assert (np.diff(grey) >= 0).all()
    assert grey.min() >= 0
    assert grey.max() <= 1


def test_a_table_maps_as_pydicom_does() -> None:
    entries = (65535 * (np.arange(4096) / 4095) ** 0.4).astype(np.uint16)
    values = np.arange(-100, 5000, 3).astype(np.int16).reshape(1, -1)
    made = dicoms.dataset(values)
    item = pydicom.Dataset()
    item.add_new(0x00283002, "US", [4096, 0, 16])
    item.add_new(0x00283006, "US", entries.tolist())
    made.VOILUTSequence = pydicom.Sequence([item])
    ours = apply_table(values.astype(np.float32), LookupTable(0, entries.astype(np.float64), 65535))
    np.testing.assert_allclose(ours * 65535, apply_voi_lut(values, made), atol=0.01)


@given(arrays(np.uint16, (40, 50)), st.floats(0.5, 100), st.floats(-1000, 1000))
@settings(max_examples=50, deadline=None)
def test_percentiles_do_not_care_for_the_rescale(pixels: NDArray[np.uint16], slope: float, intercept: float) -> None:
    spec = _spec(window=WindowSetting(source="percentile"))
    plain, rescaled = _image(pixels), _image(pixels, slope=slope, intercept=intercept)
    assert np.abs(prepare(plain, spec).astype(int) - prepare(rescaled, spec)).max() <= 1


@given(st.integers(-500, 500))
@settings(max_examples=30, deadline=None)
def test_a_window_moves_with_the_values(shift: int) -> None:
    pixels = dicoms.film(100, 100, 10).astype(np.int16)
    one = prepare(_image(pixels, voi=Window(500, 300)), _spec())
    other = prepare(_image((pixels + shift).astype(np.int16), voi=Window(500 + shift, 300)), _spec())
    assert np.abs(one.astype(int) - other).max() <= 1


def test_what_the_file_says_yields_to_what_the_setting_says() -> None:
    image = _image(dicoms.film(S, S, 12), 12, voi=Window(2048, 4096))
    by_file = prepare(image, _spec())
    fixed = prepare(image, _spec(window=WindowSetting(source="fixed", center=2048, width=4096)))
    narrow = prepare(image, _spec(window=WindowSetting(source="fixed", center=2048, width=100)))
    stretched = prepare(image, _spec(window=WindowSetting(source="percentile", low=0, high=100)))
    assert np.abs(by_file.astype(int) - fixed).max() <= 1
    assert (narrow == 255).mean() + (narrow == 0).mean() > 0.8
    assert (stretched.min(), stretched.max()) == (0, 255)


@pytest.mark.parametrize("bits", [7, 12, 16])
def test_values_without_a_window_are_stretched(bits: int) -> None:
    film = dicoms.film(S, S, bits).astype(np.uint8 if bits < 8 else np.uint16)
    prepared = prepare(_image(film, bits), _spec())
    assert (prepared.min(), prepared.max()) == (0, 255)


@pytest.mark.parametrize("coded", [8, 16])
@pytest.mark.parametrize("syntax", [dicoms.LOSSLESS_SV1, dicoms.JPEGLS, dicoms.J2K_LOSSLESS, dicoms.HTJ2K, dicoms.RLE])
def test_grey_levels_of_eight_bits_stay_as_they_are_in_wider_containers(syntax: str, coded: int) -> None:
    grey = 50 + dicoms.film(S, S, 8) // 2
    samples = grey if coded == 16 or syntax == dicoms.RLE else grey.astype(np.uint8)
    frame = dicoms.encode(samples, syntax, coded)
    for file in (dicoms.native(grey, BitsStored=8), dicoms.compressed(grey, syntax, frame, BitsStored=8)):
        assert np.array_equal(prepare_bytes("x", file, _spec()).pixels[..., 0], grey)


def test_signed_and_contradicting_eight_bits_are_stretched() -> None:
    signed = np.linspace(-100, 100, S * S).reshape(S, S).astype(np.int8)
    wide = dicoms.film(S, S, 12)
    for image in (_image(signed), _image(wide, bits=8)):
        prepared = prepare(image, _spec())
        assert (prepared.min(), prepared.max()) == (0, 255)


def test_a_flat_image_is_black() -> None:
    for level in (-1000, 0, 1000):
        assert not prepare(_image(np.full((50, 50), level, np.int16)), _spec()).any()


def test_percentiles_leave_out_what_is_not_there() -> None:
    values = np.array([np.nan, 1, 2, 3, np.nan], np.float32)
    np.testing.assert_array_equal(apply_percentiles(values, 0, 100), np.array([np.nan, 0, 0.5, 1, np.nan], np.float32))
    assert np.isnan(apply_percentiles(values[:1], 0, 100)).all()


# ---- photometric, tables, padding -----------------------------------------------------------------------------------


@pytest.mark.parametrize("voi", [None, Window(2048, 3000), LookupTable(0, np.linspace(0, 255, 4096), 255)])
def test_monochrome1_is_the_inverse(voi: Window | LookupTable | None) -> None:
    dark = _image(dicoms.film(S, S, 12), 12, voi=voi)
    light = replace(dark, photometric="MONOCHROME1")
    assert np.abs(255 - prepare(dark, _spec()).astype(int) - prepare(light, _spec())).max() <= 1
    assert np.array_equal(prepare(dark, _spec(monochrome1="keep")), prepare(light, _spec(monochrome1="keep")))


def test_monochrome1_does_not_invert_the_borders() -> None:
    film = _image(dicoms.film(100, 50, 12), 12, photometric="MONOCHROME1")
    assert not prepare(film, _spec())[:, :10].any()


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("padding", [-2000, 30000])
def test_padding_is_black_and_does_not_move_the_percentiles(photometric: str, padding: int) -> None:
    film = dicoms.film(200, 200, 12).astype(np.int16)
    padded = film.copy()
    y, x = np.mgrid[0:200, 0:200]
    outside = (y - 100) ** 2 + (x - 100) ** 2 > 95**2
    padded[outside] = padding
    spec = _spec(32)
    with_padding = prepare(_image(padded, padding=(padding, padding), photometric=photometric), spec)[..., 0]
    without = prepare(_image(film, photometric=photometric), spec)[..., 0]
    assert not with_padding[:3, :3].any()
    assert np.abs(with_padding[8:24, 8:24].astype(int) - without[8:24, 8:24]).mean() < 6


def test_only_padding_is_black() -> None:
    assert not prepare(_image(np.full((50, 50), -5, np.int16), padding=(-9, -1)), _spec()).any()


def test_a_crooked_table_is_applied_to_every_pixel() -> None:
    """Averaging first would make grey of what the table makes white."""
    checks = np.indices((256, 256)).sum(axis=0).astype(np.uint8) % 2 * 2  # 0 and 2, mean 1
    crooked = LookupTable(0, np.array([0.0, 255.0, 0.0]), 255)
    assert not crooked.monotone
    for facts in ({"voi": crooked}, {"modality_table": crooked, "voi": Window(127.5, 255, "linear_exact")}):
        assert not prepare(_image(checks, **facts), _spec(32)).any()


def test_a_modality_table_replaces_the_rescale() -> None:
    table = LookupTable(0, np.arange(256.0) * 2, 511)
    film = dicoms.film(S, S, 8).astype(np.uint8)
    by_table = prepare(_image(film, modality_table=table, voi=Window(255, 510, "linear_exact")), _spec())
    by_slope = prepare(_image(film, slope=2.0, voi=Window(255, 510, "linear_exact")), _spec())
    assert np.array_equal(by_table, by_slope)


def test_a_smooth_table_may_follow_the_reduction() -> None:
    film = dicoms.film(1024, 1024, 12)
    curve = LookupTable(0, 255 * (np.arange(4096) / 4095) ** 0.5, 255)
    ours = prepare(_image(film, 12, voi=curve), _spec())[..., 0]
    every = Image.fromarray((apply_table(film.astype(np.float32), curve) * 255).astype(np.float32))
    reference = np.asarray(every.resize((S, S), Image.Resampling.BILINEAR))
    assert np.abs(ours - reference).mean() < 0.5
    assert np.abs(ours - reference).max() < 4


# ---- real files -----------------------------------------------------------------------------------------------------

_BY_MODALITY = [
    # file, largest difference in grey levels from windowing every pixel
    ("wg04/RG1_J2KI.dcm", 6.0),
    ("wg04/RG1_JLSN.dcm", 6.0),
    ("wg04/RG3_J2KR.dcm", 6.0),
    ("wg04/RG3_JLSN.dcm", 3.0),
    ("wg04/CT2_J2KR.dcm", 0.6),
    ("wg04/MR1_JLSL.dcm", 0.6),
    ("varied/MR2_J2KI.dcm", 9.0),
    ("varied/MR_small_implicit.dcm", 0.6),
    ("varied/vlut_04.dcm", 0.6),
]


@pytest.mark.parametrize(("file", "largest"), _BY_MODALITY)
def test_windowing_after_the_reduction_is_close_to_windowing_every_pixel(
    data_folder: Path, file: str, largest: float
) -> None:
    """pydicom applies the modality and VOI tables to every pixel, then one resize: what ours must come close to."""
    content = (data_folder / "dicom" / file).read_bytes()
    spec = _spec(224)
    ours = prepare_bytes(file, content, spec).pixels[..., 0]
    full = decode(file, content)
    made = pydicom.dcmread(io.BytesIO(content))
    units = apply_modality_lut(full.pixels, made).astype(np.float32)
    assert full.voi is not None
    grey = apply_window(units, full.voi) if isinstance(full.voi, Window) else apply_table(units, full.voi)
    grey = 1 - grey if full.photometric == "MONOCHROME1" else grey
    width, height = (max(1, int(side * 224 / max(grey.shape) + 0.5)) for side in (full.columns, full.rows))
    reference = np.asarray(Image.fromarray(grey).resize((width, height), Image.Resampling.BILINEAR)) * 255
    top, left = (224 - height) // 2, (224 - width) // 2
    difference = np.abs(ours[top : top + height, left : left + width] - reference)
    assert difference.mean() < 0.5
    assert difference.max() < largest


def test_one_film_prepares_alike_from_every_codec(data_folder: Path) -> None:
    """Lossless codecs of one image: reduced JPEG 2000 differs a little, all others not at all."""
    spec = _spec(224)
    for stem, codecs in {
        "CT1": ["J2KR", "JLSL", "JPLL", "RLE"],
        "MR1": ["J2KR", "JLSL", "JPLL"],
        "NM1": ["J2KR", "JLSL", "JPLL", "RLE"],
        "XA1": ["JLSL", "JPLL"],
    }.items():
        files = [data_folder / "dicom" / "wg04" / f"{stem}_{codec}.dcm" for codec in codecs]
        first, *others = [prepare_bytes(path.name, path.read_bytes(), spec).pixels for path in files]
        assert first.any()
        assert all(np.array_equal(first, other) for other in others), stem
