"""Evaluate, end to end on run folders with drawn logits."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from rich.console import Console

from aidpost_device.bundle.variant import Abstention, Estimate, FindingNumbers, Quantisation
from aidpost_device.calibration.proportions import confusion
from aidpost_device.calibration.threshold import choose_threshold
from aidpost_device.errors import CalibrationError
from aidpost_export.calibrate import probabilities
from aidpost_export.card import write_card
from aidpost_export.commands.evaluate import evaluate as evaluate_command
from aidpost_export.errors import RunError
from aidpost_export.evaluate import evaluate, read_evaluation
from aidpost_export.figures import AgeFigures, Evaluation, GroupFigures
from aidpost_export.groups import age_band, group_values
from aidpost_export.issues import Issue, Kind
from aidpost_export.progress import SilentReporter
from aidpost_export.recipe import SMALLEST
from aidpost_export.run import RunFolder
from aidpost_export.sentences import inline, listed, number, percent, percent_interval, signed
from aidpost_export.statistics import auroc
from aidpost_export.summary import print_summary
from aidpost_export.variant_record import (
    FLOAT,
    Attempt,
    TargetVariants,
    VariantRecord,
    inputs_digest,
    read_logits,
    read_variants,
    write_graph,
    write_logits,
    write_variants,
)

from .scored_runs import Plan, write_run

SILENT = SilentReporter()
COVID = ("COVID-19", "other pneumonia", "normal")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A binary run, evaluated."""
    folder = write_run(tmp_path_factory.mktemp("runs") / "binary", Plan())
    evaluate(folder, SILENT)
    return folder


def codes(evaluation: Evaluation) -> set[str]:
    """Codes of the cautions."""
    return {caution.code for caution in evaluation.cautions}


def rewrite(run: RunFolder, change: dict[str, Any]) -> None:
    """Change some fields of the cases."""
    replace(run.cases(), **change).write(run.path / "cases.csv")


def edit_recipe(run: RunFolder, old: str, new: str, times: int) -> None:
    """Make it another recipe, as if the run had begun with it."""
    text = (run.path / "recipe.toml").read_text().replace(old, new, times)
    (run.path / "recipe.toml").write_text(text)
    digest = hashlib.sha256(text.encode()).hexdigest()
    run.write_json("run.json", msgspec.structs.replace(run.record(), recipe_sha256=digest))


