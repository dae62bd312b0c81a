"""Batch screening through the real decode workers, engine and store: nothing is lost, nothing is read twice."""

from __future__ import annotations

import csv
import errno
import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from aidpost_device.bundle.install import Installed, active_bundle
from aidpost_device.bundle.manifest import AgeRange, ImageInput
from aidpost_device.bundle.variant import QualityCheck
from aidpost_device.cli.main import main
from aidpost_device.errors import BundleError, DecodeServiceError, SettingError, StorageFullError
from aidpost_device.home import Home
from aidpost_device.prepare import prepare_bytes
from aidpost_device.reason import Reason
from aidpost_device.screening.outputs import output_folder
from aidpost_device.screening.screen import Outcome, screen

from . import bundles, scans

Row = dict[str, str]
Screen = Callable[..., Outcome]
COMMAND = (sys.executable, "-P", "-c", "from aidpost_device.cli.main import main; main()")


@pytest.fixture(scope="module")
def toy(draft: bundles.Draft) -> bundles.Draft:
    """The toy bundle with a threshold that some of the pictures reach and others do not."""
    return scans.splitting(draft)


@pytest.fixture
def ready(trusting: Home, install_here: Callable[[bytes], Installed], toy: bundles.Draft) -> Home:
    """A home in which the toy bundle is active."""
    install_here(toy.pack())
    return trusting


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where this test's scans are."""
    path = tmp_path / "scans"
    path.mkdir()
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Where this test's reports go."""
    return tmp_path / "out"


@pytest.fixture
def run(ready: Home, folder: Path, out: Path) -> Screen:
    """Screen the folder with the active bundle."""

    def screened(*paths: Path, **options: object) -> Outcome:
        return screen(ready, active_bundle(ready), paths or (folder,), out, workers=2, **options)  # type: ignore[arg-type]

    return screened


