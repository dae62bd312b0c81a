"""A chest's anatomy as the path of X-rays through it, in units of attenuation (natural logarithm of intensity)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aidpost_export.phantoms.field import Field, blob, grid, smooth_noise, soft


@dataclass(frozen=True)
class Build:
    """What makes one person's chest differ from another's."""

    width: float
    """Half width of the rib cage, fraction of the height, about 0.36."""
    apex: float
    """Top of the lungs, fraction of the height from the top."""
    base: float
    """Dome of the right diaphragm, fraction of the height from the top."""
    heart: float
    """Radius of the heart, fraction of the height, about 0.13."""
    thickness: float
    """Attenuation of the body's soft tissue where it is thickest."""
    bone: float
    """Attenuation of a rib."""
    breast: float
    """Attenuation of the breast shadows; 0 for none."""
    ribs: float
    """Distance between ribs, fraction of the height."""
    anatomy: int
    """Seed of the finer shape: vessels, ribs' irregularities."""


@dataclass(frozen=True)
class Pose:
    """How the person stood for this film."""

    shift_x: float
    shift_y: float
    """Fraction of the height."""
    tilt: float
    """Radians."""
    zoom: float
    turn: float
    """Rotation about the body's axis: what one lung gains in width, fraction."""
    magnify_heart: float
    """1 for posteroanterior films, about 1.15 for anteroposterior ones."""
    inspiration: float
    """Downward shift of the diaphragm, fraction of the height."""


@dataclass(frozen=True)
class Anatomy:
    """The painted chest."""

    x: Field
    y: Field
    """Coordinates of every pixel in the person's body."""
    tissue: Field
    """Attenuation of everything but the lungs' air."""
    air: Field
    """Thickness of aerated lung, 0 to about 1."""
    build: Build
    base: float
    """Diaphragm of this film."""


def sample_build(rng: np.random.Generator, age: float, female: bool) -> Build:
    """Draw the chest of a person of this age."""
    child = max(0.0, 1 - age / 16)
    return Build(
        width=float(rng.normal(0.365 + 0.012 * child - 0.012 * female, 0.014)),
        apex=float(rng.normal(0.135 + 0.03 * child, 0.015)),
        base=float(rng.normal(0.70 - 0.04 * child, 0.022)),
        heart=float(np.clip(rng.normal(0.128 + 0.02 * child + 0.0002 * age, 0.012), 0.1, 0.18)),
        thickness=float(np.clip(rng.normal(3.3 - 0.9 * child, 0.35), 2.0, 4.6)),
        bone=float(np.clip(rng.normal(0.34 - 0.1 * child - 0.0012 * age, 0.05), 0.12, 0.5)),
        breast=float(np.clip(rng.normal(0.35, 0.15), 0.05, 0.8)) if female and age > 14 else 0.0,
        ribs=float(rng.normal(0.073, 0.004)),
        anatomy=int(rng.integers(2**31)),
    )


def sample_pose(rng: np.random.Generator, anteroposterior: bool, care: float) -> Pose:
    """Draw how the person stood; `care` 1 is a careful radiographer, larger is less careful."""
    return Pose(
        shift_x=float(rng.normal(0, 0.012 * care)),
        shift_y=float(rng.normal(0, 0.014 * care)),
        tilt=float(rng.normal(0, 0.02 * care)),
        zoom=float(np.exp(rng.normal(0, 0.03 * care))),
        turn=float(rng.normal(0, 0.03 * care)),
        magnify_heart=float(rng.normal(1.14, 0.03)) if anteroposterior else 1.0,
        inspiration=float(rng.normal(-0.035 if anteroposterior else 0.0, 0.012 * care)),
    )


def paint_thorax(build: Build, pose: Pose, height: int, width: int) -> Anatomy:
    """Paint the chest on a film of this many pixels."""
    rng = np.random.default_rng(build.anatomy)
    x, y = _body_coordinates(rng, pose, height, width)
    base = build.base + pose.inspiration
    side = np.abs(x) * (1 - np.float32(pose.turn) * np.sign(x))
    air = _lungs(build, x, y, side, base)
    tissue = _soft_tissue(build, y, side, base)
    tissue += _mediastinum(build, pose, x, y, side, base)
    tissue += _bones(rng, build, x, y, side)
    tissue += air * _vessels(rng, x, y, side)
    if build.breast:
        tissue += _breasts(rng, build, y, side)
    return Anatomy(x=x, y=y, tissue=tissue, air=air, build=build, base=base)


