"""Figures in words, for readers who count people and not probabilities."""

from __future__ import annotations

from collections.abc import Sequence

from aidpost_device.bundle.variant import Estimate
from aidpost_device.calibration.proportions import complement
from aidpost_device.calibration.words import inline as inline
from aidpost_export.figures import Evaluation, FindingFigures, Gap
from aidpost_export.statistics import Interval


def number(value: float) -> str:
    """Write an AUROC or an error with three decimals, never rounding up to a certainty it does not have."""
    text = f"{value:.3f}"
    return "above 0.999" if text == "1.000" and value < 1 else text


def percent(value: float) -> str:
    """Write a share as a percentage, with a decimal where a whole number would say 0 or 100."""
    text = f"{value:.0%}"
    if text not in ("0%", "100%") or value in (0.0, 1.0):
        return text
    finer = f"{value:.1%}"
    return {"100.0%": "above 99.9%", "0.0%": "below 0.1%"}.get(finer, finer)


def number_interval(figure: Interval | None) -> str:
    """Write "0.957 (0.940 to 0.970)", or that it cannot be computed."""
    if figure is None:
        return "not computable"
    return f"{number(figure.value)} ({number(figure.low)} to {number(figure.high)})"


def percent_interval(figure: Estimate | Interval | None) -> str:
    """Write "91% (86% to 95%)", or that it cannot be computed."""
    if figure is None:
        return "not computable"
    return f"{percent(figure.value)} ({percent(figure.low)} to {percent(figure.high)})"


def signed(value: float) -> str:
    """Write a difference of AUROCs with its sign; a difference that rounds to nothing has none."""
    text = f"{value:+.3f}"
    return "0.000" if float(text) == 0 else text.replace("-", "\N{MINUS SIGN}")


def signed_interval(figure: Interval | None) -> str:
    """Write "+0.051 (+0.020 to +0.090)", or that it cannot be computed."""
    if figure is None:
        return "not computable"
    return f"{signed(figure.value)} ({signed(figure.low)} to {signed(figure.high)})"


def gap_words(gap: Gap | None) -> str:
    """Write "-12 (-25 to +1), p 0.04", in percentage points, or that it is not shown."""
    if gap is None:
        return "not shown"
    value, low, high = (_points(one) for one in (gap.value, gap.low, gap.high))
    return f"{value} ({low} to {high}), p {gap.adjusted:.2g}"


def _points(share: float) -> str:
    text = f"{100 * share:+.0f}"
    return "0" if float(text) == 0 else text.replace("-", "\N{MINUS SIGN}")


def in_words(finding: FindingFigures, evaluation: Evaluation) -> tuple[str, ...]:
    """Say what the figures of one finding mean, one sentence each."""
    name, unit, one = inline(finding.name), evaluation.unit, "person" if evaluation.unit == "people" else "image"
    have = "have" if evaluation.unit == "people" else "show"
    done = "referred" if finding.refers else "marked"
    told = []
    if finding.sensitivity:
        missed = "" if finding.prevalence is None else "; the others are missed"
        told.append(f"Of 100 {unit} with {name}, about {_count(finding.sensitivity)} are {done}{missed}.")
    if finding.specificity:
        told.append(f"Of 100 {unit} without {name}, about {_count(finding.specificity)} are not {done}.")
    if finding.abstention and finding.abstention.answers.missed and finding.abstention.unsure:
        seen, missed = _count(finding.abstention.unsure), _count(finding.abstention.answers.missed)
        told.append(
            f"That is by the threshold alone. UNSURE asks a person to read about {seen} of 100 {unit}; then about "
            f"{missed} of 100 {unit} with {name} get CLEAR."
        )
    place = f"Where {_share_words(finding.prevalence)} {unit} {have} {name}" if finding.prevalence is not None else ""
    if finding.positive_predictive_value:
        count = _count(finding.positive_predictive_value)
        told.append(f"{place}: of 100 that are {done}, about {count} {have} it; the others are false alarms.")
    if finding.negative_predictive_value:
        left = _count(complement(finding.negative_predictive_value), 1000)
        told.append(f"{place}: of 1000 that are not {done}, about {left} {have} it all the same.")
    if finding.auroc:
        told.append(
            f"Of one {one} with {name} and one without, the model gives the one with it the higher probability "
            f"in about {_count(finding.auroc)} of 100 such pairs."
        )
    if finding.calibration_error and finding.calibration_error_by_chance:
        error, chance = finding.calibration_error.value, finding.calibration_error_by_chance
        told.append(
            f"Its probabilities are off by {error * 100:.1f} percentage points on average; with so few cases, "
            f"perfect ones would seem off by {chance.value * 100:.1f} (up to {chance.high * 100:.1f})."
        )
    return tuple(told)


def kept_weights(kept: int | None) -> str:
    """Say which weights came out of the training; nothing where that is not recorded."""
    if kept is None:
        return ""
    if kept == 0:
        which = "Training was not better than its start by more than a standard error: the starting weights were kept."
    else:
        which = f"The weights of epoch {kept} were kept."
    return f"{which} Then the last layer was fitted again, and that fit taken where it lowered the tuning loss further."


def prevalences(evaluation: Evaluation) -> str:
    """Write what predictive values hold for: "5%", or "10% (COVID-19) and 5% (other pneumonia)"."""
    known = {inline(one.name): one.prevalence for one in evaluation.findings if one.prevalence is not None}
    if len({*known.values()}) == 1:
        return percent(next(iter(known.values())))
    return listed([f"{percent(share)} ({name})" for name, share in known.items()])


def capital(text: str) -> str:
    """Begin with a capital letter and leave the rest, such as "COVID-19", as it is."""
    return text[:1].upper() + text[1:]


def listed(words: Sequence[str]) -> str:
    """Join words as "a, b and c"."""
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1] if words else ""


def _count(share: Estimate | Interval, of: int = 100) -> str:
    return f"{share.value * of:.0f} ({share.low * of:.0f} to {share.high * of:.0f})"


def _share_words(share: float) -> str:
    """Write a prevalence as "5 of 100" or, when small, "4 of 1000"."""
    of = next((n for n in (100, 1000, 10_000) if abs(share * n - round(share * n)) < 1e-6 and share * n >= 1), 1000)
    return f"{share * of:g} of {of}"
