"""The figures of an evaluation as they stand in `evaluation.json`. None means: cannot be computed, or not shown."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from aidpost_device.bundle.variant import Estimate, OperatingPoint
from aidpost_device.calibration.proportions import Confusion
from aidpost_export.adopted import AdoptedProgramme
from aidpost_export.cases import Role
from aidpost_export.statistics import Interval, ReliabilityBin

SCHEMA = 1
"""Version of `evaluation.json`."""
SMALLEST = 10
"""Fewest positives (for sensitivity) and negatives (for specificity; both for AUROC) for which a group is shown.

With fewer, an interval spans most of the scale and single people could be recognised.
"""


class Section(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of every part of the evaluation."""


class RoleCounts(Section, frozen=True, kw_only=True):
    """The cases of one role."""

    role: Role
    cases: int
    patients: int
    positives: dict[str, int]
    """Finding → cases with it."""
    none: int
    """Cases with none of the findings."""


class Skipped(Section, frozen=True, kw_only=True):
    """Rows that the dataset checks left out for one kind of fault; a row counts once, by its first."""

    kind: str
    rows: int
    example: str
    """The first of them, in words."""


class GroupFigures(Section, frozen=True, kw_only=True):
    """One finding within one group of people."""

    column: str
    """`sex`, `age`, `site`, `view` or another column of the recipe."""
    value: str
    """The group, such as `F` or `18-44`; empty where the dataset does not say."""
    cases: int
    positives: int
    patients: int
    auroc: Interval | None
    sensitivity: Estimate | None
    specificity: Estimate | None


class Probe(Section, frozen=True, kw_only=True):
    """How well something that is no sign of disease predicts the finding."""

    kind: Literal["metadata", "intensity"]
    """`metadata`: what is known of the person and the view; `intensity`: four statistics of the whole image."""
    uses: tuple[str, ...]
    """What it was given."""
    auroc: Interval


class ControlFigures(Section, frozen=True, kw_only=True):
    """The network trained on the same cases from random weights."""

    auroc: Interval
    gain: Interval
    """AUROC of the adapted network minus that of the control, on the same resamples."""


class AgeFigures(Section, frozen=True, kw_only=True):
    """The ages a finding is decided at, in completed years; the box gives UNSURE to everybody else."""

    low: int
    high: int
    calibration: int
    """Calibration cases left out because their age lies outside."""
    validation: int
    """Validation cases left out because their age lies outside."""
    unknown: int
    """Validation cases that state no age; they count, because the box decides them."""


class FindingFigures(Section, frozen=True, kw_only=True):
    """One finding on the validation cases whose age it is decided at."""

    label: str
    name: str
    """English display name."""
    refers: bool
    cases: int
    positives: int
    patients: int
    age: AgeFigures | None
    """None where the recipe limits no age."""
    prevalence: float | None
    """Share of people with it that predictive values hold for; None for a class that refers nobody: it has none."""
    temperature: float
    operating_point: OperatingPoint
    """Chosen on the calibration cases."""
    auroc: Interval | None
    confusion: Confusion
    sensitivity: Estimate | None
    specificity: Estimate | None
    positive_predictive_value: Estimate | None
    """At `prevalence`."""
    negative_predictive_value: Estimate | None
    """At `prevalence`."""
    brier: Interval | None
    calibration_error: Interval | None
    calibration_error_by_chance: Interval | None
    """What perfectly calibrated probabilities would show on as many cases."""
    reliability: tuple[ReliabilityBin, ...]
    groups: tuple[GroupFigures, ...]
    control: ControlFigures | None
    probes: tuple[Probe, ...]


class ClassFigures(Section, frozen=True, kw_only=True):
    """A task of which exactly one finding is true: the most probable one counts as the answer."""

    accuracy: Estimate
    macro_auroc: Interval | None
    """Mean over the findings, each against the rest."""
    matrix: tuple[tuple[int, ...], ...]
    """Cases by truth (rows) and answer (columns), in the order of the findings."""


class ReferralFigures(Section, frozen=True, kw_only=True):
    """The case's word when there are several findings: referred if any referring finding reaches its threshold."""

    confusion: Confusion
    sensitivity: Estimate | None
    specificity: Estimate | None


class VariantFinding(Section, frozen=True, kw_only=True):
    """One finding as one device graph tells it, on the validation cases."""

    label: str
    auroc: Interval | None
    change: Interval | None
    """That AUROC minus the trained network's, on the same resamples."""
    sensitivity: Estimate | None
    """At this graph's own threshold."""
    specificity: Estimate | None
    flips: Estimate | None
    """Share of verdicts that differ from the network's, each at its own threshold; None for the float graph."""


class VariantFigures(Section, frozen=True, kw_only=True):
    """One device graph that ships."""

    name: str
    precision: Literal["float32", "int8"]
    targets: tuple[str, ...]
    findings: tuple[VariantFinding, ...]
    speed: float | None
    """Float latency over this graph's; None where it was not timed here."""


class RefusedVariant(Section, frozen=True, kw_only=True):
    """One candidate that does not ship."""

    name: str
    target: str
    calibration: str
    float_stages: int
    """Stages of the backbone that stayed in float."""
    reasons: tuple[str, ...]


class DeviceFigures(Section, frozen=True, kw_only=True):
    """The boxes' own graphs."""

    notes: dict[str, str]
    """Target → what a reader must know of it."""
    variants: tuple[VariantFigures, ...]
    refused: tuple[RefusedVariant, ...]


class Caution(Section, frozen=True, kw_only=True):
    """Something a reader must know before trusting a figure."""

    code: str
    """Short and stable, for programs."""
    text: str


class Method(Section, frozen=True, kw_only=True):
    """How the intervals were made."""

    confidence: float = 0.95
    resamples: int
    seed: int
    smallest_group: int = SMALLEST


class Evaluation(Section, frozen=True, kw_only=True):
    """What the adapted network can do and cannot, measured on the validation cases."""

    schema: int = SCHEMA
    recipe: str
    title: str
    task: Literal["binary", "multiclass", "multilabel"]
    unit: Literal["people", "images"]
    """What a case stands for: people, unless patients came with several images each."""
    synthetic: bool
    target_sensitivity: float
    """The recipe's; a finding's own stands in its operating point."""
    programmes: tuple[AdoptedProgramme, ...] = ()
    """What operating points were chosen for in the place of the recipe's target."""
    counts: tuple[RoleCounts, ...]
    skipped: tuple[Skipped, ...]
    unstated_patients: int = 0
    """Cases of all roles whose person nobody stated; each is counted as a person of its own."""
    kept: int | None
    """Epoch of the fine-tuning whose weights were kept, 0 for the start; None where that is not recorded."""
    unknown: tuple[str, ...]
    """Columns to report by that the dataset does not have or leaves empty."""
    uniform: dict[str, str]
    """Columns to report by in which all validation cases agree, with the value: nothing is known about others."""
    findings: tuple[FindingFigures, ...]
    classes: ClassFigures | None
    referral: ReferralFigures | None
    device: DeviceFigures | None
    """None until the network was quantised."""
    cautions: tuple[Caution, ...]
    method: Method
