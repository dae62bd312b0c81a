"""Yields in plain words, for people who count patients and not probabilities. `name` is the finding's display name."""

from __future__ import annotations

from math import isinf

from aidpost_device.bundle.variant import Estimate
from aidpost_device.calibration.choice import Choice
from aidpost_device.calibration.proportions import complement
from aidpost_device.calibration.strata import Stratum
from aidpost_device.calibration.yields import Amount, Curve, Yield


def inline(name: str) -> str:
    """Write a finding's name within a sentence: "Pneumonia" becomes "pneumonia", "COVID-19" stays."""
    first = name.split(" ")[0]
    return name[:1].lower() + name[1:] if first[1:].islower() and first.isalpha() else name


def percent(share: float) -> str:
    """Write a share as a percentage, with a decimal where a whole number would say 0 or 100."""
    text = f"{share:.0%}"
    if text not in ("0%", "100%") or share in (0.0, 1.0):
        return text
    return f"{min(max(share, 0.001), 0.999):.1%}"


def amount(value: float) -> str:
    """Write a number of tests or an amount of money with as many digits as it deserves."""
    if isinf(value):
        return "no end"
    return f"{value:.0f}" if abs(value) >= 9.95 else f"{value:.1f}" if abs(value) >= 0.095 else f"{value:.1g}"


def between(figure: Estimate | Amount, of: float = 1.0) -> str:
    """Write "3.1 (2.5 to 3.8)"."""
    return f"{amount(figure.value * of)} ({amount(figure.low * of)} to {amount(figure.high * of)})"


def people(figure: Estimate | Amount, of: float = 1.0) -> str:
    """Write "31 (25 to 38)": people are whole, unless they are fewer than one."""

    def count(value: float) -> str:
        return f"{value:.0f}" if value == 0 or value >= 0.95 else f"{value:.1g}"

    return f"{count(figure.value * of)} ({count(figure.low * of)} to {count(figure.high * of)})"


def told(figures: Yield, curve: Curve, name: str) -> tuple[str, ...]:
    """Say what a threshold does, one sentence each."""
    finding, programme = inline(name), curve.programme
    said = []
    if figures.positive_predictive_value is not None:
        said.append(f"Of 100 flagged here, about {people(figures.positive_predictive_value, 100)} have {finding}.")
    said.append(f"Of 100 who have {finding}, about {people(complement(figures.sensitivity), 100)} are missed.")
    said.append(f"Of 1000 people screened, about {people(figures.missed)} have it and are missed.")
    if figures.negative_predictive_value is not None:
        left = complement(figures.negative_predictive_value)
        said.append(f"Of 1000 not flagged, about {people(left, 1000)} have it all the same.")
    if figures.tests_per_day is not None:
        sends = f"This sends about {people(figures.tests_per_day)} people a day to a test"
        limit = "" if programme.tests_per_day is None else f"; {programme.tests_per_day:g} can be tested"
        said.append(f"{sends}{limit}.")
    if figures.tests_per_case is not None:
        said.append(f"For each one found, about {between(figures.tests_per_case)} people are tested.")
    if figures.cost_per_case is not None:
        said.append(f"Each one found costs about {between(figures.cost_per_case)} in tests.")
    if figures.cost is not None:
        said.append(f"Tests and misses cost about {between(figures.cost, 1000)} for 1000 people screened.")
    return tuple(said)


def reason(choice: Choice, curve: Curve) -> str:
    """Say why this threshold was chosen."""
    programme = curve.programme
    limit = f"{programme.tests_per_day:g} tests a day" if programme.tests_per_day is not None else ""
    if choice.why == "target":
        return (
            f"it is the highest at which new cases reach the target sensitivity of {percent(choice.target_sensitivity)}"
        )
    if choice.why == "capacity":
        return f"it finds the most people that {limit} allow"
    costs = f"where a test costs {programme.cost_test:g} and a missed case {programme.cost_missed:g}"
    if choice.unlimited is None:
        return f"it has the least expected cost, {costs}"
    wanted = curve.at(choice.unlimited).tests_per_day
    tests = f" and ask for {amount(wanted.value)} tests a day" if wanted is not None else ""
    return (
        f"it has the least expected cost that {limit} allow, {costs}; "
        f"without that limit {choice.unlimited:.3f} would cost least{tests}"
    )


def warnings(choice: Choice) -> tuple[str, ...]:
    """Say what speaks against the choice."""
    if not choice.nobody_is_cheaper:
        return ()
    return ("With these costs it would cost less to flag nobody at all: check the two costs.",)


def stratum_line(stratum: Stratum) -> str:
    """Write one stratum: its counts, and its figures where there are enough people."""
    who = f"{stratum.column} {stratum.value or 'not known'}"
    counts = f"{stratum.positives} with, {stratum.negatives} without"
    if stratum.sensitivity is None or stratum.specificity is None:
        return f"{who}: {counts}: too few to show"
    figures = (("sensitivity", stratum.sensitivity), ("specificity", stratum.specificity))
    shown = ", ".join(f"{name} {percent_between(figure)}" for name, figure in figures)
    return f"{who}: {counts}: {shown}"


def percent_between(share: Estimate | None) -> str:
    """Write "91% (86% to 95%)", or a dash where there is no such share."""
    if share is None:
        return "\N{EN DASH}"
    return f"{percent(share.value)} ({percent(share.low)} to {percent(share.high)})"
