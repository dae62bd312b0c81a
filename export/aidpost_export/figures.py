"""The figures of an evaluation as they stand in `evaluation.json`. None means: cannot be computed, or not shown."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from aidpost_device.bundle.variant import Abstention, Estimate, OperatingPoint
from aidpost_device.calibration.proportions import Confusion
from aidpost_export.adopted import AdoptedProgramme
from aidpost_export.cases import Role
from aidpost_export.detectors.figures import DetectorFigures
from aidpost_export.explanations.record import Explanation
from aidpost_export.sensitivity_gate import SensitivityChange
from aidpost_export.statistics import Interval, ReliabilityBin

SCHEMA = 1
"""Version of `evaluation.json`."""


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


class Gap(Section, frozen=True, kw_only=True):
    """How a group fares against everybody else of the same kind."""

    value: float
    """The group's proportion minus that of the others."""
    low: float
    high: float
    """Ends of the 95 % interval."""
    p: float
    """Share of random groups of as many patients whose gap is at least as large, in (0, 1]."""
    adjusted: float
    """The same, corrected for the number of the finding's groups (Holm)."""


class Answers(Section, frozen=True, kw_only=True):
    """What the box says when it may abstain. None: no such cases, or too few to be shown."""

    unsure: Estimate | None
    """Share of all cases that is UNSURE."""
    covered_with: Estimate | None
    """Share of those with the finding that is REFER or UNSURE."""
    covered_without: Estimate | None
    """Share of those without it that is CLEAR or UNSURE."""
    missed: Estimate | None
    """Share of those with the finding that is CLEAR: the harm."""
    sensitivity: Estimate | None
    """Share of those with the finding that is REFER; UNSURE counts as not referred."""
    specificity: Estimate | None
    """Share of those without it that is CLEAR; UNSURE counts as not cleared."""
    sensitivity_answered: Estimate | None
    """The same, of those that were answered with REFER or CLEAR."""
    specificity_answered: Estimate | None


class AbstentionFigures(Section, frozen=True, kw_only=True):
    """The limits between which the box says UNSURE, chosen on the calibration cases, and what they do."""

    limits: Abstention
    wanted: float
    """Coverage that the recipe asks for; that of the limits is lower where the cap demands it."""
    cap: float
    """Largest share of people that may be UNSURE."""
    unsure: Estimate | None
    """Share of people that is UNSURE at the finding's prevalence."""
    answers: Answers


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
    sensitivity_gap: Gap | None = None
    """None where the group or everybody else is too few to be shown."""
    specificity_gap: Gap | None = None
    answers: Answers | None = None
    """None where the finding has no limits to abstain between."""


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
    abstention: AbstentionFigures | None
    unlimited: str
    """Why the box never says UNSURE by probability, in words; empty where it does."""
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


class GroupSensitivity(Section, frozen=True, kw_only=True):
    """The sensitivity of one device graph within one group of people."""

    column: str
    value: str
    positives: int
    sensitivity: Estimate | None
    """None where there are too few to be shown."""


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
    groups: tuple[GroupSensitivity, ...] = ()
    abstention: AbstentionFigures | None = None
    """With this graph's own limits."""


class VariantFigures(Section, frozen=True, kw_only=True):
    """One device graph that ships."""

    name: str
    precision: Literal["float32", "int8"]
    targets: tuple[str, ...]
    findings: tuple[VariantFinding, ...]
    speed: float | None
    """Float latency over this graph's; None where it was not timed here."""
    sensitivity: tuple[SensitivityChange, ...] = ()
    """What the gates said of its sensitivity against the float graph's, on the calibration cases."""


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
    smallest_group: int
    """Fewest positives and negatives for which a group is shown."""


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
    explanation: Explanation | None = None
    """Whether the device graphs' map shows what moved the probability; None until that was checked."""
    detectors: DetectorFigures | None = None
    """None until the network was quantised, and where the recipe asks for none."""
    cautions: tuple[Caution, ...]
    method: Method
