"""What the check of the map came to, in words, for the report, the card and the cautions."""

from __future__ import annotations

from collections.abc import Sequence

from aidpost_export.figures import Evaluation
from aidpost_export.sentences import percent, signed_interval


def refusals(evaluation: Evaluation) -> tuple[str, ...] | None:
    """Why the boxes show no map, in words; nothing where it passed, None where it was not checked yet."""
    if evaluation.explanation is None:
        return None
    graphs = evaluation.device.variants if evaluation.device else ()
    return evaluation.explanation.refusals(one.name for one in graphs if one.precision == "int8")


def verdict(reasons: Sequence[str] | None) -> str:
    """Say in one sentence whether the boxes show the map; `reasons` as `refusals` gives them."""
    if reasons is None:
        return "The heat map was not checked yet; a bundle that is packed now checks it first."
    if not reasons:
        return "The heat map passed its check: boxes draw it, and name the zone that it points at if there are zones."
    return f"Boxes draw no heat map and name no region: {'; '.join(reasons)}."


def in_words(evaluation: Evaluation) -> tuple[str, ...]:
    """Say what was found, one sentence each; nothing where nothing could be measured."""
    found = evaluation.explanation
    if found is None or found.calibration is None or found.randomised is None:
        return ()
    told = [
        f"{figures.cases} {role} cases of {figures.patients} people: exchanging what the map shows for a healthy "
        f"case's lowers the area under the probability by {signed_interval(figures.deletion_gain)} more than random "
        f"maps do; putting it into a healthy case raises it by {signed_interval(figures.insertion_gain)} more. "
        f"Against the maps of other cases both gain {signed_interval(figures.other_gain)} on average."
        for role, figures in (("calibration", found.calibration), ("validation", found.validation))
        if figures is not None
    ]
    told.append(
        f"With random weights in the head and the last {found.randomised.stages} stages the map is another one: the "
        f"order of its cells agrees to {found.randomised.correlation:.2f} (1 would be the same map)."
    )
    for one in found.stability:
        zone = "" if one.same_zone is None else f"; in {percent(one.same_zone)} both name the same zone, or none"
        told.append(
            f"{one.variant} against float on {one.cases} cases: the order of the map's cells agrees to "
            f"{one.correlation:.2f}{zone}."
        )
    return tuple(told)
