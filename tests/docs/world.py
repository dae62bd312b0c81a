"""A small world for the guides: drawn chest films as 16-bit DICOM, and a base trained on those of another hospital.

Nothing in it is of a person. The disease is a bright patch in a lung that a small network learns in seconds.
"""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from aidpost_export.phantoms.dicom import Machine, Person, dicom_film, write_dicom

ROWS, COLUMNS = 160, 144
CLINIC = Machine("CR", "CHEST", "Plate reader", "synthetic clinic", "MONOCHROME2", bits=12, spacing=2.0)
HOSPITAL = replace(CLINIC, modality="DX", model="Panel 4", institution="synthetic hospital")
HEADING = ("file", "label", "patient", "sex", "age", "view", "site", "split")

EDITS = {
    "size": "64",
    "epochs": "6",
    "patience": "6",
    "learning_rate": "1e-3",
    "train_from": "0.5",
    "scratch_epochs": "6",
}
"""What makes a recipe for films quick enough to be tried in seconds."""


def build_world(workspace: Path) -> Path:
    """Fill a workspace: `scans/` with its index, `base/`, `disk/` with stored films, and what the day brings."""
    workspace.mkdir(parents=True)
    write_labelled(workspace / "scans", CLINIC, train=120, validation=40, seed=2, people="P")
    spoil_index(workspace / "scans")
    write_labelled(workspace / ".hospital", HOSPITAL, train=400, validation=24, seed=1, people="H")
    _train_base(workspace)
    write_disk(workspace / "disk")
    write_today(workspace / "today")
    return workspace


def draw_film(random: np.random.Generator, *, sick: bool, strength: float | None = None) -> NDArray[np.uint16]:
    """Draw one film; `strength` is how bright the disease is, drawn too where it is not given.

    (ROWS, COLUMNS) uint16, 12 bits
    """
    y, x = np.mgrid[:ROWS, :COLUMNS].astype(np.float32)
    y, x = (y / ROWS - 0.5 + random.normal(0, 0.02)), (x / COLUMNS - 0.5 + random.normal(0, 0.02))
    height = random.normal(0.34, 0.02)
    lungs = np.zeros_like(y)
    for side in (-1, 1):
        centre = side * random.normal(0.21, 0.012)
        lungs += np.clip(2.4 - 2 * ((x - centre) / 0.15) ** 2 - 2 * ((y + 0.02) / height) ** 2, 0, 1)
    image = 0.85 - 0.3 * x**2 - 0.5 * lungs * random.normal(1, 0.06)
    image += 0.06 * lungs * np.sin((y + 0.3 * x**2) * random.normal(60, 4))  # ribs
    if sick:
        row, column = random.uniform(-0.18, 0.2), random.choice((-1, 1)) * random.normal(0.21, 0.03)
        reach = 2 * random.uniform(0.05, 0.08) ** 2
        drawn = random.uniform(0.2, 0.4)
        image += (strength or drawn) * np.exp(-((y - row) ** 2 + (x - column) ** 2) / reach)
    image += random.normal(0, 0.05, image.shape)
    film: NDArray[np.uint16] = (np.clip(image, 0.02, 1) * 4095).astype(np.uint16)
    return film


def film_of(
    seed: int,
    *,
    sick: bool,
    strength: float | None = None,
    age: float = 40,
    view: str = "PA",
    machine: Machine = CLINIC,
) -> Dataset:
    """Make one film of a person of its own."""
    random = np.random.default_rng((7, seed))
    person = Person(f"D{seed:04d}", "F" if seed % 2 else "M", age)
    pixels = draw_film(random, sick=sick, strength=strength)
    return dicom_film(pixels, machine, person, view=view, study=seed, window=(0.5, 1.0))


