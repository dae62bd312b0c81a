"""The dataset's checks name every fault with its row; what passes becomes cases and pixels in one order."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pydicom.dataset import Dataset

from aidpost_device.decode.limits import DEFAULT_LIMITS
from aidpost_device.prepare import prepare_bytes
from aidpost_export.cases import Cases, unstated_patients
from aidpost_export.dataset import build_cases, dataset_digest, is_synthetic, prepare_cases, read_dataset
from aidpost_export.errors import DatasetError, RunError
from aidpost_export.index import lacking, read_index
from aidpost_export.learnt import Learnt, read_learnt
from aidpost_export.phantoms.dicom import Machine, Person, dicom_film, write_dicom
from aidpost_export.progress import SilentReporter
from aidpost_export.recipe import Recipe, Split, load_recipe

from .scans import HEADING, row, sound_rows, write_folder, write_image, write_index

Rows = list[dict[str, str]]


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    full = load_recipe("cxr-pneumonia").recipe
    return msgspec.structs.replace(full, input=msgspec.structs.replace(full.input, size=32))


def same_content(rows: Rows, folder: Path) -> None:
    rows[6]["file"] = "copy.png"
    write_image(folder / "copy.png", 4)


def same_content_other_label(rows: Rows, folder: Path) -> None:
    same_content(rows, folder)
    rows[6]["label"] = "pneumonia"


def broken_file(rows: Rows, folder: Path) -> None:
    (folder / "004.png").write_bytes(b"no picture")


def same_picture_saved_again(rows: Rows, folder: Path) -> None:
    rows[41]["file"] = "again.png"
    rows[41]["label"] = rows[4]["label"]
    about = PngInfo()
    about.add_text("Software", "exported again")
    Image.open(folder / "004.png").save(folder / "again.png", pnginfo=about)


def same_file_by_another_path(rows: Rows, folder: Path) -> None:
    rows[6]["file"] = "./004.png"


def raw_image(rows: Rows, folder: Path) -> None:
    rows[4]["file"] = "raw.dcm"
    raw = film(4, patient="p4", modality="DX")
    raw.PresentationIntentType = "FOR PROCESSING"
    write_dicom(raw, folder / "raw.dcm")


def leaked_patient(rows: Rows, folder: Path) -> None:
    rows[4]["patient"] = rows[45]["patient"]


def leaked_group(rows: Rows, folder: Path) -> None:
    rows[4]["group"] = rows[45]["group"] = "family"


def set_cell(column: str, text: str) -> Callable[[Rows, Path], None]:
    def change(rows: Rows, folder: Path) -> None:
        rows[4][column] = text

    return change


FAULTS = [
    (set_cell("label", ""), "label-missing", {6}, "the label is missing"),
    (set_cell("label", "flu"), "label-unknown", {6}, "'flu' is none of the recipe's: pneumonia, normal"),
    (set_cell("file", ""), "file-missing", {6}, "no file is named"),
    (set_cell("file", "lost.png"), "file-missing", {6}, "there is no such file"),
    (set_cell("file", "x" * 300 + ".png"), "file-missing", {6}, "there is no such file"),
    (set_cell("file", "../a.png"), "file-outside", {6}, "out of the data folder"),
    (set_cell("file", "/etc/passwd"), "file-outside", {6}, "out of the data folder"),
    (set_cell("age", "forty"), "age", {6}, "'forty' is not a number of years"),
    (set_cell("age", "140"), "age", {6}, "'140' is not a number of years"),
    (set_cell("split", "training"), "split", {6}, "'training' is unknown"),
    (set_cell("split", ""), "split", {6}, "'' is unknown"),
    (set_cell("view", "LL"), "not-accepted", {6}, "view is LL; the recipe reads PA, AP"),
    (raw_image, "not-accepted", {6}, "the image is the detector's raw one"),
    (broken_file, "unreadable", {6}, "not-an-image"),
    (same_content, "duplicate", {8}, "the same image as row 6, 004.png"),
    (same_content_other_label, "duplicate-with-another-label", {6, 8}, "'normal' in row 6, 'pneumonia' in row 8"),
    (same_picture_saved_again, "duplicate", {43}, "the same picture as row 6, 004.png, saved again"),
    (same_file_by_another_path, "duplicate", {8}, "the same image as row 6, 004.png"),
    (leaked_patient, "patient-in-two-splits", {6}, "patient 'p45' is in 'train' and in 'val'"),
    (leaked_group, "patient-in-two-splits", {6}, "in 'train' and in 'val'"),
]


@pytest.fixture
def sound(tmp_path: Path) -> tuple[Path, Rows]:
    rows = sound_rows()
    return write_folder(tmp_path / "data", rows), rows


@pytest.mark.parametrize(("change", "kind", "numbers", "words"), FAULTS)
def test_a_fault_stops_the_run_with_its_row_and_skip_bad_leaves_that_row_out(
    change: Callable[[Rows, Path], None],
    kind: str,
    numbers: set[int],
    words: str,
    sound: tuple[Path, Rows],
    recipe: Recipe,
    tmp_path: Path,
) -> None:
    folder, rows = sound
    change(rows, folder)
    write_index(folder, rows, (*HEADING, "group"))
    scans, found = read_dataset(folder, recipe, SilentReporter()), tmp_path / "issues.json"
    with pytest.raises(DatasetError, match=f"{len(numbers)} {kind}") as error:
        build_cases(folder, recipe, seed=0, scans=scans, issues_file=found)
    assert words in str(error.value)
    assert "--skip-bad" in error.value.hint
    assert {issue["row"] for issue in json.loads(found.read_text())} == numbers
    cases, issues = build_cases(folder, recipe, seed=0, scans=scans, skip_bad=True)
    assert {issue.row for issue in issues} == numbers
    assert all(issue.kind == kind and issue.fix for issue in issues)
    assert set(cases.files) == {own["file"] for number, own in enumerate(rows, 2) if number not in numbers}


def test_a_row_with_more_cells_than_the_heading_is_named(sound: tuple[Path, Rows], recipe: Recipe) -> None:
    folder, _ = sound
    lines = (folder / "index.csv").read_text().splitlines()
    lines[5] += ",Hospital, east wing"
    (folder / "index.csv").write_text("\n".join(lines))
    with pytest.raises(DatasetError, match=r"row 6, 004\.png: it has more cells than the heading"):
        build_cases(folder, recipe, seed=0)


def test_a_single_class_in_training_stops_even_with_skip_bad(tmp_path: Path, recipe: Recipe) -> None:
    rows = [row(n, "normal") for n in range(20)] + [row(n, "pneumonia", "val") for n in range(20, 30)]
    folder = write_folder(tmp_path / "data", rows)
    with pytest.raises(DatasetError, match=r"'train' has a single class: 20 rows, no row with 'pneumonia'") as error:
        build_cases(folder, recipe, seed=0, skip_bad=True)
    assert "--skip-bad" not in error.value.hint


def test_a_single_class_to_measure_on_is_an_issue_that_skip_bad_records(tmp_path: Path, recipe: Recipe) -> None:
    rows = sound_rows()[:40] + [row(n, "pneumonia", "val") for n in range(40, 50)]
    folder = write_folder(tmp_path / "data", rows)
    with pytest.raises(DatasetError, match="'val' has a single class"):
        build_cases(folder, recipe, seed=0)
    cases, issues = build_cases(folder, recipe, seed=0, skip_bad=True)
    assert [(issue.kind, issue.row) for issue in issues] == [("single-class-measured", None)]
    assert len(cases.where("validation")) == 10


def test_the_error_quotes_ten_faults_and_counts_all(tmp_path: Path, recipe: Recipe) -> None:
    rows = sound_rows()
    for own in rows[:14]:
        own["label"] = ""
    folder = write_folder(tmp_path / "data", rows)
    with pytest.raises(DatasetError) as error:
        build_cases(folder, recipe, seed=0, issues_file=tmp_path / "issues.json")
    text = str(error.value)
    assert "14 faults (14 label-missing)" in text
    assert text.count("the label is missing") == 10
    assert f"and 4 more, all of them in {tmp_path / 'issues.json'}" in text


def test_cases_keep_the_index_order_and_what_the_evaluation_groups_by(sound: tuple[Path, Rows], recipe: Recipe) -> None:
    folder, rows = sound
    rows[0] |= {"sex": "female", "age": "006M"}
    write_index(folder, rows)
    cases, issues = build_cases(folder, recipe, seed=0)
    assert issues == []
    assert cases.files == tuple(own["file"] for own in rows)
    assert cases.targets[:, 0].tolist() == [float(own["label"] == "pneumonia") for own in rows]
    assert (cases.columns["sex"][0], cases.columns["age"][:2]) == ("F", ("0.5", "40"))
    assert set(cases.columns) == {"label", "split", "sex", "age", "view", "site"}
    assert cases.patients[3] == "p3"


def test_without_a_split_column_a_fifth_is_kept_for_figures(tmp_path: Path, recipe: Recipe) -> None:
    folder = write_folder(tmp_path / "data", sound_rows(), ("file", "label"))
    cases, _ = build_cases(folder, recipe, seed=0)
    assert 9 <= len(cases.where("validation")) <= 12
    assert cases.patients == cases.files


def test_an_index_from_a_spreadsheet_is_read(sound: tuple[Path, Rows], recipe: Recipe) -> None:
    folder, _ = sound
    before, _ = build_cases(folder, recipe, seed=0)
    text = (folder / "index.csv").read_text().replace(",", ";").replace("\n", "\r\n") + ";;;;;;;\r\n"
    (folder / "index.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    after, _ = build_cases(folder, recipe, seed=0)
    assert (after.files, after.roles) == (before.files, before.roles)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "neither index.csv nor labels.csv"),
        (b"", "lacks the column 'file'"),
        (b"file,kind\na,b\n", "lacks the column 'label'"),
        (b"file,label,file\na,b,c\n", "the column 'file' twice"),
        (b"file,label\n", "a heading and no rows"),
        (b"file,label\n\xff,b\n", "cannot be read as a table"),
        (b'file,label\n"a,b\n', "cannot be read as a table"),
    ],
)
def test_an_index_that_is_no_table_is_refused(
    content: bytes | None, words: str, tmp_path: Path, recipe: Recipe
) -> None:
    if content is not None:
        (tmp_path / "index.csv").write_bytes(content)
    with pytest.raises(DatasetError, match=words) as error:
        build_cases(tmp_path, recipe, seed=0)
    assert error.value.hint


def test_columns_to_report_by_that_the_index_lacks_are_named(sound: tuple[Path, Rows], recipe: Recipe) -> None:
    folder, _ = sound
    more = msgspec.structs.replace(recipe, groups=("sex", "ward", "site"))
    found = lacking(read_index(folder, more), more)
    assert "ward" in found
    assert "sex" not in found, "a DICOM header may state it"


def test_headings_are_known_as_people_write_them(sound: tuple[Path, Rows], recipe: Recipe) -> None:
    folder, _ = sound
    before, _ = build_cases(folder, recipe, seed=0)
    text = (folder / "index.csv").read_text().replace("file,label,patient", "File, LABEL ,Patient", 1)
    text = text.replace(",split", ",Split", 1).replace(",val", ",Val").replace("\n", ",,\n")
    (folder / "index.csv").write_text(text)
    after, _ = build_cases(folder, recipe, seed=0)
    assert (after.files, after.roles, after.patients) == (before.files, before.roles, before.patients)


def test_a_column_beyond_the_named_ones_is_not_passed_over(sound: tuple[Path, Rows], recipe: Recipe) -> None:
    folder, _ = sound
    lines = (folder / "index.csv").read_text().splitlines()
    (folder / "index.csv").write_text("\n".join([f"{lines[0]},,", f"{lines[1]},,x", *lines[2:]]))
    with pytest.raises(DatasetError, match=r"row 2, 000\.png: it has more cells than the heading"):
        build_cases(folder, recipe, seed=0)


@pytest.mark.parametrize("name", ["patient_id", "Patient ID", "PatientID", "subject", "Subject-ID"])
def test_a_patient_column_of_another_name_is_refused(name: str, sound: tuple[Path, Rows], recipe: Recipe) -> None:
    folder, _ = sound
    text = (folder / "index.csv").read_text()
    (folder / "index.csv").write_text(text.replace("patient", name, 1))
    with pytest.raises(DatasetError, match=f"has a column '{name}' and no column 'patient'") as error:
        build_cases(folder, recipe, seed=0)
    assert "Rename" in error.value.hint


def test_pictures_of_one_grey_throughout_are_no_copies_of_each_other(sound: tuple[Path, Rows], recipe: Recipe) -> None:
    folder, rows = sound
    for number in (4, 6):
        Image.new("L", (40 + number, 40 + number), 90).save(folder / rows[number]["file"])
    cases, issues = build_cases(folder, recipe, seed=0)
    assert (len(cases), issues) == (len(rows), [])


def test_rows_without_a_patient_are_counted(sound: tuple[Path, Rows], recipe: Recipe) -> None:
    folder, rows = sound
    for own in rows[:5]:
        own["patient"] = ""
    write_index(folder, rows)
    assert unstated_patients(build_cases(folder, recipe, seed=0)[0]) == 5


def test_a_half_filled_patient_column_is_joined_with_the_headers(tmp_path: Path, recipe: Recipe) -> None:
    lines = ["file,label,patient"]
    for number in range(60):
        write_dicom(film(number, patient=f"ID{number // 2}"), tmp_path / f"{number}.dcm")
        own = f"K{number // 2}" if number % 2 else ""
        lines.append(f"{number}.dcm,{'pneumonia' if number // 2 % 2 else 'normal'},{own}")
    (tmp_path / "index.csv").write_text("\n".join(lines))
    cases, _ = build_cases(tmp_path, recipe, seed=0)
    assert len(set(cases.patients)) == 30
    people = [int(file.removesuffix(".dcm")) // 2 for file in cases.files]
    assert len(set(zip(people, cases.roles, strict=True))) == 30


@pytest.mark.parametrize("split", ["", "train"])
def test_scans_that_all_carry_one_patient_id_need_a_patient_column(split: str, tmp_path: Path, recipe: Recipe) -> None:
    for number in range(60):
        write_dicom(film(number, patient="ANON"), tmp_path / f"{number}.dcm")
    kinds = ["pneumonia" if number % 2 else "normal" for number in range(60)]
    uses = [(split and "val") if number > 45 else split for number in range(60)]
    open_ones = [f"{n}.dcm,{kinds[n]},{uses[n]}," for n in range(60)]
    (tmp_path / "index.csv").write_text("\n".join(["file,label,split,patient", *open_ones]))
    for skip_bad in (False, True):
        with pytest.raises(DatasetError, match=r"one patient, 'dicom-00001' by the DICOM headers, holds all 60 rows"):
            build_cases(tmp_path, recipe, seed=0, skip_bad=skip_bad)
    named = [f"{line}P{number}" for number, line in enumerate(open_ones)]
    (tmp_path / "index.csv").write_text("\n".join(["file,label,split,patient", *named]))
    assert len(set(build_cases(tmp_path, recipe, seed=0)[0].patients)) == 60


def test_what_labels_csv_leaves_out_comes_from_the_dicom_headers(tmp_path: Path, recipe: Recipe) -> None:
    lines = ["file,label"]
    for number in range(30):
        write_dicom(film(number, patient=f"SECRET{number // 2}"), tmp_path / f"{number}.dcm")
        lines.append(f"{number}.dcm,{'pneumonia' if number % 2 else 'normal'}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    cases, _ = build_cases(tmp_path, recipe, seed=0)
    assert set(cases.columns["view"]) == {"PA"}
    assert set(cases.columns["age"]) == {"33"}
    assert len(set(cases.patients)) == 15
    assert "SECRET" not in "".join(cases.patients)
    by_patient = {(patient, role) for patient, role in zip(cases.patients, cases.roles, strict=True)}
    assert len(by_patient) == 15


def test_a_scan_of_another_modality_is_named(tmp_path: Path, recipe: Recipe) -> None:
    folder = write_folder(tmp_path, sound_rows())
    write_dicom(film(0, patient="x", modality="CT"), folder / "004.png")
    with pytest.raises(DatasetError, match=r"row 6, 004\.png: its modality is CT; the recipe reads CR, DX, RG"):
        build_cases(folder, recipe, seed=0)


def film(number: int, patient: str, modality: str = "CR") -> Dataset:
    pixels = np.random.default_rng(number).integers(0, 4096, (48, 40), np.uint16)
    machine = Machine(modality, "CHEST", "Test", "synthetic test", "MONOCHROME2", bits=12, spacing=1.0)
    return dicom_film(pixels, machine, Person(patient, "F", 33), view="PA", study=number, window=(0.5, 1.0))


def test_the_digest_knows_the_rows_and_not_their_cut(sound: tuple[Path, Rows], recipe: Recipe) -> None:
    folder, rows = sound
    digests = {dataset_digest(build_cases(folder, recipe, seed=seed)[0]) for seed in (0, 1)}
    rows.reverse()
    write_index(folder, rows)
    digests.add(dataset_digest(build_cases(folder, recipe, seed=0)[0]))
    assert len(digests) == 1
    rows[-3]["label"], rows[-3]["patient"] = "pneumonia", "other"
    write_index(folder, rows)
    assert dataset_digest(build_cases(folder, recipe, seed=0)[0]) not in digests


@pytest.mark.parametrize("name", ["index.csv", "labels.csv"])
def test_generated_data_say_so(name: str, sound: tuple[Path, Rows], recipe: Recipe) -> None:
    folder, rows = sound
    assert not is_synthetic(read_index(folder, recipe))
    rows[7]["site"] = "Synthetic clinic"
    write_index(folder, rows)
    (folder / "index.csv").rename(folder / name)
    assert is_synthetic(read_index(folder, recipe))


# ---- an earlier run as the base ---


def learnt_from(cases: Cases, folder: Path) -> Learnt:
    folder.mkdir()
    cases.write(folder / "cases.csv")
    return read_learnt(folder)


@pytest.mark.parametrize(("more", "seed"), [(60, 0), (60, 1)])
def test_what_the_base_learnt_from_is_only_learnt_from_again(
    more: int, seed: int, tmp_path: Path, recipe: Recipe
) -> None:
    rows = [row(n, "pneumonia" if n % 2 else "normal") for n in range(100 + more)]
    heading = ("file", "label", "patient")
    earlier, _ = build_cases(write_folder(tmp_path / "a", rows[:100], heading), recipe, seed=0)
    learnt = learnt_from(earlier, tmp_path / "base")
    cases, _ = build_cases(write_folder(tmp_path / "b", rows, heading), recipe, seed=seed, learnt=learnt)
    known = {
        role: sum(cases.sha256[i] in learnt.sha256 for i in cases.where(role))
        for role in ("fit", "tuning", "calibration", "validation")
    }
    assert known == {"fit": 80, "tuning": 0, "calibration": 0, "validation": 0}
    assert 28 <= len(cases.where("validation")) <= 36
    assert len(cases.where("tuning")) >= 12 and len(cases.where("calibration")) >= 20


def test_rows_to_measure_on_of_which_the_base_learnt_are_named(
    sound: tuple[Path, Rows], tmp_path: Path, recipe: Recipe
) -> None:
    folder, rows = sound
    earlier, _ = build_cases(folder, recipe, seed=0)
    learnt = learnt_from(earlier, tmp_path / "base")
    assert "p45" not in learnt.patients
    for number in range(60, 100):  # training rows that are new
        rows.append(row(number, "pneumonia" if number % 2 else "normal"))
        write_image(folder / rows[-1]["file"], number)
    rows[2]["split"] = "val"  # the same scan
    rows[45]["patient"] = rows[3]["patient"] = "p5"  # another scan of a person, beside one in training
    write_index(folder, rows)
    with pytest.raises(DatasetError, match=r"2 learnt-by-the-base") as error:
        build_cases(folder, recipe, seed=0, learnt=learnt)
    assert "row 4, 002.png: the split is 'val', but the base has learnt from this patient" in str(error.value)
    assert "row 47, 045.png" in str(error.value)
    cases, _ = build_cases(folder, recipe, seed=0, learnt=learnt, skip_bad=True)
    assert not {"002.png", "045.png"} & set(cases.files)
    assert all(cases.sha256[i] not in learnt.sha256 for i in cases.where("tuning", "calibration", "validation"))


def test_a_base_that_learnt_from_everything_leaves_nothing_to_stop_by(
    sound: tuple[Path, Rows], tmp_path: Path, recipe: Recipe
) -> None:
    learnt = learnt_from(build_cases(sound[0], recipe, seed=0)[0], tmp_path / "base")
    with pytest.raises(DatasetError, match=r"40 training labels of 40 patients \(40 of them learnt by the base\)"):
        build_cases(sound[0], recipe, seed=1, learnt=learnt)


def test_names_that_are_no_patients_are_not_taken_for_the_same_person(tmp_path: Path, recipe: Recipe) -> None:
    """Files without a patient and numbers counted from DICOM headers are named alike in any two datasets."""
    earlier, _ = build_cases(write_folder(tmp_path / "a", sound_rows(), ("file", "label")), recipe, seed=0)
    names = ("dicom-00001", *earlier.patients[1:])
    learnt = learnt_from(dataclasses.replace(earlier, patients=names), tmp_path / "base")
    assert not learnt.patients


@pytest.mark.parametrize(
    ("theirs", "ours", "same"),
    [("East", "East", True), ("East", "West", False), ("", "West", True), ("East", "", True), (None, "West", True)],
)
def test_the_same_number_at_another_site_is_another_person(
    theirs: str | None, ours: str, same: bool, sound: tuple[Path, Rows], tmp_path: Path, recipe: Recipe
) -> None:
    earlier, _ = build_cases(sound[0], recipe, seed=0)
    columns = {name: values for name, values in earlier.columns.items() if name != "site"}
    if theirs is not None:
        columns["site"] = (theirs,) * len(earlier)
    learnt = learnt_from(dataclasses.replace(earlier, columns=columns), tmp_path / "base")
    other = [
        row(number, "pneumonia" if number % 2 else "normal", patient=f"p{number - 100}") for number in range(100, 300)
    ]
    for one in other:
        one["split"] = "val" if int(one["patient"][1:]) < 30 else "train"
        if ours is not None:
            one["site"] = ours
    folder = write_folder(tmp_path / "b", other, tuple(other[0]))
    for number, one in enumerate(other):
        write_image(folder / one["file"], 1000 + number)  # other scans than the earlier dataset's
    if same:
        with pytest.raises(DatasetError, match="learnt-by-the-base"):
            build_cases(folder, recipe, seed=0, learnt=learnt)
    else:
        assert len(build_cases(folder, recipe, seed=0, learnt=learnt)[0].where("validation")) == 30


# ---- pixels ---------------------------------------------------------------------------------------------------------


def test_pixels_stand_in_the_cases_order_as_the_box_prepares_them(sound: tuple[Path, Rows], recipe: Recipe) -> None:
    folder, _ = sound
    scans = read_dataset(folder, recipe, SilentReporter())
    cases, _ = build_cases(folder, recipe, seed=0, scans=scans)
    for given in (scans, None):
        prepare_cases(cases, folder, recipe.input, folder / "pixels.npy", SilentReporter(), given)
        pixels = np.load(folder / "pixels.npy", mmap_mode="r", allow_pickle=False)
        assert (pixels.shape, pixels.dtype) == ((52, 32, 32, 1), np.uint8)
        for i, file in enumerate(cases.files):
            expected = prepare_bytes(file, (folder / file).read_bytes(), recipe.input, DEFAULT_LIMITS).pixels
            assert np.array_equal(pixels[i], expected)


def test_a_file_that_changed_since_the_checks_leaves_no_pixels(sound: tuple[Path, Rows], recipe: Recipe) -> None:
    folder, _ = sound
    cases, _ = build_cases(folder, recipe, seed=0)
    write_image(folder / "004.png", 999)
    with pytest.raises(DatasetError, match=r"004\.png changed while the run was being prepared"):
        prepare_cases(cases, folder, recipe.input, folder / "pixels.npy", SilentReporter())
    assert not (folder / "pixels.npy").exists()


def test_cases_survive_their_file(sound: tuple[Path, Rows], recipe: Recipe) -> None:
    cases, _ = build_cases(sound[0], recipe, seed=0, limit=30)
    cases.write(sound[0] / "cases.csv")
    again = Cases.read(sound[0] / "cases.csv")
    assert (again.files, again.roles, again.columns) == (cases.files, cases.roles, cases.columns)
    assert np.array_equal(again.targets, cases.targets)


@pytest.mark.parametrize(("role", "words"), [("fitting", "the role 'fitting' is unknown"), ("", "unknown")])
def test_cases_of_an_unknown_role_are_refused(role: str, words: str, sound: tuple[Path, Rows], recipe: Recipe) -> None:
    path = sound[0] / "cases.csv"
    build_cases(sound[0], recipe, seed=0)[0].write(path)
    path.write_text(path.read_text().replace(",fit,", f",{role},", 1))
    with pytest.raises(RunError, match=words):
        Cases.read(path)


# ---- real data ------------------------------------------------------------------------------------------------------


def test_the_real_smears_are_cut_by_patient_in_their_proportions(data_folder: Path) -> None:
    recipe = msgspec.structs.replace(load_recipe("smear-malaria").recipe, split=Split())
    cases, issues = build_cases(data_folder / "malaria_cells", recipe, seed=0, limit=200)
    assert issues == []
    sizes = {role: len(cases.where(role)) for role in ("fit", "tuning", "calibration", "validation")}
    assert sizes == {"fit": 136, "tuning": 24, "calibration": 40, "validation": 724}
    assert cases.targets[cases.where("calibration")].mean() == pytest.approx(0.51, abs=0.03)


def test_the_real_adults_films_hold_one_duplicate_that_is_named(data_folder: Path) -> None:
    recipe = load_recipe("cxr-pneumonia").recipe
    with pytest.raises(DatasetError, match=r"row 203, images/normal/00002658_002\.jpg: the same image as row 202"):
        build_cases(data_folder / "cxr_nih", recipe, seed=0)
