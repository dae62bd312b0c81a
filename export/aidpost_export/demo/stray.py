"""What lies about in a clinic's folder of stored scans beside the films: broken files, and files of other kinds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from aidpost_export.phantoms.dicom import COMMENT, Machine, Person, dicom_film, write_dicom

STRAY = {
    "truncated.dcm": "a film cut off while copied",
    "empty.dcm": "an empty file",
    "notes.txt": "a text file",
    "head-ct.dcm": "a CT image",
    "lateral.dcm": "a lateral film",
    "blank.png": "a blank picture",
    "photograph.png": "noise, no header",
}
"""File → what it is."""


def write_stray(folder: Path, film: Path) -> None:
    """Write the stray files; the truncated one is the first half of `film`."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    whole = film.read_bytes()
    (folder / "truncated.dcm").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.dcm").write_bytes(b"")
    (folder / "notes.txt").write_text(f"{COMMENT}\nBring batteries on Tuesday.\n", encoding="utf-8")
    pixels = rng.integers(0, 4096, (128, 128), np.uint16)
    for name, modality, part, view in (("head-ct.dcm", "CT", "HEAD", ""), ("lateral.dcm", "CR", "CHEST", "LL")):
        machine = Machine(modality, part, "Stray", "synthetic district clinic", "MONOCHROME2", bits=12, spacing=1.0)
        dataset = dicom_film(pixels, machine, Person("STRAY", "F", 30), view=view, study=0, window=(0.5, 1.0))
        write_dicom(dataset, folder / name)
    note = PngInfo()
    note.add_text("Comment", COMMENT)
    Image.fromarray(np.full((200, 200), 128, np.uint8)).save(folder / "blank.png", pnginfo=note)
    noise = rng.integers(0, 256, (200, 260, 3), np.uint8)
    Image.fromarray(noise).save(folder / "photograph.png", pnginfo=note)
