"""Two hospitals that do not exist, with films of people who do not exist: a large one, and a clinic far away.

They differ as real ones do: another machine and a harsher display, other positioning, clothes and leads on the chest,
children instead of grown people, fewer of whom are ill.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from os import sched_getaffinity
from pathlib import Path

import numpy as np

from aidpost_device.durable import write_durably
from aidpost_export.phantoms.chest import Technique, chest_film
from aidpost_export.phantoms.dicom import Machine, Person, dicom_film, write_dicom
from aidpost_export.phantoms.film import Detector
from aidpost_export.phantoms.thorax import sample_build
from aidpost_export.progress import Reporter

POSITIVE, NEGATIVE = "consolidation", "clear"
"""Labels of the phantoms, as the demo's recipes name them."""


@dataclass(frozen=True)
class Hospital:
    """Who comes, with what, and how their films are taken."""

    name: str
    machine: Machine
    technique: Technique
    window: tuple[float, float]
    """Centre and width of the display window, fractions of the scale."""
    anteroposterior: float
    """Share of films taken lying or sitting."""
    ages: tuple[float, float]
    """Youngest and oldest, years."""
    women: float
    prevalence: float
    """Share of films with consolidation."""
    strength: float
    """Median share of the air that a consolidation takes; less is harder to see."""
    returning: float
    """Share of people with a second film."""


LARGE = Hospital(
    name="synthetic university hospital",
    machine=Machine("DX", "CHEST", "Panel 4", "synthetic university hospital", "MONOCHROME2", bits=12, spacing=1.4),
    technique=Technique(
        rows=256,
        columns=240,
        detector=Detector(
            scatter=0.2,
            quanta=0.012,
            unsharp=6,
            equalise=0.35,
            smear=0,
            bits=12,
            collimation=0.02,
            shutter=0.0,
            marker=0.035,
            plate=0.0,
        ),
        care=1.0,
        exposure_spread=0.15,
        devices=0.1,
        clothing=0.0,
    ),
    window=(0.5, 1.0),
    anteroposterior=0.2,
    ages=(15, 90),
    women=0.48,
    prevalence=0.5,
    strength=0.8,
    returning=0.15,
)

CLINIC = Hospital(
    name="synthetic district clinic",
    machine=Machine("CR", "CHEST", "Plate reader", "synthetic district clinic", "MONOCHROME1", bits=10, spacing=1.25),
    technique=Technique(
        rows=288,
        columns=240,
        detector=Detector(
            scatter=0.4,
            quanta=0.02,
            unsharp=4,
            equalise=0.0,
            smear=1,
            bits=10,
            collimation=0.09,
            shutter=1.0,
            marker=0.06,
            plate=0.02,
        ),
        care=2.2,
        exposure_spread=0.5,
        devices=0.5,
        clothing=0.6,
    ),
    window=(0.64, 0.45),
    anteroposterior=0.8,
    ages=(1, 30),
    women=0.6,
    prevalence=0.4,
    strength=0.85,
    returning=0.1,
)


@dataclass(frozen=True)
class Film:
    """One film to be taken."""

    hospital: Hospital
    person: Person
    number: int
    """Of the film in its hospital; also its study."""
    seed: tuple[int, ...]
    body: int
    """Seed of the person's build."""
    split: str
    file: str
    label: str = field(default=NEGATIVE)
    view: str = "PA"


def plan_films(hospital: Hospital, counts: dict[str, int], seed: int) -> list[Film]:
    """Decide who has films taken and with what finding: so many films per split, no person in two."""
    films: list[Film] = []
    people = 0
    for split, count in counts.items():
        until = len(films) + count
        while len(films) < until:
            people += 1
            rng = np.random.default_rng((seed, people))
            person = Person(
                id=f"{hospital.machine.modality}{seed}-{people:05d}",
                sex="F" if rng.random() < hospital.women else "M",
                age=round(float(rng.triangular(hospital.ages[0], 0.6 * hospital.ages[1], hospital.ages[1])), 1),
            )
            visits = 1 + int(rng.random() < hospital.returning)
            for visit in range(min(visits, until - len(films))):
                number = len(films) + 1
                films.append(
                    Film(
                        hospital=hospital,
                        person=person,
                        number=number,
                        seed=(seed, people, visit),
                        body=seed * 1_000_003 + people,
                        split=split,
                        file=f"{split}/{number:05d}.dcm",
                        label=POSITIVE if rng.random() < hospital.prevalence else NEGATIVE,
                        view="AP" if rng.random() < hospital.anteroposterior else "PA",
                    )
                )
    return films


def take_film(film: Film, folder: Path) -> None:
    """Take one film and write it as a DICOM file."""
    hospital = film.hospital
    build = sample_build(np.random.default_rng(film.body), film.person.age, film.person.sex == "F")
    pixels = chest_film(
        np.random.default_rng(film.seed),
        build,
        hospital.technique,
        anteroposterior=film.view == "AP",
        strength=hospital.strength if film.label == POSITIVE else 0.0,
    )
    dataset = dicom_film(
        pixels, hospital.machine, film.person, view=film.view, study=film.number, window=hospital.window
    )
    write_dicom(dataset, folder / film.file)


def write_hospital(folder: Path, films: list[Film], reporter: Reporter) -> None:
    """Take all films of a hospital into a folder with an `index.csv`. Nothing is done when they are there already."""
    index = _index(films)
    if (folder / "index.csv").is_file() and (folder / "index.csv").read_text(encoding="utf-8") == index:
        return
    write_films(folder, films, reporter)
    write_durably(folder / "index.csv", index.encode())


def write_films(folder: Path, films: list[Film], reporter: Reporter) -> None:
    """Take films into a folder, on all cores."""
    for split in {film.split for film in films}:
        (folder / split).mkdir(parents=True, exist_ok=True)
    batches = [films[start : start + 20] for start in range(0, len(films), 20)]
    with (
        ProcessPoolExecutor(len(sched_getaffinity(0)), mp_context=get_context("forkserver")) as pool,
        reporter.bar(f"Taking films at the {films[0].hospital.name}", len(films)) as bar,
    ):
        for count in pool.map(_take_batch, batches, [folder] * len(batches)):
            bar.advance(count)


def _take_batch(films: list[Film], folder: Path) -> int:
    for film in films:
        take_film(film, folder)
    return len(films)


def _index(films: list[Film]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(("file", "label", "patient", "sex", "age", "view", "site", "split"))
    writer.writerows(_index_rows(films))
    return buffer.getvalue()


def _index_rows(films: list[Film]) -> Iterator[tuple[str, ...]]:
    for film in films:
        person = film.person
        about = (person.id, person.sex, f"{person.age:g}", film.view, film.hospital.name, film.split)
        yield (film.file, film.label, *about)