def table(out: Path) -> list[Row]:
    with (out / "readings.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def by_name(out: Path) -> dict[str, Row]:
    return {Path(row["path"]).name: row for row in table(out)}


def readings_in(home: Home) -> int:
    with closing(sqlite3.connect(home.store_file)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM reading").fetchone()
        return int(count)


# ---- what is read ---------------------------------------------------------------------------------------------------


def test_every_file_has_its_row(run: Screen, folder: Path, out: Path, ready: Home) -> None:
    for seed in range(6):
        scans.png(folder / f"{seed}.png", seed)
    scans.png(folder / "below" / "copy of 0.png", 0)
    scans.dicom(folder / "one.dcm", 50)
    scans.junk(folder / "notes.txt")
    scans.junk(folder / "empty.dcm", b"")
    scans.junk(folder / ".DS_Store")
    (folder / "link.png").symlink_to("0.png")
    outcome = run()
    rows = by_name(out)
    assert set(rows) == {
        *(f"{n}.png" for n in range(6)),
        "copy of 0.png",
        "one.dcm",
        "notes.txt",
        "empty.dcm",
        "link.png",
    }
    assert len(table(out)) == len(rows)
    rejected = {name: row["reasons"] for name, row in rows.items() if row["decision"] == "REJECTED"}
    assert rejected == {"notes.txt": "not-an-image", "empty.dcm": "empty", "link.png": "link"}
    assert rows["copy of 0.png"] == rows["0.png"] | {"path": str(folder / "below" / "copy of 0.png")}
    assert readings_in(ready) == 7
    assert (outcome.files, outcome.read, outcome.before, outcome.complete) == (11, 10, 0, True)
    assert sorted(path.name for path in out.iterdir()) == ["readings.csv", "readings.jsonl", "report.html"]


def test_the_probability_is_the_graph_s(run: Screen, folder: Path, out: Path, toy: bundles.Draft) -> None:
    names = [scans.png(folder / f"{seed}.png", seed) for seed in range(8)]
    names += [scans.dicom(folder / f"{seed}.dcm", seed) for seed in range(8)]
    run()
    rows = by_name(out)
    words = set()
    for path in names:
        prepared = prepare_bytes(path.name, path.read_bytes(), bundles.SPEC)
        expected = bundles.outputs_of(toy.members["model.int8.onnx"], prepared.pixels[None]).probability[0, 0]
        row = rows[path.name]
        assert float(row["probability"]) == pytest.approx(expected, abs=1e-6)
        assert (
            row["finding_decision"] == row["decision"] == ("REFER" if expected >= float(row["threshold"]) else "CLEAR")
        )
        assert row["decoder"] == prepared.decoder
        assert (row["bundle"], row["bundle_version"], row["variant"]) == ("toy", "1.0.0", "int8")
        assert row["model_sha256"] == hashlib.sha256(toy.members["model.int8.onnx"]).hexdigest()
        words.add(row["decision"])
    assert words == {"REFER", "CLEAR"}, "the pictures must exercise both sides of the threshold"


def test_a_study_is_decided_over_its_scans(run: Screen, folder: Path, out: Path) -> None:
    for seed in range(12):
        scans.dicom(folder / f"{seed}.dcm", seed, StudyInstanceUID="1.2.3", PatientID="17")
    scans.dicom(folder / "other.dcm", 0, StudyInstanceUID="1.2.4", PatientID="17", SOPInstanceUID="1.9")
    outcome = run()
    rows = by_name(out)
    other = rows.pop("other.dcm")
    assert {row["finding_decision"] for row in rows.values()} == {"REFER", "CLEAR"}
    assert {(row["study"], row["decision"]) for row in rows.values()} == {(rows["0.dcm"]["study"], "REFER")}
    assert other["study"] != rows["0.dcm"]["study"]
    assert other["decision"] == other["finding_decision"]
    assert sum(outcome.digest.studies.values()) == 2


def test_header_facts_decide(ready: Home, folder: Path, out: Path, install_here: Callable[[bytes], Installed]) -> None:
    draft = bundles.draft()
    findings = tuple(msgspec.structs.replace(one, age=AgeRange(low=15)) for one in draft.manifest.findings)
    spec = msgspec.structs.replace(bundles.SPEC, modalities=("CR", "DX"), views=("PA", "AP"))
    install_here(draft.having(build=2, version="2.0.0", findings=findings, input=spec).pack())
    scans.dicom(folder / "adult.dcm", 1)
    scans.dicom(folder / "child.dcm", 2, PatientBirthDate="20200101")
    scans.dicom(folder / "unknown.dcm", 3, PatientBirthDate=None)
    scans.dicom(folder / "lateral.dcm", 4, ViewPosition="LL")
    scans.dicom(folder / "mr.dcm", 5, Modality="MR")
    scans.dicom(folder / "raw.dcm", 7, PresentationIntentType="FOR PROCESSING")
    blank = np.full((64, 64), 700, np.uint16).tobytes()
    scans.dicom(folder / "blank.dcm", 6, PixelData=blank)
    screen(ready, active_bundle(ready), [folder], out)
    found = {name: (row["decision"], row["reasons"]) for name, row in by_name(out).items()}
    assert found["child.dcm"] == ("UNSURE", "age-outside")
    assert found["lateral.dcm"] == ("REPEAT", "view-not-accepted")
    assert found["blank.dcm"] == ("REPEAT", "blank")
    assert found["mr.dcm"] == ("REJECTED", "modality-not-accepted")
    assert found["raw.dcm"] == ("REJECTED", "for-processing")
    assert found["adult.dcm"][0] in ("REFER", "CLEAR")
    assert found["adult.dcm"][1] == ""
    assert found["unknown.dcm"][0] in ("REFER", "CLEAR")
    assert found["unknown.dcm"][1] == "age-unknown"
    rows = by_name(out)
    assert all(rows[name]["probability"] for name in ("child.dcm", "lateral.dcm", "blank.dcm"))
    mr = rows["mr.dcm"]
    assert (mr["finding"], mr["probability"], mr["study"][:2]) == ("", "", "S-")
    assert len(mr["sha256"]) == 64


def test_the_same_number_from_two_issuers_is_two_people(run: Screen, folder: Path, ready: Home) -> None:
    for seed, issuer in enumerate(("East", "West", "West")):
        scans.dicom(folder / f"{seed}.dcm", seed, PatientID="17", IssuerOfPatientID=issuer)
    run()
    with closing(sqlite3.connect(ready.store_file)) as connection:
        found = connection.execute("SELECT issuer, local_id FROM identity ORDER BY issuer").fetchall()
    assert found == [("East", "17"), ("West", "17")]


def test_a_study_with_a_film_that_could_not_be_read_is_not_clear(
    ready: Home, folder: Path, out: Path, install_here: Callable[[bytes], Installed]
) -> None:
    spec = msgspec.structs.replace(bundles.SPEC, modalities=("CR", "DX"), views=("PA", "AP"))
    numbers = bundles.numbers(threshold=1.0)
    draft = bundles.draft()
    variants = [
        msgspec.structs.replace(one, findings=dict.fromkeys(one.findings, numbers)) for one in draft.manifest.variants
    ]
    install_here(draft.having(build=2, version="2.0.0", variants=tuple(variants), input=spec).pack())
    studies: dict[str, dict[str, object]] = {
        "cut": {"PixelData": bytes(100)},
        "unsupported": {"PhotometricInterpretation": "HSV"},
        "lateral": {"PixelData": bytes(100), "ViewPosition": "LL"},
        "other-machine": {"PixelData": bytes(100), "Modality": "US"},
        "raw": {"PixelData": bytes(100), "PresentationIntentType": "FOR PROCESSING"},
        "report": {"Modality": "SR", "PixelData": None, "Rows": None},
    }
    for seed, (name, elements) in enumerate(studies.items()):
        scans.dicom(folder / f"{name}.dcm", seed)
        same = {"StudyInstanceUID": f"1.2.826.0.1.2.{seed}", "PatientID": f"ID-{seed}"}
        scans.dicom(folder / f"{name}-2.dcm", 100 + seed, **same | elements)
    screen(ready, active_bundle(ready), [folder], out)
    rows = by_name(out)
    for name in studies:
        film, refused = rows[f"{name}.dcm"], rows[f"{name}-2.dcm"]
        assert refused["decision"] == "REJECTED"
        assert refused["study"] == film["study"]
        expected = ("UNSURE", "film-unreadable") if name in ("cut", "unsupported") else ("CLEAR", "")
        assert (film["decision"], film["reasons"]) == expected, name


def test_no_name_leaves_the_store(
    run: Screen, folder: Path, out: Path, ready: Home, capfd: pytest.CaptureFixture[str]
) -> None:
    scans.dicom(folder / "a.dcm", 1)
    scans.dicom(folder / "b.dcm", 2, Modality="SR", PixelData=None)
    run()
    said = "".join(capfd.readouterr())
    for path in out.iterdir():
        said += path.read_text(encoding="utf-8")
    assert "Amina" not in said
    assert "1984" not in said
    assert "ID-" not in said
    with closing(sqlite3.connect(ready.store_file)) as connection:
        assert connection.execute("SELECT name FROM identity").fetchall() == [
            ("Example^Amina 1",),
            ("Example^Amina 2",),
        ]


def test_names_that_are_not_utf8_survive(run: Screen, folder: Path, out: Path) -> None:
    odd = os.fsdecode(os.fsencode(folder) + b"/\xff\xfe\n.png")
    scans.png(Path(odd), 1)
    scans.junk(Path(odd + "x"))
    run()
    assert {row["path"]: row["decision"] != "REJECTED" for row in table(out)} == {
        f"{folder}/\\xff\\xfe\\x0a.png": True,
        f"{folder}/\\xff\\xfe\\x0a.pngx": False,
    }
    assert len((out / "readings.jsonl").read_text(encoding="utf-8").splitlines()) == 2


def test_reports_inside_the_scans_are_left_out(ready: Home, folder: Path) -> None:
    scans.png(folder / "1.png", 1)
    for _ in range(2):
        outcome = screen(ready, active_bundle(ready), [folder], folder / "out")
        assert outcome.files == 1


def test_the_page_shows_the_map_of_what_refers(run: Screen, folder: Path, out: Path) -> None:
    for seed in range(4):
        scans.png(folder / f"{seed}.png", seed)
    run()
    page = (out / "report.html").read_text(encoding="utf-8")
    assert page.count("<article") == 4
    assert page.count('src="data:image/jpeg') == 8
    assert "No picture" not in page


def test_no_map_is_drawn_for_a_bundle_without_one(
    ready: Home, folder: Path, out: Path, install_here: Callable[[bytes], Installed]
) -> None:
    draft = bundles.draft()
    outputs = msgspec.structs.replace(draft.manifest.outputs, map="none")
    install_here(draft.having(build=2, version="2.0.0", outputs=outputs).pack())
    scans.png(folder / "1.png", 1)
    screen(ready, active_bundle(ready), [folder], out)
    page = (out / "report.html").read_text(encoding="utf-8")
    assert page.count('src="data:image/jpeg') == 1
    assert "This model gives no heat map." in page


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (QualityCheck(measure="sharpness", low=1.0, retake="blurred"), "relies on the quality measure 'sharpness'"),
        (QualityCheck(measure="contrast", low=1.0, retake="again"), "relies on the reason 'again'"),
    ],
)
def test_a_bundle_that_asks_for_more_than_the_program_can_is_refused(
    ready: Home,
    folder: Path,
    out: Path,
    install_here: Callable[[bytes], Installed],
    check: QualityCheck,
    message: str,
) -> None:
    install_here(asking(bundles.draft(), check).pack())
    scans.png(folder / "1.png", 1)
    with pytest.raises(BundleError, match=message):
        screen(ready, active_bundle(ready), [folder], out)
    assert not out.exists()


