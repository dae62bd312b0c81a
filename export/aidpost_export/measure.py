"""Measuring: temperature and thresholds from the calibration cases, figures from the validation cases only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from aidpost_device.bundle.variant import Abstention, OperatingPoint
from aidpost_device.calibration.proportions import confusion, predictive_values, rates, share
from aidpost_device.calibration.threshold import choose_threshold, operating_point
from aidpost_device.decision import age_outside
from aidpost_device.errors import CalibrationError
from aidpost_export.ages import parse_age
from aidpost_export.calibrate import fit_temperature, probabilities
from aidpost_export.cases import ROLES, Cases
from aidpost_export.figures import (
    AgeFigures,
    ClassFigures,
    ControlFigures,
    FindingFigures,
    GroupFigures,
    Probe,
    ReferralFigures,
    RoleCounts,
)
from aidpost_export.gaps import adjust
from aidpost_export.groups import group_columns, group_figures
from aidpost_export.recipe import Recipe
from aidpost_export.resampling import (
    SEED,
    auroc_difference,
    auroc_interval,
    calibration_intervals,
    macro_auroc_interval,
)
from aidpost_export.statistics import chance_calibration_error, reliability
from aidpost_export.unsure import abstention_figures, fit_limits


@dataclass(frozen=True)
class Scores:
    """Calibrated outputs of one network on all cases, N cases and K findings."""

    temperature: NDArray[np.float64]  # (K,)
    probability: NDArray[np.float32]  # (N, K)
    points: tuple[OperatingPoint, ...]  # K
    decided: NDArray[np.bool_]
    """As `decided_cases` says.  # (N, K)"""


@dataclass(frozen=True)
class DecidedCases:
    """The validation cases that the box decides one finding of, D of V."""

    inside: NDArray[np.bool_]
    """Which of the validation cases these are.  # (V,)"""
    probability: NDArray[np.float32]  # (D,)
    target: NDArray[np.float32]  # (D,) in {0, 1}
    patients: NDArray[np.str_]  # (D,)


@dataclass(frozen=True)
class Measured:
    """Everything one finding's figures are computed from."""

    recipe: Recipe
    cases: Cases
    validation: NDArray[np.intp]
    """Indices of the validation cases, V."""
    scores: Scores
    control: NDArray[np.float32] | None
    """Probabilities of the control on all cases.  # (N, K)"""
    probes: tuple[tuple[Probe, ...], ...]  # K

    @property
    def patients(self) -> NDArray[np.str_]:
        """Patients of the validation cases.  # (V,)"""
        return np.array(self.cases.patients)[self.validation]

    def decided(self, k: int) -> DecidedCases:
        """What figures of finding k are computed from."""
        inside = self.scores.decided[self.validation, k]
        rows = self.validation[inside]
        return DecidedCases(
            inside=inside,
            probability=self.scores.probability[rows, k],
            target=self.cases.targets[rows, k],
            patients=self.patients[inside],
        )

    def groups(self) -> dict[str, tuple[str, ...]]:
        """The recipe's group columns on the validation cases; empty texts where the dataset lacks a column."""
        return group_columns(self.cases, self.recipe, self.validation)

    def groups_of(self, cases: DecidedCases) -> Iterator[tuple[str, tuple[str, ...]]]:
        """The columns in which the decided cases differ, with their groups.  # (D,)"""
        for column, everybody in self.groups().items():
            values = tuple(compress(everybody, cases.inside))
            if len({*values}) > 1:
                yield column, values


def decided_cases(cases: Cases, recipe: Recipe) -> NDArray[np.bool_]:
    """Whether the box decides each finding of each case: not where the age lies outside of the finding's.  # (N, K)"""
    years = [parse_age(text) for text in cases.columns.get("age", ("",) * len(cases))]
    inside = np.ones((len(cases), len(recipe.finding)), bool)
    for k, finding in enumerate(recipe.finding):
        if finding.age is not None:
            inside[:, k] = [not age_outside(finding.age, age) for age in years]
    return inside


def calibrate(logits: NDArray[np.float32], cases: Cases, recipe: Recipe) -> Scores:
    """Fit temperature and thresholds on the calibration cases. Raises `CalibrationError` naming the finding."""
    rows = cases.where("calibration")
    if rows.size == 0:
        raise CalibrationError("The run has no calibration cases.", "Adapt again with more labelled cases.")
    patients = np.array(cases.patients)[rows]
    targets, decided = cases.targets[rows], decided_cases(cases, recipe)
    temperature = fit_temperature(logits[rows], targets, recipe.activation)
    probability = probabilities(logits, temperature, recipe.activation)
    points = []
    for k, label in enumerate(recipe.labels):
        inside = decided[rows, k]
        p, y = probability[rows[inside], k], targets[inside, k]
        try:
            threshold = choose_threshold(p, y, recipe.target_of(k))
            points.append(operating_point(p, y, threshold, recipe.target_of(k), patients[inside]))
        except CalibrationError as error:
            raise CalibrationError(f"{label}: {error}", error.hint) from error
    return Scores(temperature, probability, tuple(points), decided)


