"""The decision: probabilities, quality and what the header says, to one word with its reasons.

Everything here is pure. The words never say what a person has: REFER, CLEAR, REPEAT and UNSURE say what to do next.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from math import floor

from aidpost_device.bundle.image_input import image_input
from aidpost_device.bundle.manifest import AgeRange, Finding, ImageInput, Manifest
from aidpost_device.bundle.variant import Distance, QualityCheck
from aidpost_device.calibration.prior_shift import local_probability
from aidpost_device.errors import BundleError, EngineError
from aidpost_device.in_force import InForce
from aidpost_device.quality import MEASURES
from aidpost_device.reason import RETAKES, Reason

RULES = 3
"""Version of the rules for one scan. It is part of what a reading is keyed by: other rules, other readings.

A study's word is never recorded, so other rules for studies need no other readings.
"""

BLANK_CONTRAST = 8
"""Prepared scans with fewer grey levels than this between dark and bright are blank."""


class Word(StrEnum):
    """What to do next. REJECTED is said of files only: there was nothing to read."""

    REFER = "REFER"
    UNSURE = "UNSURE"
    REPEAT = "REPEAT"
    CLEAR = "CLEAR"
    REJECTED = "REJECTED"


_CORRECTED = "Do not use this bundle; ask for a corrected one."


@dataclass(frozen=True)
class Facts:
    """What is known of one scan besides the model's outputs."""

    contrast: int
    """Grey levels between dark and bright in the prepared image, in [0, 255]."""
    age: float | None = None
    """Years; None where the header states none."""
    view: str = ""
    """DICOM View Position (0018,5101); empty where the header states none."""
    modality: str = ""
    """DICOM Modality (0008,0060); empty where there is no header."""
    intent: str = ""
    """DICOM Presentation Intent Type (0008,0068); empty where the header states none."""
    measures: Mapping[str, float] = field(default_factory=dict)
    """What quality checks are held against: name → value, the graph's own scores among them."""


@dataclass(frozen=True)
class FindingDecision:
    """The decision on one finding of one scan."""

    label: str
    probability: float
    """Calibrated probability, in [0, 1]."""
    threshold: float
    """The operating point it was held against, in [0, 1]."""
    word: Word
    reasons: tuple[Reason, ...] = ()
    region: str = ""
    """Zone that the graph's own map points at; empty where there is no map or it points nowhere."""
    local_probability: float | None = None
    """The probability at the prevalence of this site, in [0, 1]; None where the site gave none."""


def require_applicable(manifest: Manifest) -> ImageInput:
    """Return the bundle's image input; raise `BundleError` where the bundle asks for what these rules cannot do.

    A rule that the bundle's author relied upon is never left out in silence.
    """
    spec = image_input(manifest)
    known, codes = {*manifest.outputs.quality, *MEASURES}, {*RETAKES}
    checks = [check for variant in manifest.variants for check in variant.quality]
    unknown = [f"the quality measure {check.measure!r}" for check in checks if check.measure not in known]
    unknown += [f"the reason {check.retake!r}" for check in checks if check.retake not in codes]
    if unknown:
        raise BundleError(
            f"The bundle {manifest.name} relies on {unknown[0]}, which this program cannot apply.",
            "Update the program on this box, or install a bundle that was made for this version.",
        )
    return spec


def reject(facts: Facts, accepted: ImageInput) -> Reason | None:
    """Say why a file is no scan for this bundle, or None. A file that states no modality or no intent passes."""
    if not_accepted(facts.modality, accepted.modalities):
        return Reason.MODALITY_NOT_ACCEPTED
    if facts.intent.strip().upper() == "FOR PROCESSING":
        return Reason.FOR_PROCESSING
    return None


def would_vote(facts: Facts, accepted: ImageInput) -> bool:
    """Whether a scan that could not be read would have had a say in its study, as far as its header tells."""
    return reject(facts, accepted) is None and not not_accepted(facts.view, accepted.views)


def decide_finding(
    finding: Finding,
    rule: InForce,
    probability: float,
    facts: Facts,
    accepted: ImageInput,
    checks: Sequence[QualityCheck] = (),
) -> FindingDecision:
    """Decide one finding of one scan. Raises `EngineError` for what is no probability.

    A scan that cannot be used is REPEAT; one that the model was not proved for, or cannot tell, is UNSURE; otherwise
    the threshold decides, by `rule`. An unknown age does not change the word, because most stored scans state none; it
    is stated as a reason for the person who reads the report.
    """
    if not 0.0 <= probability <= 1.0:
        raise EngineError(
            f"The model gave {probability} for {finding.label!r}, which is no probability.",
            _CORRECTED,
        )
    repeat = plain_faults(facts, accepted) or faults(facts.measures, checks)  # of a blank scan scores mean nothing
    unsure = [Reason.AGE_OUTSIDE] if age_outside(finding.age, facts.age) else []
    noted = [Reason.AGE_UNKNOWN] if finding.age is not None and facts.age is None else []
    local = None
    if rule.prior is not None and rule.prevalence is not None:
        local = local_probability(probability, rule.prior, rule.prevalence)
    reasons = (*repeat, *unsure, *_between(probability, rule), *noted)
    word = Word.REPEAT if repeat else _answer(finding, rule, probability, reasons)
    return FindingDecision(finding.label, probability, rule.threshold, word, reasons, local_probability=local)


