"""`aidpost export threshold`: chosen on the calibration cases, reported on the others, and used once it is adopted."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from aidpost_device.calibration.choice import FEWEST
from aidpost_device.calibration.programme import Programme
from aidpost_device.calibration.threshold import positives_needed
from aidpost_device.cli.main import main
from aidpost_export.card import write_card
from aidpost_export.errors import RunError
from aidpost_export.evaluate import evaluate
from aidpost_export.gates import Calibrated, recalibrate
from aidpost_export.measure import calibrate
from aidpost_export.operating import Operating, adopt, choose_operating
from aidpost_export.pack import _prevalence
from aidpost_export.progress import SilentReporter
from aidpost_export.run import RunFolder
from aidpost_export.variant_record import TargetVariants, inputs_digest, read_variants, write_variants

from .scored_runs import Plan, write_run

Run = Callable[..., tuple[int, str, str]]
CAPPED = Programme(prevalence=0.1, people_per_day=100, tests_per_day=20, cost_test=20, cost_missed=2000)
OPTIONS = ("--prevalence", "0.1", "--people-per-day", "100", "--tests-per-day", "20")
COSTS = ("--cost-test", "20", "--cost-missed", "2000")
SIGNED = ("--adopt", "--author", "Dr Amina", "--reason", "twenty tests a day")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A binary run."""
    return write_run(tmp_path_factory.mktemp("operating") / "run", Plan(control_skill=None))


@pytest.fixture
def folder(drawn: RunFolder, tmp_path: Path) -> RunFolder:
    """The same run, to be changed."""
    shutil.copytree(drawn.path, tmp_path / "run")
    return RunFolder(tmp_path / "run")


