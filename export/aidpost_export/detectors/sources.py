"""Images that a model must not read: noise, photographs, inverted scans, drawn ones of other kinds, and named folders.

Axes: N images, S rows and columns of the prepared pixels, C channels.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_images

from aidpost_device.bundle.manifest import ImageInput
from aidpost_export.detectors.figures import Kind
from aidpost_export.errors import RunError
from aidpost_export.phantoms.collection import other_recipes, write_collection
from aidpost_export.progress import Reporter, SilentReporter
from aidpost_export.recipe import Recipe, load_recipe
from aidpost_export.scans import read_scans

DRAWN = 12
"""Images of each kind that are drawn; photographs and noise are twice as many."""
MOST = 400
"""Files of a named folder that are looked at, spread over it."""
_SEED = 1234


@dataclass(frozen=True)
class Source:
    """Prepared images from one place."""

    name: str
    kind: Kind
    pixels: NDArray[np.uint8]  # (N, S, S, C)
    unreadable: int = 0
    """Files that could not be read."""


def other_images(recipe: Recipe, scans: NDArray[np.uint8], reporter: Reporter) -> Iterator[Source]:
    """Make every kind of image that this recipe's model must not read. `scans`: good ones, to be inverted."""
    spec, random = recipe.input, np.random.default_rng(_SEED)
    yield Source("noise", "noise", np.stack([_noise(spec, 2 ** (i % 8), random) for i in range(2 * DRAWN)]))
    yield Source("photographs", "photographs", _photographs(spec, random))
    yield Source("inverted scans", "inverted", 255 - scans)
    names = other_recipes(recipe)
    with reporter.bar("Drawing images of other kinds", len(names)) as bar:
        for name in names:
            with tempfile.TemporaryDirectory(prefix="aidpost-") as folder:
                write_collection(load_recipe(name).recipe, Path(folder), DRAWN, _SEED, SilentReporter())
                yield _read(f"drawn for {name}", "generated", Path(folder) / "images", spec, SilentReporter())
            bar.advance()


def folder_source(folder: Path, spec: ImageInput, reporter: Reporter) -> Source:
    """Read a folder of other scans, subfolders included. Raises `RunError` when nothing in it can be read."""
    source = _read(folder.resolve().name, "against", folder, spec, reporter)
    if not len(source.pixels):
        raise RunError(
            f"None of the {source.unreadable} files in {folder} could be read as an image.",
            "Name a folder with DICOM, PNG, JPEG or TIFF files.",
        )
    return source


def _read(name: str, kind: Kind, folder: Path, spec: ImageInput, reporter: Reporter) -> Source:
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    files = sorted(str(path) for path in found if not any(part.startswith(".") for part in path.parts))
    scans = read_scans(folder, files[:: max(1, -(-len(files) // MOST))], spec, reporter)
    return Source(name, kind, np.array(scans.pixels), len(scans.refused))


def _noise(spec: ImageInput, grain: int, random: np.random.Generator) -> NDArray[np.uint8]:  # (S, S, C)
    """Noise whose grains are so many pixels wide."""
    cells = max(2, spec.size // grain)
    picture = Image.fromarray(random.integers(0, 256, (cells, cells, 3), np.uint8))
    return _shaped(picture.resize((spec.size, spec.size), Image.Resampling.BICUBIC), spec)


def _photographs(spec: ImageInput, random: np.random.Generator) -> NDArray[np.uint8]:  # (N, S, S, C)
    """Parts of the two photographs that scikit-learn brings (a temple, a flower)."""
    pictures: list[NDArray[Any]] = load_sample_images().images
    parts = []
    for number in range(2 * DRAWN):
        picture = pictures[number % len(pictures)]
        side = int(random.integers(150, min(picture.shape[:2])))
        top, left = (int(random.integers(0, length - side)) for length in picture.shape[:2])
        part = Image.fromarray(picture[top : top + side, left : left + side])
        parts.append(_shaped(part.resize((spec.size, spec.size), Image.Resampling.BILINEAR), spec))
    return np.stack(parts)


def _shaped(picture: Image.Image, spec: ImageInput) -> NDArray[np.uint8]:  # (S, S, C)
    image = picture.convert("L") if spec.channels == 1 else picture
    return np.asarray(image).reshape(spec.size, spec.size, spec.channels)
