"""From attenuation to stored values: scatter, quantum noise, the reader's processing, collimation and markers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aidpost_export.phantoms.field import Field, grid, smooth_noise, soft, spread

_LETTER_R = ("11110", "10001", "10001", "11110", "10100", "10010", "10001")


@dataclass(frozen=True)
class Detector:
    """One machine's way of making a film."""

    scatter: float
    """Scattered over primary radiation, about 0.2 with a grid, 0.7 without."""
    quanta: float
    """Noise of an open field, fraction of its intensity."""
    unsharp: int
    """Details kept when the background is flattened; fewer is stronger."""
    equalise: float
    """Share of the background that is taken away, 0 to 1."""
    smear: int
    """Pixels over which the detector blurs."""
    bits: int
    """Bits stored per pixel."""
    collimation: float
    """Largest width of the shutters' border, fraction of the height."""
    shutter: float
    """Grey of the border as a fraction of the scale: 0 black, 1 white."""
    marker: float
    """Height of the side marker's letter, fraction of the height; 0 for none."""
    plate: float
    """Strength of an imaging plate's lines and dust, 0 for a flat panel."""


def expose(rng: np.random.Generator, attenuation: Field, detector: Detector, exposure: float) -> NDArray[np.uint16]:
    """Make the stored film, dense bright (as MONOCHROME2), `exposure` 1 being right.  # (H, W) uint16"""
    primary = np.exp(-attenuation)
    light = primary + np.float32(detector.scatter) * spread(primary, 5)
    grain = rng.standard_normal(light.shape, np.float32)
    light += np.sqrt(light) * np.float32(detector.quanta / np.sqrt(exposure)) * grain
    density = -np.log(np.clip(light, 1e-4, None))
    for _ in range(detector.smear):
        density = _blur(density)
    density -= np.float32(detector.equalise) * spread(density, detector.unsharp)
    if detector.plate:
        density += np.float32(detector.plate) * _plate_faults(rng, density.shape)
    low, high = np.percentile(density[::4, ::4], (1, 99.7))
    grey = np.clip((density - np.float32(low)) / np.float32(max(high - low, 1e-3)), 0, 1)
    grey = np.float32(0.06) + np.float32(0.86) * grey
    if detector.marker:
        _add_marker(rng, grey, detector.marker)
    _add_shutters(rng, grey, detector)
    stored: NDArray[np.uint16] = np.round(grey * np.float32((1 << detector.bits) - 1)).astype(np.uint16)
    return stored


def _blur(field: Field) -> Field:
    padded = np.pad(field, 1, mode="edge")
    down = padded[:-2] + 2 * padded[1:-1] + padded[2:]
    both: Field = (down[:, :-2] + 2 * down[:, 1:-1] + down[:, 2:]) * np.float32(1 / 16)
    return both


def _plate_faults(rng: np.random.Generator, shape: tuple[int, ...]) -> Field:
    """Lines along the scan and dust on the plate."""
    height, width = shape
    faults = np.zeros((height, width), np.float32)
    faults += rng.standard_normal(width, np.float32) * np.float32(0.25)
    faults += np.float32(0.5) * smooth_noise(rng, shape, 3)
    rows, columns = rng.integers(height, size=25), rng.integers(width, size=25)
    faults[rows, columns] += 4
    return faults


def _add_marker(rng: np.random.Generator, grey: Field, size: float) -> None:
    """Set an R at the upper left, where the person's right side is."""
    height, width = grey.shape
    unit = max(1, round(size * height / 7))
    letter = np.array([[int(bit) for bit in row] for row in _LETTER_R])
    stamp = np.kron(letter, np.ones((unit, unit))).astype(bool)
    row = int(rng.uniform(0.03, 0.2) * height)
    column = int(rng.uniform(0.02, 0.08) * width)
    window = grey[row : row + stamp.shape[0], column : column + stamp.shape[1]]
    window[stamp[: window.shape[0], : window.shape[1]]] = 0.98


def _add_shutters(rng: np.random.Generator, grey: Field, detector: Detector) -> None:
    """Close the collimator's shutters over the edges."""
    if not detector.collimation:
        return
    height, width = grey.shape
    x, y = grid(height, width)
    left, right, top, bottom = rng.uniform(0, detector.collimation, 4).astype(np.float32)
    half = np.float32(width / height / 2)
    tilt = np.float32(rng.normal(0, 0.01))
    sides = np.minimum(x + half - left + tilt * y, half - right - x - tilt * y)
    inside = np.minimum(sides, np.minimum(y - top, 1 - bottom - y))
    open_ = soft(inside, 0.008)
    grey *= open_
    grey += np.float32(detector.shutter) * (1 - open_)