@pytest.fixture
def typed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `aidpost export threshold`; give exit code, stdout and stderr."""
    monkeypatch.setenv("COLUMNS", "100")

    def run(folder: RunFolder, *arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as caught:
            main(["export", "threshold", str(folder.path), *arguments])
        assert isinstance(caught.value.code, int)
        return caught.value.code, *capsys.readouterr()

    return run


def adopted(folder: RunFolder, programme: Programme = CAPPED, k: int = 0) -> Operating:
    found = choose_operating(folder, k, programme)
    adopt(folder, found, "Dr Amina", "twenty tests a day", "2026-03-04")
    return found


def test_it_is_chosen_on_the_calibration_cases_and_reported_on_both(typed: Run, folder: RunFolder) -> None:
    before = {path.name for path in folder.path.iterdir()}
    code, out, err = typed(folder, *OPTIONS, *COSTS, "--by", "sex")
    assert (code, err) == (0, "")
    cases = folder.cases()
    for role in ("calibration", "validation"):
        targets = cases.targets[cases.where(role)]  # type: ignore[arg-type]
        assert f"{int(targets.sum())} with and {int((1 - targets).sum())} without, {role} cases" in out
    assert "On the validation cases, where 10.0% of people have it:" in out
    assert "people a day to a test; 20 can be tested." in out
    assert "sex F: " in out
    assert "Nothing else was changed." in out
    assert {path.name for path in folder.path.iterdir()} - before == {"threshold.csv", "plots"}
    with (folder.path / "threshold.csv").open(newline="") as file:
        assert {row["cases"] for row in csv.DictReader(file)} == {"calibration", "validation", ""}
    picture = ElementTree.parse(folder.path / "plots" / "yields-pneumonia.svg").getroot()
    assert "sent to a test" in picture.attrib["aria-label"]


def test_the_validation_cases_choose_nothing(folder: RunFolder) -> None:
    first = choose_operating(folder, 0, CAPPED)
    logits, rows = folder.logits(), folder.cases().where("validation")
    logits[rows] = -logits[rows]
    np.save(folder.path / "logits.npy", logits)
    second = choose_operating(folder, 0, CAPPED)
    assert second.choice == first.choice
    assert second.validation.at(0.5) != first.validation.at(0.5)


@pytest.mark.parametrize(
    "programme",
    [
        CAPPED,
        Programme(prevalence=0.1, people_per_day=100, tests_per_day=30),
        Programme(prevalence=0.1, cost_test=20, cost_missed=400),
        Programme(prevalence=0.1),
    ],
)
def test_an_adopted_choice_is_what_calibration_then_makes(folder: RunFolder, programme: Programme) -> None:
    own = calibrate(folder.logits(), folder.cases(), folder.recipe().recipe).points[0]
    found = adopted(folder, programme)
    point = calibrate(folder.logits(), folder.cases(), folder.recipe().recipe).points[0]
    assert point.threshold == found.choice.threshold
    assert point.target_sensitivity == found.choice.target_sensitivity
    assert (point.threshold == own.threshold) == (found.choice.why == "target")
    (kept,) = folder.adopted()
    assert (kept.author, kept.reason, kept.day, kept.programme) == (
        "Dr Amina",
        "twenty tests a day",
        "2026-03-04",
        programme,
    )


def test_an_int8_graph_refits_its_threshold_for_the_same_target(folder: RunFolder) -> None:
    adopted(folder)
    recipe, cases = folder.recipe().recipe, folder.cases()
    rows = cases.where("calibration")
    scores = calibrate(folder.logits(), cases, recipe)
    reference = Calibrated(scores.temperature, scores.probability[rows], scores.points, scores.decided[rows])
    logits = folder.logits()[rows] + np.random.default_rng(0).normal(0, 0.2, (len(rows), 1))
    patients = [cases.patients[i] for i in rows]
    (point,) = recalibrate(logits, cases.targets[rows], patients, recipe, reference).points
    assert point.target_sensitivity == scores.points[0].target_sensitivity != 0.9
    needed = positives_needed(point.positives, point.target_sensitivity)
    assert round(point.sensitivity.value * point.positives) >= needed


def test_what_was_made_before_is_out_of_date(folder: RunFolder) -> None:
    for name in ("model.safetensors", "network.json"):
        (folder.path / name).write_bytes(b"")
    before = inputs_digest(folder)
    write_variants(folder, TargetVariants(target="x86", inputs_sha256=before, note="", variants=(), attempts=()))
    assert set(read_variants(folder)) == {"x86"}
    adopted(folder)
    assert inputs_digest(folder) != before
    assert read_variants(folder) == {}
    (folder.path / "programme.json").unlink()
    assert inputs_digest(folder) == before


def test_the_evaluation_and_the_card_say_what_it_was_chosen_for(typed: Run, folder: RunFolder) -> None:
    assert typed(folder, *OPTIONS, *COSTS, *SIGNED)[0] == 0
    evaluation = evaluate(folder, SilentReporter())
    (figures,), (programme,) = evaluation.findings, evaluation.programmes
    assert figures.prevalence == 0.1
    assert figures.operating_point.target_sensitivity == programme.target_sensitivity != evaluation.target_sensitivity
    assert (folder.path / "plots" / "yields-pneumonia.svg").is_file()
    card = write_card("# A card", folder.recipe().recipe, evaluation, [])
    assert "chosen for a programme by Dr Amina on " in card
    assert "twenty tests a day" in card
    assert f"to reach a sensitivity of {programme.target_sensitivity:.0%}" in card
    assert "hold at a prevalence of 10%" in card
    report = (folder.path / "report.html").read_text()
    assert f"target {programme.target_sensitivity:.0%}" in report
    assert "chosen for a programme by Dr Amina on " in report
    assert _prevalence(folder.recipe().recipe) == 0.1


def test_a_picture_of_what_was_not_adopted_is_not_taken_for_evidence(typed: Run, folder: RunFolder) -> None:
    typed(folder, *OPTIONS)
    evaluate(folder, SilentReporter())
    assert not (folder.path / "plots" / "yields-pneumonia.svg").exists()


def test_the_recipe_s_own_target_can_be_adopted_again(folder: RunFolder) -> None:
    adopted(folder)
    again = adopted(folder, Programme(prevalence=0.05))
    assert (again.choice.why, again.choice.target_sensitivity) == ("target", 0.9)
    assert len(folder.adopted()) == 1


def test_several_findings_have_a_programme_each(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", Plan(task="multilabel", findings=("opacity", "nodule"), control_skill=None))
    first = adopted(folder, CAPPED, 1)
    second = adopted(folder, Programme(prevalence=0.2), 0)
    points = calibrate(folder.logits(), folder.cases(), folder.recipe().recipe).points
    assert [point.threshold for point in points] == [second.choice.threshold, first.choice.threshold]
    assert [one.finding for one in folder.adopted()] == ["nodule", "opacity"]
    assert folder.recipe().recipe.prevalence_of(1) == 0.1
    assert {path.name for path in (tmp_path / "run").glob("plots/*")} == set()
    evaluate(folder, SilentReporter())
    assert len(list((tmp_path / "run" / "plots").glob("yields-*.svg"))) == 2


@pytest.mark.parametrize(
    ("plan", "arguments", "message"),
    [
        (Plan(), ("--prevalence", "1.5"), "A prevalence of 1.5 is not possible"),
        (Plan(), ("--finding", "nodule"), "There is no finding 'nodule'"),
        (Plan(), ("--tests-per-day", "5"), "mean nothing without how many people are screened"),
        (Plan(), ("--people-per-day", "1000", "--tests-per-day", "1"), "Even the strictest threshold sends"),
        (Plan(patients=120), (), f"a threshold needs at least {FEWEST} of either kind"),
        (Plan(task="multilabel", findings=("opacity", "nodule")), (), "2 findings refer: opacity, nodule"),
        (
            Plan(task="multiclass", findings=("covid", "other", "normal")),
            ("--finding", "normal"),
            "'normal' is a class that refers nobody",
        ),
        (
            Plan(task="multiclass", findings=("covid", "other", "normal"), patients=600),
            ("--finding", "covid", "--prevalence", "0.96"),
            "add up to 1.01",
        ),
    ],
)
def test_what_cannot_be_chosen_is_refused(
    typed: Run, tmp_path: Path, plan: Plan, arguments: tuple[str, ...], message: str
) -> None:
    folder = write_run(tmp_path / "run", plan)
    code, _, err = typed(folder, *arguments, *SIGNED)
    assert (code, message in err) == (1, True), err
    assert "  hint: " in err
    assert not (folder.path / "programme.json").exists()


def test_adopting_needs_a_name_and_a_reason(typed: Run, folder: RunFolder) -> None:
    code, _, err = typed(folder, *OPTIONS, "--adopt", "--author", "Dr Amina")
    assert (code, "--adopt needs --author NAME and --reason TEXT" in err) == (2, True)
    assert not (folder.path / "threshold.csv").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[", "cannot be read"),
        (b'[{"finding": "pneumonia", "target_sensitivity": 2}]', "cannot be read"),
        (
            b'[{"finding": "nodule", "target_sensitivity": 0.9, "threshold": 0.5, "programme": {"prevalence": 0.1}, '
            b'"author": "a", "reason": "b", "day": "2026-01-01"}]',
            "names the finding 'nodule', which the recipe does not have",
        ),
        (
            b'[{"finding": "pneumonia", "target_sensitivity": 0.9, "threshold": 0.5, "programme": {"prevalence": 7}, '
            b'"author": "a", "reason": "b", "day": "2026-01-01"}]',
            "A prevalence of 7 is not possible",
        ),
    ],
)
def test_a_damaged_programme_is_refused_wherever_it_would_be_used(
    typed: Run, folder: RunFolder, content: bytes, message: str
) -> None:
    (folder.path / "programme.json").write_bytes(content)
    with pytest.raises(RunError, match=r"programme\.json"):
        evaluate(folder, SilentReporter())
    code, _, err = typed(folder, *OPTIONS, *SIGNED)
    assert (code, message in err) == (1, True), err