def finding_figures(measured: Measured, k: int) -> FindingFigures:
    """Measure one finding on the validation cases that the box decides it of."""
    cases = measured.decided(k)
    p, y, patients = cases.probability, cases.target, cases.patients
    finding, point = measured.recipe.finding[k], measured.scores.points[k]
    sensitivity, specificity = rates(p, y, point.threshold, patients)
    prevalence = measured.recipe.prevalence_of(k)
    worth = predictive_values(sensitivity, specificity, prevalence)
    calibration = calibration_intervals(p, y, patients)
    limits, unlimited = _limits(measured, k)
    return FindingFigures(
        label=finding.label,
        name=finding.names["en"],
        refers=finding.refers,
        cases=y.size,
        positives=int(y.sum()),
        patients=len(np.unique(patients)),
        age=_age_figures(measured, k),
        prevalence=prevalence,
        temperature=float(measured.scores.temperature[k]),
        operating_point=point,
        auroc=auroc_interval(p, y, patients),
        confusion=confusion(p, y, point.threshold),
        sensitivity=sensitivity,
        specificity=specificity,
        positive_predictive_value=worth.positive,
        negative_predictive_value=worth.negative,
        brier=calibration[0] if calibration else None,
        calibration_error=calibration[1] if calibration else None,
        calibration_error_by_chance=chance_calibration_error(p, seed=SEED),
        reliability=reliability(p, y),
        groups=_groups(measured, cases, point.threshold, limits),
        abstention=abstention_figures(measured.recipe, k, limits, p, y, point.threshold, patients) if limits else None,
        unlimited=unlimited,
        control=_control_figures(measured, k, cases),
        probes=measured.probes[k],
    )


def _age_figures(measured: Measured, k: int) -> AgeFigures | None:
    limit, cases = measured.recipe.finding[k].age, measured.cases
    if limit is None:
        return None
    outside = ~measured.scores.decided[:, k]
    texts = cases.columns.get("age", ("",) * len(cases))
    return AgeFigures(
        low=limit.low,
        high=limit.high,
        calibration=int(outside[cases.where("calibration")].sum()),
        validation=int(outside[measured.validation].sum()),
        unknown=sum(parse_age(texts[i]) is None for i in measured.validation),
    )


def _limits(measured: Measured, k: int) -> tuple[Abstention | None, str]:
    """Choose the limits to abstain between on the calibration cases, or say why there are none."""
    cases, scores = measured.cases, measured.scores
    rows = cases.where("calibration")
    rows = rows[scores.decided[rows, k]]
    probability, target, patients = scores.probability[rows, k], cases.targets[rows, k], np.array(cases.patients)[rows]
    return fit_limits(measured.recipe, k, probability, target, scores.points[k].threshold, patients)


def _groups(
    measured: Measured, cases: DecidedCases, threshold: float, limits: Abstention | None
) -> tuple[GroupFigures, ...]:
    smallest = measured.recipe.gates.smallest_group
    found: list[GroupFigures] = []
    for column, values in measured.groups_of(cases):
        p, y, patients = cases.probability, cases.target, cases.patients
        found.extend(group_figures(column, values, p, y, threshold, patients, smallest, limits))
    return adjust(found)


def _control_figures(measured: Measured, k: int, cases: DecidedCases) -> ControlFigures | None:
    if measured.control is None:
        return None
    control = measured.control[measured.validation, k][cases.inside]
    area = auroc_interval(control, cases.target, cases.patients)
    gain = auroc_difference(cases.probability, control, cases.target, cases.patients)
    return ControlFigures(auroc=area, gain=gain) if area and gain else None


def role_counts(cases: Cases) -> tuple[RoleCounts, ...]:
    """Count the cases of each role that has some."""
    found = []
    for role in ROLES:
        rows = cases.where(role)
        if rows.size:
            targets = cases.targets[rows]
            found.append(
                RoleCounts(
                    role=role,
                    cases=rows.size,
                    patients=len({cases.patients[i] for i in rows}),
                    positives={label: int(targets[:, k].sum()) for k, label in enumerate(cases.labels)},
                    none=int((targets.sum(axis=1) == 0).sum()),
                )
            )
    return tuple(found)


def class_figures(measured: Measured) -> ClassFigures | None:
    """Count the most probable finding as the answer; None without cases."""
    p, y = measured.scores.probability[measured.validation], measured.cases.targets[measured.validation]
    truth, answer, classes = y.argmax(axis=1), p.argmax(axis=1), y.shape[1]
    accuracy = share(truth == answer, measured.patients)
    if accuracy is None:
        return None
    matrix = np.bincount(truth * classes + answer, minlength=classes * classes).reshape(classes, classes)
    return ClassFigures(
        accuracy=accuracy,
        macro_auroc=macro_auroc_interval(p, y, measured.patients),
        matrix=tuple(tuple(int(count) for count in row) for row in matrix),
    )


def referral_figures(measured: Measured) -> ReferralFigures:
    """Measure the case's word: any referring finding refers it; the truth is any referring finding.

    Cases that get UNSURE for one of them because of their age are left out.
    """
    refers = np.array([finding.refers for finding in measured.recipe.finding])
    rows = measured.validation[measured.scores.decided[measured.validation][:, refers].all(axis=1)]
    patients = np.array(measured.cases.patients)[rows]
    thresholds = np.array([point.threshold for point in measured.scores.points])
    p, y = measured.scores.probability[rows], measured.cases.targets[rows]
    referred = ((p >= thresholds) & refers).any(axis=1).astype(np.float64)
    truth = (y[:, refers] > 0).any(axis=1).astype(np.float64)
    sensitivity, specificity = rates(referred, truth, 0.5, patients)
    return ReferralFigures(confusion=confusion(referred, truth, 0.5), sensitivity=sensitivity, specificity=specificity)