class Words(HTMLParser):
    """Collects the words of a page, without markup."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_data(self, data: str) -> None:
        self.found += data.split()


def text_of(page: str) -> str:
    """The words of a page, without markup."""
    words = Words()
    words.feed(page)
    return " ".join(words.found)


# ---- where the figures come from ------------------------------------------------------------------------------------


def test_figures_come_from_the_validation_cases_alone(run: RunFolder) -> None:
    evaluation, cases = read_evaluation(run), run.cases()
    (finding,) = evaluation.findings
    rows = cases.where("validation")
    p = probabilities(run.logits(), [finding.temperature], "sigmoid")[rows, 0]
    y = cases.targets[rows, 0]
    assert finding.cases == len(rows)
    assert finding.positives == y.sum()
    assert finding.auroc is not None
    assert finding.auroc.value == auroc(p, y)
    assert finding.confusion == confusion(p, y, finding.operating_point.threshold)


def test_what_is_chosen_and_what_is_measured_do_not_mix(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Plan())
    before = evaluate(run, SILENT).findings[0]
    logits, cases = run.logits(), run.cases()
    worse = logits.copy()
    worse[cases.where("validation")] *= -1
    np.save(run.path / "logits.npy", worse)
    after = evaluate(run, SILENT).findings[0]
    assert (after.temperature, after.operating_point) == (before.temperature, before.operating_point)
    assert after.auroc is not None and before.auroc is not None
    assert after.auroc.value == pytest.approx(1 - before.auroc.value)

    other = logits.copy()
    other[cases.where("fit", "tuning")] = 99
    np.save(run.path / "logits.npy", other)
    assert evaluate(run, SILENT).findings[0] == before


def test_the_threshold_reaches_its_target_on_the_calibration_cases(run: RunFolder) -> None:
    point = read_evaluation(run).findings[0].operating_point
    assert point.sensitivity.value >= point.target_sensitivity == 0.9
    assert point.positives + point.negatives == len(run.cases().where("calibration"))


def test_what_is_written_is_what_was_returned(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Plan(patients=150))
    returned = evaluate(run, SILENT)
    assert read_evaluation(run) == returned
    first = (run.path / "evaluation.json").read_bytes()
    evaluate(run, SILENT)
    assert (run.path / "evaluation.json").read_bytes() == first, "the same run always gives the same figures"


def test_intervals_hold_their_values(run: RunFolder) -> None:
    finding = read_evaluation(run).findings[0]
    figures = [
        finding.auroc,
        finding.sensitivity,
        finding.specificity,
        finding.positive_predictive_value,
        finding.negative_predictive_value,
        finding.brier,
        finding.calibration_error,
        *(group.auroc for group in finding.groups if group.auroc),
    ]
    for figure in figures:
        assert figure is not None
        assert figure.low <= figure.value <= figure.high
        assert figure.low < figure.high


# ---- comparisons ----------------------------------------------------------------------------------------------------


def test_the_control_shows_what_transfer_was_worth(run: RunFolder) -> None:
    finding = read_evaluation(run).findings[0]
    assert finding.control is not None and finding.auroc is not None
    assert finding.control.gain.value == pytest.approx(finding.auroc.value - finding.control.auroc.value)
    assert finding.control.gain.low > 0


def test_without_a_control_nothing_is_compared(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Plan(patients=150, control_skill=None))
    assert evaluate(run, SILENT).findings[0].control is None
    assert "Transfer learning" not in (run.path / "report.html").read_text()


def test_a_control_that_is_no_worse_is_called_out(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Plan(patients=150, control_skill=2.0))
    assert "transfer" in codes(evaluate(run, SILENT))


def test_probes_find_the_shortcuts_that_are_there(run: RunFolder) -> None:
    probes = {probe.kind: probe for probe in read_evaluation(run).findings[0].probes}
    assert probes["metadata"].uses == ("sex", "age"), "site and view say the same of every case"
    assert probes["metadata"].auroc.value > 0.58, "positives are older"
    assert probes["intensity"].auroc.value > 0.58, "positives are brighter"


def test_a_probe_learns_from_the_training_cases_alone(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Plan())
    pixels, cases = np.full_like(run.pixels(), 90), run.cases()
    pixels[(cases.targets[:, 0] > 0) & (np.array(cases.roles) == "validation")] = 180
    np.save(run.path / "pixels.npy", pixels)
    probes = {probe.kind: probe for probe in evaluate(run, SILENT).findings[0].probes}
    assert probes["intensity"].auroc.value == 0.5, "training images are all alike, so there was nothing to learn"


def test_a_strong_probe_is_called_out(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Plan(patients=200))
    pixels = np.array(run.pixels())
    pixels[run.cases().targets[:, 0] > 0] //= 2
    np.save(run.path / "pixels.npy", pixels)
    evaluation = evaluate(run, SILENT)
    assert any(c.code == "shortcut" and "grey levels" in c.text for c in evaluation.cautions)


# ---- the boxes' graphs ----------------------------------------------------------------------------------------------


def write_device(run: RunFolder, worse: float) -> None:
    """What `quantize` leaves: the float graph, an INT8 graph whose logits are `worse` and a refused candidate."""
    before = evaluate(run, SILENT).findings[0]
    point = before.operating_point
    limits = Abstention(
        low=point.threshold * 0.5, high=point.threshold, coverage=0.95, unsure=0.1, wanted=0.95, most=0.2
    )
    numbers = {before.label: FindingNumbers(temperature=before.temperature, operating_point=point, abstention=limits)}
    noise = np.random.default_rng(1).normal(size=run.logits().shape) * worse
    names = (FLOAT, "int8-u8s8")
    for name in names:
        write_graph(run, name, name.encode())
    write_logits(run, "int8-u8s8", (run.logits() + noise).astype(np.float32))
    quantisation = Quantisation(
        scheme="u8s8", calibration="minmax", float_nodes=5, auroc_change=-0.001, flips=0.008, speed=2.25
    )
    float_record, int8_record = (
        VariantRecord(
            name=name,
            precision="float32" if name == FLOAT else "int8",
            sha256=hashlib.sha256(name.encode()).hexdigest(),
            quantisation=None if name == FLOAT else quantisation,
            findings=numbers,
        )
        for name in names
    )
    refused = Attempt(
        name="int8-u8s8",
        calibration="percentile",
        float_stages=4,
        auroc_change=-0.02,
        flips=0.03,
        speed=2.0,
        refusals=("its AUROC is 0.0200 lower (0.005 is allowed)", "3.0% of its verdicts differ (1% are allowed)"),
    )
    accepted = msgspec.structs.replace(refused, calibration="minmax", refusals=())
    for target, variants in {"x86": (int8_record, float_record), "jetson": (float_record,)}.items():
        write_variants(
            run,
            TargetVariants(
                target=target,  # type: ignore[arg-type]
                inputs_sha256=inputs_digest(run),
                note="TensorRT makes it FP16." if target == "jetson" else "",
                variants=variants,
                attempts=(refused, accepted) if target == "x86" else (),
            ),
        )


def quantised_run(folder: Path, worse: float) -> RunFolder:
    """A run with device graphs; the digest of its network wants files that only training writes."""
    run = write_run(folder, Plan())
    for name in ("model.safetensors", "network.json"):
        (run.path / name).write_bytes(b"weights")
    write_device(run, worse)
    return run


def test_device_graphs_are_measured_on_the_validation_cases(tmp_path: Path) -> None:
    run = quantised_run(tmp_path / "run", 0.3)
    evaluation = evaluate(run, SILENT)
    assert evaluation.device is not None
    found = {variant.name: variant for variant in evaluation.device.variants}
    assert found[FLOAT].targets == ("x86", "jetson") and found["int8-u8s8"].targets == ("x86",)
    same = found[FLOAT].findings[0]
    assert same.auroc == evaluation.findings[0].auroc
    assert same.change is not None and (same.change.low, same.change.high) == (0.0, 0.0)
    changed = found["int8-u8s8"].findings[0]
    assert changed.change is not None and changed.auroc is not None and same.auroc is not None
    assert changed.change.value == pytest.approx(changed.auroc.value - same.auroc.value)
    assert same.flips is None and found["int8-u8s8"].speed == 2.25
    own = changed.abstention
    assert own is not None and own.answers.missed is not None and own.answers.unsure is not None
    told = f"int8-u8s8 has its own limits for UNSURE (pneumonia): {percent_interval(own.unsure)} of people UNSURE"
    assert told in text_of((run.path / "report.html").read_text())
    card = write_card("# A card", run.recipe().recipe, evaluation, list(read_variants(run).values()))
    assert f"| pneumonia by int8-u8s8 | {number(own.limits.low)} and {number(own.limits.high)} |" in card
    assert [one.positives for one in changed.groups] == [one.positives for one in evaluation.findings[0].groups]
    cases, point = run.cases(), evaluation.findings[0].operating_point
    rows = cases.where("validation")
    verdicts = [
        probabilities(read_logits(run, name)[rows], [evaluation.findings[0].temperature], "sigmoid") >= point.threshold
        for name in (FLOAT, "int8-u8s8")
    ]
    assert changed.flips is not None
    assert changed.flips.value == pytest.approx(np.mean(verdicts[0] != verdicts[1]))
    assert 0 < changed.flips.low < changed.flips.value
    assert "variant" not in codes(evaluation)


def test_a_variant_that_changes_many_verdicts_is_cautioned_against(tmp_path: Path) -> None:
    assert "flips" in codes(evaluate(quantised_run(tmp_path / "run", 1.5), SILENT))


def test_the_report_says_why_a_variant_was_refused(tmp_path: Path) -> None:
    run = quantised_run(tmp_path / "run", 0.3)
    evaluation = evaluate(run, SILENT)
    assert evaluation.device is not None and len(evaluation.device.refused) == 1
    words = text_of((run.path / "report.html").read_text())
    assert "its AUROC is 0.0200 lower (0.005 is allowed); 3.0% of its verdicts differ (1% are allowed)" in words
    assert "percentile, float stages: 4" in words
    assert "jetson: TensorRT makes it FP16." in words
    flips = next(one for one in evaluation.device.variants if one.precision == "int8").findings[0].flips
    assert "2.2\N{MULTIPLICATION SIGN}" in words and flips is not None and percent_interval(flips) in words


def test_a_variant_that_loses_on_unseen_cases_is_called_out(tmp_path: Path) -> None:
    (caution,) = [c for c in evaluate(quantised_run(tmp_path / "run", 6), SILENT).cautions if c.code == "variant"]
    assert "int8-u8s8 for x86" in caution.text and "\N{MINUS SIGN}0." in caution.text


def test_variants_of_other_weights_are_not_reported(tmp_path: Path) -> None:
    run = quantised_run(tmp_path / "run", 0.3)
    (run.path / "model.safetensors").write_bytes(b"trained again")
    assert evaluate(run, SILENT).device is None
    assert "has not been quantised yet" in (run.path / "report.html").read_text()


def test_logits_of_a_variant_of_other_cases_are_refused(tmp_path: Path) -> None:
    run = quantised_run(tmp_path / "run", 0.3)
    np.save(run.path / "device" / "int8-u8s8.logits.npy", run.logits()[1:])
    with pytest.raises(RunError, match="logits of variant int8-u8s8"):
        evaluate(run, SILENT)


# ---- groups ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age", "band"),
    [
        ("0", "0-4"),
        ("4.9", "0-4"),
        ("006M", "0-4"),
        ("5", "5-17"),
        ("017Y", "5-17"),
        ("18", "18-44"),
        ("45", "45-64"),
        ("64", "45-64"),
        ("65", "65+"),
        ("101", "65+"),
        ("", ""),
        ("old", ""),
    ],
)
def test_age_bands(age: str, band: str) -> None:
    assert age_band(age) == band


def test_rare_values_of_a_column_stand_together() -> None:
    texts = [str(i) for i in range(15) for _ in range(20 - i)] + [""]
    values = group_values("ward", texts)
    assert len(set(values)) == 12 + 1 + 1
    assert values[-1] == "" and values[-2] == "other"


def test_groups_count_every_case_once(run: RunFolder) -> None:
    finding = read_evaluation(run).findings[0]
    for column in ("sex", "age"):
        groups = [group for group in finding.groups if group.column == column]
        assert sum(group.cases for group in groups) == finding.cases
        assert sum(group.positives for group in groups) == finding.positives


def test_small_groups_are_counted_but_not_shown(run: RunFolder) -> None:
    groups = read_evaluation(run).findings[0].groups
    small = [group for group in groups if group.positives < SMALLEST]
    assert small
    for group in groups:
        enough = group.positives >= SMALLEST, group.cases - group.positives >= SMALLEST
        assert (group.sensitivity is not None, group.specificity is not None) == enough
        assert (group.auroc is not None) == all(enough)


def test_columns_that_cannot_be_compared_are_named(run: RunFolder) -> None:
    evaluation = read_evaluation(run)
    assert evaluation.unknown == ("view",)
    assert evaluation.uniform == {"site": "clinic"}
    assert {"unknown-groups", "uniform"} <= codes(evaluation)


def test_a_group_that_is_served_worse_is_called_out(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Plan())
    logits, cases = run.logits(), run.cases()
    rows = cases.where("validation")
    old = [i for i in rows if float(cases.columns["age"][i]) >= 45 and cases.targets[i, 0] > 0]
    logits[old[::2]] = -9
    np.save(run.path / "logits.npy", logits)
    cautions = [c.text for c in evaluate(run, SILENT).cautions if c.code == "group"]
    assert len(cautions) == 1
    assert "age 45-64" in cautions[0] or "age 65+" in cautions[0]
    assert "age 18-44" not in cautions[0]


def test_a_group_that_is_told_apart_less_well_is_called_out(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Plan())
    logits, cases = run.logits(), run.cases()
    men = [i for i in cases.where("validation") if cases.columns["sex"][i] == "M"]
    logits[men] = np.random.default_rng(1).normal(size=(len(men), 1))
    np.save(run.path / "logits.npy", logits)
    (caution,) = [c.text for c in evaluate(run, SILENT).cautions if c.code == "uneven"]
    assert "sex M" in caution and "sex F" not in caution


# ---- ages -----------------------------------------------------------------------------------------------------------


def limited_run(folder: Path, limit: str, findings: tuple[str, ...] = ("pneumonia",)) -> RunFolder:
    """A run whose first finding is limited to some ages; every tenth case states none."""
    run = write_run(folder, Plan(task="binary" if len(findings) == 1 else "multilabel", findings=findings))
    edit_recipe(run, "[[finding]]", f"[[finding]]\nage = {limit}", 1)
    columns = run.cases().columns
    ages = tuple("" if i % 10 == 0 else age for i, age in enumerate(columns["age"]))
    rewrite(run, {"columns": {**columns, "age": ages}})
    return run


def test_cases_that_the_box_does_not_decide_are_not_counted(tmp_path: Path) -> None:
    run = limited_run(tmp_path / "run", "{ low = 30, high = 64 }")
    evaluation, cases = evaluate(run, SILENT), run.cases()
    (finding,) = evaluation.findings
    inside = np.array([text == "" or 30 <= int(text) <= 64 for text in cases.columns["age"]])
    left = {role: int((~inside[cases.where(role)]).sum()) for role in ("calibration", "validation")}
    calibration, validation = (rows[inside[rows]] for rows in (cases.where("calibration"), cases.where("validation")))
    p = probabilities(run.logits(), [finding.temperature], "sigmoid")[:, 0]
    y, threshold = cases.targets[:, 0], finding.operating_point.threshold
    assert confusion(p[validation], y[validation], threshold) == finding.confusion
    assert finding.auroc is not None and finding.auroc.value == auroc(p[validation], y[validation])
    assert finding.cases == validation.size == sum(one.cases for one in finding.groups if one.column == "sex")
    assert finding.operating_point.positives == y[calibration].sum()
    assert threshold == choose_threshold(p[calibration], y[calibration], 0.9)
    assert finding.control is not None
    assert finding.control.auroc.value == auroc(
        np.load(run.path / "control" / "logits.npy")[validation, 0], y[validation]
    )
    unknown = sum(cases.columns["age"][i] == "" for i in cases.where("validation"))
    assert finding.age == AgeFigures(low=30, high=64, unknown=unknown, **left)
    assert min(unknown, *left.values()) > 0
    words = text_of((run.path / "report.html").read_text())
    assert f"{left['calibration']} calibration and {left['validation']} validation cases of people of other" in words
    assert f"decided from 30 to 64 years only, but {unknown} validation cases state no age" in words


def test_device_graphs_are_measured_on_the_cases_that_the_box_decides(tmp_path: Path) -> None:
    run = limited_run(tmp_path / "run", "{ low = 30, high = 64 }")
    for name in ("model.safetensors", "network.json"):
        (run.path / name).write_bytes(b"weights")
    write_device(run, 0.3)
    evaluation = evaluate(run, SILENT)
    assert evaluation.device is not None
    (same,) = next(one.findings for one in evaluation.device.variants if one.name == FLOAT)
    (whole,) = evaluation.findings
    assert (same.auroc, same.sensitivity, same.specificity) == (whole.auroc, whole.sensitivity, whole.specificity)


def test_ages_of_one_finding_leave_the_others_alone(tmp_path: Path) -> None:
    free = evaluate(write_run(tmp_path / "a", Plan(task="multilabel", findings=("a", "b"))), SILENT)
    evaluation = evaluate(limited_run(tmp_path / "b", "{ low = 40 }", ("a", "b")), SILENT)
    assert evaluation.findings[1].auroc == free.findings[1].auroc
    assert evaluation.findings[1].age is None
    assert evaluation.findings[0].cases < free.findings[0].cases
    assert evaluation.referral is not None
    counts = evaluation.referral.confusion
    assert counts.positives + counts.negatives == evaluation.findings[0].cases


def test_validation_cases_of_other_ages_alone_give_no_figures(tmp_path: Path) -> None:
    run = limited_run(tmp_path / "run", "{ high = 120 }")
    cases = run.cases()
    ages = tuple("125" if role == "validation" else "40" for role in cases.roles)
    rewrite(run, {"columns": {**cases.columns, "age": ages}})
    evaluation = evaluate(run, SILENT)
    assert evaluation.findings[0].cases == 0 and "not-measured" in codes(evaluation)


# ---- tasks ----------------------------------------------------------------------------------------------------------


def test_a_multiclass_run_is_measured_finding_by_finding_and_as_a_whole(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Plan(task="multiclass", findings=COVID, images_each=2))
    evaluation = evaluate(run, SILENT)
    assert [finding.label for finding in evaluation.findings] == list(COVID)
    assert len({finding.temperature for finding in evaluation.findings}) == 1
    assert evaluation.classes is not None and evaluation.classes.macro_auroc is not None
    matrix = np.array(evaluation.classes.matrix)
    assert matrix.sum() == evaluation.findings[0].cases
    assert list(matrix.sum(1)) == [finding.positives for finding in evaluation.findings]
    assert evaluation.classes.accuracy.value == pytest.approx(np.trace(matrix) / matrix.sum())
    areas = [finding.auroc.value for finding in evaluation.findings if finding.auroc]
    assert evaluation.classes.macro_auroc.value == pytest.approx(np.mean(areas))
    assert evaluation.unit == "images" and "clusters" in codes(evaluation)


def test_normal_is_no_reason_to_refer(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Plan(task="multiclass", findings=COVID))
    referral = evaluate(run, SILENT).referral
    assert referral is not None and referral.sensitivity is not None
    cases = run.cases()
    normal = cases.targets[cases.where("validation"), 2]
    assert referral.confusion.negatives == normal.sum()
    assert referral.confusion.positives == (normal == 0).sum()
    assert referral.sensitivity.value > 0.85
    assert "This finding alone refers nobody" in (run.path / "report.html").read_text()


def test_a_class_that_refers_nobody_has_no_predictive_values(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Plan(task="multiclass", findings=COVID))
    edit_recipe(run, "\nprevalence = 0.05", "\nprevalence = 0.2", 2)
    evaluation = evaluate(run, SILENT)
    covid, other, normal = evaluation.findings
    assert (covid.prevalence, other.prevalence, normal.prevalence) == (0.2, 0.05, None)
    assert covid.positive_predictive_value is not None and other.negative_predictive_value is not None
    assert normal.positive_predictive_value is None and normal.negative_predictive_value is None
    assert normal.sensitivity is not None
    assert not (run.path / "plots" / "people-3-normal.svg").exists()
    words = text_of((run.path / "report.html").read_text())
    assert "Where 20 of 100 people have COVID-19" in words and "Where 5 of 100 people have other pneumonia" in words
    assert "people have normal" not in words and "screened have normal" not in words
    assert f"Of 100 people with normal, about {normal.sensitivity.value * 100:.0f} (" in words
    assert words.count("; the others are missed") == 2
    assert words.count("Positive predictive value") == 2
    assert "not to the 20% (COVID-19) and 5% (other pneumonia) of daily work" in words
    card = write_card("# Card", run.recipe().recipe, evaluation, [])
    assert "predictive values hold at a prevalence of 20% (COVID-19) and 5% (other pneumonia)." in card
    assert re.search(r"^\| normal .*\| \N{EN DASH} \| \N{EN DASH} \|$", card, re.MULTILINE)


def test_the_summary_says_which_prevalence_a_value_is_for(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Plan(task="multiclass", findings=COVID, patients=200))
    same = evaluate(run, SILENT)
    edit_recipe(run, "\nprevalence = 0.05", "\nprevalence = 0.2", 2)
    apart = evaluate(run, SILENT)
    for evaluation, shown in ((same, ["PPV at 5%"]), (apart, ["at 20%", "at 5%"])):
        console = Console(record=True, width=120, file=StringIO())
        print_summary(evaluation, console)
        printed = console.export_text()
        assert all(words in printed for words in shown)


def test_a_multilabel_run_has_a_threshold_for_each_finding(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Plan(task="multilabel", findings=("a", "b/c", "ü"), patients=250))
    evaluation = evaluate(run, SILENT)
    assert evaluation.classes is None and evaluation.referral is not None
    assert len({finding.operating_point.threshold for finding in evaluation.findings}) == 3
    names = {path.stem for path in (run.path / "plots").iterdir()}
    assert {"roc-1-a", "roc-2-b-c", "roc-3-finding"} <= names


# ---- what cannot be said --------------------------------------------------------------------------------------------


def test_validation_cases_of_one_class_give_no_number(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Plan(patients=200))
    cases = run.cases()
    targets = cases.targets.copy()
    targets[cases.where("validation")] = 0
    rewrite(run, {"targets": targets})
    evaluation = evaluate(run, SILENT)
    finding = evaluation.findings[0]
    assert finding.auroc is None and finding.sensitivity is None and finding.positive_predictive_value is None
    assert finding.control is None and finding.probes == ()
    assert finding.specificity is not None
    assert {"not-measured", "few"} <= codes(evaluation)
    assert "not computable" in (run.path / "report.html").read_text()


def test_a_result_too_good_to_be_true_is_called_out(tmp_path: Path) -> None:
    evaluation = evaluate(write_run(tmp_path / "run", Plan(skill=12, patients=200)), SILENT)
    (caution,) = [c for c in evaluation.cautions if c.code == "leakage"]
    assert caution.text.startswith("Pneumonia: an AUROC of 1.000")
    assert "Check for leakage" in caution.text
    auroc_figure = evaluation.findings[0].auroc
    assert auroc_figure is not None and auroc_figure.low < 1


def test_a_result_no_better_than_chance_is_called_out(tmp_path: Path) -> None:
    assert "chance" in codes(evaluate(write_run(tmp_path / "run", Plan(skill=0, patients=200)), SILENT))


def test_a_sound_run_gets_no_alarm(run: RunFolder) -> None:
    serious = {"synthetic", "leakage", "not-measured", "chance", "below-target", "few", "temperature", "skipped"}
    assert not codes(read_evaluation(run)) & serious


@pytest.mark.parametrize("role", ["validation", "calibration"])
def test_a_run_without_cases_of_a_role_is_refused(tmp_path: Path, role: str) -> None:
    run = write_run(tmp_path / "run", Plan(patients=100))
    rewrite(run, {"roles": tuple("fit" if r == role else r for r in run.cases().roles)})
    with pytest.raises((RunError, CalibrationError), match=role) as refusal:
        evaluate(run, SILENT)
    assert refusal.value.hint


def test_a_finding_without_calibration_cases_is_named(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Plan(task="multilabel", findings=("a", "b"), patients=100))
    cases = run.cases()
    targets = cases.targets.copy()
    targets[cases.where("calibration"), 1] = 0
    rewrite(run, {"targets": targets})
    with pytest.raises(CalibrationError, match=r"^b: None of the"):
        evaluate(run, SILENT)


def test_logits_of_other_cases_are_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Plan(patients=100))
    np.save(run.path / "control" / "logits.npy", run.logits()[:-1])
    with pytest.raises(RunError, match=r"has shape \(99, 1\), the cases have \(100, 1\)"):
        evaluate(run, SILENT)


def test_an_evaluation_that_does_not_parse_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "evaluation.json").write_text('{"schema": 99}')
    with pytest.raises(RunError, match="cannot be read") as refusal:
        read_evaluation(RunFolder(tmp_path))
    assert "aidpost export evaluate" in refusal.value.hint


# ---- the report -----------------------------------------------------------------------------------------------------


def test_the_report_stands_alone(run: RunFolder) -> None:
    page = (run.path / "report.html").read_text()
    assert "<script" not in page.lower()
    assert set(re.findall(r"https?://[^\"' <]+", page)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"""\b(src|href)=["'](?!#)""", page), "links lead only to places in the page"
    assert "@import" not in page and "url(" not in page


