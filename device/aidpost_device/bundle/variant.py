"""A variant: one graph of a bundle with the numbers that belong to it and to no other graph."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from aidpost_device.bundle.section import Fraction, Label, Probability, Section, Slug


class QualityCheck(Section, frozen=True, kw_only=True):
    """One measure of a scan outside whose limits it is to be taken again."""

    measure: Label
    """A column of the graph's output `quality`, or one of the measures that the box takes of the prepared pixels."""
    low: float | None = None
    """Smallest value that passes, in the measure's own unit; None sets no limit."""
    high: float | None = None
    """Largest value that passes."""
    retake: Slug
    """Code of the reason, which says how to take the scan again."""


class Estimate(Section, frozen=True, kw_only=True):
    """A proportion in [0, 1] with its 95 % interval."""

    value: Fraction
    low: Fraction
    high: Fraction


class OperatingPoint(Section, frozen=True, kw_only=True):
    """The threshold a finding is decided at, with what it was chosen for."""

    threshold: Probability
    """Calibrated probability at or above which the finding is positive."""
    target_sensitivity: Fraction
    """The sensitivity the threshold was chosen to reach."""
    sensitivity: Estimate
    """Sensitivity on the calibration set."""
    specificity: Estimate
    """Specificity on the calibration set."""
    positives: Annotated[int, Meta(ge=0)]
    """Cases with the finding in the calibration set."""
    negatives: Annotated[int, Meta(ge=0)]
    """Cases without it."""


class Abstention(Section, frozen=True, kw_only=True):
    """Probabilities strictly between the two limits are UNSURE (class-conditional split conformal prediction)."""

    low: Probability
    """At or below it, at most 1 - `coverage` of those who have the finding are expected."""
    high: Probability
    """At or above it, at most 1 - `coverage_without` of those who do not have it are expected."""
    coverage: Fraction
    """Share of new cases with the finding whose answer is right or UNSURE that `low` was chosen for."""
    coverage_without: Fraction | None = None
    """The same of new cases without it, for `high`; None where `high` is the threshold and promises them nothing."""
    unsure: Fraction
    """Share of people that is UNSURE at the recipe's prevalence, from the cases that the limits were chosen on."""
    wanted: Fraction
    """The coverage that the recipe asks for; `coverage` may be less where too many would be UNSURE."""
    most: Fraction
    """The largest share of people that the recipe allows to be UNSURE."""


class Distance(Section, frozen=True, kw_only=True):
    """Distance of the embedding to the training data above which the input is refused."""

    limit: Annotated[float, Meta(gt=0.0)]


class FindingNumbers(Section, frozen=True, kw_only=True):
    """What one variant needs to turn one finding's output into a decision."""

    temperature: Annotated[float, Meta(gt=0.0, le=100.0)]
    """Logits were divided by it inside the graph; kept here for the record."""
    operating_point: OperatingPoint
    abstention: Abstention | None = None
    reference: tuple[Fraction, ...] = ()
    """Fractions of calibration probabilities in ten equal bins of [0, 1]: the reference for drift."""


class Quantisation(Section, frozen=True, kw_only=True):
    """How an INT8 variant was made and what it changed on the calibration set."""

    scheme: Literal["u8s8", "s8s8"]
    """Activations then weights: U8S8 for x86, S8S8 for Arm."""
    calibration: Literal["minmax", "percentile"]
    float_nodes: Annotated[int, Meta(ge=0)]
    """Operators kept in float (head, map and what the candidate excluded)."""
    auroc_change: Annotated[float, Meta(ge=-1.0, le=1.0)]
    """AUROC of this variant minus that of the float graph; the worst finding's."""
    flips: Fraction
    """Fraction of verdicts that differ from the float graph's."""
    speed: Annotated[float, Meta(gt=0.0)] | None = None
    """Float latency over this variant's, where the target's architecture was the workstation's; else None."""


class Tolerance(Section, frozen=True, kw_only=True):
    """How far golden outputs may lie from the expected ones on another machine."""

    probability: Annotated[float, Meta(gt=0.0, le=0.1)]
    """Absolute difference of a probability."""
    map: Annotated[float, Meta(gt=0.0, le=0.3)]
    """Difference as a fraction of the expected map's range; single cells of an INT8 map vary most."""
    embedding: Annotated[float, Meta(gt=0.0, le=0.1)]
    """Difference as a fraction of the expected embedding's range."""
    detectors: Annotated[float, Meta(gt=0.0, le=0.1)] = 1e-3
    """Difference of the distance, and of a quality score, as a fraction of the expected one, of 1 where it is less."""


class Variant(Section, frozen=True, kw_only=True):
    """One graph of the bundle with the numbers that belong to it."""

    name: Slug
    file: str
    """Member that holds the ONNX graph."""
    precision: Literal["float32", "int8"]
    quantisation: Quantisation | None = None
    findings: dict[Label, FindingNumbers]
    distance: Distance | None = None
    """None where this graph's inputs are never refused for it."""
    quality: tuple[QualityCheck, ...] = ()
    golden: dict[Slug, str]
    """Golden input's name → member with the expected outputs (float32, little-endian: probability, map, embedding, and
    where the bundle has them distance and quality)."""
    tolerance: Tolerance


class GoldenInput(Section, frozen=True, kw_only=True):
    """An encoded synthetic file whose pixels and outputs are known."""

    name: Slug
    file: str
    """Member that holds the encoded file."""
    decoder: Label
    """The decoder it exercises."""
    pixels: str
    """Member that holds what it is prepared to: (H, W, C) uint8, compressed by zlib (RFC 1950)."""