def _body_coordinates(rng: np.random.Generator, pose: Pose, height: int, width: int) -> tuple[Field, Field]:
    """Film coordinates turned into the body's, with a gentle warp of the person's own."""
    x, y = grid(height, width)
    cos, sin = np.float32(np.cos(pose.tilt) * pose.zoom), np.float32(np.sin(pose.tilt) * pose.zoom)
    dx, dy = x - np.float32(pose.shift_x), y - np.float32(0.5 + pose.shift_y)
    warp = np.float32(0.008)
    return (
        cos * dx - sin * dy + warp * smooth_noise(rng, x.shape, 4),
        sin * dx + cos * dy + np.float32(0.5) + warp * smooth_noise(rng, x.shape, 4),
    )


def _lungs(build: Build, x: Field, y: Field, side: Field, base: float) -> Field:
    """Thickness of aerated lung."""
    down = np.clip((y - np.float32(build.apex)) / np.float32(base + 0.12 - build.apex), 0, 1)  # apex 0, recess 1
    up = 1 - down
    lateral = np.float32(build.width) * np.sqrt(1 - up * up * up)
    medial = np.float32(0.045) + np.float32(0.05) * np.square(up * up)
    dome = np.float32(base) + np.where(x > 0, np.float32(0.018), np.float32(0))
    floor = dome + np.float32(2.4) * np.square(np.clip(side - np.float32(0.15), -0.08, 0.4))
    inside = soft(side - medial, 0.03) * soft(lateral - side, 0.022) * soft(floor - y, 0.012)
    rounded = 1 - ((side - np.float32(0.19)) / np.float32(0.24)) ** 2
    thickness: Field = inside * (0.55 + 0.45 * np.clip(rounded, 0, 1)) * (0.72 + 0.28 * np.sqrt(down))
    return thickness


def _soft_tissue(build: Build, y: Field, side: Field, base: float) -> Field:
    """Muscle and fat of the trunk, neck and shoulders, and the belly under the diaphragm."""
    trunk = np.float32(build.width + 0.075) + np.float32(0.05) * np.clip(0.35 - y, 0, 1)
    slope = np.float32(0.05) + np.float32(0.55) * np.clip(side - np.float32(0.09), 0, None) ** 1.35
    inside = soft(y - slope, 0.03) * soft(trunk + 0.25 * soft(0.22 - y, 0.12) - side, 0.03)
    curve = np.sqrt(np.clip(1 - (side / (trunk + np.float32(0.02))) ** 2, 0.05, 1))
    belly = soft(y - np.float32(base + 0.05), 0.25)
    tissue: Field = np.float32(build.thickness) * inside * (0.62 + 0.38 * curve) * (1 + np.float32(0.12) * belly)
    return tissue


def _mediastinum(build: Build, pose: Pose, x: Field, y: Field, side: Field, base: float) -> Field:
    """Heart, aorta, hila, spine and the air of the windpipe."""
    radius = np.float32(build.heart * pose.magnify_heart)
    across, down = x - np.float32(0.045), y - np.float32(base - 0.085)
    along, over = 0.86 * across + 0.5 * down, -0.5 * across + 0.86 * down
    distance = np.sqrt((along / 1.22) ** 2 + over**2)
    heart = soft(radius - distance, 0.03) * np.sqrt(np.clip(1.15 - (distance / radius) ** 2, 0, 1))
    shadow = soft(np.float32(0.062) - side, 0.035) * soft(y - np.float32(0.1), 0.1)
    knob = blob(x, y, 0.062, build.apex + 0.16, 0.028, 0.032)
    hila = blob(side, y, 0.088, build.apex + 0.26, 0.026, 0.045)
    vertebrae = soft(np.float32(0.034) - side, 0.012) * (0.8 + 0.2 * np.cos(y * np.float32(2 * np.pi / 0.058)))
    windpipe = soft(np.float32(0.014) - np.abs(x + np.float32(0.004)), 0.014) * soft(np.float32(0.36) - y, 0.06)
    sum_: Field = 0.85 * heart + 0.35 * shadow + 0.3 * knob + 0.24 * hila + 0.28 * vertebrae - 0.22 * windpipe
    return sum_


