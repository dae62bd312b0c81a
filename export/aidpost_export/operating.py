"""The step `threshold`: choose an operating point on the calibration cases, report it on the validation cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aidpost_device.calibration.choice import Choice, choose, require_enough
from aidpost_device.calibration.programme import Programme
from aidpost_device.calibration.strata import Stratum, band_of, stratify
from aidpost_device.calibration.yield_table import yield_csv
from aidpost_device.calibration.yields import Curve, curve
from aidpost_device.durable import write_durably
from aidpost_device.errors import CalibrationError
from aidpost_export.adopted import ADOPTED, AdoptedProgramme, with_programmes
from aidpost_export.ages import parse_age
from aidpost_export.errors import RecipeError, RunError
from aidpost_export.measure import calibrate
from aidpost_export.pictures import label_tag
from aidpost_export.plots.yields import yields_plot
from aidpost_export.recipe import Recipe
from aidpost_export.run import RunFolder
from aidpost_export.sentences import inline


@dataclass(frozen=True)
class Operating:
    """An operating point for a programme."""

    k: int
    """Number of the finding."""
    name: str
    """Its English display name."""
    choice: Choice
    calibration: Curve
    """The cases it was chosen on."""
    validation: Curve
    """The cases it is reported on, which chose nothing."""
    strata: tuple[Stratum, ...]
    """Of the validation cases."""


@dataclass(frozen=True)
class _Part:
    """The cases of one role that the box decides the finding of, D."""

    rows: NDArray[np.intp]  # (D,)
    probability: NDArray[np.float32]  # (D,)
    target: NDArray[np.float32]  # (D,) in {0, 1}
    patients: NDArray[np.str_]  # (D,)


def operating_for(run: RunFolder, label: str | None, prevalence: float | None) -> tuple[int, float]:
    """Pick the finding, by default the only one that refers, and the prevalence, by default the recipe's.

    Raises `RecipeError` where either is not clear.
    """
    recipe = run.original_recipe().recipe
    labels = ", ".join(recipe.labels)
    referring = [k for k, finding in enumerate(recipe.finding) if finding.refers]
    if label is None and len(referring) != 1:
        raise RecipeError(f"{len(referring)} findings refer: {labels}.", "Say which one is meant with --finding.")
    if label is not None and label not in recipe.labels:
        raise RecipeError(f"There is no finding {label!r}.", f"The findings are: {labels}.")
    k = referring[0] if label is None else recipe.labels.index(label)
    known = recipe.prevalence_of(k)
    if known is None:
        raise RecipeError(
            f"{recipe.labels[k]!r} is a class that refers nobody, so no programme screens for it.",
            f"Choose another with --finding: {labels}.",
        )
    return k, known if prevalence is None else prevalence


def choose_operating(run: RunFolder, k: int, programme: Programme, by: Sequence[str] = ()) -> Operating:
    """Choose the threshold on the calibration cases and lay out what it does on both kinds.

    Raises `CalibrationError` where there are too few cases, `RunError` where the run is not complete.
    """
    recipe, cases = run.original_recipe().recipe, run.cases()
    scores = calibrate(run.logits(), cases, recipe)

    def part(role: str) -> _Part:
        rows = cases.where(role)  # type: ignore[arg-type]
        rows = rows[scores.decided[rows, k]]
        patients = np.array(cases.patients, np.str_)[rows]
        return _Part(rows, scores.probability[rows, k], cases.targets[rows, k], patients)

    calibration, validation = part("calibration"), part("validation")
    require_enough(calibration.target, calibration.patients, "calibration cases")
    fitted = curve(calibration.probability, calibration.target, calibration.patients, programme)
    choice = choose(fitted, recipe.target_of(k))
    try:
        measured = curve(validation.probability, validation.target, validation.patients, programme)
    except CalibrationError as error:
        raise RunError(
            f"The validation cases cannot tell what a threshold does: {error}",
            "Mark rows of both kinds with split `val` in index.csv, and adapt again.",
        ) from error
    nothing = ("",) * len(cases)
    return Operating(
        k=k,
        name=recipe.finding[k].names["en"],
        choice=choice,
        calibration=fitted,
        validation=measured,
        strata=tuple(
            stratum
            for column in by
            for stratum in stratify(
                column,
                _values(column, [cases.columns.get(column, nothing)[i] for i in validation.rows]),
                validation.probability,
                validation.target,
                validation.patients,
                choice.threshold,
                programme,
            )
        ),
    )


def write_operating(run: RunFolder, found: Operating) -> None:
    """Write `threshold.csv` and the picture of the yields on the validation cases."""
    table = yield_csv((("calibration", found.calibration), ("validation", found.validation)), found.strata)
    write_durably(run.path / "threshold.csv", table)
    picture = yields_plot(inline(found.name), found.validation, found.choice.threshold)
    (run.path / "plots").mkdir(exist_ok=True)
    write_durably(plot_file(run, found.k), picture.standalone().encode())


def plot_file(run: RunFolder, k: int) -> Path:
    """Path of the picture of the yields of finding k."""
    return run.path / "plots" / f"yields-{label_tag(run.original_recipe().recipe.labels, k)}.svg"


def adopt(run: RunFolder, found: Operating, author: str, reason: str, day: str) -> None:
    """Record the programme; from here on the run's thresholds are chosen for it. Raises `RunError`."""
    recipe: Recipe = run.original_recipe().recipe
    label = recipe.labels[found.k]
    made = AdoptedProgramme(
        finding=label,
        target_sensitivity=found.choice.target_sensitivity,
        threshold=found.choice.threshold,
        programme=found.calibration.programme,
        author=author,
        reason=reason,
        day=day,
    )
    adopted = (*(one for one in run.adopted() if one.finding != label), made)
    with_programmes(recipe, adopted, str(run.path / ADOPTED))  # refused before it is written
    run.write_json(ADOPTED, adopted)


def _values(column: str, texts: Sequence[str]) -> tuple[str, ...]:
    return tuple(band_of(parse_age(text)) if column == "age" else text.strip() for text in texts)
