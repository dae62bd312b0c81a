"""Graded degradations: a good scan, spoilt in one of the ways that happen in a clinic. Deterministic by seed.

They work on prepared pixels: the picture without the bars that preparation added is spoilt and prepared again, so that
a scan turned by a quarter gets the bars that a turned file would get. Axes: H rows, W columns, C channels.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from aidpost_device.reason import Reason

GRADES = (1, 2, 3, 4)
"""From what a reader may overlook to what nobody could read."""
Degradation = Callable[[Image.Image, int, np.random.Generator], Image.Image]
"""The picture, the grade from 0 (mild) to 3 (severe), chance → the spoilt picture."""


def degrade(pixels: NDArray[np.uint8], fault: Reason, grade: int, seed: int, *, bars: bool) -> NDArray[np.uint8]:
    """Spoil one prepared scan.  # (H, W, C) → (H, W, C)

    `bars`: preparation pads to a square, so black bars on two opposite sides are none of the picture; otherwise it
    stretches or crops.
    """
    random = np.random.default_rng((seed, list(DEGRADATIONS).index(fault)))  # the same place and way at each grade
    size, channels = pixels.shape[0], pixels.shape[2]
    rows, columns = picture_area(pixels) if bars else (slice(0, size), slice(0, size))
    content = pixels[rows, columns]
    picture = Image.fromarray(content[..., 0] if channels == 1 else content)
    spoilt = DEGRADATIONS[fault](picture, grade - 1, random)
    return _fit(spoilt, size, channels, bars=bars)


def picture_area(pixels: NDArray[np.uint8]) -> tuple[slice, slice]:  # (H, W, C)
    """Find the rows and columns inside the bars: black, on both sides of one axis, equally wide within a pixel."""
    size = len(pixels)
    used = (np.flatnonzero(pixels.any(axis=(1, 2))), np.flatnonzero(pixels.any(axis=(0, 2))))
    whole = slice(0, size)
    for axis, filled in enumerate(used):
        if filled.size and filled[0] > 0 and abs(int(filled[0]) - (size - 1 - int(filled[-1]))) <= 1:
            inside = slice(int(filled[0]), int(filled[-1]) + 1)
            return (inside, whole) if axis == 0 else (whole, inside)
    return whole, whole


def _fit(picture: Image.Image, size: int, channels: int, *, bars: bool) -> NDArray[np.uint8]:  # (H, W, C)
    """Bring a picture to the prepared size again."""
    width, height = picture.size
    scale = size / max(width, height)
    shape = (max(1, round(width * scale)), max(1, round(height * scale))) if bars else (size, size)
    small = picture if picture.size == shape else picture.resize(shape, Image.Resampling.BILINEAR)
    pixels = np.zeros((size, size, channels), np.uint8)
    left, top = (size - shape[0]) // 2, (size - shape[1]) // 2
    pixels[top : top + shape[1], left : left + shape[0]] = np.asarray(small).reshape(shape[1], shape[0], channels)
    return pixels


# ---- grey levels ----------------------------------------------------------------------------------------------------


def _bright(picture: Image.Image, grade: int, random: np.random.Generator) -> Image.Image:
    """Too bright: little radiation reached the detector, so that the noise of the quanta is seen as well."""
    exponent = (0.75, 0.58, 0.42, 0.28)[grade] * random.uniform(0.95, 1.05)
    noise = (2.0, 4.0, 7.0, 10.0)[grade] * random.uniform(0.0, 1.0)
    return _graded(picture, exponent, (1.0, 1.04, 1.1, 1.2)[grade], noise, random)


def _dark(picture: Image.Image, grade: int, random: np.random.Generator) -> Image.Image:
    exponent = (1.35, 1.8, 2.5, 3.5)[grade] * random.uniform(0.95, 1.05)
    return _graded(picture, exponent, (0.97, 0.85, 0.7, 0.5)[grade], 0.0, random)


def _graded(
    picture: Image.Image, exponent: float, gain: float, noise: float, random: np.random.Generator
) -> Image.Image:
    grey = np.asarray(picture, np.float32) / 255
    grey = gain * grey**exponent
    grey += random.normal(0, noise / 255, grey.shape) * (grey > 0)
    return Image.fromarray(np.rint(grey.clip(0, 1) * 255).astype(np.uint8))


def _glare(picture: Image.Image, grade: int, random: np.random.Generator) -> Image.Image:
    """One to three lamps or windows mirrored in the film, with a soft rim."""
    width, height = picture.size
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    light = np.zeros((height, width), np.float32)
    for _ in range(int(random.integers(1, 4))):
        radius = (0.05, 0.08, 0.12, 0.18)[grade] * max(width, height) * random.uniform(0.8, 1.2)
        y, x = random.uniform(0.15, 0.85, 2) * (height, width)
        turn, flat = random.uniform(0, np.pi), random.uniform(1.0, 2.0)
        across = (rows - y) * np.cos(turn) - (columns - x) * np.sin(turn)
        along = (rows - y) * np.sin(turn) + (columns - x) * np.cos(turn)
        distance = np.sqrt(across**2 * flat + along**2 / flat) / radius
        light = np.maximum(light, 1 / (1 + distance**6))
    strength = random.uniform(0.75, 1.0)
    grey = np.asarray(picture, np.float32)
    light = light * strength if grey.ndim == 2 else (light * strength)[..., None]
    return Image.fromarray(np.rint(grey + (255 - grey) * light).astype(np.uint8))


# ---- sharpness ------------------------------------------------------------------------------------------------------


def _blurred(picture: Image.Image, grade: int, random: np.random.Generator) -> Image.Image:
    """Out of focus, or moved along a line."""
    spread = (0.004, 0.008, 0.014, 0.024)[grade] * max(picture.size) * random.uniform(0.9, 1.1)
    if random.random() < 0.5:
        return picture.filter(ImageFilter.GaussianBlur(spread))
    length = spread * np.sqrt(12)  # a line of this length spreads as much as the disk does
    turn, steps = random.uniform(0, np.pi), max(3, round(length))
    total = np.zeros(np.asarray(picture).shape, np.float32)
    for at in np.linspace(-length / 2, length / 2, steps):
        moved = (1, 0, at * np.cos(turn), 0, 1, at * np.sin(turn))
        wide = picture.transform(picture.size, Image.Transform.AFFINE, moved, Image.Resampling.BILINEAR)
        total += np.where(np.asarray(wide) > 0, np.asarray(wide), np.asarray(picture))
    return Image.fromarray(np.rint(total / steps).astype(np.uint8))


# ---- geometry -------------------------------------------------------------------------------------------------------


def _cropped(picture: Image.Image, grade: int, random: np.random.Generator) -> Image.Image:
    """A part is missing on one side or two: off the detector, or behind the collimator, which leaves it black."""
    width, height = picture.size
    share = (0.12, 0.2, 0.28, 0.38)[grade] * random.uniform(0.9, 1.1)
    sides = random.permutation(4)[: int(random.integers(1, 3))]
    left, top, right, bottom = (share * side * (number in sides) for number, side in enumerate((width, height) * 2))
    box = (round(left), round(top), round(width - right), round(height - bottom))
    if random.random() < 0.7:
        return picture.crop(box)
    shown = Image.new(picture.mode, picture.size)
    shown.paste(picture.crop(box), box[:2])
    return shown


def _rotated(picture: Image.Image, grade: int, random: np.random.Generator) -> Image.Image:
    """Turned by some degrees either way; at the last grade by a quarter."""
    way = 1 if random.random() < 0.5 else -1
    if grade == 3:
        return picture.transpose(Image.Transpose.ROTATE_90 if way > 0 else Image.Transpose.ROTATE_270)
    angle = (12.0, 20.0, 32.0)[grade] * random.uniform(0.95, 1.05) * way
    return _turn(picture, angle, random)


def _turn(picture: Image.Image, angle: float, random: np.random.Generator) -> Image.Image:
    """Turn a picture; what comes into view is black, white, or cut away."""
    kind = int(random.integers(3))
    if kind < 2:
        expand = random.random() < 0.5
        return picture.rotate(angle, Image.Resampling.BILINEAR, expand, fillcolor=_fill(picture, 255 * kind))
    width, height = picture.size
    sine, cosine = abs(np.sin(np.radians(angle))), abs(np.cos(np.radians(angle)))
    shrink = 1 / (cosine + sine * max(width, height) / min(width, height))
    across, down = width * (1 - shrink) / 2, height * (1 - shrink) / 2
    turned = picture.rotate(angle, Image.Resampling.BILINEAR)
    return turned.crop((round(across), round(down), round(width - across), round(height - down)))


def _upside_down(picture: Image.Image, _grade: int, _random: np.random.Generator) -> Image.Image:
    """Half a turn, which has no grades."""
    return picture.transpose(Image.Transpose.ROTATE_180)


def _perspective(picture: Image.Image, grade: int, random: np.random.Generator) -> Image.Image:
    """Photographed from an angle, before a light box or a wall."""
    width, height = picture.size
    far = (0.06, 0.11, 0.17, 0.25)[grade] * random.uniform(0.85, 1.15)
    margin = random.uniform(0.02, 0.08)
    corners = np.array([(0, 0), (1, 0), (1, 1), (0, 1)], float)
    side = int(random.integers(4))  # the edge that is farther away looks shorter
    a, b = side, (side + 1) % 4
    corners[a] += (corners[b] - corners[a]) * far
    corners[b] += (corners[a] - corners[b]) * far
    middle = corners.mean(axis=0)
    corners += (middle - corners) * margin + random.uniform(-0.2, 0.2, (4, 2)) * far
    ground = Image.new(picture.mode, picture.size, _fill(picture, int(random.choice([10, 60, 150, 235]))))
    mask = Image.new("L", picture.size)
    ends = [(x * width, y * height) for x, y in corners]
    ImageDraw.Draw(mask).polygon(ends, fill=255)
    # A pixel from the picture's own edge: the outermost would be mixed with what lies outside, which is black.
    source = [(1.0, 1.0), (width - 1.0, 1.0), (width - 1.0, height - 1.0), (1.0, height - 1.0)]
    moved = picture.transform(
        picture.size, Image.Transform.PERSPECTIVE, _homography(ends, source), Image.Resampling.BILINEAR
    )
    ground.paste(moved, mask=mask)
    return ground


def _homography(seen: list[tuple[float, float]], source: list[tuple[float, float]]) -> list[float]:
    """Coefficients that take each seen corner to its place in the source, as Pillow wants them."""
    rows = []
    for (x, y), (u, v) in zip(seen, source, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
    return [float(value) for value in np.linalg.solve(np.array(rows), np.array(source).ravel())]


def _fill(picture: Image.Image, grey: int) -> int | tuple[int, ...]:
    return grey if picture.mode == "L" else (grey,) * 3


DEGRADATIONS: dict[Reason, Degradation] = {
    Reason.UNDEREXPOSED: _bright,
    Reason.OVEREXPOSED: _dark,
    Reason.CROPPED: _cropped,
    Reason.ROTATED: _rotated,
    Reason.UPSIDE_DOWN: _upside_down,
    Reason.BLURRED: _blurred,
    Reason.GLARE: _glare,
    Reason.PERSPECTIVE: _perspective,
}
"""Every fault that can be made of a good scan. A view from the side cannot."""
