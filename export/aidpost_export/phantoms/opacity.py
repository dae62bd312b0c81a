"""What the phantoms' readers look for, consolidations, and what resembles them: veils, scars, bands and devices."""

from __future__ import annotations

import numpy as np

from aidpost_export.phantoms.field import blob, smooth_noise, soft
from aidpost_export.phantoms.thorax import Anatomy, add_spot


def add_consolidations(rng: np.random.Generator, chest: Anatomy, strength: float) -> None:
    """Fill one to three patches of lung with fluid: soft, uneven, sometimes behind the heart.

    `strength` is the median share of the air that is lost where a patch is densest.
    """
    for _ in range(1 + int(rng.random() < 0.4) + int(rng.random() < 0.15)):
        left, top = _place(rng, chest)
        wide, high = rng.uniform(0.045, 0.1), rng.uniform(0.045, 0.1)
        lost = float(np.clip(strength * np.exp(rng.normal(0, 0.35)), 0.05, 0.9))
        ragged = smooth_noise(rng, chest.x.shape, 11)
        distance = np.sqrt(((chest.x - np.float32(left)) / wide) ** 2 + ((chest.y - np.float32(top)) / high) ** 2)
        patch = soft(1 - distance + np.float32(0.32) * ragged, 0.8)
        if rng.random() < 0.25:  # a fissure cuts it off
            slope = rng.uniform(-0.4, 0.4)
            patch = patch * soft(chest.y - np.float32(top - 0.2 * high) - slope * (chest.x - np.float32(left)), 0.02)
        texture = np.clip(0.62 + 0.3 * smooth_noise(rng, chest.x.shape, 42), 0.05, 1.3)
        chest.air[...] *= np.clip(1 - np.float32(lost) * patch * texture, 0.02, 1)


def add_look_alikes(rng: np.random.Generator, chest: Anatomy) -> None:
    """Add what is no consolidation: smooth veils, scars, calcified spots, fluid in a recess, uneven lungs."""
    for _ in range(int(rng.poisson(0.9))):  # folds of skin and soft tissue: broad and smooth
        left, top = rng.uniform(-0.3, 0.3), rng.uniform(0.25, 0.75)
        veil = blob(chest.x, chest.y, left, top, rng.uniform(0.05, 0.16), rng.uniform(0.05, 0.14))
        chest.tissue[...] += np.float32(rng.uniform(0.08, 0.3)) * veil
    for _ in range(int(rng.poisson(0.8))):  # scars and plates of collapsed lung: thin and straight
        _add_band(rng, chest, *_place(rng, chest))
    for _ in range(int(rng.poisson(1.2))):
        left, top = _place(rng, chest)
        add_spot(chest.tissue, chest.x, chest.y, left, top, rng.uniform(0.004, 0.011), rng.uniform(0.15, 0.6))
    if rng.random() < 0.12:
        left = rng.choice((-1.0, 1.0)) * chest.build.width
        recess = blob(chest.x, chest.y, left, chest.base + 0.08, rng.uniform(0.03, 0.07), rng.uniform(0.03, 0.08))
        chest.air[...] *= 1 - np.float32(0.9) * recess
    chest.air[...] *= 1 + np.float32(rng.uniform(0.01, 0.05)) * smooth_noise(rng, chest.x.shape, 8)


def add_devices(rng: np.random.Generator, chest: Anatomy) -> None:
    """Lay leads with their buttons over the chest, or a tube."""
    for _ in range(int(rng.integers(2, 5))):
        left, top = rng.uniform(-0.3, 0.3), rng.uniform(0.2, 0.6)
        distance = np.sqrt((chest.x - np.float32(left)) ** 2 + (chest.y - np.float32(top)) ** 2)
        button = soft(0.013 - distance, 0.006)
        bend = np.float32(rng.uniform(-0.3, 0.3))
        path = chest.x - np.float32(left) - bend * (np.float32(top) - chest.y) ** 2
        lead = soft(0.0028 - np.abs(path), 0.004) * soft(np.float32(top) - chest.y, 0.01)
        chest.tissue[...] += np.float32(0.9) * button + np.float32(0.45) * lead


def add_clothing(rng: np.random.Generator, chest: Anatomy) -> None:
    """Lay folds of cloth over a part of the chest, and a row of buttons: they cross the lungs' borders."""
    shape = chest.x.shape
    turn = rng.uniform(-0.6, 0.6)
    across = np.float32(np.cos(turn)) * chest.x + np.float32(np.sin(turn)) * chest.y
    folds = np.clip(smooth_noise(rng, shape, 7, 22) + np.sin(across * np.float32(rng.uniform(60, 110))), 0, 2)
    where = blob(chest.x, chest.y, rng.uniform(-0.25, 0.25), rng.uniform(0.25, 0.7), 0.2, 0.2)
    chest.tissue[...] += np.float32(rng.uniform(0.1, 0.22)) * folds * where
    for step in range(int(rng.integers(0, 5))):
        add_spot(chest.tissue, chest.x, chest.y, rng.normal(0.01, 0.004), 0.25 + 0.11 * step, 0.009, 0.5)


def _place(rng: np.random.Generator, chest: Anatomy) -> tuple[float, float]:
    """Pick a point of the lungs, where it counts (also behind the heart), in body coordinates."""
    weight = chest.air[::4, ::4].ravel()
    pick = int(np.searchsorted(np.cumsum(weight), rng.random() * float(weight.sum())))
    pick = min(pick, weight.size - 1)
    return float(chest.x[::4, ::4].ravel()[pick]), float(chest.y[::4, ::4].ravel()[pick])


def _add_band(rng: np.random.Generator, chest: Anatomy, left: float, top: float) -> None:
    angle = rng.normal(0, 0.35)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    right, down = chest.x - np.float32(left), chest.y - np.float32(top)
    across = (cos * down - sin * right) / np.float32(rng.uniform(0.003, 0.007))
    ends = soft(rng.uniform(0.03, 0.08) - np.abs(cos * right + sin * down), 0.02)
    chest.tissue[...] += np.float32(rng.uniform(0.1, 0.3)) * np.exp(-across * across) * ends