def asking(draft: bundles.Draft, check: QualityCheck) -> bundles.Draft:
    demanding = tuple(msgspec.structs.replace(one, quality=(check,)) for one in draft.manifest.variants)
    return draft.having(build=2, version="2.0.0", variants=demanding)


def test_what_is_unlike_the_training_data_is_rejected(
    run: Screen, folder: Path, out: Path, install_here: Callable[[bytes], Installed]
) -> None:
    scans.png(folder / "1.png", 1)
    scans.png(folder / "2.png", 2)
    far = bundles.draft(build=2, version="2.0.0", distance=1e-6)
    install_here(far.pack())
    run()
    assert {(row["decision"], row["reasons"], row["probability"]) for row in table(out)} == {
        ("REJECTED", "unlike-training", "")
    }
    near = bundles.draft(build=3, version="3.0.0", distance=1e6)
    install_here(near.pack())
    run()
    assert {row["decision"] for row in table(out)} <= {"REFER", "CLEAR"}


def test_what_is_plainly_to_be_taken_again_is_not_refused_for_its_looks(
    run: Screen, folder: Path, out: Path, install_here: Callable[[bytes], Installed]
) -> None:
    Image.fromarray(np.full((64, 64), 128, np.uint8)).save(folder / "blank.png")
    scans.dicom(folder / "lateral.dcm", 1, ViewPosition="LL")
    frontal = msgspec.structs.replace(bundles.SPEC, views=("PA", "AP"))
    install_here(bundles.draft(build=2, version="2.0.0", distance=1e-6).having(input=frontal).pack())
    run()
    assert {row["path"].rpartition("/")[2]: (row["decision"], row["reasons"]) for row in table(out)} == {
        "blank.png": ("REPEAT", "blank"),
        "lateral.dcm": ("REPEAT", "view-not-accepted"),
    }


