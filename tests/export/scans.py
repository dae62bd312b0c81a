"""Small data folders: grey squares as PNG files under an index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

HEADING = ("file", "label", "patient", "sex", "age", "view", "site", "split")


def row(number: int, label: str, split: str = "train", **cells: str) -> dict[str, str]:
    """One row of a patient of its own."""
    return {
        "file": f"{number:03d}.png",
        "label": label,
        "patient": f"p{number}",
        "sex": "F",
        "age": "40",
        "view": "PA",
        "site": "here",
        "split": split,
        **cells,
    }


def sound_rows() -> list[dict[str, str]]:
    """Forty training rows and twelve to measure on, half of each positive."""
    training = [row(n, "pneumonia" if n % 2 else "normal") for n in range(40)]
    return training + [row(n, "pneumonia" if n % 2 else "normal", "val") for n in range(40, 52)]


def write_folder(folder: Path, rows: Sequence[Mapping[str, str]], heading: Sequence[str] = HEADING) -> Path:
    """Write an index and an image of its own for every file it names."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, row in enumerate(rows):
        write_image(folder / row["file"], number)
    write_index(folder, rows, heading)
    return folder


def write_index(folder: Path, rows: Sequence[Mapping[str, str]], heading: Sequence[str] = HEADING) -> None:
    """Write an index for files that are there or not."""
    lines = [",".join(heading), *(",".join(row.get(name, "") for name in heading) for row in rows)]
    (folder / "index.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_image(path: Path, seed: int) -> None:
    """Write a grey picture that no other seed gives."""
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 40), np.uint8)
    Image.fromarray(pixels).save(path, format="PNG")