def write_labelled(folder: Path, machine: Machine, *, train: int, validation: int, seed: int, people: str) -> None:
    """Write labelled films, two to a person, and `index.csv`; `people` is the first letter of their numbers."""
    random = np.random.default_rng(seed)
    (folder / "films").mkdir(parents=True)
    rows = []
    for number in range(train + validation):
        about = np.random.default_rng((seed, number // 2))
        person = Person(
            f"{people}{number // 2:04d}", "F" if about.random() < 0.5 else "M", float(about.integers(18, 80))
        )
        sick, view = bool(random.random() < 0.5), "AP" if random.random() < 0.4 else "PA"
        name = f"films/{number:04d}.dcm"
        pixels = draw_film(random, sick=sick)
        write_dicom(dicom_film(pixels, machine, person, view=view, study=number, window=(0.5, 1.0)), folder / name)
        label, use = "pneumonia" if sick else "normal", "train" if number < train else "val"
        rows.append((name, label, person.id, person.sex, f"{person.age:g}", view, machine.institution, use))
    _write_index(folder, rows)


def spoil_index(folder: Path) -> None:
    """Put faults into an index as people make them: a label mistyped, one forgotten, a file copied twice, one cut."""
    with (folder / "index.csv").open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    rows[4][1], rows[9][1] = "pnuemonia", ""
    (folder / "films" / "0015-copy.dcm").write_bytes((folder / rows[15][0]).read_bytes())
    rows.insert(16, ["films/0015-copy.dcm", *rows[15][1:]])
    cut = folder / rows[22][0]
    cut.write_bytes(cut.read_bytes()[:20_000])
    _write_index(folder, rows)


def write_disk(folder: Path) -> None:
    """Write stored films as a disk from a clinic holds them, with what does not belong there."""
    for number in range(24):
        month = folder / ("2024-11" if number < 12 else "2024-12")
        month.mkdir(parents=True, exist_ok=True)
        write_dicom(film_of(number, sick=number % 4 == 0), month / f"{number:03d}.dcm")
    write_dicom(film_of(40, sick=True, age=6), folder / "2024-12" / "child.dcm")
    write_dicom(film_of(41, sick=False, view="LL"), folder / "2024-12" / "lateral.dcm")
    write_dicom(film_of(42, sick=False, machine=replace(CLINIC, modality="MR")), folder / "2024-12" / "knee.dcm")
    whole = (folder / "2024-11" / "003.dcm").read_bytes()
    (folder / "2024-11" / "cut.dcm").write_bytes(whole[: len(whole) // 2])
    (folder / "2024-11" / "003 (copy).dcm").write_bytes(whole)
    (folder / "2024-11" / "films.xls").write_bytes(b"\xd0\xcf\x11\xe0 a table of films\n" * 20)


def write_today(folder: Path) -> None:
    """Write films for the words that a box can say, each of them a clear case."""
    folder.mkdir()
    write_dicom(film_of(60, sick=True, strength=0.6), folder / "0901.dcm")
    write_dicom(film_of(19, sick=False), folder / "0902.dcm")
    write_dicom(film_of(62, sick=False, age=7), folder / "0903.dcm")
    blank = film_of(63, sick=False)
    blank.PixelData = np.full((ROWS, COLUMNS), 2000, "<u2").tobytes()
    write_dicom(blank, folder / "0904.dcm")
    (folder / "notes.txt").write_text("The film of bed 4 is in the other folder.\n")


def edit_recipe(source: Path, target: Path, **more: str) -> None:
    """Do to a recipe what its owner does in an editor, and what makes it quick here."""
    lines = [_edited(line, {**EDITS, **more}) for line in source.read_text(encoding="utf-8").splitlines()]
    lines.insert(lines.index('label = "pneumonia"') + 1, "age = { low = 15, high = 90 }")
    target.parent.mkdir(exist_ok=True)
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _edited(line: str, edits: dict[str, str]) -> str:
    key = line.partition(" = ")[0]
    return f"{key} = {edits[key]}" if key in edits else line


def _train_base(workspace: Path) -> None:
    """Train what the guides call `base/`: an earlier run, at another hospital, from random weights.

    Leaves the recipe as the data officer will edit it in `.edited/`.
    """
    recipe = workspace / ".recipe"
    aidpost = str(Path(sys.executable).parent / "aidpost")
    subprocess.run(
        [aidpost, "export", "recipes", "cxr-pneumonia", "--copy", str(recipe)], check=True, capture_output=True
    )
    edit_recipe(recipe / "recipe.toml", workspace / ".edited" / "recipe.toml")
    edit_recipe(recipe / "recipe.toml", recipe / "recipe.toml", scratch_epochs="9")
    command = [aidpost, "export", "adapt", str(recipe), "--data", str(workspace / ".hospital"), "--base", "random"]
    command += ["--architecture", "resnet-10-narrow", "--run", str(workspace / "base")]
    subprocess.run(command, check=True, capture_output=True)


def _write_index(folder: Path, rows: Sequence[Sequence[str]]) -> None:
    with (folder / "index.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEADING)
        writer.writerows(rows)


if __name__ == "__main__":  # `python -m tests.docs.world FOLDER`: to look at it, and to write a guide in it
    build_world(Path(sys.argv[1]))
