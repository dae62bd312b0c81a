"""Cautions: what a reader must know before trusting the figures. Pure rules over the figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from aidpost_export.ages import OLDEST
from aidpost_export.calibrate import TEMPERATURE
from aidpost_export.detectors.promises import broken_promises
from aidpost_export.explanations.words import refusals, verdict
from aidpost_export.figures import (
    AbstentionFigures,
    AgeFigures,
    Caution,
    Evaluation,
    FindingFigures,
    GroupFigures,
    GroupSensitivity,
    VariantFigures,
    VariantFinding,
)
from aidpost_export.recipe import AUROC_LOSS, FLIPS
from aidpost_export.sentences import (
    capital,
    gap_words,
    listed,
    number,
    number_interval,
    percent,
    percent_interval,
    signed_interval,
)

LEAKAGE = 0.99
"""AUROC above which it is likelier that the test was too easy than that the model is so good."""
SHORTCUT = 0.65
"""AUROC from which a probe is worth a warning."""
CHANCE = 0.05
"""Corrected p below which a gap between groups is said to be more than chance."""
FEW = 30
"""Positives or negatives below which a figure is called preliminary."""


def cautions(evaluation: Evaluation) -> tuple[Caution, ...]:
    """Collect everything that limits these figures, the most serious first."""
    found = []
    if evaluation.synthetic:
        text = "All images were generated. These figures say that the program works and nothing about any patient."
        found.append(Caution(code="synthetic", text=text))
    for code, rule in _RULES.items():
        for finding in evaluation.findings:
            found.extend(
                Caution(code=code, text=f"{capital(finding.name)}: {text}") for text in rule(finding, evaluation)
            )
    found.extend(_variants(evaluation))
    found.extend(_explanation(evaluation))
    found.extend(Caution(code=code, text=text) for code, text in broken_promises(evaluation.detectors))
    found.extend(_cases(evaluation))
    return tuple(found)


def _leakage(finding: FindingFigures, _: Evaluation) -> Iterator[str]:
    if finding.auroc and finding.auroc.value > LEAKAGE:
        yield (
            f"an AUROC of {number(finding.auroc.value)} is rare in medicine. Check for leakage: burnt-in marks, images "
            "of the two classes from different machines, near-duplicates across the split."
        )


def _not_measured(finding: FindingFigures, _: Evaluation) -> Iterator[str]:
    if finding.auroc is None:
        yield (
            f"{finding.positives} of {finding.cases} validation cases have it, so it could not be measured whether the "
            "model tells them apart. Do not use it for this finding."
        )


def _chance(finding: FindingFigures, _: Evaluation) -> Iterator[str]:
    if finding.auroc and finding.auroc.low <= 0.5:
        yield "these cases do not show that the model does better than chance. Do not use it."


def _below_target(finding: FindingFigures, _: Evaluation) -> Iterator[str]:
    target = finding.operating_point.target_sensitivity
    if finding.refers and finding.sensitivity and finding.sensitivity.high < target:
        yield (
            f"sensitivity is {percent_interval(finding.sensitivity)}, below the target of "
            f"{percent(target)} that the threshold was chosen for. More cases are missed than "
            "the calibration cases promised."
        )


def _groups(finding: FindingFigures, _: Evaluation) -> Iterator[str]:
    target = finding.operating_point.target_sensitivity
    low = [
        f"{group_name(group)} {percent_interval(group.sensitivity)}"
        for group in finding.groups
        if group.sensitivity and group.value and group.sensitivity.high < target
    ]
    if low and finding.refers:
        yield (
            f"sensitivity is below the target of {percent(target)} in {listed(low)}. These "
            "people would be served worse."
        )


def _gaps(finding: FindingFigures, _: Evaluation) -> Iterator[str]:
    worse = [
        f"{group_name(group)} {gap_words(group.sensitivity_gap)}"
        for group in finding.groups
        if group.value and group.sensitivity_gap and group.sensitivity_gap.value < 0
        if group.sensitivity_gap.adjusted < CHANCE
    ]
    if worse and finding.refers:
        yield (
            f"sensitivity is lower than everybody else's by more percentage points than chance explains in "
            f"{listed(worse)}. These people would be missed more often."
        )


def _unsure(finding: FindingFigures, _: Evaluation) -> Iterator[str]:
    if finding.refers and finding.unlimited:
        yield f"the box never says UNSURE because of the probability: {finding.unlimited}."
    if finding.abstention:
        yield from _abstention(finding.abstention)


def _abstention(found: AbstentionFigures) -> Iterator[str]:
    limits, answers = found.limits, found.answers
    if limits.coverage < found.wanted:
        yield (
            f"with at most {percent(found.cap)} of people UNSURE, REFER or UNSURE is promised to "
            f"{percent(limits.coverage)} of those with it, and not to the {percent(found.wanted)} of the recipe."
        )
    kinds = (
        (answers.covered_with, limits.coverage, "with"),
        (answers.covered_without, limits.coverage_without, "without"),
    )
    for measured, promised, kind in kinds:
        if measured and promised is not None and measured.high < promised:
            yield (
                f"of those {kind} it {percent_interval(measured)} get a right answer or UNSURE, and "
                f"{percent(promised)} were promised. The validation cases differ from the calibration cases."
            )
    if found.unsure and found.unsure.value > found.cap:
        yield f"{percent_interval(found.unsure)} of people are UNSURE; the recipe allows {percent(found.cap)}."


def _uneven(finding: FindingFigures, _: Evaluation) -> Iterator[str]:
    low = [
        f"{group_name(group)} {number_interval(group.auroc)}"
        for group in finding.groups
        if group.auroc and finding.auroc and group.value and group.auroc.high < finding.auroc.value
    ]
    if low and finding.auroc:
        yield (
            f"cases are told apart less well than over all (AUROC {number(finding.auroc.value)}) in {listed(low)}. "
            "Part of the whole figure is that the groups differ."
        )


def _shortcuts(finding: FindingFigures, _: Evaluation) -> Iterator[str]:
    for probe in finding.probes:
        if probe.auroc.value >= SHORTCUT and probe.auroc.low > 0.5:
            what = "what is known beside the image" if probe.kind == "metadata" else "the image's overall grey levels"
            yield (
                f"an AUROC of {number(probe.auroc.value)} is reached with {what} alone ({listed(probe.uses)}). The "
                "model may use that instead of signs of disease, and would then fail where it means something else."
            )


def _few(finding: FindingFigures, _: Evaluation) -> Iterator[str]:
    point = finding.operating_point
    counts = {
        "validation cases with it": finding.positives,
        "validation cases without it": finding.cases - finding.positives,
        "calibration cases with it": point.positives,
        "calibration cases without it": point.negatives,
    }
    few = [f"{count} {what}" for what, count in counts.items() if count < FEW]
    if few:
        yield f"there are only {listed(few)}. The figures and the threshold are preliminary."


def _ages(finding: FindingFigures, _: Evaluation) -> Iterator[str]:
    age = finding.age
    if age and (age.calibration or age.validation):
        yield (
            f"it is decided {_years(age)} only. {age.calibration} calibration and {age.validation} validation cases of "
            "people of other ages are not counted; the box says UNSURE for such people."
        )
    if age and age.unknown:
        yield (
            f"it is decided {_years(age)} only, but {age.unknown} validation cases state no age. They are counted, "
            "because the box decides such cases too and says that the age is unknown."
        )


def _years(age: AgeFigures) -> str:
    """Say from which age to which."""
    if age.high >= OLDEST:
        return f"from {age.low} years on"
    return f"up to {age.high} years" if age.low == 0 else f"from {age.low} to {age.high} years"


def _calibration(finding: FindingFigures, _: Evaluation) -> Iterator[str]:
    error, chance = finding.calibration_error, finding.calibration_error_by_chance
    if error and chance and error.value > chance.high:
        yield (
            f"its probabilities are off by {error.value * 100:.1f} percentage points on average, more than chance "
            f"explains (up to {chance.high * 100:.1f}). Trust the word, not the number."
        )


def _temperature(finding: FindingFigures, _: Evaluation) -> Iterator[str]:
    if not TEMPERATURE[0] * 1.01 < finding.temperature < TEMPERATURE[1] * 0.99:
        yield (
            f"the temperature reached its limit ({finding.temperature:.2f}), so the calibration cases could not say "
            "how sure the model should be."
        )


def _control(finding: FindingFigures, _: Evaluation) -> Iterator[str]:
    if finding.control and finding.control.gain.low <= 0:
        yield "these cases do not show that the pretrained base is better than random weights."


_RULES: dict[str, Callable[[FindingFigures, Evaluation], Iterator[str]]] = {
    "leakage": _leakage,
    "not-measured": _not_measured,
    "chance": _chance,
    "below-target": _below_target,
    "group": _groups,
    "gap": _gaps,
    "unsure": _unsure,
    "uneven": _uneven,
    "shortcut": _shortcuts,
    "few": _few,
    "ages": _ages,
    "calibration": _calibration,
    "temperature": _temperature,
    "transfer": _control,
}
"""Code → rule on one finding, the most serious first."""


def _variants(evaluation: Evaluation) -> Iterator[Caution]:
    trained = {one.label: one for one in evaluation.findings}
    for variant in evaluation.device.variants if evaluation.device else ():
        for finding in variant.findings:
            if variant.precision == "int8":
                yield from _own(variant, finding, trained[finding.label])
            if finding.change and finding.change.value < -AUROC_LOSS:
                yield Caution(
                    code="variant",
                    text=f"{capital(finding.label)}: the variant {variant.name} for {listed(variant.targets)} changes "
                    f"the AUROC by {signed_interval(finding.change)}, more than was allowed on the calibration cases.",
                )
            if finding.flips and finding.flips.low > FLIPS:
                yield Caution(
                    code="flips",
                    text=f"{capital(finding.label)}: the variant {variant.name} for {listed(variant.targets)} changes "
                    f"{percent_interval(finding.flips)} of the verdicts, more than the {percent(FLIPS)} that were "
                    "allowed on the calibration cases.",
                )


def _own(variant: VariantFigures, finding: VariantFinding, trained: FindingFigures) -> Iterator[Caution]:
    """Say what an INT8 graph does not keep by itself: boxes decide by its own threshold and its own limits."""
    where = f"{capital(finding.label)}, by the variant {variant.name} for {listed(variant.targets)}: "
    target = trained.operating_point.target_sensitivity
    if trained.refers and finding.sensitivity and finding.sensitivity.high < target:
        text = f"sensitivity is {percent_interval(finding.sensitivity)}, below the target of {percent(target)}."
        yield Caution(code="below-target", text=where + text)
    if finding.abstention:
        yield from (Caution(code="unsure", text=where + text) for text in _abstention(finding.abstention))
    elif trained.abstention:
        text = "it never says UNSURE because of the probability, because its calibration cases allow no limits."
        yield Caution(code="unsure", text=where + text)


def _explanation(evaluation: Evaluation) -> Iterator[Caution]:
    if reasons := refusals(evaluation):
        yield Caution(code="no-map", text=verdict(reasons))
    elif evaluation.explanation and (figures := evaluation.explanation.calibration) and figures.other_gain.low <= 0:
        yield Caution(
            code="map-of-others",
            text="The heat map of a case explains it no better than the maps of other cases do. It shows where such "
            "findings lie as a rule more than where this one lies.",
        )


def _cases(evaluation: Evaluation) -> Iterator[Caution]:
    if evaluation.unstated_patients:
        total = sum(counts.cases for counts in evaluation.counts)
        yield Caution(
            code="patients-unknown",
            text=f"{evaluation.unstated_patients} of {total} images state no patient. The same person may stand on "
            "both sides of the test: figures may be too good, and intervals count each of these images as a person.",
        )
    if evaluation.unit == "images":
        yield Caution(
            code="clusters",
            text="Patients came with several images each. Figures count images; intervals count patients.",
        )
    if evaluation.unknown:
        yield Caution(
            code="unknown-groups",
            text=f"The dataset does not say {listed(evaluation.unknown)}: whether the model serves these groups alike "
            "is not known.",
        )
    for column, value in evaluation.uniform.items():
        yield Caution(
            code="uniform",
            text=f"Every validation case has {column} {value!r}. Nothing is known about any other {column}.",
        )
    if evaluation.skipped:
        rows = sum(kind.rows for kind in evaluation.skipped)
        left = "1 row of the dataset was" if rows == 1 else f"{rows} rows of the dataset were"
        yield Caution(code="skipped", text=f"{left} left out because of what the checks found.")


def group_name(group: GroupFigures | GroupSensitivity) -> str:
    """Name a group for people, such as "sex F"."""
    return f"{group.column} {group.value}" if group.value else f"{group.column} not stated"