def test_a_film_that_is_refused_for_its_looks_belongs_to_its_study_and_says_what_to_do(
    run: Screen, folder: Path, out: Path, install_here: Callable[[bytes], Installed]
) -> None:
    scans.dicom(folder / "1.dcm", 1)
    install_here(bundles.draft(build=2, version="2.0.0", distance=1e-6).pack())
    run()
    (row,) = table(out)
    assert (row["decision"], row["finding"]) == ("REJECTED", "")
    assert row["study"]
    assert Reason.UNLIKE_TRAINING.hint in (out / "report.html").read_text(encoding="utf-8").replace("&#39;", "'")


def test_a_scan_with_a_fault_is_to_be_taken_again_and_says_how(
    run: Screen, folder: Path, out: Path, install_here: Callable[[bytes], Installed]
) -> None:
    scans.png(folder / "1.png", 1)
    blurred = QualityCheck(measure="blur", high=-1.0, retake="blurred")  # no part of the embedding is negative
    turned = QualityCheck(measure="turn", high=1e6, retake="rotated")
    dull = QualityCheck(measure="contrast", low=256.0, retake="underexposed")
    install_here(bundles.draft(build=2, version="2.0.0", checks=(blurred, turned, dull)).pack())
    run()
    (row,) = table(out)
    assert (row["decision"], row["reasons"]) == ("REPEAT", "blurred;underexposed")
    assert 0 <= float(row["probability"]) <= 1
    assert Reason.BLURRED.text in (out / "report.html").read_text(encoding="utf-8")
    assert Reason.BLURRED.hint in (out / "report.html").read_text(encoding="utf-8")


