"""The step `evaluate`: measure a run and write `evaluation.json`, `plots/` and `report.html` into it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from aidpost_device.durable import write_durably
from aidpost_export.cases import GROUP_COLUMNS, Cases, unstated_patients
from aidpost_export.cautions import cautions
from aidpost_export.detectors.measure import detector_figures
from aidpost_export.device_figures import device_figures
from aidpost_export.errors import RunError
from aidpost_export.explanations.record import current_explanation
from aidpost_export.figures import Evaluation, FindingFigures, Method, Skipped
from aidpost_export.issues import Issue
from aidpost_export.measure import (
    Measured,
    Scores,
    calibrate,
    class_figures,
    finding_figures,
    referral_figures,
    role_counts,
)
from aidpost_export.pictures import draw, read_kept
from aidpost_export.plots.canvas import Canvas
from aidpost_export.probes import shortcut_probes
from aidpost_export.progress import Reporter
from aidpost_export.recipe import Recipe
from aidpost_export.report import render_report
from aidpost_export.resampling import RESAMPLES, SEED
from aidpost_export.run import RunFolder

ONE_EACH = 1.25
"""Images per patient up to which a case is called a person."""


def evaluate(run: RunFolder, reporter: Reporter, against: Sequence[Path] = ()) -> Evaluation:
    """Measure a run and write what was found into it. Raises `RunError` and `CalibrationError`.

    `against`: folders with scans that the model was not made for, which its detectors are tried on.
    """
    measured = measure(run, reporter)
    findings = []
    with reporter.bar("Measuring", len(measured.recipe.finding)) as bar:
        for k in range(len(measured.recipe.finding)):
            findings.append(finding_figures(measured, k))
            bar.advance()
    evaluation = _assemble(run, measured, tuple(findings))
    detectors = detector_figures(run, measured.cases, measured.recipe, against, reporter)
    evaluation = msgspec.structs.replace(evaluation, detectors=detectors)
    evaluation = msgspec.structs.replace(evaluation, cautions=cautions(evaluation))
    reporter.note("Drawing the plots and writing the report.")
    pictures = draw(measured, evaluation, run)
    _write_plots(run.path / "plots", pictures)
    write_durably(run.path / "report.html", render_report(run.record(), evaluation, pictures).encode())
    run.write_json("evaluation.json", evaluation)
    return evaluation


def _write_plots(folder: Path, pictures: Mapping[str, Canvas]) -> None:
    """Leave these pictures in the folder and none of an earlier evaluation."""
    folder.mkdir(exist_ok=True)
    for path in folder.glob("*.svg"):
        if path.stem not in pictures:
            path.unlink()
    for name, canvas in pictures.items():
        write_durably(folder / f"{name}.svg", canvas.standalone().encode())


def read_evaluation(run: RunFolder) -> Evaluation:
    """Read what `evaluate` wrote. Raises `RunError` when it is missing or of another version of the program."""
    return run.read_json("evaluation.json", "evaluate", Evaluation, "Run `aidpost export evaluate` on this run again.")


def measure(run: RunFolder, reporter: Reporter) -> Measured:
    """Read a run and calibrate it on its calibration cases."""
    recipe, cases, logits = run.recipe().recipe, run.cases(), run.logits()
    validation = cases.where("validation")
    if validation.size == 0:
        raise RunError(
            f"{run.path} has no validation cases, so nothing can be measured.",
            "Mark some rows of index.csv with split `val`, of patients that no training row has, and adapt again.",
        )
    _require_same_cases(run, logits, cases)
    scores, control = calibrate(logits, cases, recipe), control_scores(run, cases, recipe)
    beside = tuple(dict.fromkeys((*recipe.groups, *GROUP_COLUMNS)))
    reporter.note("Probing for shortcuts.")
    return Measured(
        recipe=recipe,
        cases=cases,
        validation=validation,
        scores=scores,
        control=control.probability if control else None,
        probes=shortcut_probes(cases, run.pixels(), beside, validation, scores.decided[validation]),
    )


def control_scores(run: RunFolder, cases: Cases, recipe: Recipe) -> Scores | None:
    """Calibrate the network trained from random weights as the run's own; None where none was trained."""
    control = run.control()
    if control is None:
        return None
    logits = control.logits()
    _require_same_cases(control, logits, cases)
    return calibrate(logits, cases, recipe)


def _require_same_cases(run: RunFolder, logits: NDArray[np.float32], cases: Cases) -> None:
    if logits.shape != cases.targets.shape:
        raise RunError(
            f"{run.path / 'logits.npy'} has shape {logits.shape}, the cases have {cases.targets.shape}.",
            "Run `aidpost export adapt` again.",
        )


def _assemble(run: RunFolder, measured: Measured, findings: tuple[FindingFigures, ...]) -> Evaluation:
    recipe = measured.recipe
    values = measured.groups()
    patients = len(np.unique(measured.patients))
    return Evaluation(
        recipe=recipe.name,
        title=recipe.title["en"],
        task=recipe.task,
        unit="people" if measured.validation.size <= ONE_EACH * patients else "images",
        synthetic=run.record().synthetic,
        target_sensitivity=recipe.target_sensitivity,
        programmes=run.adopted(),
        counts=role_counts(measured.cases),
        skipped=_skipped(run),
        unstated_patients=unstated_patients(measured.cases),
        kept=read_kept(run),
        unknown=tuple(name for name, column in values.items() if not any(column)),
        uniform={name: column[0] for name, column in values.items() if len({*column}) == 1 and column[0]},
        findings=findings,
        classes=class_figures(measured) if recipe.task == "multiclass" else None,
        referral=referral_figures(measured) if len(recipe.finding) > 1 else None,
        device=device_figures(run, measured),
        explanation=current_explanation(run),
        cautions=(),
        method=Method(resamples=RESAMPLES, seed=SEED, smallest_group=recipe.gates.smallest_group),
    )


def _skipped(run: RunFolder) -> tuple[Skipped, ...]:
    """Count the rows that the dataset checks left out, each by the first fault that was found in it."""
    path = run.path / "issues.json"
    issues = msgspec.json.decode(path.read_bytes(), type=list[Issue]) if path.is_file() else []
    kinds: dict[str, list[Issue]] = {}
    seen: set[int] = set()
    for issue in issues:
        if issue.row is not None and issue.row not in seen:
            seen.add(issue.row)
            kinds.setdefault(issue.kind.value.replace("-", " "), []).append(issue)
    return tuple(Skipped(kind=kind, rows=len(found), example=found[0].line) for kind, found in kinds.items())