def test_the_report_speaks_of_people(run: RunFolder) -> None:
    words = text_of((run.path / "report.html").read_text())
    (finding,) = read_evaluation(run).findings
    assert finding.sensitivity is not None and finding.positive_predictive_value is not None
    assert f"Of 100 people with pneumonia, about {finding.sensitivity.value * 100:.0f} (" in words
    assert "Where 5 of 100 people have pneumonia: of 100 that are referred, about" in words
    assert f"{finding.confusion.true_positives}" in words
    assert "not a diagnosis" in words


def test_every_link_of_the_report_has_its_place(run: RunFolder) -> None:
    page = (run.path / "report.html").read_text()
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(re.findall(r'id="([^"]+)"', page))


def test_synthetic_data_say_so(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Plan(synthetic=True, patients=150))
    evaluation = evaluate(run, SILENT)
    assert evaluation.synthetic and evaluation.cautions[0].code == "synthetic"
    assert "Synthetic: every image was generated" in (run.path / "report.html").read_text()


def test_real_data_are_not_called_synthetic(run: RunFolder) -> None:
    assert "Synthetic" not in (run.path / "report.html").read_text()


def test_texts_of_the_dataset_cannot_change_the_page(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Plan(patients=150))
    cases = run.cases()
    sites = tuple("<b onclick='x'>A</b>" if i % 2 else "B & C" for i in range(len(cases)))
    rewrite(run, {"columns": {**cases.columns, "site": sites}})
    evaluate(run, SILENT)
    page = (run.path / "report.html").read_text()
    assert "<b onclick" not in page
    assert "&lt;b onclick" in page
    assert "B &amp; C" in page