# ---- going on -------------------------------------------------------------------------------------------------------


def without_time(rows: list[Row]) -> list[Row]:
    return [row | {"ms": ""} for row in rows]


def test_a_second_run_reads_nothing_again(run: Screen, folder: Path, out: Path, ready: Home) -> None:
    for seed in range(5):
        scans.png(folder / f"{seed}.png", seed)
    scans.junk(folder / "broken.png")
    run()
    before, page = table(out), (out / "report.html").read_text(encoding="utf-8")
    outcome = run()
    assert (outcome.read, outcome.before) == (1, 5), "only what was rejected is tried again"
    assert without_time(table(out)) == without_time(before)
    assert (out / "report.html").read_text(encoding="utf-8") == page
    assert readings_in(ready) == 5


def test_changed_and_new_files_are_read(run: Screen, folder: Path, out: Path) -> None:
    for seed in range(3):
        scans.png(folder / f"{seed}.png", seed)
    run()
    first = by_name(out)
    scans.png(folder / "1.png", 70)
    scans.png(folder / "new.png", 71)
    (folder / "2.png").unlink()
    assert run().read == 2
    second = by_name(out)
    assert set(second) == {"0.png", "1.png", "new.png"}
    assert second["0.png"] == first["0.png"]
    assert second["1.png"]["sha256"] != first["1.png"]["sha256"]


def test_an_exchanged_file_is_read_though_its_size_and_time_are_the_same(
    run: Screen, folder: Path, out: Path, ready: Home
) -> None:
    """Films of one machine have one size, machines without a clock one time, and sticks mount at one path."""
    for name, seed in (("film.dcm", 1), ("other.dcm", 2)):
        os.utime(scans.dicom(folder / name, seed), ns=(0, 0))
    run()
    before = by_name(out)
    size = (folder / "film.dcm").stat().st_size
    os.utime(scans.dicom(folder / "film.dcm", 3), ns=(0, 0))
    assert (folder / "film.dcm").stat().st_size == size
    outcome = run()
    assert (outcome.read, outcome.before) == (1, 1)
    after = by_name(out)
    assert after["film.dcm"]["sha256"] == hashlib.sha256((folder / "film.dcm").read_bytes()).hexdigest()
    assert after["film.dcm"]["study"] != before["film.dcm"]["study"]
    assert after["other.dcm"] == before["other.dcm"]
    assert readings_in(ready) == 3


@pytest.mark.parametrize("year", [1600, 2300, 2400])
def test_a_time_of_change_that_cannot_be_is_no_hindrance(run: Screen, folder: Path, out: Path, year: int) -> None:
    path = scans.png(folder / "1.png", 1)
    seconds = (year - 1970) * 31_556_952
    os.utime(path, (seconds, seconds))
    scans.png(folder / "2.png", 2)
    outcome = run()
    assert (outcome.complete, outcome.read) == (True, 2)
    assert "REJECTED" not in {row["decision"] for row in table(out)}
    assert run().before == 2


def test_a_content_that_moved_keeps_its_reading(run: Screen, folder: Path, out: Path, ready: Home) -> None:
    scans.png(folder / "a.png", 1)
    run()
    (folder / "a.png").rename(folder / "b.png")
    run()
    assert [Path(row["path"]).name for row in table(out)] == ["b.png"]
    assert readings_in(ready) == 1


def test_a_screening_that_is_stopped_goes_on(run: Screen, folder: Path, out: Path, ready: Home) -> None:
    for seed in range(30):
        scans.png(folder / f"{seed:02}.png", seed)
    asked: list[int] = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) > 4

    outcome = run(stop=stop)
    assert not outcome.complete
    assert 4 <= outcome.read < 30
    assert len(table(out)) == outcome.read
    assert (out / "INCOMPLETE.txt").exists()
    assert f"Incomplete: {30 - outcome.read} of 30 files" in (out / "report.html").read_text(encoding="utf-8")
    again = run()
    assert (again.complete, again.before, again.read) == (True, outcome.read, 30 - outcome.read)
    assert len(table(out)) == 30
    assert not (out / "INCOMPLETE.txt").exists()
    assert readings_in(ready) == 30
    page = (out / "report.html").read_text(encoding="utf-8")
    assert page.count('src="data:image/jpeg') == 60, "pictures of what was read before are made again"