def _bones(rng: np.random.Generator, build: Build, x: Field, y: Field, side: Field) -> Field:
    """Ribs behind and in front, clavicles and shoulder blades."""
    spacing, apex = np.float32(build.ribs), np.float32(build.apex)
    outer = np.clip(side - np.float32(0.1), 0, 1)
    behind = (y - apex + np.float32(0.01) + 0.035 * soft(side - 0.05, 0.1) - 1.25 * outer * outer) / spacing
    before = (y - apex - np.float32(0.045) + 0.62 * (side - np.float32(0.2))) / (spacing * np.float32(1.12))
    ribs = _row_of_tubes(behind, 0.27) * soft(side - 0.03, 0.03) * soft(behind, 0.6) * soft(9.3 - behind, 0.6)
    ribs += 0.6 * _row_of_tubes(before, 0.3) * soft(side - 0.13, 0.09) * soft(before, 0.6) * soft(6.4 - before, 0.8)
    ribs *= soft(np.float32(build.width + 0.018) - side, 0.02) * (1 + np.float32(0.12) * smooth_noise(rng, x.shape, 9))
    bend = np.clip(side - np.float32(0.16), 0, 1)
    collar = (y - apex - np.float32(0.012) + 0.16 * side + 0.25 * bend * bend) / np.float32(0.034)
    clavicles = _tube(collar, 0.42) * soft(side - 0.03, 0.03) * soft(0.34 - side, 0.05)
    blades = soft(side - np.float32(build.width - 0.035) - 0.3 * np.abs(y - np.float32(0.3)), 0.02)
    blades *= soft(0.48 - y, 0.1) * soft(0.46 - side, 0.04)
    bones: Field = np.float32(build.bone) * (ribs + 1.1 * clavicles + 0.45 * blades)
    return bones


def _row_of_tubes(phase: Field, half: float) -> Field:
    """Tubes at every whole phase."""
    return _tube(phase - np.round(phase), half)


def _tube(offset: Field, half: float) -> Field:
    """A tube seen from the side: denser at its rims, as a bone's cortex is."""
    square = np.square(offset * np.float32(1 / half))
    tube: Field = (np.float32(0.62) + np.float32(0.5) * square) / (1 + np.square(square * square))
    return tube


def _vessels(rng: np.random.Generator, x: Field, y: Field, side: Field) -> Field:
    """Vessels that branch outward from the hila, and some that are seen end on."""
    right, down = side - np.float32(0.07), y - np.float32(0.42)
    radius = np.sqrt(right**2 + down**2)
    angle = np.arctan2(down, right) + np.float32(0.22) * smooth_noise(rng, x.shape, 5)
    texture = np.stack([_branches(rng), _branches(rng)])  # (side, radius, angle)
    steps, turns = texture.shape[1:]
    outward = np.minimum(np.sqrt(radius) * np.float32(steps / 0.85), steps - 1).astype(np.intp)
    around = ((angle + np.float32(np.pi)) * np.float32(turns / (2 * np.pi))).astype(np.intp) % turns
    fade = np.exp(radius * np.float32(-4)) * np.clip(radius * np.float32(16), 0, 1)
    vessels: Field = texture[(x > 0).astype(np.intp), outward, around] * fade
    for _ in range(int(rng.poisson(7))):
        turn, far = rng.uniform(-np.pi / 2, np.pi / 2), rng.exponential(0.07)
        left = rng.choice((-1.0, 1.0)) * (0.09 + far * np.cos(turn))
        add_spot(vessels, x, y, left, 0.42 + far * np.sin(turn), rng.uniform(0.004, 0.009), rng.uniform(0.15, 0.4))
    return vessels


def _branches(rng: np.random.Generator) -> Field:
    """Streaks over (steps of the square root of the radius, angles)."""
    streaks = np.zeros((80, 320), np.float32)
    for around, along, weight in ((30, 6, 0.42), (64, 9, 0.3), (110, 15, 0.18)):
        ridge = smooth_noise(rng, streaks.shape, along, around)
        streaks += np.float32(weight) * np.clip(ridge - np.float32(0.4), 0, 1.2)
    return streaks


def _breasts(rng: np.random.Generator, build: Build, y: Field, side: Field) -> Field:
    """Breast shadows over the lower lungs, denser towards their lower rim."""
    low = np.float32(rng.normal(0.66, 0.03))
    distance = np.sqrt(((side - np.float32(0.2)) / 0.15) ** 2 + ((y - low + 0.1) / 0.13) ** 2)
    shadow: Field = np.float32(build.breast) * soft(1 - distance, 0.16) * (0.5 + 0.5 * soft(y - low + 0.1, 0.2))
    return shadow


def add_spot(field: Field, x: Field, y: Field, left: float, top: float, size: float, amount: float) -> None:
    """Add a small dense spot at body coordinates, touching only the pixels near it."""
    height = field.shape[0]
    row = int(top * height)
    reach = max(4, int(4 * size * height) + int(0.03 * height))
    middle = field.shape[1] // 2 + int(left * height)
    window = np.s_[max(0, row - reach) : row + reach, max(0, middle - reach) : max(0, middle + reach)]
    field[window] += np.float32(amount) * blob(x[window], y[window], left, top, size, size)