def test_the_report_does_not_promise_what_unknown_patients_do_not_allow(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Plan(patients=150))
    promises = ("that it had never seen", "No patient stands in two rows")
    assert "patients-unknown" not in codes(evaluate(run, SILENT))
    assert all(words in text_of((run.path / "report.html").read_text()) for words in promises)
    cases = run.cases()
    names = (*cases.files[:40], *cases.patients[40:])
    replace(cases, patients=names).write(run.path / "cases.csv")
    evaluation = evaluate(run, SILENT)
    assert "patients-unknown" in codes(evaluation)
    page = text_of((run.path / "report.html").read_text())
    assert "40 of 150 images state no patient" in page
    assert not any(words in page for words in promises)


def test_what_the_checks_left_out_is_listed(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Plan(patients=150))
    issues = [
        Issue(Kind.UNREADABLE, 7, "images/7.png", "the file is cut short", "Copy it again"),
        Issue(Kind.UNREADABLE, 9, "images/9.png", "the file is empty", "Copy it again"),
        Issue(Kind.LABEL_MISSING, 11, "images/11.png", "there is no label", "Write one"),
        Issue(Kind.AGE, 11, "images/11.png", "the age 'forty' is no number", "Write a number"),
    ]
    run.write_json("issues.json", issues)
    evaluation = evaluate(run, SILENT)
    assert [(kind.kind, kind.rows) for kind in evaluation.skipped] == [("unreadable", 2), ("label missing", 1)]
    words = text_of((run.path / "report.html").read_text())
    assert "row 7, images/7.png: the file is cut short" in words
    assert "3 rows of the dataset were left out" in words


