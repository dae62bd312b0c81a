"""Phantoms repeat by seed, say that they are synthetic, and cannot be told apart by anything but their content."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pydicom
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict

from aidpost_device.bundle.manifest import ImageInput
from aidpost_device.decode.limits import DEFAULT_LIMITS
from aidpost_device.prepare import prepare_bytes
from aidpost_export.demo.hospital import CLINIC, LARGE, POSITIVE, Film, Hospital, plan_films, take_film, write_hospital
from aidpost_export.phantoms.dicom import COMMENT, MANUFACTURER
from aidpost_export.phantoms.field import smooth_noise, soft, spread
from aidpost_export.progress import SilentReporter

SPEC = ImageInput(size=64, channels=1)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, list[Film]]]:
    """Eighty films of each hospital."""
    made = {}
    for hospital in (LARGE, CLINIC):
        folder = tmp_path_factory.mktemp("hospital")
        plan = plan_films(hospital, {"train": 80}, seed=4)
        write_hospital(folder, plan, SilentReporter())
        made[hospital.name] = (folder, plan)
    return made


def prepared(folder: Path, plan: list[Film]) -> np.ndarray:
    paths = [folder / film.file for film in plan]
    return np.stack([prepare_bytes(p.name, p.read_bytes(), SPEC, DEFAULT_LIMITS).pixels[..., 0] for p in paths])


@pytest.mark.parametrize("hospital", [LARGE, CLINIC], ids=lambda hospital: hospital.machine.modality)
def test_films_are_16_bit_dicom_with_the_headers_of_their_machine(
    hospital: Hospital, films: dict[str, tuple[Path, list[Film]]]
) -> None:
    folder, plan = films[hospital.name]
    for film in plan[:10]:
        dataset = pydicom.dcmread(folder / film.file)
        assert dataset.Modality == hospital.machine.modality
        assert dataset.PhotometricInterpretation == hospital.machine.photometric
        assert (dataset.BitsAllocated, dataset.BitsStored) == (16, hospital.machine.bits)
        assert (dataset.Rows, dataset.Columns) == (hospital.technique.rows, hospital.technique.columns)
        assert (dataset.PatientID, dataset.PatientSex, dataset.ViewPosition) == (
            film.person.id,
            film.person.sex,
            film.view,
        )
        assert dataset.pixel_array.max() < 2**hospital.machine.bits
        assert dataset.pixel_array.std() > 10


def test_every_file_says_that_it_is_synthetic(films: dict[str, tuple[Path, list[Film]]]) -> None:
    for folder, plan in films.values():
        with (folder / "index.csv").open(newline="") as file:
            assert {row["site"].split()[0] for row in csv.DictReader(file)} == {"synthetic"}
        for film in plan[:10]:
            dataset = pydicom.dcmread(folder / film.file, stop_before_pixels=True)
            assert dataset.Manufacturer == MANUFACTURER
            assert dataset.ImageComments == COMMENT
            assert dataset.InstitutionName.startswith("synthetic")


def test_films_of_one_study_have_uids_of_their_own(films: dict[str, tuple[Path, list[Film]]]) -> None:
    uids = [
        pydicom.dcmread(folder / film.file, stop_before_pixels=True).SOPInstanceUID
        for folder, plan in films.values()
        for film in plan
    ]
    assert len(set(uids)) == len(uids) == 160


def test_a_film_repeats_by_its_seed(tmp_path: Path) -> None:
    first, other = plan_films(CLINIC, {"train": 3}, seed=1)[0], plan_films(CLINIC, {"train": 3}, seed=2)[0]
    contents = []
    for number, film in enumerate((first, first, other)):
        (tmp_path / str(number) / "train").mkdir(parents=True)
        take_film(film, tmp_path / str(number))
        contents.append((tmp_path / str(number) / film.file).read_bytes())
    assert contents[0] == contents[1] != contents[2]


def test_no_person_is_in_two_splits_and_some_come_twice() -> None:
    plan = plan_films(LARGE, {"train": 300, "val": 100}, seed=1)
    assert [sum(film.split == split for film in plan) for split in ("train", "val")] == [300, 100]
    assert len({(film.person.id, film.split) for film in plan}) == len({film.person.id for film in plan}) < 400


def test_a_more_films_of_one_split_leave_the_first_as_they_are() -> None:
    small, large = (plan_films(CLINIC, {"train": count}, seed=1) for count in (20, 40))
    assert large[:20] == small


def test_dense_is_bright_on_both_machines(films: dict[str, tuple[Path, list[Film]]]) -> None:
    """MONOCHROME1 and 2 both come out of `prepare` with a spine that is brighter than the lungs beside it."""
    for folder, plan in films.values():
        mean = prepared(folder, plan).mean(0)
        spine, lungs = mean[30:40, 29:35].mean(), mean[25:35, [18, 19, 20, 43, 44, 45]].mean()
        assert spine > lungs + 30


def test_the_hospitals_differ(films: dict[str, tuple[Path, list[Film]]]) -> None:
    """A straight line through coarse pixels tells the hospitals apart: the shift is real."""
    pictures = [prepared(*films[hospital.name])[:, ::8, ::8].reshape(80, -1) for hospital in (LARGE, CLINIC)]
    site = np.repeat([0, 1], 80)
    assert separability(np.concatenate(pictures), site) > 0.95


def test_statistics_of_the_whole_film_do_not_give_the_finding_away(films: dict[str, tuple[Path, list[Film]]]) -> None:
    for folder, plan in films.values():
        pixels = prepared(folder, plan).reshape(80, -1).astype(float)
        statistics = np.stack([pixels.mean(1), pixels.std(1), *np.percentile(pixels, (10, 50, 90), axis=1)], axis=1)
        assert separability(statistics, np.array([film.label == POSITIVE for film in plan])) < 0.75


def separability(features: np.ndarray, classes: np.ndarray) -> float:
    scaled = (features - features.mean(0)) / (features.std(0) + 1e-9)
    guess = cross_val_predict(LogisticRegression(C=0.1), scaled, classes, cv=5, method="predict_proba")[:, 1]
    return float(roc_auc_score(classes, guess))


def test_finished_hospitals_are_not_taken_again(films: dict[str, tuple[Path, list[Film]]]) -> None:
    folder, plan = films[CLINIC.name]
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    write_hospital(folder, plan, SilentReporter())
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


# ---- fields ---------------------------------------------------------------------------------------------------------


def test_smooth_noise_has_the_stated_spread_and_is_smooth() -> None:
    rng = np.random.default_rng(0)
    noise = np.concatenate([smooth_noise(rng, (128, 96), 16).ravel() for _ in range(40)])
    assert abs(noise.mean()) < 0.05
    assert noise.std() == pytest.approx(1, abs=0.05)
    field = smooth_noise(rng, (128, 96), 8)
    assert abs(np.diff(field, axis=0)).max() < 0.5


def test_soft_edges_run_from_nothing_to_all_over_their_width() -> None:
    values = soft(np.array([-0.1, -0.05, 0.0, 0.05, 0.1], np.float32), 0.05)
    assert values.tolist() == [0, 0, 0.5, 1, 1]


def test_spreading_keeps_a_flat_field_flat() -> None:
    assert np.allclose(spread(np.full((60, 40), 3.0, np.float32), 4), 3, atol=1e-4)
