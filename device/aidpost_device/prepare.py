"""Prepares pixels: the one function that training, quantisation, golden vectors and inference share.

Order: reduction by whole numbers on stored values (exact, down to no less than twice the prepared size), modality
rescale, VOI window, inversion of MONOCHROME1, padding to black, resize to the fit with square pixels, 8 bits. A window
after the reduction is many times cheaper than one on every pixel and equal to it within a few grey levels on films,
which are only ever reduced; small images (CT, MR, ultrasound) are not reduced, so that narrow windows are exact. Tables
that are not monotone, and padding, are dealt with at full resolution. The reduction is exact; after it machines may
differ in the last bit of a float, hence rarely by one grey level.

Axes: H rows, W columns of the image; h, w of a part; S rows and columns of the prepared pixels; C channels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from aidpost_device.bundle.manifest import ImageInput
from aidpost_device.bundle.manifest import Window as WindowSetting
from aidpost_device.decode.decode import decode
from aidpost_device.decode.grid import box_mean, box_mean_where, reduction_factor
from aidpost_device.decode.image import DecodedImage, Header, LookupTable, Pixels, Window
from aidpost_device.decode.limits import DEFAULT_LIMITS, Limits
from aidpost_device.decode.voi import Grey, apply_percentiles, apply_table, apply_window

Values = NDArray[np.float32]

OVERSAMPLING = 2
"""Grid pixels per prepared pixel that a reduction leaves at least: from there a resize is as good as from all."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """One file, ready for the graph."""

    pixels: NDArray[np.uint8]  # (S, S, C)
    header: Header
    decoder: str
    """Name and version of the decoder."""


def prepare_bytes(name: str, data: bytes | memoryview, spec: ImageInput, limits: Limits = DEFAULT_LIMITS) -> Prepared:
    """Decode and prepare one encoded file in this process. Raises `ScanError`."""
    image = decode(name, data, OVERSAMPLING * spec.size, limits)
    return Prepared(prepare(image, spec), image.header, image.decoder)


def prepare(image: DecodedImage, spec: ImageInput) -> NDArray[np.uint8]:  # (S, S, C) uint8
    """Prepare one decoded image for a graph: `spec.size` square, `spec.channels` channels, C-contiguous."""
    placement = _place(image, spec)
    if image.photometric == "RGB":
        content = _colour(image, spec, placement)  # (h, w, C)
    else:
        content = _grey(image, spec, placement)[..., None]  # (h, w, 1)
    pixels = np.zeros((spec.size, spec.size, spec.channels), np.uint8)
    height, width = content.shape[:2]
    pixels[placement.top : placement.top + height, placement.left : placement.left + width] = content
    return pixels


# ---- where --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Placement:
    """Which part of the image goes where in the prepared pixels."""

    box: tuple[float, float, float, float]
    """Left, top, right, bottom of the part, full-resolution coordinates."""
    width: int
    height: int
    left: int
    top: int


def _place(image: DecodedImage, spec: ImageInput) -> _Placement:
    rows, columns, size, aspect = image.rows, image.columns, spec.size, image.aspect
    tall = rows * aspect  # the image's height in widths of a pixel
    if spec.fit == "crop":
        side = min(tall, columns)
        left, top = (columns - side) / 2, (tall - side) / 2
        return _Placement((left, top / aspect, left + side, (top + side) / aspect), size, size, 0, 0)
    whole = (0.0, 0.0, float(columns), float(rows))
    if spec.fit == "stretch":
        return _Placement(whole, size, size, 0, 0)
    scale = size / max(tall, columns)
    width, height = (max(1, int(side * scale + 0.5)) for side in (columns, tall))
    return _Placement(whole, width, height, (size - width) // 2, (size - height) // 2)


# ---- colour -------------------------------------------------------------------------------------------------------


def _colour(image: DecodedImage, spec: ImageInput, placement: _Placement) -> NDArray[np.uint8]:  # (h, w, C)
    """Place a colour image. Its samples are display values already, so a `file` window changes nothing."""
    part, box = _part(image.pixels, placement, image.step, image.origin)
    size = (placement.width, placement.height)
    picture = Image.fromarray(part).resize(size, Image.Resampling.BILINEAR, box, reducing_gap=float(OVERSAMPLING))
    if spec.channels == 1:
        picture = picture.convert("L")
    content = np.asarray(picture).reshape(placement.height, placement.width, spec.channels)
    return content if spec.window.source == "file" else _to_bytes(_stretch(content.astype(np.float32), spec.window))


# ---- grey ---------------------------------------------------------------------------------------------------------


def _grey(image: DecodedImage, spec: ImageInput, placement: _Placement) -> NDArray[np.uint8]:  # (h, w)
    """Place a grey image and make grey levels of its values. Padding becomes black and counts for nothing."""
    factor = reduction_factor(min(image.pixels.shape), OVERSAMPLING * spec.size)
    step, origin = image.step * factor, image.origin + (factor - 1) / 2 * image.step
    padding = _padding(image)
    image = _straightened(image, spec)
    # NaN where there is padding only
    reduced = box_mean(image.pixels, factor) if padding is None else box_mean_where(image.pixels, ~padding, factor)
    part, box = _part(reduced, placement, step, origin)
    units = _to_units(part, image)
    grey = _show(units, image, spec)
    if image.photometric == "MONOCHROME1" and spec.monochrome1 == "invert":
        grey = 1 - grey
    if padding is not None:
        grey = np.where(np.isnan(units), np.float32(0), grey)
    picture = Image.fromarray(grey.astype(np.float32, copy=False))
    return _to_bytes(np.asarray(picture.resize((placement.width, placement.height), Image.Resampling.BILINEAR, box)))


def _padding(image: DecodedImage) -> NDArray[np.bool_] | None:
    """Return where the image is padding, None where it has none."""
    if image.padding is None:
        return None
    low, high = image.padding
    padding: NDArray[np.bool_] = (image.pixels >= low) & (image.pixels <= high)
    return padding if padding.any() else None


def _straightened(image: DecodedImage, spec: ImageInput) -> DecodedImage:
    """Put every pixel through the tables that are not monotone: averages would not survive them."""
    if image.modality_table is not None and not image.modality_table.monotone:
        units = _to_units(image.pixels, image)
        image = replace(image, pixels=units, modality_table=None, slope=1.0, intercept=0.0)
    if spec.window.source == "file" and isinstance(image.voi, LookupTable) and not image.voi.monotone:
        grey = apply_table(_to_units(image.pixels, image), image.voi)
        image = replace(image, pixels=grey, voi=_AS_IS, modality_table=None, slope=1.0, intercept=0.0)
    return image


_AS_IS = Window(0.5, 1.0, "linear_exact")
"""Maps [0, 1] to itself."""


def _to_units(stored: Pixels, image: DecodedImage) -> Values:
    """Turn stored values into modality units."""
    if image.modality_table is not None:
        return image.modality_table.look_up(stored).astype(np.float32)
    units: Values = stored.astype(np.float32, copy=False) * np.float32(image.slope) + np.float32(image.intercept)
    return units


def _show(values: Values, image: DecodedImage, spec: ImageInput) -> Grey:
    """Make grey levels of modality units, by the file's window or table, or by the setting's. NaN stays NaN."""
    if spec.window.source == "file":
        if isinstance(image.voi, Window):
            return apply_window(values, image.voi)
        if isinstance(image.voi, LookupTable):
            return apply_table(values, image.voi)
        if image.is_display:
            return values / np.float32(255)
    return _stretch(values, spec.window)


def _stretch(values: Values, setting: WindowSetting) -> Grey:
    if setting.source == "fixed":
        return apply_window(values, Window(setting.center, setting.width, "linear_exact"))
    return apply_percentiles(values, setting.low, setting.high)


def _to_bytes(grey: Grey) -> NDArray[np.uint8]:
    return np.rint(grey * 255).astype(np.uint8)


# ---- which part ---------------------------------------------------------------------------------------------------


def _part(
    pixels: Pixels, placement: _Placement, step: float, origin: float
) -> tuple[Pixels, tuple[float, float, float, float]]:
    """Cut the placement's part out of a grid whose pixels lie `step` apart, the first one's centre at `origin`.

    Returns the part and the placement's box in its coordinates.
    """
    left, top, right, bottom = (max(0.0, (edge - origin) / step + 0.5) for edge in placement.box)
    missing = [max(0, int(np.ceil(end)) - side) for end, side in zip((bottom, right), pixels.shape[:2], strict=True)]
    if any(missing):  # samples that lie at their boxes' corners end before the image does
        pixels = np.pad(pixels, [(0, count) for count in missing] + [(0, 0)] * (pixels.ndim - 2), mode="edge")
    column, row = int(left), int(top)
    part = pixels[row : int(np.ceil(bottom)), column : int(np.ceil(right))]
    return part, (left - column, top - row, right - column, bottom - row)