def test_files_that_went_away_are_not_counted_as_read(run: Screen, folder: Path, out: Path) -> None:
    for seed in range(8):
        scans.png(folder / f"{seed}.png", seed)
    for kept, left in ((4, 4), (2, 2)):
        calls = iter([False] * kept)
        outcome = run(stop=lambda calls=calls: next(calls, True))
        assert (outcome.unread, outcome.complete) == (left, False)
        assert f"Incomplete: {left} of " in (out / "report.html").read_text(encoding="utf-8")
        for row in table(out):
            Path(row["path"]).unlink(missing_ok=True)


@pytest.mark.parametrize("ending", [DecodeServiceError("The service has ended."), KeyboardInterrupt()])
def test_what_was_read_is_kept_when_a_run_is_ended(
    run: Screen, folder: Path, ready: Home, monkeypatch: pytest.MonkeyPatch, ending: BaseException
) -> None:
    monkeypatch.setattr("aidpost_device.screening.recorder.SECONDS", 3600)
    for seed in range(12):
        scans.png(folder / f"{seed:02}.png", seed)

    def progress(done: int, files: int) -> None:
        if done == 5:
            raise ending

    with pytest.raises(type(ending)):
        run(progress=progress)
    assert readings_in(ready) == 5
    assert run().before == 5


def test_a_list_gone_on_with_without_its_stick_keeps_what_was_read(ready: Home, folder: Path, out: Path) -> None:
    listed = [scans.png(folder / f"{seed}.png", seed) for seed in range(6)]
    calls, bundle = iter([False] * 3), active_bundle(ready)
    first = screen(ready, bundle, [], out, listed=listed, workers=1, stop=lambda: next(calls, True))
    assert (first.complete, first.read) == (False, 3)
    before = table(out)
    folder.rename(folder.parent / "unplugged")
    outcome = screen(ready, bundle, [], out, listed=listed, workers=1)
    after = table(out)
    assert after[:3] == before
    assert [row["reasons"] for row in after[3:]] == ["missing"] * 3
    assert outcome.complete
    assert outcome.digest.files == 6


def test_a_picture_of_a_file_that_is_gone_is_missing_and_the_page_says_so(run: Screen, folder: Path, out: Path) -> None:
    scans.png(folder / "a.png", 1)
    scans.png(folder / "b.png", 2)
    calls = iter([False, True])
    run(stop=lambda: next(calls, True))
    (folder / "a.png").unlink()
    run()
    assert [Path(row["path"]).name for row in table(out)] == ["a.png", "b.png"]
    assert (out / "report.html").read_text(encoding="utf-8").count("No picture") == 1


# ---- the command ----------------------------------------------------------------------------------------------------


