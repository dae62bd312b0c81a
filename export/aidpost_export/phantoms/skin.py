"""Close-ups of skin lesions on every tone of skin: even and round, or irregular in border and colour."""

from __future__ import annotations

import numpy as np

from aidpost_export.phantoms.colour import Image, finish, flat, lay, ragged_disc
from aidpost_export.phantoms.field import Field, grid, smooth_noise, soft


def draw_lesion(rng: np.random.Generator, label: str) -> Image:
    """Draw a lesion that is `malignant` or `benign`.  # (H, W, 3) uint8"""
    shape = (240, 320)
    x, y = grid(*shape)
    tone = rng.uniform(0, 1)
    skin = (1 - tone) * np.array((0.88, 0.7, 0.6)) + tone * np.array((0.36, 0.23, 0.17))
    image = flat(shape, skin)
    relief = np.float32(0.03) * smooth_noise(rng, shape, 60) + np.float32(0.04) * smooth_noise(rng, shape, 3)
    image *= 1 + relief[..., None]
    bad = label == "malignant"
    left, top, radius = rng.normal(0, 0.08), rng.normal(0.5, 0.06), rng.uniform(0.14, 0.3)
    uneven = np.float32(rng.uniform(0.16, 0.34) if bad else rng.uniform(0.02, 0.12))
    edge = uneven * smooth_noise(rng, shape, 5 if bad else 3)
    lesion = ragged_disc(x, y, left, top, radius, edge, rng.uniform(0.02, 0.06))
    lay(image, 0.85 * lesion, skin * rng.uniform(0.35, 0.65))
    if bad:
        patches = lesion * soft(smooth_noise(rng, shape, 7), 0.8)
        lay(image, 0.7 * patches, skin * 0.2)
        lay(image, 0.5 * lesion * soft(smooth_noise(rng, shape, 6) - 0.7, 0.6), (0.45, 0.4, 0.5))
    else:
        lay(image, 0.2 * lesion * soft(smooth_noise(rng, shape, 6), 1.0), skin * 0.4)
    for _ in range(int(rng.poisson(4))):
        lay(image, 0.7 * _hair(rng, x, y - np.float32(0.5)), (0.1, 0.07, 0.05))
    return finish(rng, image, 0.02)


def _hair(rng: np.random.Generator, x: Field, y: Field) -> Field:
    turn, away, bend = rng.uniform(0, np.pi), np.float32(rng.uniform(-0.5, 0.5)), np.float32(rng.uniform(-0.6, 0.6))
    cos, sin = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    along, across = cos * x + sin * y, cos * y - sin * x
    return soft(0.003 - np.abs(across - away - bend * along * along), 0.004)
