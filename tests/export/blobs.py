"""A small folder of labelled images that a network can learn in seconds: a soft blob, or none."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIZE = 64


def write_blobs(folder: Path, count: int, *, seed: int = 0, validation: int = 24, height: float = 60) -> Path:
    """Write `count` training and `validation` further images, two to a patient, and index.csv.

    `height` is the blob's in grey levels; below 0 it is dark, which a network of bright blobs has to learn anew.
    """
    random = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    rows = []
    for number in range(count + validation):
        sick = bool(number // 2 % 2)
        name = f"images/{number:04d}.png"
        Image.fromarray(_image(random, height if sick else 0)).save(folder / name)
        split = "train" if number < count else "val"
        rows.append((name, "blob" if sick else "plain", f"p{seed}-{number // 2:04d}", split, "FM"[number % 2]))
    with (folder / "index.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "label", "patient", "split", "sex"])
        writer.writerows(rows)
    return folder


def _image(random: np.random.Generator, height: float) -> NDArray[np.uint8]:
    """One image.  # (SIZE, SIZE) uint8"""
    image = random.normal(90, 22, (SIZE, SIZE))
    if height:
        y, x = random.uniform(16, 48, 2)
        rows, columns = np.mgrid[:SIZE, :SIZE]
        image += height * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 60)
    return np.clip(image, 0, 255).astype(np.uint8)


RECIPE = """
name = "blobs"
task = "binary"
negative = ["plain"]
prevalence = 0.3
title = { en = "Blobs" }

[input]
kind = "image"
size = 64
channels = 1

[[finding]]
label = "blob"
names = { en = "Blob" }

[training]
epochs = 4
patience = 4
batch = 8
learning_rate = 1e-3
train_from = 0.8
scratch_epochs = 4
"""


def write_recipe(folder: Path, text: str = RECIPE) -> Path:
    """Write a recipe folder for these images."""
    folder.mkdir(parents=True)
    (folder / "recipe.toml").write_text(text)
    (folder / "CARD.md").write_text("# Blobs\n\nGenerated images; for tests only.\n")
    return folder