def typed(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as caught:
        main(["device", "screen", *map(str, arguments)])
    assert isinstance(caught.value.code, int)
    return caught.value.code, *capsys.readouterr()


def test_the_command_says_how_many_of_what(
    ready: Home, folder: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in range(8):
        scans.png(folder / f"{seed}.png", seed)
    scans.junk(folder / "notes.txt")
    listed = folder.parent / "list.txt"
    listed.write_text(f"{folder / '1.png'}\n{folder / 'gone.png'}\n")
    code, said, complaints = typed(capsys, folder, "--out", out, "--list", listed, "--workers", "1")
    assert (code, complaints) == (0, "")
    counted = {line.split()[0]: line.split()[1:] for line in said.splitlines() if line[:1].isalpha()}
    words = [row["decision"] for row in table(out)]
    for word in ("REFER", "UNSURE", "REPEAT", "CLEAR"):
        assert counted[word] == [str(words.count(word))] * 2
    assert counted["rejected"] == ["2"]
    assert "1 not-an-image" in said
    assert "1 missing" in said
    assert "toy 1.0.0, variant int8" in said
    assert "generated images" in said
    assert f"report: {out}/report.html" in said


def test_what_was_typed_wrong_is_said_before_anything_starts(
    ready: Home, folder: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(capsys, "--out", out)[0] == 2
    code, said, complaints = typed(capsys, folder / "missing", "--out", out)
    assert (code, said) == (1, "")
    assert "There is no file or folder" in complaints
    code, _, complaints = typed(capsys, scans.png(folder / "1.png", 1), "--out", out, "--bundle", "other")
    assert code == 1
    assert "other" in complaints
    assert not out.exists()


def test_an_output_folder_that_cannot_be_made(ready: Home, folder: Path, run: Screen) -> None:
    scans.png(folder / "1.png", 1)
    with pytest.raises(SettingError, match="cannot be used: Not a directory"):
        screen(ready, active_bundle(ready), [folder], scans.junk(folder.parent / "file") / "out")


def test_an_output_folder_serves_one_screening_at_a_time(run: Screen, folder: Path, out: Path) -> None:
    scans.png(folder / "1.png", 1)
    with output_folder(out), pytest.raises(SettingError, match="Another screening"):
        run()
    run()


def test_what_a_killed_run_was_writing_is_swept(run: Screen, folder: Path, out: Path) -> None:
    scans.png(folder / "1.png", 1)
    scans.junk(out / ".readings.csv.x1y2z3")
    kept = scans.junk(out / ".mine")
    run()
    assert sorted(path.name for path in out.iterdir()) == [kept.name, "readings.csv", "readings.jsonl", "report.html"]


@pytest.mark.parametrize("reason", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_output_disk_keeps_the_readings(
    run: Screen, folder: Path, out: Path, ready: Home, monkeypatch: pytest.MonkeyPatch, reason: int
) -> None:
    scans.png(folder / "1.png", 1)

    def full(handle: int) -> None:
        raise OSError(reason, os.strerror(reason))

    with monkeypatch.context() as patched:
        patched.setattr("aidpost_device.screening.outputs.CsvTable.close", full)
        with pytest.raises(StorageFullError, match="No space is left"):
            run()
    assert readings_in(ready) == 1
    assert [path.name for path in out.iterdir()] == ["INCOMPLETE.txt"]
    assert run().before == 1
    assert not (out / "INCOMPLETE.txt").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_finishes_what_is_begun_and_says_how_to_go_on(
    ready: Home, folder: Path, out: Path, number: signal.Signals
) -> None:
    for seed in range(400):
        scans.png(folder / f"{seed:03}.png", seed, side=256)
    command = [*COMMAND, "device", "screen", str(folder), "--out", str(out), "--workers", "1"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        wait_until(lambda: ready.store_file.exists() and readings_or_none(ready) > 0)
        os.killpg(process.pid, number)
        said, complaints = process.communicate(timeout=60)
    assert process.returncode == 130, complaints
    assert "finishing the files that are begun" in complaints
    assert "Give the same command again to go on" in complaints
    rows = table(out)
    assert 0 < len(rows) < 400
    assert f"{400 - len(rows)} of 400 files are not read yet" in complaints
    assert "REFER" in said
    assert (out / "INCOMPLETE.txt").exists()


def wait_until(met: Callable[[], bool], seconds: float = 60.0) -> None:
    from time import monotonic, sleep

    end = monotonic() + seconds
    while not met():
        assert monotonic() < end, "it did not come about in time"
        sleep(0.01)


def readings_or_none(home: Home) -> int:
    try:
        return readings_in(home)
    except sqlite3.OperationalError:  # the table is not there yet
        return 0


# ---- real files -----------------------------------------------------------------------------------------------------


def test_every_real_dicom_file_is_accounted_for(run: Screen, data_folder: Path, out: Path, ready: Home) -> None:
    folder = data_folder / "dicom"
    outcome = run(folder)
    files = {str(path) for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")}
    rows = table(out)
    assert {row["path"] for row in rows} == files
    assert len(rows) == len(files)
    assert outcome.complete
    read = [row for row in rows if row["decision"] != "REJECTED"]
    assert len(read) > 60
    assert len({row["sha256"] for row in read}) == readings_in(ready)
    for row in rows:
        assert bool(row["probability"]) == (row["decision"] != "REJECTED")
        assert row["decision"] != "REJECTED" or row["reasons"]
    lines = (out / "readings.jsonl").read_text(encoding="utf-8").splitlines()
    assert {json.loads(line)["path"] for line in lines} == files


def test_the_spec_of_the_toy_is_the_one_the_tests_prepare_with(draft: bundles.Draft) -> None:
    assert isinstance(draft.manifest.input, ImageInput)
    assert draft.manifest.input == bundles.SPEC