def test_the_plots_of_a_run_are_files_of_their_own(run: RunFolder) -> None:
    expected = {"roc", "people", "reliability", "scores", "groups", "comparison"}
    found = {path.name for path in (run.path / "plots").iterdir()}
    assert found == {f"{kind}-pneumonia.svg" for kind in expected} | {"history.svg"}
    for name in found:
        ElementTree.parse(run.path / "plots" / name)


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        (4, "The weights of epoch 4 were kept."),
        (0, "not better than its start by more than a standard error: the starting weights were kept."),
        (None, None),
    ],
)
def test_the_report_says_which_weights_were_kept(tmp_path: Path, kept: int | None, said: str | None) -> None:
    run = write_run(tmp_path / "run", Plan(patients=150))
    if kept is None:
        (run.path / "training.json").unlink()
    else:
        run.write_json("training.json", {"epochs": 8, "kept": kept})
    assert evaluate(run, SILENT).kept == kept
    words = text_of((run.path / "report.html").read_text())
    assert said in words if said else "were kept" not in words


def test_a_run_that_trained_only_a_head_has_no_history(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Plan(patients=150))
    evaluate(run, SILENT)
    assert (run.path / "plots" / "history.svg").exists()
    (run.path / "history.csv").unlink()
    evaluate(run, SILENT)
    assert not (run.path / "plots" / "history.svg").exists()


