"""Tables of yields: every threshold as CSV for a spreadsheet, a few of them for a reader."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

import numpy as np

from aidpost_device.bundle.variant import Estimate
from aidpost_device.calibration.strata import Stratum
from aidpost_device.calibration.yields import Amount, Curve, Yield

FIGURES = (
    "flagged",
    "sensitivity",
    "specificity",
    "positive_predictive_value",
    "negative_predictive_value",
    "tests_per_case",
    "missed",
    "tests_per_day",
    "cost_per_case",
    "cost",
)
"""Columns of figures, each followed by the ends of its 95 % interval, `…_low` and `…_high`. `missed` is per 1000 people
screened, `cost` for each person screened; a figure that does not exist is empty."""
COLUMNS = ("cases", "stratum", "threshold", *(f"{name}{end}" for name in FIGURES for end in ("", "_low", "_high")))
READABLE = (0.99, 0.975, 0.95, 0.925, 0.9, 0.85, 0.8, 0.7, 0.6)
"""Sensitivities at which a reader is shown what it would take."""


def readable(curve: Curve, *always: float) -> tuple[float, ...]:
    """Pick a few thresholds, rising: the highest that reach each of `READABLE` on these cases, and `always`."""
    found = {*always}
    for wanted in READABLE:
        enough = np.flatnonzero(curve.sharp & (curve.sensitivity >= wanted))
        found.add(float(curve.thresholds[enough[-1]]))
    return tuple(sorted(found))


def yield_csv(curves: Iterable[tuple[str, Curve]], strata: Sequence[Stratum] = ()) -> bytes:
    """Write every threshold of each curve, named by its cases, and of each stratum that is large enough."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for cases, curve in curves:
        writer.writerows(_lines(cases, "", curve))
    for stratum in strata:
        if stratum.curve is not None:
            writer.writerows(_lines("", f"{stratum.column} {stratum.value}".strip(), stratum.curve))
    return text.getvalue().encode()


def _lines(cases: str, stratum: str, curve: Curve) -> Iterable[list[str]]:
    for threshold in curve.thresholds:
        yield [cases, stratum, f"{threshold:.7g}", *_cells(curve.at(float(threshold)))]


def _cells(figures: Yield) -> Iterable[str]:
    for name in FIGURES:
        figure: Estimate | Amount | None = getattr(figures, name)
        yield from ("", "", "") if figure is None else (f"{v:.6g}" for v in (figure.value, figure.low, figure.high))