def decide_again(finding: Finding, rule: InForce, found: FindingDecision) -> FindingDecision:
    """Decide a recorded finding of a scan by another rule; what was said of the scan itself stands."""
    kept = tuple(reason for reason in found.reasons if reason is not Reason.BETWEEN_LIMITS)
    reasons = (*kept, *_between(found.probability, rule))
    word = Word.REPEAT if found.word is Word.REPEAT else _answer(finding, rule, found.probability, reasons)
    return replace(found, threshold=rule.threshold, word=word, reasons=reasons)


def _between(probability: float, rule: InForce) -> tuple[Reason, ...]:
    limits = rule.abstention
    return (Reason.BETWEEN_LIMITS,) if limits is not None and limits.low < probability < limits.high else ()


def _answer(finding: Finding, rule: InForce, probability: float, reasons: Iterable[Reason]) -> Word:
    """Give the word for a finding of a scan that can be used."""
    if {Reason.AGE_OUTSIDE, Reason.BETWEEN_LIMITS} & {*reasons}:
        return Word.UNSURE
    return Word.REFER if finding.refers and probability >= rule.threshold else Word.CLEAR


def plain_faults(facts: Facts, accepted: ImageInput) -> tuple[Reason, ...]:
    """Give the reasons to take a scan again that are plain without the model: such a scan is not refused as unlike."""
    return tuple(
        reason
        for reason, applies in (
            (Reason.BLANK, facts.contrast < BLANK_CONTRAST),
            (Reason.VIEW_NOT_ACCEPTED, not_accepted(facts.view, accepted.views)),
        )
        if applies
    )


def unlike_training(distance: float | None, limit: Distance | None) -> bool:
    """Whether what was read is nothing that the model was taught on; without a limit everything passes."""
    if limit is None:
        return False
    if distance is None:
        raise EngineError("The model did not measure the distance that its bundle sets a limit for.", _CORRECTED)
    return distance > limit.limit


def faults(measures: Mapping[str, float], checks: Sequence[QualityCheck]) -> tuple[Reason, ...]:
    """Give the reasons for which a scan is to be taken again, in the order of the checks."""
    return tuple(
        dict.fromkeys(
            Reason(check.retake)
            for check in checks
            if (check.low is not None and measures[check.measure] < check.low)
            or (check.high is not None and measures[check.measure] > check.high)
        )
    )


def age_outside(proved: AgeRange | None, years: float | None) -> bool:
    """Say whether a stated age lies outside of the completed years a finding was proved for; None limits nothing."""
    return proved is not None and years is not None and not proved.low <= floor(years) <= proved.high


def decide_scan(findings: Iterable[FindingDecision]) -> Word:
    """Decide one scan from all its findings: REPEAT, else REFER, else UNSURE, else CLEAR."""
    return _first((found.word for found in findings), (Word.REPEAT, Word.REFER, Word.UNSURE))


def decide_study(scans: Iterable[Sequence[FindingDecision]], *, film_lost: bool = False) -> Word:
    """Decide a study from the findings of each of its scans: REFER, else REPEAT, else UNSURE, else CLEAR.

    A scan that cannot be used has no other word than REPEAT, so its scores never vote; and whom a good scan refers need
    not wait for another one. A scan that is only in the wrong view does not vote beside one in a view that is read.
    `film_lost`: a film of the study could not be read; the study is then never CLEAR.
    """
    reasons = [(findings, {reason for found in findings for reason in found.reasons}) for findings in scans]
    viewed = any(Reason.VIEW_NOT_ACCEPTED not in given for _, given in reasons)
    voting = [
        findings
        for findings, given in reasons
        if not viewed or Reason.VIEW_NOT_ACCEPTED not in given or Reason.BLANK in given
    ]
    word = _first(map(decide_scan, voting), (Word.REFER, Word.REPEAT, Word.UNSURE))
    return Word.UNSURE if film_lost and word is Word.CLEAR else word


def _first(words: Iterable[Word], precedence: tuple[Word, ...]) -> Word:
    """Pick the first word of the precedence that was given, CLEAR where all are; nothing is never CLEAR."""
    given = set(words)
    for word in precedence:
        if word in given:
            return word
    if given != {Word.CLEAR}:
        raise ValueError(f"a word comes from the words of findings, not from {sorted(given)}")
    return Word.CLEAR


def not_accepted(stated: str, accepted: tuple[str, ...]) -> bool:
    """Whether a header states something, and it is none of what is accepted; nothing to accept accepts everything."""
    stated = stated.strip().upper()
    return bool(stated and accepted) and stated not in {name.upper() for name in accepted}
