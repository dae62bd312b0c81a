"""Chest phantoms with the signs that the chest recipes look for, roughly where and how they show on real films."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from aidpost_export.phantoms.chest import AIR
from aidpost_export.phantoms.field import blob, smooth_noise, soft
from aidpost_export.phantoms.film import Detector, expose
from aidpost_export.phantoms.opacity import add_consolidations, add_look_alikes
from aidpost_export.phantoms.thorax import Anatomy, Build, Pose, add_spot, paint_thorax, sample_build, sample_pose

DETECTOR = Detector(
    scatter=0.3,
    quanta=0.015,
    unsharp=6,
    equalise=0.2,
    smear=0,
    bits=12,
    collimation=0.03,
    shutter=0.0,
    marker=0.04,
    plate=0.0,
)
PATCHY = ("pneumonia", "other pneumonia", "Pneumonia", "Consolidation")


def draw_chest(
    rng: np.random.Generator, labels: Iterable[str], age: float, female: bool, view: str
) -> NDArray[np.uint16]:
    """Draw a frontal film that shows these findings; other labels add nothing.  # (H, W) uint16, 12 bits"""
    wanted = set(labels)
    build, pose = sample_build(rng, age, female), sample_pose(rng, view == "AP", 1.0)
    build, pose = _shape(build, pose, wanted)
    chest = paint_thorax(build, pose, 256, 240)
    add_look_alikes(rng, chest)
    if wanted & {*PATCHY}:
        add_consolidations(rng, chest, 0.75)
    if "tuberculosis" in wanted:
        _add_tuberculosis(rng, chest)
    if "COVID-19" in wanted:
        _add_peripheral_haze(rng, chest)
    _add_thoracic_findings(rng, chest, wanted)
    return expose(rng, chest.tissue - AIR * chest.air, DETECTOR, float(np.exp(rng.normal(0, 0.15))))


def _shape(build: Build, pose: Pose, wanted: set[str]) -> tuple[Build, Pose]:
    """Findings that change the chest's shape."""
    if "Cardiomegaly" in wanted:
        build = replace(build, heart=build.heart * 1.4)
    if "Emphysema" in wanted:
        build = replace(build, thickness=build.thickness * 0.85)
        pose = replace(pose, inspiration=pose.inspiration + 0.06)
    if "Atelectasis" in wanted:
        pose = replace(pose, turn=pose.turn + 0.12, inspiration=pose.inspiration - 0.03)
    return build, pose


def _add_tuberculosis(rng: np.random.Generator, chest: Anatomy) -> None:
    """Patches in an upper zone, often with a cavity."""
    left, top = rng.choice((-1.0, 1.0)) * rng.uniform(0.12, 0.22), chest.build.apex + rng.uniform(0.06, 0.16)
    patch = blob(chest.x, chest.y, left, top, rng.uniform(0.06, 0.1), rng.uniform(0.05, 0.08))
    texture = np.clip(0.6 + 0.4 * smooth_noise(rng, chest.x.shape, 36), 0, 1.3)
    chest.air[...] *= np.clip(1 - np.float32(rng.uniform(0.5, 0.85)) * patch * texture, 0.05, 1)
    if rng.random() < 0.5:
        radius = np.sqrt((chest.x - np.float32(left)) ** 2 + (chest.y - np.float32(top)) ** 2)
        wall = np.abs(radius - np.float32(rng.uniform(0.02, 0.035)))
        chest.tissue[...] += np.float32(0.3) * soft(0.006 - wall, 0.008)


def _add_peripheral_haze(rng: np.random.Generator, chest: Anatomy) -> None:
    """Haze at both outer lower margins."""
    for side in (-1.0, 1.0):
        left, top = side * (chest.build.width - 0.05), chest.base - rng.uniform(0.02, 0.18)
        haze = blob(chest.x, chest.y, left, top, rng.uniform(0.06, 0.09), rng.uniform(0.08, 0.14))
        texture = np.clip(0.8 + 0.2 * smooth_noise(rng, chest.x.shape, 30), 0, 1.2)
        chest.air[...] *= np.clip(1 - np.float32(rng.uniform(0.35, 0.7)) * haze * texture, 0.05, 1)


def _add_thoracic_findings(rng: np.random.Generator, chest: Anatomy, wanted: set[str]) -> None:
    """The findings of ChestX-ray14 that are neither patches nor a change of shape."""
    x, y, width, shape = chest.x, chest.y, chest.build.width, chest.x.shape
    side = float(rng.choice((-1.0, 1.0)))
    outer = soft(np.abs(x) - np.float32(width - 0.05), 0.03)
    if "Effusion" in wanted:
        level = y - np.float32(chest.base - rng.uniform(0.0, 0.12)) + 0.5 * (np.float32(width) - side * x)
        chest.air[...] *= 1 - 0.92 * soft(level, 0.05) * (side * x > 0)
    if "Infiltration" in wanted:
        haze = blob(x, y, side * 0.18, rng.uniform(0.35, 0.6), 0.12, 0.14)
        chest.air[...] *= 1 - 0.35 * haze * np.clip(0.7 + 0.4 * smooth_noise(rng, shape, 26), 0, 1.3)
    for label, size in (("Mass", rng.uniform(0.035, 0.055)), ("Nodule", rng.uniform(0.014, 0.022))):
        if label in wanted:
            left, top = rng.choice((-1.0, 1.0)) * rng.uniform(0.12, 0.26), rng.uniform(0.3, 0.6)
            add_spot(chest.tissue, x, y, left, top, size, rng.uniform(0.5, 0.9))
    if "Pneumothorax" in wanted:
        edge = side * x - np.float32(width - rng.uniform(0.04, 0.09)) - 0.3 * (0.45 - y)
        chest.air[...] *= 1 + 0.25 * soft(edge, 0.01)
        chest.tissue[...] += 0.25 * soft(0.003 - np.abs(edge), 0.004) * soft(0.6 - y, 0.1)
    if "Edema" in wanted:
        chest.air[...] *= 1 - 0.5 * blob(np.abs(x), y, 0.1, 0.45, 0.14, 0.17)
    if "Fibrosis" in wanted:
        lines = np.exp(-((smooth_noise(rng, shape, 40) / np.float32(0.25)) ** 2))
        chest.tissue[...] += 0.3 * lines * soft(y - np.float32(chest.base - 0.25), 0.2) * (chest.air > 0.1)
    if "Pleural_Thickening" in wanted:
        chest.air[...] *= 1 - 0.75 * outer * soft(0.55 - y, 0.2) * (side * x > 0)
    if "Hernia" in wanted:
        radius = np.sqrt((x - 0.02) ** 2 + (y - np.float32(chest.base - 0.02)) ** 2)
        chest.tissue[...] += 0.7 * soft(0.07 - radius, 0.02)
