"""Pictures of a report: the prepared scan as the model saw it, plain and with the graph's own map laid over it."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from aidpost_device.quality import content_area

SIDE = 256
"""Longest side of a picture, pixels."""
FAINTEST = 1.0
"""Smallest map value, in logits, that may be shown in full colour: noise is never blown up to look like something."""
_WEAK, _STRONG = np.array([255.0, 176.0, 0.0]), np.array([220.0, 38.0, 0.0])  # amber to vermilion, on grey
_COVER = 0.6
_LINE = np.array([255.0, 255.0, 255.0])


@dataclass(frozen=True)
class Picture:
    """One prepared scan, small, and what the graph's own map says of one finding in it."""

    pixels: NDArray[np.uint8]  # (H, W, 1 or 3) uint8, sides at most SIDE
    label: str
    """The finding that the map is of."""
    map: NDArray[np.float32] | None  # (h, w) float32, logit scale
    """None where the model gives no map, or the scan is not to be read."""


def take(pixels: NDArray[np.uint8], label: str, heat: NDArray[np.float32] | None) -> Picture:  # (H, W, C), (h, w)
    """Make a picture of prepared pixels that takes little memory."""
    if pixels.shape[2] == 3 and (pixels == pixels[..., :1]).all():
        pixels = pixels[..., :1]
    if max(pixels.shape[:2]) > SIDE:
        image = _image(pixels)
        image.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
        pixels = np.asarray(image).reshape(image.height, image.width, -1)
    return Picture(pixels.copy(), label, None if heat is None else heat.astype(np.float32, copy=True))


def common_scale(pictures: Iterable[Picture]) -> float:
    """Give the map value, in logits, that is drawn in full colour: one for the whole report, so that scans compare."""
    peaks = [float(picture.map.max()) for picture in pictures if picture.map is not None]
    return max(FAINTEST, float(np.percentile(peaks, 90))) if peaks else FAINTEST


def plain(picture: Picture) -> str:
    """Draw the scan alone, without black borders; returns a `data:` address."""
    return _data(picture.pixels[_frame(picture)])


def with_map(picture: Picture, scale: float) -> str | None:
    """Draw the scan with the map over it: what raised the probability is tinted, and outlined above half the scale.

    Returns a `data:` address, or None where there is no map.
    """
    if picture.map is None:
        return None
    height, width = picture.pixels.shape[:2]
    enlarged = Image.fromarray(picture.map).resize((width, height), Image.Resampling.BICUBIC)
    strength = np.clip(np.asarray(enlarged) / scale, 0.0, 1.0)[..., None]  # (H, W, 1) in [0, 1]
    cover = _COVER * strength**1.5
    drawn = picture.pixels * (1 - cover) + (_WEAK + (_STRONG - _WEAK) * strength) * cover  # (H, W, 3)
    drawn[_outline(strength[..., 0] >= 0.5)] = _LINE
    return _data(drawn.round().astype(np.uint8)[_frame(picture)])


def _outline(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:  # (H, W)
    """Mark the pixels inside that touch a pixel outside: people who cannot tell the colours see the line."""
    around = np.pad(inside, 1, mode="edge")
    core = around[:-2, 1:-1] & around[2:, 1:-1] & around[1:-1, :-2] & around[1:-1, 2:]
    return inside & ~core


def _frame(picture: Picture) -> tuple[slice, slice]:
    """Leave out the black borders, unless all is black."""
    rows, columns = content_area(picture.pixels)
    return (rows, columns) if rows.stop else (slice(None), slice(None))


def _image(pixels: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def _data(pixels: NDArray[np.uint8]) -> str:  # (H, W, 1 or 3) uint8
    encoded = io.BytesIO()
    _image(pixels).save(encoded, "JPEG", quality=84, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(encoded.getvalue()).decode('ascii')}"