# ---- words ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.5, "50%"), (1.0, "100%"), (0.0, "0%"), (0.997, "99.7%"), (0.99996, "above 99.9%"), (0.0004, "below 0.1%")],
)
def test_percentages_claim_no_certainty_they_do_not_have(value: float, expected: str) -> None:
    assert percent(value) == expected


def test_numbers_claim_no_certainty_they_do_not_have() -> None:
    assert [number(value) for value in (0.8765, 0.9999, 1.0)] == ["0.876", "above 0.999", "1.000"]
    assert [signed(value) for value in (0.0123, -0.5, -0.0001)] == ["+0.012", "\N{MINUS SIGN}0.500", "0.000"]
    assert listed(["a", "b", "c"]) == "a, b and c" and listed(["a"]) == "a" and listed([]) == ""


@pytest.mark.parametrize(
    ("name", "within"),
    [
        ("Pneumonia", "pneumonia"),
        ("COVID-19", "COVID-19"),
        ("Other pneumonia", "other pneumonia"),
        ("é", "é"),
        ("", ""),
    ],
)
def test_names_within_a_sentence(name: str, within: str) -> None:
    assert inline(name) == within


# ---- the command ----------------------------------------------------------------------------------------------------


def test_the_command_prints_the_figures_and_where_the_report_lies(run: RunFolder) -> None:
    result = CliRunner().invoke(evaluate_command, [str(run.path)])
    assert result.exit_code == 0, result.output
    assert "pneumonia" in result.stdout and "from scratch" in result.stdout
    assert str(run.path / "report.html") in result.stdout
    finding = read_evaluation(run).findings[0]
    assert finding.auroc is not None and f"{finding.auroc.value:.3f}" in result.stdout


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"recipe.toml is missing"):
        CliRunner().invoke(evaluate_command, [str(tmp_path)], catch_exceptions=False)


def test_evaluations_of_another_shape_are_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.convert(
            {"column": "sex", "value": "F", "cases": 1, "positives": 0, "patients": 1, "mean": 3}, GroupFigures
        )


def test_estimates_and_intervals_are_written_alike(run: RunFolder) -> None:
    written = msgspec.json.decode((run.path / "evaluation.json").read_bytes())["findings"][0]
    assert set(written["auroc"]) == set(written["sensitivity"]) == set(Estimate.__struct_fields__)
