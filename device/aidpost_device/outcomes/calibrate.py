"""The site's threshold: chosen on its own confirmed outcomes, with what it does and how far that is known. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from aidpost_device.bundle.variant import Abstention, FindingNumbers, OperatingPoint
from aidpost_device.calibration.choice import Choice, choose, require_enough
from aidpost_device.calibration.conformal import abstention, fewest_cases
from aidpost_device.calibration.programme import Programme
from aidpost_device.calibration.strata import Stratum, band_of, stratify
from aidpost_device.calibration.threshold import operating_point
from aidpost_device.calibration.yields import Curve, curve
from aidpost_device.outcomes.match import Case, voting
from aidpost_device.store.outcomes import ScoredScan

By = Literal["age", "sex"]


@dataclass(frozen=True)
class Calibration:
    """What was found on a site's outcomes."""

    curve: Curve
    choice: Choice
    measured: OperatingPoint
    """What the chosen threshold does on the outcomes."""
    abstention: Abstention | None
    band: str
    """What is to be said of the limits of UNSURE, a sentence."""
    strata: tuple[Stratum, ...]


@dataclass(frozen=True)
class Verified:
    """Of how many studies the outcome is known, on one side of the threshold in force."""

    known: int
    studies: int


def calibrate(
    cases: Sequence[Case], numbers: FindingNumbers, programme: Programme, by: Sequence[By] = ()
) -> Calibration:
    """Choose a threshold. Raises `CalibrationError` where there are too few people, `SettingError` as `choose` does."""
    probability = np.array([case.probability for case in cases], np.float32)
    target = np.array([case.positive for case in cases], bool)
    people = np.array([case.person for case in cases], np.str_)
    require_enough(target, people, "confirmed outcomes")
    found = curve(probability, target, people, programme)
    choice = choose(found, numbers.operating_point.target_sensitivity)
    band, told = _abstention(probability, target, people, choice.threshold, numbers, programme)
    return Calibration(
        curve=found,
        choice=choice,
        measured=operating_point(probability, target, choice.threshold, choice.target_sensitivity, people),
        abstention=band,
        band=told,
        strata=tuple(
            stratum
            for column in by
            for stratum in stratify(
                column, _values(column, cases), probability, target, people, choice.threshold, programme
            )
        ),
    )


def verified(scans: Iterable[ScoredScan], cases: Iterable[Case], threshold: float) -> tuple[Verified, Verified]:
    """Count the studies whose outcome is known: those at or above a threshold, and those below it."""
    studies: dict[str, list[ScoredScan]] = {}
    for scan in scans:
        studies.setdefault(scan.study, []).append(scan)
    counted = {study: voting(of) for study, of in studies.items()}
    flagged = {study for study, scan in counted.items() if scan is not None and scan.probability >= threshold}
    others = {study for study, scan in counted.items() if scan is not None} - flagged
    known = {case.study for case in cases}
    return Verified(len(known & flagged), len(flagged)), Verified(len(known & others), len(others))


def partial_verification(flagged: Verified, others: Verified) -> str:
    """Say that outcomes are known of the flagged above all; empty where they are known of both alike.

    Whoever was not flagged and never examined is not in the file, so misses are counted too low (verification bias:
    Begg and Greenes, "Assessment of diagnostic tests when disease verification is subject to selection bias",
    Biometrics 1983).
    """
    if not flagged.studies or not others.studies:
        return ""
    if 2 * others.known / others.studies >= flagged.known / flagged.studies:
        return ""
    return (
        f"Outcomes are known of {flagged.known} of {flagged.studies} studies at or above the threshold in use and of "
        f"{others.known} of {others.studies} below it: misses are counted too low, and the sensitivity is lower than "
        "it says here. Have some of those below examined too, drawn by lot."
    )


def _abstention(
    probability: NDArray[np.float32],
    target: NDArray[np.bool_],
    people: NDArray[np.str_],
    threshold: float,
    numbers: FindingNumbers,
    programme: Programme,
) -> tuple[Abstention | None, str]:
    """Fit the limits of UNSURE around the site's threshold as the bundle's are around its own."""
    own = numbers.abstention
    if own is None:
        return None, "The bundle sets no limits of UNSURE, and neither does this threshold."
    band = abstention(
        probability,
        target,
        threshold,
        coverage=own.wanted,
        most_unsure=own.most,
        prevalence=programme.prevalence,
        patients=people,
    )
    if band is None:
        need = fewest_cases(own.wanted)
        return None, (
            f"No limits of UNSURE are set around this threshold: for a coverage of {own.wanted:.1%} they need "
            f"the outcomes of {need} people with the finding and {need} without it, and at most {own.most:.1%} of "
            "people may be UNSURE."
        )
    return band, (
        f"Between {band.low:.3f} and {band.high:.3f} it says UNSURE: {band.unsure:.1%} of people, for a coverage of "
        f"{band.coverage:.1%}."
    )


def _values(column: By, cases: Sequence[Case]) -> tuple[str, ...]:
    return tuple(band_of(case.age_years) if column == "age" else case.sex for case in cases)
