"""Ultrasound of the breast: layers in speckle, with a smooth lesion, an irregular one with a shadow, or none."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aidpost_export.phantoms.field import Field, grid, smooth_noise, soft


def draw_ultrasound(rng: np.random.Generator, label: str) -> NDArray[np.uint16]:
    """Draw a still image with a `malignant` or `benign` lesion, or a `normal` one.  # (H, W) uint16, 12 bits"""
    shape = (260, 320)
    x, y = grid(*shape)
    wavy = y + np.float32(0.03) * smooth_noise(rng, shape, 3)
    echo: Field = 0.42 + 0.16 * np.sin(wavy * np.float32(rng.uniform(18, 26))) * soft(0.75 - wavy, 0.3)
    echo += 0.12 * smooth_noise(rng, shape, 7) + 0.5 * soft(0.03 - np.abs(wavy - 0.06), 0.03)
    for _ in range(int(rng.poisson(1))):  # lobules of fat, dark but no lesions
        echo = _dim(echo, x, y, rng, 0.25)
    if label != "normal":
        echo = _add_lesion(rng, echo, x, y, malignant=label == "malignant")
    echo *= 1 - 0.45 * np.clip(y - np.float32(0.35), 0, 1)
    speckle = np.abs(smooth_noise(rng, shape, 110) + 1j * smooth_noise(rng, shape, 110)) / np.float32(1.25)
    image = np.clip(echo, 0.02, None) * (0.35 + 0.65 * speckle)
    grey: NDArray[np.uint16] = (np.clip(np.sqrt(image), 0, 1) * 4095).astype(np.uint16)
    return grey


def _dim(echo: Field, x: Field, y: Field, rng: np.random.Generator, amount: float) -> Field:
    left, top = rng.uniform(-0.4, 0.4), rng.uniform(0.15, 0.4)
    distance = np.sqrt(((x - np.float32(left)) / 0.16) ** 2 + ((y - np.float32(top)) / 0.07) ** 2)
    return np.asarray(echo * (1 - np.float32(amount) * soft(1 - distance, 0.5)))


def _add_lesion(rng: np.random.Generator, echo: Field, x: Field, y: Field, *, malignant: bool) -> Field:
    left, top = np.float32(rng.normal(0, 0.15)), np.float32(rng.normal(0.42, 0.06))
    wide = rng.uniform(0.07, 0.13)
    high = wide * (rng.uniform(0.85, 1.4) if malignant else rng.uniform(0.5, 0.8))
    uneven = np.float32(rng.uniform(0.14, 0.3) if malignant else rng.uniform(0.0, 0.06))
    distance = np.sqrt(((x - left) / wide) ** 2 + ((y - top) / high) ** 2)
    inside = soft(1 + uneven * smooth_noise(rng, x.shape, 12) - distance, 0.4 if malignant else 0.2)
    below = soft(y - top, 0.1) * soft(np.float32(wide) - np.abs(x - left), 0.06)
    behind = np.float32(rng.uniform(-0.6, -0.2) if malignant else rng.uniform(-0.05, 0.4)) * below * (1 - inside)
    return np.asarray(echo * (1 - np.float32(rng.uniform(0.6, 0.85)) * inside) * (1 + behind))
