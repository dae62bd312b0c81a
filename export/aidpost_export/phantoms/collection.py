"""Generated datasets for the recipes: a folder of phantoms of the right kind with an `index.csv`.

They exercise a recipe end to end where no real images are at hand. What a model scores on them says nothing of people.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from aidpost_device.durable import write_durably
from aidpost_export.errors import RecipeError
from aidpost_export.labels import SEPARATOR
from aidpost_export.phantoms.bone import draw_limb
from aidpost_export.phantoms.brain import draw_brain
from aidpost_export.phantoms.breast import draw_mammogram
from aidpost_export.phantoms.dicom import COMMENT, Machine, Person, dicom_film, write_dicom
from aidpost_export.phantoms.fundus import draw_fundus
from aidpost_export.phantoms.signs import draw_chest
from aidpost_export.phantoms.skin import draw_lesion
from aidpost_export.phantoms.smear import draw_cell
from aidpost_export.phantoms.ultrasound import draw_ultrasound
from aidpost_export.progress import Reporter
from aidpost_export.recipe import Recipe

SITE = "synthetic collection"
VALIDATION = 0.25
"""Fraction of the people whose images are marked `val`."""
SECOND = 0.2
"""Share of people with a second image."""
_EACH = 0.2
"""Chance of each finding on a multilabel image."""


@dataclass(frozen=True)
class _Case:
    """One image to be drawn."""

    person: Person
    labels: tuple[str, ...]
    view: str
    number: int


Draw = Callable[[np.random.Generator, _Case], NDArray[Any]]


@dataclass(frozen=True)
class _Kind:
    """How the images of a recipe are drawn and kept."""

    draw: Draw
    modality: str = ""
    """Of a DICOM file; empty for colour photographs, which are kept as PNG."""
    body_part: str = ""
    views: tuple[str, ...] = ("",)


def _only(draw: Callable[[np.random.Generator, str], NDArray[Any]]) -> Draw:
    """Adapt a painter that needs nothing but the label."""
    return lambda rng, case: draw(rng, case.labels[0])


def _chest(rng: np.random.Generator, case: _Case) -> NDArray[np.uint16]:
    return draw_chest(rng, case.labels, case.person.age, case.person.sex == "F", case.view)


def _mammogram(rng: np.random.Generator, case: _Case) -> NDArray[np.uint16]:
    return draw_mammogram(rng, case.labels[0], case.view)


_CHEST = _Kind(_chest, "DX", "CHEST", ("PA", "AP"))
_KINDS = {
    "cxr-covid": _CHEST,
    "cxr-findings": _CHEST,
    "cxr-pneumonia": _CHEST,
    "cxr-tuberculosis": _CHEST,
    "fundus-retinopathy": _Kind(_only(draw_fundus)),
    "mammogram-mass": _Kind(_mammogram, "MG", "BREAST", ("CC", "MLO")),
    "mri-brain-tumour": _Kind(_only(draw_brain), "MR", "BRAIN"),
    "radiograph-fracture": _Kind(_only(draw_limb), "DX", "FOREARM", ("AP", "LL")),
    "skin-lesion": _Kind(_only(draw_lesion)),
    "smear-malaria": _Kind(_only(draw_cell)),
    "ultrasound-breast": _Kind(_only(draw_ultrasound), "US", "BREAST"),
}


def other_recipes(recipe: Recipe) -> tuple[str, ...]:
    """Name one recipe for each kind of image that is surely none of this recipe's own.

    Of a recipe that does not come with the program only the modalities tell: what it may read is left out.
    """
    own, accepted = _KINDS.get(recipe.name), recipe.input.modalities

    def may_be(kind: _Kind) -> bool:
        if own is not None:
            return kind is own
        return not accepted or (kind.modality in accepted if kind.modality else recipe.input.channels == 3)

    return tuple({id(kind): name for name, kind in _KINDS.items() if not may_be(kind)}.values())


def write_collection(recipe: Recipe, folder: Path, count: int, seed: int, reporter: Reporter) -> None:
    """Fill a folder with generated images for a recipe. Raises `RecipeError` where none of its kind can be drawn."""
    kind = _KINDS.get(recipe.name)
    if kind is None:
        raise RecipeError(
            f"No images can be generated for the recipe {recipe.name!r}.",
            "It can be done for: " + ", ".join(_KINDS) + ".",
        )
    (folder / "images").mkdir(parents=True, exist_ok=True)
    rows = []
    with reporter.bar(f"Drawing images for {recipe.name}", count) as bar:
        for case in _plan(recipe, kind, count, seed):
            file = _draw(kind, case, folder, seed)
            person, use = case.person, "train" if case.number < (1 - VALIDATION) * count else "val"
            label = SEPARATOR.join(case.labels)
            rows.append((file, label, person.id, person.sex, f"{person.age:g}", case.view, SITE, use))
            bar.advance()
    last = {row[2]: row[7] for row in rows}  # a person's images all go where the last one does
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(("file", recipe.label_column, "patient", "sex", "age", "view", "site", "split"))
    writer.writerows((*row[:7], last[row[2]]) for row in rows)
    write_durably(folder / "index.csv", buffer.getvalue().encode())


def _plan(recipe: Recipe, kind: _Kind, count: int, seed: int) -> list[_Case]:
    rng = np.random.default_rng((seed, 0))
    youngest = max((finding.age.low for finding in recipe.finding if finding.age), default=2)
    cases: list[_Case] = []
    person = Person("", "F", 0)
    for number in range(count):
        if number == 0 or rng.random() >= SECOND:
            sex = "F" if kind.body_part == "BREAST" or rng.random() < 0.5 else "M"
            person = Person(f"P{number:05d}", "F" if sex == "F" else "M", round(float(rng.uniform(youngest, 85)), 1))
        cases.append(_Case(person, _labels(recipe, number, rng), str(rng.choice(kind.views)), number))
    return cases


def _labels(recipe: Recipe, number: int, rng: np.random.Generator) -> tuple[str, ...]:
    """Give classes in turn; findings of a multilabel task at random, one of them in turn."""
    if recipe.task != "multilabel":
        classes = (*recipe.labels, *recipe.negative[:1])
        return (classes[number % len(classes)],)
    if number % 3 == 0:
        return recipe.negative[:1]
    sure = recipe.labels[number % len(recipe.labels)]
    return tuple(label for label in recipe.labels if label == sure or rng.random() < _EACH)


def _draw(kind: _Kind, case: _Case, folder: Path, seed: int) -> str:
    """Draw one image and write it; returns its name in the folder."""
    pixels = kind.draw(np.random.default_rng((seed, 1, case.number)), case)
    name = f"images/{case.number:05d}" + (".dcm" if kind.modality else ".png")
    if kind.modality:
        machine = Machine(kind.modality, kind.body_part, "Generator", SITE, "MONOCHROME2", bits=12, spacing=0.5)
        dataset = dicom_film(pixels, machine, case.person, view=case.view, study=case.number, window=(0.5, 1.0))
        write_dicom(dataset, folder / name)
    else:
        note = PngInfo()
        note.add_text("Comment", COMMENT)
        Image.fromarray(pixels).save(folder / name, pnginfo=note)
    return name
