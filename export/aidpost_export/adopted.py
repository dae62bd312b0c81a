"""The programme that a run's thresholds are chosen for, in the place of the recipe's target and prevalence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from aidpost_device.calibration.programme import Programme
from aidpost_export.errors import RunError
from aidpost_export.recipe import Recipe

ADOPTED = "programme.json"
"""File of a run that holds what was adopted."""


class AdoptedProgramme(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One finding's programme, with who chose it."""

    finding: str
    target_sensitivity: Annotated[float, Meta(gt=0, lt=1)]
    """The target for which every graph's own threshold is chosen: what the chosen one reaches on new cases."""
    threshold: float
    """The network's own threshold that was chosen, for the record."""
    programme: Programme
    author: str
    reason: str
    day: str
    """Date, ISO 8601."""


def with_programmes(recipe: Recipe, adopted: Sequence[AdoptedProgramme], place: str) -> Recipe:
    """Put adopted targets and prevalences in the place of the recipe's. Raises `RunError` naming `place`."""
    by_finding = {one.finding: one for one in adopted}
    if unknown := sorted(by_finding.keys() - {*recipe.labels}):
        raise RunError(f"{place} names the finding {unknown[0]!r}, which the recipe does not have.", f"Remove {place}.")
    findings = tuple(
        msgspec.structs.replace(
            finding,
            target_sensitivity=by_finding[finding.label].target_sensitivity,
            prevalence=by_finding[finding.label].programme.prevalence,
        )
        if finding.label in by_finding
        else finding
        for finding in recipe.finding
    )
    changed = msgspec.structs.replace(recipe, finding=findings)
    shares = [changed.prevalence_of(k) or 0.0 for k in range(len(findings))]
    if recipe.task == "multiclass" and sum(shares) > 1:
        raise RunError(
            f"With {place} the prevalences of the findings add up to {sum(shares):.2f}, and exactly one is true.",
            "Adopt prevalences that add up to no more than 1.",
        )
    return changed
