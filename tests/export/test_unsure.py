"""UNSURE on the workstation: which findings may abstain, why not, and what the report says of it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from aidpost_device.bundle.variant import Abstention
from aidpost_export.evaluate import evaluate
from aidpost_export.figures import Answers, Evaluation
from aidpost_export.progress import SilentReporter
from aidpost_export.recipe import Recipe
from aidpost_export.run import RunFolder
from aidpost_export.unsure import answers, fit_limits

from .scored_runs import Plan, write_run

SILENT = SilentReporter()
LIMITS = Abstention(low=0.3, high=0.7, coverage=0.95, coverage_without=0.9, unsure=0.1, wanted=0.95, most=0.2)


def run_with(folder: Path, plan: Plan, settings: str = "") -> RunFolder:
    """A run whose recipe has these sections besides."""
    run = write_run(folder, plan)
    text = (run.path / "recipe.toml").read_text() + settings
    (run.path / "recipe.toml").write_text(text)
    digest = hashlib.sha256(text.encode()).hexdigest()
    run.write_json("run.json", msgspec.structs.replace(run.record(), recipe_sha256=digest))
    return run


def told(evaluation: Evaluation, code: str) -> str:
    """What the cautions of one code say."""
    return " ".join(caution.text for caution in evaluation.cautions if caution.code == code)


def page(run: RunFolder) -> str:
    """The report without markup."""
    text = re.sub(r"<[^>]+>", " ", (run.path / "report.html").read_text())
    return " ".join(text.split())


# ---- by hand --------------------------------------------------------------------------------------------------------


def test_answers_by_hand() -> None:
    #                        ill: REFER, REFER, UNSURE, CLEAR     well: CLEAR, UNSURE, UNSURE, REFER, CLEAR, CLEAR
    probability = np.array([0.9, 0.7, 0.6, 0.3, 0.1, 0.31, 0.69, 0.8, 0.2, 0.0], np.float32)
    target = np.repeat([1, 0], [4, 6]).astype(np.float32)
    found = answers(LIMITS, probability, target, 0.5, np.arange(10).astype(str))
    expected = {
        "unsure": 3 / 10,
        "covered_with": 3 / 4,
        "covered_without": 5 / 6,
        "missed": 1 / 4,
        "sensitivity": 2 / 4,
        "specificity": 3 / 6,
        "sensitivity_answered": 2 / 3,
        "specificity_answered": 3 / 4,
    }
    assert {name: getattr(found, name).value for name in Answers.__struct_fields__} == pytest.approx(expected)


def test_few_cases_of_a_kind_are_not_shown() -> None:
    probability = np.linspace(0, 1, 24).astype(np.float32)
    target = np.repeat([0, 1], [20, 4]).astype(np.float32)
    found = answers(LIMITS, probability, target, 0.5, np.arange(24).astype(str), smallest=10)
    assert found.unsure is not None and found.covered_without is not None
    assert (found.covered_with, found.missed, found.sensitivity) == (None, None, None)


def test_without_cases_there_is_nothing_to_tell() -> None:
    nobody = np.zeros(0, np.float32)
    found = answers(LIMITS, nobody, nobody, 0.5, np.zeros(0, str))
    assert all(getattr(found, name) is None for name in Answers.__struct_fields__)


# ---- which findings -------------------------------------------------------------------------------------------------


def test_only_findings_that_refer_have_limits(tmp_path: Path) -> None:
    plan = Plan(task="multiclass", findings=("COVID-19", "other pneumonia", "normal"), skill=3)
    run = write_run(tmp_path / "run", plan)
    limits = {one.label: (one.abstention is not None, one.unlimited) for one in evaluate(run, SILENT).findings}
    assert limits == {"COVID-19": (True, ""), "other pneumonia": (True, ""), "normal": (False, "it refers nobody")}


@pytest.mark.parametrize(
    ("settings", "patients", "why"),
    [
        ("[unsure]\nmost = 0\n", 400, "the recipe allows none"),
        ("[unsure]\ncoverage = 0.98\n", 400, r"\d+ patients with it and \d+ without .* 49 of each are needed .* 98%"),
        ("", 100, r"\d+ patients with it and \d+ without .* 19 of each are needed to promise 95%"),
    ],
)
def test_without_limits_the_report_says_why(tmp_path: Path, settings: str, patients: int, why: str) -> None:
    run = run_with(tmp_path / "run", Plan(patients=patients), settings)
    evaluation = evaluate(run, SILENT)
    assert evaluation.findings[0].abstention is None
    assert re.search(why, evaluation.findings[0].unlimited)
    assert re.search(rf"never says UNSURE because of the probability: {why}", told(evaluation, "unsure"))
    assert re.search(rf"never says UNSURE because of the probability: {why}", page(run))


def test_a_network_that_knows_nothing_is_not_promised_for(tmp_path: Path) -> None:
    recipe = run_with(tmp_path / "run", Plan()).recipe().recipe
    score, target = np.linspace(0.2, 0.8, 80).astype(np.float32), np.tile([1.0, 0.0], 40).astype(np.float32)
    limits, why = fit_limits(recipe, 0, score, target, 0.9, np.arange(80).astype(str))
    assert limits is None
    assert why == "no promise better than a coin's keeps within the 20% of people that may be UNSURE"


# ---- measured on validation cases -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return write_run(tmp_path_factory.mktemp("unsure") / "run", Plan(patients=1200))


@pytest.fixture(scope="module")
def evaluation(run: RunFolder) -> Evaluation:
    return evaluate(run, SILENT)


def test_coverage_and_sensitivity_are_shown_of_all_and_of_each_group(run: RunFolder, evaluation: Evaluation) -> None:
    finding = evaluation.findings[0]
    found = finding.abstention
    assert found is not None and found.unsure is not None
    own = found.answers
    assert own.sensitivity is not None and own.missed is not None and own.covered_with is not None
    assert own.sensitivity_answered is not None and own.unsure is not None
    assert found.limits.coverage == 0.95
    assert own.covered_with.value == pytest.approx(1 - own.missed.value)
    assert own.sensitivity.value < own.sensitivity_answered.value
    assert own.covered_with.high >= found.limits.coverage
    for one in finding.groups:
        assert one.answers is not None
        assert (one.answers.covered_with is not None) == (one.positives >= 10)
    words = page(run)
    for figure in (own.covered_with, own.missed, own.sensitivity, own.sensitivity_answered, found.unsure):
        assert f"{figure.value:.0%}" in words
    assert "of 100 people with pneumonia get CLEAR" in words
    assert "of those" not in told(evaluation, "unsure") or "REFER or UNSURE is promised" in told(evaluation, "unsure")


def test_limits_come_from_the_calibration_cases_alone(run: RunFolder, evaluation: Evaluation, tmp_path: Path) -> None:
    before = evaluation.findings[0].abstention
    other = write_run(tmp_path / "run", Plan(patients=1200))
    logits = other.logits()
    logits[other.cases().where("validation", "fit", "tuning")] *= -1
    np.save(other.path / "logits.npy", logits)
    changed = evaluate(other, SILENT)
    after = changed.findings[0].abstention
    assert before is not None and after is not None
    assert after.limits == before.limits
    caution = told(changed, "unsure")
    assert "get a right answer or UNSURE, and 95% were promised" in caution
    assert "differ from the calibration cases" in caution


def test_more_unsure_than_the_cap_is_called_out(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Plan(patients=1200))
    found = evaluate(run, SILENT).findings[0].abstention
    assert found is not None and found.limits.low < found.limits.high
    logits, cases = run.logits(), run.cases()
    middle = (found.limits.low + found.limits.high) / 2
    temperature = evaluate(run, SILENT).findings[0].temperature
    logits[cases.where("validation")[::2]] = temperature * np.log(middle / (1 - middle))
    np.save(run.path / "logits.npy", logits)
    assert "of people are UNSURE; the recipe allows 20%" in told(evaluate(run, SILENT), "unsure")


def test_a_promise_that_the_cap_lowers_is_called_out(tmp_path: Path) -> None:
    run = run_with(tmp_path / "run", Plan(patients=1200, skill=1.0), "[unsure]\nmost = 0.02\n")
    evaluation = evaluate(run, SILENT)
    found = evaluation.findings[0].abstention
    assert found is not None and found.limits.coverage < 0.95 and found.limits.unsure <= 0.02
    assert "with at most 2% of people UNSURE, REFER or UNSURE is promised to" in told(evaluation, "unsure")


# ---- groups ---------------------------------------------------------------------------------------------------------


def test_any_column_that_the_recipe_names_is_reported_by(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Plan())
    text = 'groups = ["era", "floor"]\n' + (run.path / "recipe.toml").read_text()
    (run.path / "recipe.toml").write_text(text)
    digest = hashlib.sha256(text.encode()).hexdigest()
    run.write_json("run.json", msgspec.structs.replace(run.record(), recipe_sha256=digest))
    cases = run.cases()
    era = tuple("01"[i % 2] for i in range(len(cases)))
    replace(cases, columns={**cases.columns, "era": era}).write(run.path / "cases.csv")
    evaluation = evaluate(run, SILENT)
    groups = evaluation.findings[0].groups
    assert {(one.column, one.value) for one in groups} == {("era", "0"), ("era", "1")}
    gaps = [one.sensitivity_gap for one in groups]
    assert gaps[0] is not None and gaps[1] is not None
    assert gaps[0].value == pytest.approx(-gaps[1].value)
    assert gaps[0].p == pytest.approx(gaps[1].p)
    assert "does not say floor" in told(evaluation, "unknown-groups")
    assert "era 1" in page(run)


def test_a_group_that_is_missed_more_often_than_chance_explains_is_called_out(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Plan(patients=1200))
    logits, cases = run.logits(), run.cases()
    women = [i for i in cases.where("validation") if cases.columns["sex"][i] == "F" and cases.targets[i, 0]]
    logits[women[::3]] = -9
    np.save(run.path / "logits.npy", logits)
    caution = told(evaluate(run, SILENT), "gap")
    assert "sex F \N{MINUS SIGN}" in caution and "p 0.0" in caution
    assert "sex M" not in caution


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("unsure", "coverage", 1.0),
        ("unsure", "coverage", 0.5),
        ("unsure", "most", 1.5),
        ("gates", "smallest_group", 2),
        ("gates", "group_fall", 0.7),
        ("unsure", "sometimes", True),
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(section: str, key: str, value: float) -> None:
    text = 'name = "t"\ntask = "binary"\nprevalence = 0.1\n'
    with pytest.raises(msgspec.ValidationError, match=key):
        msgspec.convert(
            {**msgspec.toml.decode(text), "title": {}, "input": {"kind": "image", "size": 32, "channels": 1}}
            | {"finding": [{"label": "a", "names": {"en": "a"}}], section: {key: value}},
            Recipe,
        )
